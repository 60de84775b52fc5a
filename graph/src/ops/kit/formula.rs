//! Formulas: written once, as a reference and as a program.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::broadcasting::{emit_all, evaluate_into, fact, wide};
use super::indices::only;
use crate::op::{Lowers, Operand, Rule};
use crate::task::{Binary, Lowering, Program, Reg, Scalar, Unary};
use crate::{DType, Fact, OpError, Tensor};

/// A number in a formula: what is computed with it is noted in a program.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Num<'p> {
    program: &'p RefCell<Program>,
    reg: Reg,
}

/// What stands in a formula beside a number: another one, or a constant.
pub(in crate::ops) trait Term<'p> {
    /// It as a number of the type of `other`.
    fn like(self, other: Num<'p>) -> Num<'p>;
}

impl<'p> Term<'p> for Num<'p> {
    fn like(self, _: Num<'p>) -> Num<'p> {
        self
    }
}

impl<'p> Term<'p> for f64 {
    fn like(self, other: Num<'p>) -> Num<'p> {
        let mut p = other.program.borrow_mut();
        let dtype = p.type_of(other.reg);
        other.with(p.constant(self, dtype))
    }
}

impl<'p> Num<'p> {
    fn with(self, reg: Reg) -> Num<'p> {
        Num { reg, ..self }
    }

    /// `f` of it.
    pub fn map(self, f: Unary) -> Num<'p> {
        self.with(self.program.borrow_mut().unary(f, self.reg))
    }

    /// `f` of it and `other`.
    pub fn by(self, f: Binary, other: impl Term<'p>) -> Num<'p> {
        let other = other.like(self);
        self.with(self.program.borrow_mut().binary(f, self.reg, other.reg))
    }

    pub fn abs(self) -> Num<'p> {
        self.map(Unary::Abs)
    }

    pub fn sign(self) -> Num<'p> {
        self.map(Unary::Sign)
    }

    pub fn square(self) -> Num<'p> {
        self.map(Unary::Square)
    }

    pub fn sqrt(self) -> Num<'p> {
        self.map(Unary::Sqrt)
    }

    pub fn exp(self) -> Num<'p> {
        self.map(Unary::Exp)
    }

    pub fn pow(self, to: impl Term<'p>) -> Num<'p> {
        self.by(Binary::Pow, to)
    }

    pub fn max(self, other: impl Term<'p>) -> Num<'p> {
        self.by(Binary::Max, other)
    }

    pub fn gt(self, other: impl Term<'p>) -> Num<'p> {
        self.by(Binary::Gt, other)
    }

    pub fn ge(self, other: impl Term<'p>) -> Num<'p> {
        self.by(Binary::Ge, other)
    }

    pub fn lt(self, other: impl Term<'p>) -> Num<'p> {
        self.by(Binary::Lt, other)
    }

    pub fn le(self, other: impl Term<'p>) -> Num<'p> {
        self.by(Binary::Le, other)
    }

    /// Both of two truth values.
    pub fn and(self, other: Num<'p>) -> Num<'p> {
        self.by(Binary::And, other)
    }

    /// Either of two truth values.
    pub fn or(self, other: Num<'p>) -> Num<'p> {
        self.by(Binary::Or, other)
    }

    /// `x` where this is true, else `y`.
    pub fn choose(self, x: Num<'p>, y: impl Term<'p>) -> Num<'p> {
        let y = y.like(x);
        self.with(self.program.borrow_mut().select(self.reg, x.reg, y.reg))
    }

    /// It where `wanted`, else 0.
    pub fn only_if(self, wanted: Num<'p>) -> Num<'p> {
        wanted.choose(self, 0.0)
    }
}

impl Neg for Num<'_> {
    type Output = Self;

    fn neg(self) -> Self {
        self.map(Unary::Neg)
    }
}

macro_rules! arithmetic {
    ($($of:ident $f:ident;)*) => {$(
        impl<'p, T: Term<'p>> $of<T> for Num<'p> {
            type Output = Num<'p>;

            fn $f(self, other: T) -> Num<'p> {
                self.by(Binary::$of, other)
            }
        }

        impl<'p> $of<Num<'p>> for f64 {
            type Output = Num<'p>;

            fn $f(self, other: Num<'p>) -> Num<'p> {
                self.like(other).by(Binary::$of, other)
            }
        }
    )*};
}

arithmetic! {
    Add add;
    Sub sub;
    Mul mul;
    Div div;
}

/// Results that follow from the elements of operands at one place. Operands of one shape, but for single numbers.
pub(in crate::ops) struct Formula<'a> {
    ins: Vec<&'a Operand>,
    compute: DType,
    outs: Vec<DType>,
    programs: Box<dyn Fn(DType) -> Vec<Program> + 'a>,
}

/// A program for each number that `formula` gives, over inputs of type `dtype` that it asks for one by one.
pub(in crate::ops) fn programs<const M: usize>(
    dtype: DType,
    formula: impl for<'p> FnOnce(&mut dyn FnMut() -> Num<'p>) -> [Num<'p>; M],
) -> Vec<Program> {
    let program = RefCell::new(Program::new());
    let mut inputs = 0..;
    let mut next = || Num { program: &program, reg: program.borrow_mut().input(inputs.next().unwrap_or(0), dtype) };
    let results = formula(&mut next);
    results.iter().map(|y| program.borrow().leading_to(y.reg)).collect()
}

impl<'a> Formula<'a> {
    /// One result, of the type in which it is computed; tasks have `f32` for 16-bit floats.
    pub fn one<const N: usize>(
        ins: [&'a Operand; N],
        dtype: DType,
        formula: impl for<'p> Fn([Num<'p>; N]) -> Num<'p> + 'a,
    ) -> Formula<'a> {
        let programs = move |d| programs(d, |next| [formula(std::array::from_fn(|_| next()))]);
        Formula::new(ins.to_vec(), dtype, vec![dtype], programs)
    }

    /// Results of types `outs`, each by its program.
    pub fn new(
        ins: Vec<&'a Operand>,
        compute: DType,
        outs: Vec<DType>,
        programs: impl Fn(DType) -> Vec<Program> + 'a,
    ) -> Formula<'a> {
        Formula { ins, compute, outs, programs: Box::new(programs) }
    }
}

impl Rule for Formula<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.outs.iter().map(|&out| only(fact(&self.ins, out)?)).collect()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let exact = if self.compute.is_float() { DType::F64 } else { self.compute };
        let ins: Vec<_> = self.ins.iter().map(|x| (*x, exact)).collect();
        let one = |(program, out): (Program, &DType)| {
            only(evaluate_into(vec![Scalar::Int(0); ins.len()], &ins, *out, |x| program.eval(x))?)
        };
        (self.programs)(exact).into_iter().zip(&self.outs).map(one).collect()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = wide(self.compute);
        let one = |(program, out): (Program, &DType)| {
            let reads: Vec<usize> = program.inputs().into_iter().collect();
            let ins: Vec<_> = reads.iter().filter_map(|&i| self.ins.get(i)).map(|x| (*x, d)).collect();
            emit_all(b, &ins, *out, |p, regs| p.splice(&program, &reads, regs))
        };
        (self.programs)(d).into_iter().zip(&self.outs).map(one).collect::<Result<_, _>>().map(Some)
    }

    fn is_elementwise(&self) -> bool {
        self.outs.len() == 1
    }
}
