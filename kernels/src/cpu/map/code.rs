//! Programs compiled to steps over blocks of elements.

use mindir_graph::DType;
use mindir_graph::task::{Binary, Instr, Program, Reg, Scalar, Unary};

/// Elements that a step works on at a time at least: a few rows of it fit the innermost cache.
pub const BLOCK: usize = 512;

/// Times [`BLOCK`] that a step works on at most: more would not save much.
const MOST: usize = 8;

/// Bytes of the rows, operands and result of a block that is longer than [`BLOCK`].
const HELD: usize = 32 * 1024;

/// How elements are held between steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bool` as bytes 0 and 1.
    Bool,
    /// Signed and unsigned integers up to 16 bits, and `i32`.
    I32,
    /// `u32` and `i64`.
    I64,
    /// `f16`, `bf16` and `f32`.
    F32,
    /// `f64`.
    F64,
}

impl Kind {
    /// The kind that holds `dtype`, if one does.
    pub fn of(dtype: DType) -> Option<Kind> {
        Some(match dtype {
            DType::Bool => Kind::Bool,
            DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32 => Kind::I32,
            DType::U32 | DType::I64 => Kind::I64,
            DType::F16 | DType::BF16 | DType::F32 => Kind::F32,
            DType::F64 => Kind::F64,
            DType::U64 | DType::C64 | DType::C128 => return None,
        })
    }

    /// The type whose elements in memory are those of the kind.
    pub fn dtype(self) -> DType {
        match self {
            Kind::Bool => DType::Bool,
            Kind::I32 => DType::I32,
            Kind::I64 => DType::I64,
            Kind::F32 => DType::F32,
            Kind::F64 => DType::F64,
        }
    }
}

/// Where a step reads or writes a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An operand of the program, in its own element type.
    Input(usize),
    /// A row of scratch.
    Row(usize),
    /// The result.
    Out,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Operand elements of a type that is not its kind's to the kind.
    Load(DType),
    /// A row of a kind to result elements of this type.
    Store(DType),
    /// The block as it is.
    Move(Kind),
    /// `f32` rounded to the nearest number of this type of 16-bit floats; the result may be the operand.
    Round(DType),
    /// A function of `f32`.
    Float1(Float1),
    /// A function of two `f32`; no comparison.
    Float2(Binary),
    /// A function of a number of a kind other than `f32`, whose type is this.
    Unary(Unary, DType),
    /// A function of two numbers of a kind other than `f32`, whose type is this; no comparison.
    Binary(Binary, DType),
    /// A comparison of two numbers.
    Compare(Binary, Kind),
    /// A test of a number.
    Test(Unary, Kind),
    /// A choice between two numbers; the condition is operand `c`.
    Select(Kind),
    /// Conversion to another type.
    Cast(Kind, DType),
}

/// A function of `f32`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Float1 {
    /// One of the named functions.
    Named(Unary),
    /// x to the power ½.
    PowHalf,
    /// x³.
    Cube,
}

/// One pass over a block.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What to do.
    pub op: Op,
    /// First operand.
    pub a: Place,
    /// Second operand, if the operation has one.
    pub b: Place,
    /// Condition, if the operation has one.
    pub c: Place,
    /// Where the result goes; never one of the operands, unless it is the result of the program or the step rounds.
    pub out: Place,
}

/// A row that holds one number for the whole run.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// The row.
    pub row: usize,
    /// How the number is held.
    pub kind: Kind,
    /// The number.
    pub value: Scalar,
}

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Code {
    /// Steps of one block.
    pub steps: Vec<Step>,
    /// Rows to fill before the first block.
    pub constants: Vec<Constant>,
    /// Number of rows.
    pub rows: usize,
    /// Bytes of a row.
    pub row_bytes: usize,
    /// Element types of the operands.
    pub inputs: Vec<DType>,
    /// Operands of `f32` that steps read as vectors only, so that one of them stands for all if elements are equal.
    pub narrow: Vec<bool>,
    /// Element type of the result.
    pub dtype: DType,
    /// Whether an element takes long, because of a transcendental function.
    pub heavy: bool,
}

