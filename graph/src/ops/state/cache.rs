use crate::op::{Case, Effect, Operand, Operator, Rule, Writes};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{around, rearrange_many};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Writes the rows `updates` to those of variable `input_x` that `indices` names; indices below 0 or not below `max_num`
    /// name none. The last of several updates of a row counts. The result is one element, 0. Any type.
    object UpdateCache { input_x: Operand, indices: Operand, updates ["update"]: Operand, max_num: i64 }
}

impl UpdateCache {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let (x, index, updates) = (&self.input_x, &self.indices, &self.updates);
        ensure!(index.dtype().is_int(), "expected integer indices, found {}", index.fact);
        let rows = x.shape().split_first().is_some_and(|(_, row)| updates.shape().ends_with(row));
        let fits = rows && updates.dtype() == x.dtype() && updates.shape().starts_with(index.shape());
        let each = rows && updates.rank() == index.rank() + x.rank() - 1;
        ensure!(fits && each, "expected rows of {} for indices {}, found {}", x.fact, index.fact, updates.fact);
        Ok(vec![Fact::new(x.dtype(), &[1]), Fact::clone(&x.fact)])
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, updates) = (self.input_x.tensor()?, self.updates.tensor()?);
        let [_, len, inner] = around(x.shape(), 0)?;
        let mut rows = vec![None; len];
        for (from, at) in self.indices.i64s()?.into_iter().enumerate().filter(|(_, at)| (0..self.max_num).contains(at))
        {
            let row = usize::try_from(at).ok().and_then(|at| rows.get_mut(at));
            *row.ok_or_else(|| OpError::Invalid(format!("index {at} is out of range for {len} rows")))? = Some(from);
        }
        let mut places = 0..;
        let y = rearrange_many(&[x, updates], x.shape(), &vec![0; x.dtype().size()], |_| {
            let at: usize = places.next()?;
            Some(rows.get(at / inner)?.map_or((0, at), |from| (1, from * inner + at % inner)))
        })?;
        Ok(vec![Tensor::zeros(x.dtype(), &[1])?, y])
    }
}

impl Operator for UpdateCache {
    const EFFECT: Effect = Effect::Writes(Writes { args: &[0], from: 1, hidden: 1 });

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |_| self.results()))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[4, 3]).index(DType::I32, &[4], &[2, 7, -1, 0]);
        vec![s.tensor(DType::F32, &[4, 3]).int(4).exact("two rows")]
    }
}
