//! Operators with one result for every position that their operands broadcast to.

use super::broadcasting::{In, complex_fact, emit, emit_all, evaluate, evaluate_complex, evaluate_into, fact, wide};
use super::complex::Complex64;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Lowers, Operand, Rule};
use crate::task::{Binary, Lowering, Program, Reg, Scalar};
use crate::{DType, Fact, OpError, Tensor};

/// A function of numbers, by definition and as a program.
pub(in crate::ops) struct Elementwise<'a, const N: usize, F, P> {
    ins: [In<'a>; N],
    out: DType,
    f: F,
    program: P,
    widened: bool,
    complex: Option<OfComplex<N>>,
}

/// A function of complex numbers.
pub(in crate::ops) type OfComplex<const N: usize> = Box<dyn Fn([Complex64; N]) -> Complex64>;

impl<'a, const N: usize, F: Fn([Scalar; N]) -> Scalar, P: Fn(&mut Program, [Reg; N]) -> Reg> Elementwise<'a, N, F, P> {
    /// `f` of operands that are read as the types beside them, as `out`; `program` computes it in these types.
    pub fn new(ins: [In<'a>; N], out: DType, f: F, program: P) -> Self {
        Elementwise { ins, out, f, program, widened: false, complex: None }
    }

    /// As [`Elementwise::new`], but that the program has `f32` in place of 16-bit floats.
    pub fn widened(ins: [In<'a>; N], out: DType, f: F, program: P) -> Self {
        Elementwise { widened: true, ..Elementwise::new(ins, out, f, program) }
    }

    /// The same, and by `f` where an operand is complex.
    pub fn of_complex(self, f: Option<OfComplex<N>>) -> Self {
        Elementwise { complex: f.filter(|_| self.ins.iter().any(|x| x.0.dtype().is_complex())), ..self }
    }
}

impl<const N: usize, F: Fn([Scalar; N]) -> Scalar, P: Fn(&mut Program, [Reg; N]) -> Reg> Rule
    for Elementwise<'_, N, F, P>
{
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let xs = self.ins.map(|x| x.0);
        if self.complex.is_some() { complex_fact(&xs, self.out) } else { fact(&xs, self.out) }
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        match &self.complex {
            Some(f) => evaluate_complex(self.ins.map(|x| x.0), self.out, f),
            None => evaluate(&self.ins, self.out, &self.f),
        }
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.complex.is_some() {
            return Ok(None);
        }
        let compute = |d| if self.widened { wide(d) } else { d };
        let ins = self.ins.map(|(x, d)| (x, compute(d)));
        Ok(Some(vec![emit(b, &ins, self.out, &self.program)?]))
    }

    fn is_elementwise(&self) -> bool {
        self.complex.is_none()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        if self.complex.is_some() { no_form("ONNX has no arithmetic of complex numbers") } else { Ok(None) }
    }
}

/// Operands of one type put together from the first on, each by the function beside it; 0 of none. The first one's function is
/// not used.
pub(in crate::ops) struct Chain<'a> {
    pub links: Vec<(Binary, &'a Operand)>,
    pub compute: DType,
    pub out: DType,
    /// Whether the program has `f32` in place of 16-bit floats.
    pub widened: bool,
}

impl Chain<'_> {
    fn ins(&self, dtype: DType) -> Vec<In<'_>> {
        self.links.iter().map(|link| (link.1, dtype)).collect()
    }

    fn join<T: Copy>(&self, xs: &[T], mut step: impl FnMut(Binary, T, T) -> T) -> Option<T> {
        let links = self.links.iter().map(|link| link.0).zip(xs.iter().copied());
        links.reduce(|(_, y), (f, x)| (f, step(f, y, x))).map(|(_, y)| y)
    }
}

impl Rule for Chain<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&self.links.iter().map(|link| link.1).collect::<Vec<_>>(), self.out)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (d, args) = (self.compute, vec![Scalar::Int(0); self.links.len()]);
        let join = |xs: &Vec<Scalar>| self.join(xs, |f, y, x| f.eval(y, x, d)).unwrap_or(Scalar::Int(0));
        evaluate_into(args, &self.ins(d), self.out, join)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = if self.widened { wide(self.compute) } else { self.compute };
        let y = emit_all(b, &self.ins(d), self.out, |p, regs| {
            let y = self.join(regs, |f, y, x| p.binary(f, y, x));
            y.unwrap_or_else(|| p.constant(0.0, d))
        })?;
        Ok(Some(vec![y]))
    }

    fn is_elementwise(&self) -> bool {
        true
    }
}
