use super::product::{Product, reshaped};
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Operand, Rule};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

op! {
    /// Product of tensors: vectors become a row on the left and a column on the right, dimensions before the last two
    /// broadcast. The result loses the dimensions that vectors gained.
    ///
    /// `input`, `other`: rank 1 or more and one number type.
    MatMulExt, aliases ["Mv", "Dot"] { input: Operand, other ["mat2", "vec"]: Operand }
}

impl MatMulExt {
    fn dims(&self) -> Result<(Shape, Shape), OpError> {
        let (a, b) = (&self.input, &self.other);
        ensure!(a.rank() > 0 && b.rank() > 0, "expected vectors or matrices, found {} and {}", a.fact, b.fact);
        let (mut da, mut db) = (a.fact.shape.clone(), b.fact.shape.clone());
        if a.rank() == 1 {
            da.insert(0, 1);
        }
        if b.rank() == 1 {
            db.push(1);
        }
        Ok((da, db))
    }

    fn operands(&self, va: V, vb: V) -> Result<(Operand, Operand), OpError> {
        let (da, db) = self.dims()?;
        Ok((reshaped(&self.input, va, &da)?, reshaped(&self.other, vb, &db)?))
    }

    fn result(&self, mut dims: Shape) -> Shape {
        if self.other.rank() == 1 {
            dims.pop();
        }
        if self.input.rank() == 1 {
            dims.remove(dims.len() - if self.other.rank() == 1 { 1 } else { 2 });
        }
        dims
    }
}

fn plain<'a>(a: &'a Operand, b: &'a Operand) -> Product<'a> {
    Product { a, b, trans_a: false, trans_b: false }
}

impl Rule for MatMulExt {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (a, b) = self.operands(self.input.v, self.other.v)?;
        let fact = plain(&a, &b).infer()?;
        Ok(vec![Fact { dtype: fact.dtype, shape: self.result(fact.shape) }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (a, b) = self.operands(self.input.v, self.other.v)?;
        let y = plain(&a, &b).reference()?;
        Ok(vec![y.reshape(&self.result(y.fact().shape))?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let (da, db) = self.dims()?;
        let (va, vb) = (b.reshape(self.input.v, &da)?, b.reshape(self.other.v, &db)?);
        let (x, y) = self.operands(va, vb)?;
        let out = plain(&x, &y).lower(b)?;
        let dims = self.result(b.fact(out).shape.clone());
        Ok(Some(vec![b.reshape(out, &dims)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (dtype, wide) = (self.input.dtype(), machine(self.input.dtype()));
        let (a, b) = (e.as_type(&self.input, wide)?, e.as_type(&self.other, wide)?);
        let y = e.op("MatMul", &[a, b]);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }

    fn cases() -> Vec<Case> {
        use DType::F32;
        let two = |a: &[usize], b: &[usize], name| sample().tensor(F32, a).tensor(F32, b).case(name);
        vec![
            two(&[4, 5], &[5, 3], "matrices"),
            two(&[5], &[5], "two vectors"),
            two(&[5], &[2, 5, 3], "vector times batch"),
            two(&[2, 4, 5], &[5], "batch times vector"),
            two(&[2, 1, 4, 5], &[3, 5, 2], "broadcast"),
            sample().tensor(DType::I32, &[2, 3]).tensor(DType::I32, &[3, 2]).exact("i32"),
        ]
    }
}