impl Code {
    /// The code of `program` for operands of the types `inputs`; `None` if a type has no kind or does not match. An operand
    /// of `f32` that the program reads as a 16-bit float is rounded.
    pub fn new(program: &Program, inputs: &[DType]) -> Option<Code> {
        let mut compiler = Compiler::new(program, inputs)?;
        for reg in 0..program.instrs.len() {
            if compiler.last_use[reg].is_some() {
                compiler.instr(reg)?;
            }
        }
        compiler.finish()
    }

    /// The same code for blocks that are as long as `count` elements want and the innermost cache allows, and their length.
    pub fn long(mut self, count: usize) -> (Code, usize) {
        let size = self.row_bytes / BLOCK;
        let held = (self.rows + self.inputs.len() + 1) * size * BLOCK;
        let block = (HELD / held).min(count.div_ceil(BLOCK)).clamp(1, MOST) * BLOCK;
        self.row_bytes = block * size;
        (self, block)
    }

    /// Bytes of an element of every operand and of the result.
    pub fn element(&self) -> usize {
        self.inputs.iter().map(|d| d.size()).sum::<usize>() + self.dtype.size()
    }

    /// Bytes of scratch for one thread: the rows, and one row to spread each operand into.
    pub fn scratch(&self) -> usize {
        (self.rows + self.inputs.len()) * self.row_bytes
    }
}

struct Compiler<'a> {
    program: &'a Program,
    inputs: &'a [DType],
    /// For each register that is needed, the last instruction that reads it; the result is read at the end.
    last_use: Vec<Option<usize>>,
    places: Vec<Place>,
    kinds: Vec<Kind>,
    free: Vec<usize>,
    rows: usize,
    steps: Vec<Step>,
    constants: Vec<Constant>,
}

