//! Operators that keep the elements and change the dimensions.

/// Implements [`crate::op::Rule`] for an operator whose `dims()` gives the new dimensions of its operand `$x`.
macro_rules! reshaping {
    ($name:ident, $x:ident, $cases:expr) => {
        impl $crate::op::Rule for $name {
            const UNDO: Option<$crate::op::Undo> = Some($crate::op::Undo::Reshape);

            fn infer(&self) -> Result<Vec<$crate::Fact>, $crate::OpError> {
                let (x, shape) = (&self.$x.fact, self.dims()?);
                $crate::ensure!(
                    $crate::checked_count(&shape) == Some(x.count()),
                    "cannot give {x} the dimensions {:?}",
                    shape.as_slice()
                );
                Ok(vec![$crate::Fact { dtype: x.dtype, shape }])
            }

            fn reference(&self) -> Result<Vec<$crate::Tensor>, $crate::OpError> {
                Ok(vec![self.$x.tensor()?.reshape(&self.dims()?)?])
            }

            fn lower(&self, b: &mut $crate::task::Lowering) -> Result<Option<Vec<$crate::task::V>>, $crate::OpError> {
                Ok(Some(vec![b.reshape(self.$x.v, &self.dims()?)?]))
            }

            fn onnx(&self, e: &mut $crate::onnx::Emit) -> $crate::onnx::Forms {
                self.form(e)
            }

            fn cases() -> Vec<$crate::op::Case> {
                $cases
            }
        }
    };
}
pub(in crate::ops) use reshaping;
