use super::combine::{Combine, check_operands};
use super::gather::place;
use super::scatter_nd::scatter_nd;
use crate::bounds::Pulse;
use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Case, Number, Operand, Rule};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::broadcasting::spread;
use crate::ops::kit::indices::{around, item_mut, only, replaced, slices_at};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, broadcast, ensure, op};

op! {
    /// `input` plus `alpha` times the slices of `source` along `dim`, each added to the slice that `index` names. Numbers.
    IndexAddExt {
        input: Operand,
        dim: i64,
        index: Operand,
        source: Operand,
        alpha: Number = Number::Int(1),
    }
}

impl IndexAddExt {
    fn axis(&self) -> Result<usize, OpError> {
        let (x, source) = (&self.input, &self.source);
        check_operands(x, &self.index, source, Combine::Add)?;
        let axis = x.axis(self.dim)?;
        let want = replaced(x.shape(), axis, self.index.count());
        ensure!(self.index.rank() <= 1, "expected a vector of indices, found {}", self.index.fact);
        let fits =
            source.shape() == want.as_slice() || source.rank() == 1 && broadcast(source.shape(), &want).is_some();
        ensure!(fits, "expected a source of {:?}, found {}", want.as_slice(), source.fact);
        Ok(axis)
    }
}

impl Rule for IndexAddExt {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.axis()?;
        Ok(vec![self.input.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, axis, picks) = (&self.input, self.axis()?, self.index.i64s()?);
        let dims = replaced(x.shape(), axis, picks.len());
        let [outer, len, inner] = around(x.shape(), axis)?;
        let rows = picks.iter().map(|&i| place(i, len)).collect::<Result<Vec<_>, _>>()?;
        with_arithmetic!(x.dtype(), N => {
            let (mut y, s) = (N::read(x.tensor()?)?, N::read(self.source.tensor()?)?);
            let alpha = only(N::read(&Tensor::scalar(self.alpha.as_f64()))?)?;
            let mut pulse = Pulse::default();
            for (to, s) in slices_at([outer, len, inner], &rows).zip(spread(&s, self.source.shape(), &dims)?) {
                pulse.beat()?;
                let y = item_mut(&mut y, to)?;
                *y = y.add(s.mul(alpha));
            }
            Ok(vec![N::write(x.dtype(), x.shape(), &y)?])
        })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (d, axis) = (self.input.dtype(), self.axis()?);
        let wide = machine(d);
        let mut perm: Vec<usize> = (0..self.input.rank()).collect();
        perm.swap(0, axis);
        let x = e.as_type(&self.input, wide)?;
        let x = e.transpose(x, &perm);
        let mut source = e.as_type(&self.source, wide)?;
        if self.source.rank() != self.input.rank() {
            return no_form("a source of another rank");
        }
        source = e.transpose(source, &perm);
        if self.alpha.as_f64() != 1.0 {
            let alpha = e.number(wide, self.alpha.as_f64())?;
            source = e.op("Mul", &[source, alpha]);
        }
        let index = e.as_type(&self.index, DType::I64)?;
        let index = e.reshape(index, &[-1, 1]);
        let y = scatter_nd(e, x, index, source, Combine::Add, wide)?;
        let y = e.transpose(y, &perm);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[4, 3]).int(0).index(DType::I32, &[2], &[1, 1]);
        vec![
            s.clone().tensor(DType::F32, &[2, 3]).int(1).case("rows"),
            s.tensor(DType::F32, &[3]).real(0.5).case("one row for all"),
        ]
    }
}
