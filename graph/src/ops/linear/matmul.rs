use super::product::Product;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::{complex, sample};
use crate::{DType, OpError, ensure, op};

op! {
    /// Product of two matrices, each transposed first if asked. Integers wrap.
    ///
    /// `input`, `mat2`: matrices of one number type. Result: a matrix of that type.
    MatMul, aliases ["Mm"] {
        input ["x", "x1"]: Operand,
        mat2 ["y", "x2"]: Operand,
        transpose_a ["transpose_x1"]: bool = false,
        transpose_b ["transpose_x2"]: bool = false,
    }
}

impl Operator for MatMul {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (&self.input, &self.mat2);
        ensure!((a.rank(), b.rank()) == (2, 2), "expected two matrices, found {} and {}", a.fact, b.fact);
        Ok(Product { a, b, trans_a: self.transpose_a, trans_b: self.transpose_b, adjoint: false })
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[3, 5]).tensor(F32, &[5, 7]).case("plain"),
            sample().tensor(F32, &[5, 3]).tensor(F32, &[7, 5]).flag(true).flag(true).case("both transposed"),
            sample().tensor(F32, &[1, 129]).tensor(F32, &[17, 129]).flag(false).flag(true).case("row"),
            sample().tensor(F16, &[4, 6]).tensor(F16, &[6, 3]).case("f16"),
            sample().tensor(F64, &[4, 6]).tensor(F64, &[6, 3]).case("f64"),
            sample().tensor(I32, &[4, 6]).tensor(I32, &[6, 3]).exact("i32"),
            sample().arg(complex(C64, &[3, 2])).arg(complex(C64, &[3, 4])).flag(true).case("c64"),
            sample().tensor(F32, &[0, 6]).tensor(F32, &[6, 3]).exact("no rows"),
            sample().tensor(F32, &[2, 0]).tensor(F32, &[0, 3]).exact("no inner elements"),
        ]
    }
}
