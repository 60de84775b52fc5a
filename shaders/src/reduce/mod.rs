//! Reductions of an axis to values or positions.

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::{Binary, ReduceKind};

use crate::cuda::{self, layout};
use crate::module::storage;
use crate::program::{binary, cast, library};
use crate::word::{self, fit};
use crate::{Access, Language, Lines, Module, Shader, Unsupported, Word};

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Number of lines.
    pub lines: u32,
    /// Elements of a line, at least 1.
    pub len: u32,
    /// Elements between two of a line.
    pub inner: u32,
    /// Elements from one group of `inner` lines to the next.
    pub pitch: u32,
    /// Elements of a whole line, of which the others are left to other launches.
    pub whole: u32,
    /// First element of the operand.
    pub x: u32,
    /// First element of the result.
    pub y: u32,
}

/// A variant of the shader; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// Who works on a line.
    pub lines: Lines,
    /// What to compute.
    pub kind: ReduceKind,
    /// Element type of the operand.
    pub dtype: DType,
    /// Element type of the result.
    pub out: DType,
    /// Whether the result holds what earlier elements of the lines gave.
    pub adds: bool,
    /// Whether the result is left for another launch to go on with.
    pub partial: bool,
}

impl Shader for Reduce {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let number = Word::of(self.number()?)?;
        let (source, invocations, shared) = match self.lines {
            Lines::Group => (include_str!("group.wgsl"), 256, 256 * (4 + number.size() as u32)),
            Lines::Single => (include_str!("single.wgsl"), 64, 0),
        };
        let functions = format!("{}\n{}\n{}", self.load()?, self.combine()?, self.put()?);
        let text = format!(
            "{source}\nalias Number = {};\n\n{}{}\n{}{functions}",
            number.stored(),
            storage(1, "x", word::stored(self.dtype)?, Access::Read),
            storage(2, "y", word::stored(self.out)?, Access::Write),
            library(&functions),
        );
        let bindings = vec![Access::Read, Access::Write];
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations, shared })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        if self.adds || self.partial {
            return Err(Unsupported("CUDA kernels do not part lines".into()));
        }
        let (source, invocations, shared) = match self.lines {
            Lines::Group => (include_str!("group.cu"), 256, 96),
            Lines::Single => (include_str!("single.cu"), 64, 0),
        };
        let (functions, params) = (self.cuda_functions()?, layout!(Params: lines, len, inner, pitch, whole, x, y));
        let parts = [include_str!("params.cu"), &params, cuda::LIBRARY, &functions, source];
        let bindings = [("x".to_string(), "Element", Access::Read), ("y".to_string(), "Result", Access::Write)];
        Ok(cuda::module(&parts, &bindings, invocations, shared, "    reduce(params, x, y);\n"))
    }
}

impl Reduce {
    /// Whether the result can hold what a part of a line gives, for another launch to go on with.
    pub fn adds_up(&self, language: Language) -> Result<bool, Unsupported> {
        if language == Language::Cuda || language == Language::WgslF16 && self.out == DType::F16 {
            return Ok(false);
        }
        let position = matches!(self.kind, ReduceKind::ArgMax | ReduceKind::ArgMin);
        Ok(!position && Word::of(self.number()?)?.stored() == Word::of(self.out)?.stored())
    }

    /// Element type that is computed in: as wide as a word, or two for means of integers, whose sums must not wrap.
    fn number(&self) -> Result<DType, Unsupported> {
        let word = Word::of(self.dtype)?;
        Ok(match (self.kind, word) {
            (ReduceKind::All | ReduceKind::Any, _) => DType::U32,
            (_, Word::F32) => DType::F32,
            (_, Word::I64) | (ReduceKind::Mean, Word::I32) => DType::I64,
            (_, Word::U64) | (ReduceKind::Mean, _) => DType::U64,
            (_, Word::I32) => DType::I32,
            (_, Word::U32 | Word::Bool) => DType::U32,
        })
    }

    /// The element that is combined: a truth value as 0 or 1, or the number.
    fn load(&self) -> Result<String, Unsupported> {
        let element = word::load(self.dtype, "x[place]");
        let value = match self.kind {
            ReduceKind::All | ReduceKind::Any => format!("u32({})", cast(&element, self.dtype, DType::Bool)?),
            _ => cast(&element, self.dtype, self.number()?)?,
        };
        Ok(format!("fn load(place: u32) -> Number {{\n    return {value};\n}}\n"))
    }