impl<'a> Compiler<'a> {
    fn new(program: &'a Program, inputs: &'a [DType]) -> Option<Compiler<'a>> {
        let instrs = &program.instrs;
        let mut last_use = vec![None; instrs.len()];
        *last_use.last_mut()? = Some(instrs.len());
        for (i, &(instr, _)) in instrs.iter().enumerate().rev() {
            let needed = last_use[i].is_some();
            for reg in instr.operands() {
                if reg >= i {
                    return None;
                }
                if needed && last_use[reg].is_none() {
                    last_use[reg] = Some(i);
                }
            }
        }
        let kinds = instrs.iter().map(|&(_, dtype)| Kind::of(dtype)).collect::<Option<Vec<Kind>>>()?;
        inputs.iter().map(|&d| Kind::of(d)).collect::<Option<Vec<Kind>>>()?;
        let places = vec![Place::Out; instrs.len()];
        let (free, steps, constants) = (Vec::new(), Vec::new(), Vec::new());
        Some(Compiler { program, inputs, last_use, places, kinds, free, rows: 0, steps, constants })
    }

    fn row(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.rows += 1;
            self.rows - 1
        })
    }

    fn is_result(&self, reg: Reg) -> bool {
        reg + 1 == self.program.instrs.len()
    }

    /// Adds a step that computes `reg` from `args`; the last step of the program writes the result if it can.
    fn step(&mut self, reg: Reg, op: Op, args: &[Reg]) {
        let dtype = self.program.instrs[reg].1;
        let direct = self.is_result(reg) && dtype == DType::F32 && matches!(op, Op::Float1(_) | Op::Float2(_));
        let out = if direct { Place::Out } else { Place::Row(self.row()) };
        let place = |i: usize| args.get(i).map_or(Place::Out, |&r| self.places[r]);
        self.steps.push(Step { op, a: place(0), b: place(1), c: place(2), out });
        self.places[reg] = out;
        // The result of the program is rounded where it is stored.
        if is_half(dtype) && !self.is_result(reg) && leaves_half(op) {
            self.steps.push(Step { op: Op::Round(dtype), a: out, b: Place::Out, c: Place::Out, out });
        }
    }

    fn instr(&mut self, reg: Reg) -> Option<()> {
        let (instr, dtype) = self.program.instrs[reg];
        let kind = self.kinds[reg];
        match instr {
            Instr::Input(i) => self.input(reg, i)?,
            Instr::Const(x) => self.constant(reg, Scalar::Float(x)),
            Instr::Int(x) => self.constant(reg, Scalar::Int(x)),
            Instr::Unary(f, x) if f.is_test() => self.step(reg, Op::Test(f, self.kinds[x]), &[x]),
            Instr::Unary(f, x) if kind == self.kinds[x] => {
                let op = if kind == Kind::F32 { Op::Float1(Float1::Named(f)) } else { Op::Unary(f, dtype) };
                self.step(reg, op, &[x]);
            }
            Instr::Binary(f, a, b) if f.is_comparison() && self.kinds[a] == self.kinds[b] => {
                self.step(reg, Op::Compare(f, self.kinds[a]), &[a, b]);
            }
            Instr::Binary(f, a, b) if kind == self.kinds[a] && kind == self.kinds[b] => self.binary(reg, f, a, b),
            Instr::Select(c, a, b) if self.kinds[c] == Kind::Bool && kind == self.kinds[a] && kind == self.kinds[b] => {
                self.step(reg, Op::Select(kind), &[a, b, c]);
            }
            Instr::Cast(x) if kind == Kind::F32 && self.kinds[x] == kind => self.round(reg, x),
            Instr::Cast(x) => self.step(reg, Op::Cast(self.kinds[x], dtype), &[x]),
            _ => return None,
        }
        for x in instr.operands() {
            if self.last_use[x] == Some(reg)
                && let Place::Row(row) = self.places[x]
                && !self.constants.iter().any(|c| c.row == row)
                && !self.free.contains(&row)
                && !self.is_read_later(row, reg)
            {
                self.free.push(row);
            }
        }
        Some(())
    }

    /// Whether an instruction after `reg` reads the row.
    fn is_read_later(&self, row: usize, reg: Reg) -> bool {
        let mut places = self.places.iter().zip(&self.last_use).take(reg + 1);
        places.any(|(place, last)| *place == Place::Row(row) && *last > Some(reg))
    }

    /// The number in `x`, rounded if `reg` is of a type that does not hold it. The result of the program is rounded where it is stored.
    fn round(&mut self, reg: Reg, x: Reg) {
        let dtype = self.program.instrs[reg].1;
        let holds = dtype == DType::F32 || dtype == self.program.instrs[x].1;
        if holds || self.is_result(reg) {
            self.places[reg] = self.places[x];
        } else {
            self.step(reg, Op::Round(dtype), &[x]);
        }
    }

    fn input(&mut self, reg: Reg, i: usize) -> Option<()> {
        let (dtype, wanted) = (*self.inputs.get(i)?, self.program.instrs[reg].1);
        let op = match dtype == wanted {
            true if self.kinds[reg].dtype() == dtype => {
                self.places[reg] = Place::Input(i);
                return Some(());
            }
            true => Op::Load(dtype),
            false if dtype == DType::F32 && is_half(wanted) => Op::Round(wanted),
            false => return None,
        };
        let out = Place::Row(self.row());
        self.steps.push(Step { op, a: Place::Input(i), b: Place::Out, c: Place::Out, out });
        self.places[reg] = out;
        Some(())
    }

    fn constant(&mut self, reg: Reg, value: Scalar) {
        // A row of its own, because steps of earlier blocks must not overwrite it.
        let row = self.rows;
        self.rows += 1;
        let value = value.round_to(self.program.instrs[reg].1);
        self.constants.push(Constant { row, kind: self.kinds[reg], value });
        self.places[reg] = Place::Row(row);
    }

    fn binary(&mut self, reg: Reg, f: Binary, a: Reg, b: Reg) {
        let dtype = self.program.instrs[reg].1;
        if self.kinds[reg] != Kind::F32 {
            return self.step(reg, Op::Binary(f, dtype), &[a, b]);
        }
        let exponent = match self.program.instrs[b].0 {
            Instr::Const(x) if f == Binary::Pow => Some(x),
            Instr::Int(x) if f == Binary::Pow => Some(x as f64),
            _ => None,
        };
        let float = |f| Op::Float1(Float1::Named(f));
        match exponent {
            Some(2.0) => self.step(reg, float(Unary::Square), &[a]),
            Some(-1.0) => self.step(reg, float(Unary::Reciprocal), &[a]),
            Some(0.5) => self.step(reg, Op::Float1(Float1::PowHalf), &[a]),
            Some(3.0) => self.step(reg, Op::Float1(Float1::Cube), &[a]),
            _ => self.step(reg, Op::Float2(f), &[a, b]),
        }
    }

    /// Lets the last step write the result if it computes it, and none of its operands can be in the memory of the result.
    fn ends_in_result(&mut self, place: Place, kind: Kind, dtype: DType) -> bool {
        let apart = |place: Place| match place {
            Place::Input(i) => self.inputs.get(i).is_some_and(|&d| d != dtype),
            Place::Row(_) | Place::Out => true,
        };
        let Some(last) = self.steps.last_mut() else { return false };
        let computes = last.out == place && kind.dtype() == dtype && [last.a, last.b, last.c].into_iter().all(apart);
        if computes {
            last.out = Place::Out;
        }
        computes
    }

    fn finish(mut self) -> Option<Code> {
        let (_, dtype) = *self.program.instrs.last()?;
        let (kind, place) = (*self.kinds.last()?, *self.places.last()?);
        if place != Place::Out && !self.ends_in_result(place, kind, dtype) {
            let op = if kind.dtype() == dtype { Op::Move(kind) } else { Op::Store(dtype) };
            self.steps.push(Step { op, a: place, b: Place::Out, c: Place::Out, out: Place::Out });
        }
        let size = self.kinds.iter().map(|k| k.dtype().size()).chain(self.inputs.iter().map(|d| d.size())).max()?;
        let reads = |s: &Step, i| [s.a, s.b, s.c].contains(&Place::Input(i));
        let narrow = |i| self.steps.iter().all(|s| is_vectors(s.op) || !reads(s, i));
        Some(Code {
            narrow: (0..self.inputs.len()).map(narrow).collect(),
            heavy: self.steps.iter().any(|s| is_heavy(s.op)),
            steps: self.steps,
            constants: self.constants,
            rows: self.rows,
            row_bytes: BLOCK * size,
            inputs: self.inputs.to_vec(),
            dtype,
        })
    }
}

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Whether a function of numbers that are 16-bit floats may give one that is not.
fn leaves_half(op: Op) -> bool {
    use Unary::*;
    match op {
        Op::Float1(Float1::Named(f)) => !matches!(f, Abs | Neg | Sign | Floor | Ceil | Round | Trunc | Relu | Relu6),
        Op::Float1(Float1::PowHalf | Float1::Cube) => true,
        Op::Float2(f) => !matches!(f, Binary::Max | Binary::Min),
        _ => false,
    }
}

/// Whether it is a function of two vectors.
fn is_vectors(op: Op) -> bool {
    use Binary::{Add, Div, Max, Min, Mul, Sub};
    matches!(op, Op::Float2(Add | Sub | Mul | Div | Max | Min))
}

fn is_heavy(op: Op) -> bool {
    use Unary::*;
    match op {
        Op::Float1(Float1::Named(f)) | Op::Unary(f, _) => !matches!(
            f,
            Abs | Neg
                | Sign
                | Square
                | Sqrt
                | Rsqrt
                | Reciprocal
                | Floor
                | Ceil
                | Round
                | Trunc
                | Relu
                | Relu6
                | HSwish
                | HSigmoid
                | Not
        ),
        Op::Float2(f) | Op::Binary(f, _) => {
            !matches!(f, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max | Binary::Min)
        }
        _ => false,
    }
}
