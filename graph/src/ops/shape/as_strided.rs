use crate::op::{Case, Ints, Lowers, Operand, Rule};
use crate::ops::kit::indices::{rearrange, size, sizes};
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, checked_count, ensure, op};

op! {
    /// Element `i` is the one at `storage_offset + Σ i·stride` of the flattened `input`. Any type; strides are not negative.
    AsStrided { input: Operand, size: Ints, stride: Ints, storage_offset: i64 = 0 }
}

impl AsStrided {
    /// Dimensions, strides and offset.
    fn view(&self) -> Result<(Vec<usize>, Vec<usize>, usize), OpError> {
        let (dims, strides) = (sizes(&self.size, "size")?, sizes(&self.stride, "stride")?);
        let offset = size(self.storage_offset, "storage_offset")?;
        ensure!(dims.len() == strides.len(), "expected {} strides, found {}", dims.len(), strides.len());
        let n = checked_count(&dims).ok_or_else(|| OpError::Invalid(format!("the result {dims:?} is too large")))?;
        let reach = |(d, s): (&usize, &usize)| (d.saturating_sub(1) as u128) * *s as u128;
        let last = offset as u128 + dims.iter().zip(&strides).map(reach).sum::<u128>();
        ensure!(n == 0 || last < self.input.count() as u128, "element {last} of {}", self.input.fact);
        Ok((dims, strides, offset))
    }
}

impl Rule for AsStrided {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(self.input.dtype(), &self.view()?.0)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (dims, strides, offset) = self.view()?;
        let y = rearrange(self.input.tensor()?, &dims, |index| {
            Some(offset + index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>())
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (dims, strides, offset) = self.view()?;
        if checked_count(&dims) == Some(0) {
            return Ok(Some(vec![b.constant(Tensor::zeros(self.input.dtype(), &dims)?)]));
        }
        let strides = strides.into_iter().map(|s| s as isize).collect();
        Ok(Some(vec![b.strided(self.input.v, offset, strides, &dims)]))
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[3, 4]);
        vec![x.ints(&[2, 3]).ints(&[1, 4]).int(1).exact("transposed part")]
    }
}
