use super::product::{Product, add_bias, computed};
use crate::onnx::{Edge, Emit, Forms, NoForm, machine};
use crate::op::{Case, Lowers, Number, Operand, Rule};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::indices::only;
use crate::ops::kit::sample::sample;
use crate::task::{Binary, Lowering, Program, V};
use crate::{DType, Fact, OpError, Tensor, broadcast, ensure, op};

op! {
    /// `beta · input + alpha · (mat1 · mat2)`.
    ///
    /// `mat1`, `mat2`: matrices, or batches of matrices, of one number type. `input` broadcasts to the product.
    Addmm, aliases ["Baddbmm"] {
        input: Operand,
        mat1 ["batch1"]: Operand,
        mat2 ["batch2"]: Operand,
        beta: Number = Number::Int(1),
        alpha: Number = Number::Int(1),
    }
}

impl Addmm {
    fn product(&self) -> Product<'_> {
        Product { a: &self.mat1, b: &self.mat2, trans_a: false, trans_b: false, adjoint: false }
    }
}

fn times(x: &Tensor, factor: Number) -> Result<Tensor, OpError> {
    with_arithmetic!(x.dtype(), N => {
        let factor = only(N::read(&Tensor::scalar(factor.as_f64()))?)?;
        let y: Vec<N> = N::read(x)?.into_iter().map(|v| v.mul(factor)).collect();
        N::write(x.dtype(), x.shape(), &y)
    })
}

fn lower_times(b: &mut Lowering, x: V, factor: Number) -> V {
    if factor.as_f64() == 1.0 {
        return x;
    }
    let fact = b.fact(x).clone();
    let mut p = Program::new();
    let (r, f) = (p.input(0, fact.dtype), p.constant(factor.as_f64(), fact.dtype));
    p.binary(Binary::Mul, r, f);
    b.map(p, &[x], &fact.shape)
}

impl Rule for Addmm {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let fact = self.product().fact()?;
        ensure!(self.input.dtype() == fact.dtype, "expected an input of {}, found {}", fact.dtype, self.input.fact);
        let fits = broadcast(self.input.shape(), &fact.shape).is_some_and(|s| s == fact.shape);
        ensure!(fits, "input {} does not broadcast to {fact}", self.input.fact);
        let whole = fact.dtype.is_float() || [self.alpha, self.beta].iter().all(|n| matches!(n, Number::Int(_)));
        ensure!(whole, "expected integer factors for {}", fact.dtype);
        Ok(vec![fact])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let product = times(&self.product().tensor()?, self.alpha)?;
        let input = computed(&self.input, times(self.input.tensor()?, self.beta)?);
        Ok(vec![add_bias(product, Some(&input))?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let y = self.product().value(b)?;
        let y = lower_times(b, y, self.alpha);
        let input = lower_times(b, self.input.v, self.beta);
        Ok(Some(vec![b.binary(Binary::Add, y, input)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (dtype, wide) = (self.input.dtype(), machine(self.input.dtype()));
        let times = |e: &mut Emit, x: Edge, factor: Number| -> Result<Edge, NoForm> {
            if factor.as_f64() == 1.0 {
                return Ok(x);
            }
            let factor = e.number(wide, factor.as_f64())?;
            Ok(e.op("Mul", &[x, factor]))
        };
        let (a, b) = (e.as_type(&self.mat1, wide)?, e.as_type(&self.mat2, wide)?);
        let product = e.op("MatMul", &[a, b]);
        let product = times(e, product, self.alpha)?;
        let input = e.as_type(&self.input, wide)?;
        let input = times(e, input, self.beta)?;
        let y = e.op("Add", &[product, input]);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[4]).tensor(F32, &[3, 5]).tensor(F32, &[5, 4]).int(1).int(1).case("bias"),
            sample().tensor(F32, &[3, 4]).tensor(F32, &[3, 5]).tensor(F32, &[5, 4]).real(0.5).real(2.0).case("factors"),
            sample().tensor(F32, &[2, 3, 4]).tensor(F32, &[2, 3, 5]).tensor(F32, &[2, 5, 4]).case("batch"),
            sample().tensor(I32, &[2, 2]).tensor(I32, &[2, 3]).tensor(I32, &[3, 2]).int(2).int(-1).exact("i32"),
        ]
    }
}