    fn combine(&self) -> Result<String, Unsupported> {
        let truth = self.dtype == DType::Bool;
        let function = match self.kind {
            ReduceKind::ArgMax => return self.better(Binary::Gt),
            ReduceKind::ArgMin => return self.better(Binary::Lt),
            ReduceKind::Sum if truth => Binary::Or,
            ReduceKind::Prod if truth => Binary::And,
            ReduceKind::Sum | ReduceKind::Mean => Binary::Add,
            ReduceKind::Prod => Binary::Mul,
            ReduceKind::Max => Binary::Max,
            ReduceKind::Min => Binary::Min,
            ReduceKind::All => Binary::And,
            ReduceKind::Any => Binary::Or,
        };
        let value = binary(function, "a.value", "b.value", self.number()?)?;
        Ok(format!("fn combine(a: Found, b: Found) -> Found {{\n    return Found({value}, 0u);\n}}\n"))
    }

    /// The better of two; of equals the earlier.
    fn better(&self, order: Binary) -> Result<String, Unsupported> {
        let number = self.number()?;
        let nan = |x: &str| if number == DType::F32 { format!("is_nan({x})") } else { "false".into() };
        let before = binary(order, "a", "b", number)?;
        Ok(format!(
            "fn beats(a: Number, b: Number) -> bool {{\n    return !{} && ({} || {before});\n}}\n\n\
             fn combine(a: Found, b: Found) -> Found {{\n    \
             let later = beats(b.value, a.value) || (!beats(a.value, b.value) && b.place < a.place);\n    \
             return Found(select(a.value, b.value, later), select(a.place, b.place, later));\n}}\n",
            nan("b"),
            nan("a"),
        ))
    }

    /// The function that writes what was found to element `at` of the result.
    fn put(&self) -> Result<String, Unsupported> {
        let all = if self.adds { "combine(Found(Number(y[at]), 0u), part)" } else { "part" };
        let partial = || Ok(format!("{}(found.value)", word::stored(self.out)?));
        let value = if self.partial { partial()? } else { self.finish()? };
        Ok(format!("fn put(at: u32, part: Found) {{\n    let found = {all};\n    y[at] = {value};\n}}\n"))
    }

    /// The element of the result for what was found in a whole line.
    fn finish(&self) -> Result<String, Unsupported> {
        let number = self.number()?;
        let value = match (self.kind, number) {
            (ReduceKind::ArgMax | ReduceKind::ArgMin, _) => cast("found.place", DType::U32, self.out)?,
            (ReduceKind::Sum, DType::F32) => fit(self.out, "no_negative_zero(found.value)"),
            (ReduceKind::Mean, DType::F32) => fit(self.out, "no_negative_zero(found.value) / f32(params.whole)"),
            (ReduceKind::Mean, _) => {
                let mean = binary(Binary::Div, "found.value", "vec2<u32>(params.whole, 0u)", number)?;
                cast(&mean, number, self.out)?
            }
            _ => cast("found.value", number, self.out)?,
        };
        Ok(word::store(self.out, &value))
    }

    /// The types `Element`, `Number`, `Result` and `Found`, and the functions `read`, `combine` and `finish`.
    fn cuda_functions(&self) -> Result<String, Unsupported> {
        let number = match (self.kind, cuda::number(self.dtype)?) {
            (ReduceKind::All | ReduceKind::Any, _) => DType::U32,
            (ReduceKind::Mean, _) => cuda::sums(self.dtype)?,
            (_, number) => number,
        };
        let read = match self.kind {
            ReduceKind::All | ReduceKind::Any => DType::Bool,
            _ => number,
        };
        let read = cuda::cast("load(x)", read)?;
        let function = match self.kind {
            ReduceKind::ArgMax | ReduceKind::Max => Binary::Max,
            ReduceKind::ArgMin | ReduceKind::Min => Binary::Min,
            ReduceKind::Sum | ReduceKind::Mean => Binary::Add,
            ReduceKind::Prod => Binary::Mul,
            ReduceKind::All => Binary::And,
            ReduceKind::Any => Binary::Or,
        };
        let combine = match self.kind {
            ReduceKind::ArgMax => "better(a, b, fn::Gt(a.value, b.value), fn::Gt(b.value, a.value))".to_string(),
            ReduceKind::ArgMin => "better(a, b, fn::Lt(a.value, b.value), fn::Lt(b.value, a.value))".to_string(),
            _ => format!("{{fn::{}(a.value, b.value), 0}}", function.name()),
        };
        let value = match self.kind {
            ReduceKind::ArgMax | ReduceKind::ArgMin => "found.place",
            ReduceKind::Mean => "fn::Div(found.value, (Number)len)",
            _ => "found.value",
        };
        Ok(format!(
            "typedef {} Element;\ntypedef {} Number;\ntypedef {} Result;\n\n{}\n\
             inline Number read(Element x) {{\n    return {read};\n}}\n\n\
             inline Found combine(Found a, Found b) {{\n    return {combine};\n}}\n\n\
             inline Result finish(Found found, u32 len) {{\n    return store<Result>({});\n}}\n",
            cuda::stored(self.dtype)?,
            cuda::stored(number)?,
            cuda::stored(self.out)?,
            include_str!("found.cu"),
            cuda::cast(value, self.out)?,
        ))
    }
}
