use super::product::{Flattened, Product, reshaped};
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, ensure, op};

op! {
    /// Product of tensors: vectors become a row on the left and a column on the right, dimensions before the last two
    /// broadcast. The result loses the dimensions that vectors gained.
    ///
    /// `input`, `other`: rank 1 or more and one number type.
    MatMulExt, aliases ["Mv", "Dot"] { input: Operand, other ["mat2", "vec"]: Operand }
}

impl Operator for MatMulExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (&self.input, &self.other);
        ensure!(a.rank() > 0 && b.rank() > 0, "expected vectors or matrices, found {} and {}", a.fact, b.fact);
        let (mut da, mut db) = (a.fact.shape.clone(), b.fact.shape.clone());
        if a.rank() == 1 {
            da.insert(0, 1);
        }
        if b.rank() == 1 {
            db.push(1);
        }
        let (x, y) = (reshaped(a, a.v, &da)?, reshaped(b, b.v, &db)?);
        let mut dims = Product { a: &x, b: &y, trans_a: false, trans_b: false, adjoint: false }.fact()?.shape;
        if b.rank() == 1 {
            dims.pop();
        }
        if a.rank() == 1 {
            dims.remove(dims.len() - if b.rank() == 1 { 1 } else { 2 });
        }
        Ok(Flattened { a: x, b: y, trans_b: false, dims, bias: None })
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
