use super::product::Product;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::{complex, sample};
use crate::{DType, OpError, op};

op! {
    /// Products of matrices in the last two dimensions, each transposed first if asked. The dimensions before broadcast.
    ///
    /// `x`, `y`: rank 2 or more and one number type, which is the result's. Integers wrap; transposing conjugates complex numbers.
    BatchMatMul, aliases ["BatchMatMulExt"] {
        x ["input"]: Operand,
        y ["mat2"]: Operand,
        transpose_a ["adj_x1"]: bool = false,
        transpose_b ["adj_x2"]: bool = false,
    }
}

impl Operator for BatchMatMul {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Product { a: &self.x, b: &self.y, trans_a: self.transpose_a, trans_b: self.transpose_b, adjoint: true })
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[2, 3, 4, 5]).tensor(F32, &[2, 3, 5, 6]).case("two batch dimensions"),
            sample().tensor(F32, &[2, 4, 5]).tensor(F32, &[2, 3, 5]).flag(false).flag(true).case("transposed"),
            sample().tensor(F32, &[2, 1, 4, 5]).tensor(F32, &[3, 5, 2]).case("broadcast"),
            sample().tensor(F32, &[2, 5, 4]).tensor(F32, &[5, 2]).flag(true).flag(false).case("shared right"),
            sample().tensor(I64, &[2, 2, 3]).tensor(I64, &[2, 3, 2]).exact("i64"),
            sample().arg(complex(C64, &[2, 3, 2])).arg(complex(C64, &[2, 3, 4])).flag(true).case("c64"),
            sample().tensor(BF16, &[2, 2, 3]).tensor(BF16, &[2, 3, 2]).case("bf16"),
        ]
    }
}
