//! Writes to parameters: every operator returns the new contents, and the parameter takes them.

use crate::op::{Args, Case, Effect, Lowers, Operand, Operator, Param, Pure, Rule, Signature, Writes};
use crate::ops::elementwise::{activation, arithmetic, binary, clamp, select, unary};
use crate::ops::index::{index_add, masked};
use crate::ops::kit::broadcasting::{evaluate, number_of};
use crate::ops::kit::elementwise::Elementwise;
use crate::ops::kit::indices::only;
use crate::ops::kit::sample::{facts, sample, wave};
use crate::task::{Binary, Lowering, Scalar};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Sets the parameter `variable` to `value`, converted to its type. Both have one shape. Returns `value`.
    Assign, aliases [object "DynamicAssign"] { variable ["ref"]: Operand, value: Operand }
}

impl Operator for Assign {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
    const PURE: Option<Pure> = Some(Pure::Copy);

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 5])).arg(wave(DType::F32, &[3, 5])).exact("f32"),
            sample().arg(wave(DType::F32, &[3])).arg(wave(DType::I32, &[3])).exact("converted"),
        ]
    }
}

impl Rule for &Assign {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let one = self.variable.count() == 1 && self.value.count() == 1;
        ensure!(
            self.variable.shape() == self.value.shape() || one,
            "expected a value of shape {:?}, found {}",
            self.variable.shape(),
            self.value.fact
        );
        Ok(vec![self.variable.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.value.tensor()?.cast(self.variable.dtype())?.reshape(self.variable.shape())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let y = b.cast(self.value.v, self.variable.dtype());
        Ok(Some(vec![b.reshape(y, self.variable.shape())?]))
    }
}

op! {
    /// Sets the parameter `input` to `src`, converted to its type and repeated to its shape. Returns the new contents.
    InplaceCopy { input ["variable"]: Operand, src ["value"]: Operand, non_blocking: bool = false }
}

impl Operator for InplaceCopy {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
    const PURE: Option<Pure> = Some(Pure::Copy);

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 5])).arg(wave(DType::F32, &[3, 5])).exact("f32"),
            sample().arg(wave(DType::F32, &[3, 5])).arg(wave(DType::I32, &[5])).exact("repeated"),
            sample().arg(wave(DType::F32, &[3])).arg(wave(DType::F32, &[3])).flag(false).exact("given flag"),
        ]
    }
}

impl Rule for &InplaceCopy {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let fits = crate::broadcast_strides(self.src.shape(), self.input.shape()).is_some();
        ensure!(fits, "expected a shape that broadcasts to {:?}, found {}", self.input.shape(), self.src.fact);
        Ok(vec![self.input.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.input.dtype();
        evaluate(&[(&self.input, d), (&self.src, d)], d, |[_, src]| src)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let y = b.cast(self.src.v, self.input.dtype());
        Ok(Some(vec![b.broadcast_to(y, self.input.shape())?]))
    }
}

/// What a plan computes as the new contents of a variable, in its type and shape.
struct Written<'a, P> {
    x: &'a Operand,
    new: P,
}

impl<P: Rule> Rule for Written<'_, P> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, found) = (&self.x.fact, only(self.new.infer()?)?);
        ensure!(found.shape == x.shape, "expected a result of shape {:?}, found {found}", x.shape);
        Ok(vec![Fact::clone(x)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        Ok(vec![only(self.new.reference()?)?.cast(self.x.dtype())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let Some(y) = self.new.lower(b)? else { return Ok(None) };
        Ok(Some(vec![b.cast(only(y)?, self.x.dtype())]))
    }
}

macro_rules! assign {
    ($($(#[doc = $doc:literal])+ $name:ident = $f:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { variable: Operand, value: Operand }
        }

        impl Operator for $name {
            const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
            const PURE: Option<Pure> = Some(Pure::As(stringify!($f)));

            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, d) = (&self.variable, number_of(self.variable.dtype()));
                let f = move |[x, y]: [Scalar; 2]| Binary::$f.eval(x, y, d);
                let ins = [(x, d), (&self.value, d)];
                let new = Elementwise::new(ins, x.dtype(), f, |p, [x, y]| p.binary(Binary::$f, x, y));
                Ok(Written { x, new })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 5])).arg(wave(DType::F32, &[3, 5])).case("f32"),
                    sample().arg(wave(DType::I32, &[3])).int(2).exact("number"),
                ]
            }
        }
    )*};
}

assign! {
    /// Adds `value` to the parameter `variable`. Returns the new contents.
    AssignAdd = Add;
    /// Subtracts `value` from the parameter `variable`. Returns the new contents.
    AssignSub = Sub;
}

