use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::indices::{dim, flat, inverse, only, rearrange, replaced};
use crate::ops::kit::sample::sample;
use crate::task::{Binary, Gather, Instr, Lowering, Program, Task};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Reverses the first `seq_lengths[b]` elements along `seq_dim` of slice `b` along `batch_dim` and keeps the rest. Any
    /// type. Lengths beyond the dimension are an error on the host, and zeros elsewhere.
    classic ReverseSequence { x: Operand, seq_lengths: Operand, seq_dim: i64, batch_dim: i64 = 0 }
}

impl ReverseSequence {
    fn axes(&self) -> Result<(usize, usize), OpError> {
        let (x, lengths) = (&self.x, &self.seq_lengths);
        let (seq, batch) = (x.axis(self.seq_dim)?, x.axis(self.batch_dim)?);
        ensure!(seq != batch, "seq_dim and batch_dim are both {seq}");
        let n = dim(x.shape(), batch)?;
        let fits = lengths.rank() == 1 && lengths.count() == n && lengths.dtype().is_int();
        ensure!(fits, "expected {n} integer lengths, found {}", lengths.fact);
        Ok((seq, batch))
    }
}

impl Rule for ReverseSequence {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.axes()?;
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let ((seq, batch), lengths) = (self.axes()?, self.seq_lengths.i64s()?);
        let dims = self.x.shape();
        let most = dim(dims, seq)?;
        let bad = lengths.iter().find(|&&l| l < 0 || l > most as i64);
        ensure!(bad.is_none(), "length {} of a dimension of {most}", bad.unwrap_or(&0));
        let y = rearrange(self.x.tensor()?, dims, |index| {
            let (i, len) = (*index.get(seq)?, *lengths.get(*index.get(batch)?)? as usize);
            Some(flat(dims, &replaced(index, seq, if i < len { len - 1 - i } else { i })))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (seq, batch) = self.axes()?;
        if self.x.count() == 0 {
            return Ok(Some(vec![self.x.v]));
        }
        let (n, len) = (dim(self.x.shape(), batch)?, dim(self.x.shape(), seq)?);
        let mut order = vec![batch, seq];
        order.extend((0..self.x.rank()).filter(|d| *d != batch && *d != seq));
        let x = b.transpose(self.x.v, &order)?;
        let steps = b.constant(Tensor::vector(&(0..len as i64).collect::<Vec<_>>()));
        let lengths = b.reshape(self.seq_lengths.v, &[n, 1])?;
        let mut p = Program::new();
        let i = p.input(0, DType::I64);
        let l = p.input(1, self.seq_lengths.dtype());
        let l = p.cast(l, DType::I64);
        let last = p.push(Instr::Int(1), DType::I64);
        let last = p.binary(Binary::Sub, l, last);
        let mirrored = p.binary(Binary::Sub, last, i);
        let inside = p.binary(Binary::Lt, i, l);
        p.select(inside, mirrored, i);
        let index = b.map(p, &[steps, lengths], &[n, len]);
        let fact = b.fact(x).clone();
        let inner = fact.shape.iter().skip(2).product();
        let (outer, axis, count, dtype) = (n, len, len, fact.dtype);
        let task = Gather { outer, axis, inner, count, batch: true, zeros: false, dtype, index: DType::I64 };
        let y = only(b.task(Task::Gather(task), &[x, index], vec![fact]))?;
        Ok(Some(vec![b.transpose(y, &inverse(&order))?]))
    }

    fn cases() -> Vec<Case> {
        let lengths = |s: crate::ops::kit::sample::Sample| s.index(DType::I32, &[3], &[2, 4, 0]);
        vec![
            lengths(sample().tensor(DType::F32, &[3, 4, 2])).int(1).int(0).exact("batch first"),
            lengths(sample().tensor(DType::F32, &[4, 3])).int(0).int(1).exact("sequence first"),
        ]
    }
}
