use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate, fact, number_of, real};
use crate::ops::kit::sample::{sample, wave};
use crate::task::{Binary, Lowering};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The matrix of all products of an element of `input` with one of `vec2`, in their common type.
    Outer, aliases [object "Ger"] { input: Operand, vec2: Operand }
}

impl Outer {
    fn dtype(&self) -> DType {
        DType::promote(self.input.dtype(), self.vec2.dtype())
    }

    /// `input` as a column.
    fn column(&self) -> Result<Operand, OpError> {
        let (a, b) = (&self.input, &self.vec2);
        ensure!(a.rank() == 1 && b.rank() == 1, "expected vectors, found {} and {}", a.fact, b.fact);
        real(a)?;
        let mut x = a.clone();
        x.fact = Fact::new(x.dtype(), &[x.count(), 1]).into();
        x.known = x.known.map(|t| t.reshape(&x.fact.shape)).transpose()?;
        Ok(x)
    }
}

impl Rule for Outer {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[&self.column()?, &self.vec2], self.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = number_of(self.dtype());
        evaluate(&[(&self.column()?, d), (&self.vec2, d)], self.dtype(), |[a, b]| Binary::Mul.eval(a, b, d))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = number_of(self.dtype());
        let mut x = self.column()?;
        x.v = b.reshape(x.v, &x.fact.shape)?;
        let y = emit(b, &[(&x, d), (&self.vec2, d)], self.dtype(), |p, [a, b]| p.binary(Binary::Mul, a, b))?;
        Ok(Some(vec![y]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3])).arg(wave(DType::F32, &[5])).case("f32"),
            sample().arg(wave(DType::I32, &[4])).arg(wave(DType::F32, &[1])).case("mixed"),
            sample().arg(wave(DType::I64, &[2])).arg(wave(DType::I64, &[3])).exact("i64"),
        ]
    }
}
