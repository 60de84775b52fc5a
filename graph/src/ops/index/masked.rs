use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{broadcast_index, scalars, spread};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::rearrange_many;
use crate::ops::kit::sample::{flags, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `input` with the elements where `mask` is true replaced by those of `source`, in order. `mask` broadcasts to `input`;
    /// both tensors have one type. It is an error if `source` has too few elements.
    MaskedScatter { input ["x"]: Operand, mask: Operand, source ["updates"]: Operand }
}

impl MaskedScatter {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let (x, mask, source) = (&self.input, &self.mask, &self.source);
        ensure!(mask.dtype() == DType::Bool, "expected a mask of bool, found {}", mask.fact);
        ensure!(x.dtype() == source.dtype(), "expected elements of {}, found {}", x.dtype(), source.fact);
        broadcast_index(mask.shape(), x.shape())?;
        Ok(vec![x.fact.clone()])
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, source) = (self.input.tensor()?, self.source.tensor()?);
        let mask = spread(&scalars(self.mask.tensor()?, DType::Bool)?, self.mask.shape(), x.shape())?;
        let hits = mask.iter().filter(|hit| hit.truth()).count();
        ensure!(hits <= source.count(), "expected {hits} elements or more, found {}", self.source.fact);
        let (mut next, mut mask) = (0.., mask.iter().enumerate());
        let y = rearrange_many(&[x, source], x.shape(), &vec![0; x.dtype().size()], |_| {
            let (at, hit) = mask.next()?;
            if hit.truth() { Some((1, next.next()?)) } else { Some((0, at)) }
        })?;
        Ok(vec![y])
    }
}

impl Operator for MaskedScatter {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |_| self.results()))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 5])).arg(flags(&[3, 5])).tensor(DType::F32, &[4, 4]).exact("f32"),
            sample().arg(wave(DType::I32, &[3, 5])).arg(flags(&[5])).tensor(DType::I32, &[15]).exact("broadcast"),
        ]
    }
}
