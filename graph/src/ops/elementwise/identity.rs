//! Operators that give their operand back.

use crate::onnx::{Emit, Forms};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::sample::{sample, wave};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, op};

/// The operand.
pub(in crate::ops) struct Same<'a>(pub &'a Operand);

impl Rule for Same<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.0.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.0.tensor()?.clone()])
    }

    fn lower(&self, _: &mut Lowering) -> Lowers {
        Ok(Some(vec![self.0.v]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        Ok(Some(vec![e.edge(self.0)?]))
    }
}

macro_rules! identity {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident $([$($alias:literal),*])? ($x:ident);)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name $(, aliases [$($alias),*])? { $x: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Same(&self.$x))
            }

            fn cases() -> Vec<Case> {
                vec![sample().arg(wave(DType::F32, &[3, 5])).exact("f32"), sample().arg(wave(DType::I64, &[])).exact("scalar")]
            }
        }
    )*};
}

identity! {
    /// `input_x` as it is.
    Identity(input_x);
    /// The value of `x` at this point; later writes to a parameter do not change it.
    (object) TensorMove["DeepCopy"](x);
    /// The value of `input` at this point; later writes to a parameter do not change it.
    Clone["Copy"](input);
    /// `input` with dense elements, which it always has.
    Contiguous(input);
    /// `input` as it is; it only matters for gradients.
    (object) StopGradient["InplaceStopGradient", "StopGradientExt"](input);
    /// A tensor of one element as a Python number.
    (object) TensorToScalar(input_x);
    /// A tensor of rank 1 as a tuple.
    (object) TensorToTuple["TensorToList", "TupleToList", "ListToTuple"](input_tensor);
}

op! {
    /// The tensors as they are.
    object IdentityN { x: Vec<Operand> } -> Tuple
}

impl Operator for IdentityN {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self.x.iter().map(Same).collect::<Vec<_>>())
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        Ok(Some(e.all(&self.x)?))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensors(DType::F32, &[&[2, 3], &[4]]).exact("two")]
    }
}