macro_rules! inplace {
    ($($(#[doc = $doc:literal])+ $name:ident = $module:ident::$of:ident ($x:ident);)*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub struct $name(pub $module::$of);

        impl Signature for $name {
            const NAME: &'static str = stringify!($name);
            const PARAMS: &'static [Param] = $module::$of::PARAMS;
            const DOC: &'static str = concat!($($doc, "\n"),+);

            fn parse(args: &Args) -> Result<Self, OpError> {
                $module::$of::parse(args).map($name)
            }
        }

        impl Operator for $name {
            const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
            const PURE: Option<Pure> = Some(Pure::As($module::$of::NAME));

            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Written { x: &self.0.$x, new: self.0.rule()? })
            }

            fn cases() -> Vec<Case> {
                let fits = |c: &Case| facts(c, |args| $name::parse(args)?.rule()?.infer()).is_ok();
                <$module::$of as Operator>::cases().into_iter().filter(fits).collect()
            }
        }
    )*};
}

inplace! {
    /// `input + alpha · other`, written to `input` in its type and shape. Returns the new contents.
    InplaceAddExt = arithmetic::AddExt(input);
    /// `input + alpha · other` with a Python number, written to `input` in its type. Returns the new contents.
    InplaceAddsExt = arithmetic::AddScalar(input);
    /// `input − alpha · other`, written to `input` in its type and shape. Returns the new contents.
    InplaceSubExt = arithmetic::SubExt(input);
    /// `input − alpha · other` with a Python number, written to `input` in its type. Returns the new contents.
    InplaceSubScalar = arithmetic::SubScalar(input);
    /// `input · other`, written to `input` in its type and shape. Returns the new contents.
    InplaceMul = binary::Mul(input);
    /// `input · other` with a Python number, written to `input` in its type. Returns the new contents.
    InplaceMuls = binary::Muls(input);
    /// `input / other`, written to `input` in its type and shape. Returns the new contents.
    InplaceDiv = binary::Div(input);
    /// `input / other` with a Python number, written to `input` in its type. Returns the new contents.
    InplaceDivs = binary::Divs(input);
    /// `input / other` with a rounding mode, written to `input` in its type and shape. Returns the new contents.
    InplaceDivMod = arithmetic::DivMod(input);
    /// `input / other` with a rounding mode and a Python number, written to `input` in its type. Returns the new contents.
    InplaceDivMods = arithmetic::DivMods(input);
    /// `⌊input / other⌋`, written to `input` in its type and shape. Returns the new contents.
    InplaceFloorDivide = binary::FloorDiv(input);
    /// `⌊input / other⌋` with a Python number, written to `input` in its type. Returns the new contents.
    InplaceFloorDivides = binary::FloorDivScalar(input);
    /// Floor remainder, written to `input` in its type and shape. Returns the new contents.
    InplaceRemainderTensorTensor = binary::FloorMod(x);
    /// Floor remainder with a Python number, written to `input` in its type. Returns the new contents.
    InplaceRemainderTensorScalar = binary::RemainderTensorScalar(input);
    /// `e^input`, written to `input`. Returns the new contents.
    InplaceExp = unary::Exp(input);
    /// Natural logarithm, written to `input`. Returns the new contents.
    InplaceLog = unary::Log(input);
    /// Largest integers not above, written to `input`. Returns the new contents.
    InplaceFloor = unary::Floor(input);
    /// Signs, written to `input`. Returns the new contents.
    InplaceSign = unary::Sign(input);
    /// `max(input, 0)`, written to `input`. Returns the new contents.
    InplaceReLU = unary::ReLU(input);
    /// `1 / (1 + e^−input)`, written to `input`. Returns the new contents.
    InplaceSigmoid = unary::Sigmoid(input);
    /// `input · sigmoid(input)`, written to `input`. Returns the new contents.
    InplaceSiLU = unary::SiLU(input);
    /// Hyperbolic tangent, written to `input`. Returns the new contents.
    InplaceTanh = unary::Tanh(input);
    /// Exponential linear unit, written to `input`. Returns the new contents.
    InplaceElu = activation::Elu(input_x);
    /// `input` limited to a range, written to it. Returns the new contents.
    InplaceHardtanh = activation::Hardtanh(input);
    /// `input` limited to a range, written to it. Returns the new contents.
    InplaceClampScalar = clamp::ClampScalar(input);
    /// `input` limited to a range of tensors, written to it. Returns the new contents.
    InplaceClampTensor = clamp::ClampTensor(input);
    /// `value` where `mask` is true, written to `input`. Returns the new contents.
    InplaceMaskedFillScalar = select::MaskedFill(input_x);
    /// `value` where `mask` is true, written to `input`. Returns the new contents.
    InplaceMaskedFillTensor = select::MaskedFill(input_x);
    /// `alpha · source` added to slices of `input` as by [`IndexAddExt`](index_add::IndexAddExt). Returns the new contents.
    InplaceIndexAddExt = index_add::IndexAddExt(input);
    /// The elements of `source` where `mask` is true, written to `input`. Returns the new contents.
    InplaceMaskedScatter = masked::MaskedScatter(input);
    /// `input` where it exceeds the threshold, else the value, written to it. Returns the new contents.
    InplaceThreshold = clamp::Threshold(input);
}
