use crate::onnx::{Emit, Forms, NoForm, machine};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::elementwise::select::lower_choice;
use crate::ops::kit::broadcasting::{fact, real, scalars, size, tensor_of};
use crate::ops::kit::indices::{around, column, dim, item_mut, only};
use crate::ops::kit::sample::{cycle, sample};
use crate::ops::reduce::reduction::operand;
use crate::task::{Binary, Lowering};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, normalize_axis, op};

op! {
    /// `on_value` at the positions that `indices` name along a new dimension `axis` of length `depth`, else `off_value`.
    /// Indices outside the range, negative ones too, name none. The result has the type of `on_value`.
    OneHot, aliases ["OneHotExt"] { indices: Operand, depth: i64, on_value: Operand, off_value: Operand, axis: i64 = -1 }
}

impl OneHot {
    fn axis(&self) -> Result<usize, OpError> {
        normalize_axis(self.axis, self.indices.rank() + 1).ok_or_else(|| {
            OpError::Invalid(format!("axis {} is out of range for indices {}", self.axis, self.indices.fact))
        })
    }

    /// The indices' shape with the new dimension of this length.
    fn shape(&self, depth: usize) -> Result<Shape, OpError> {
        let mut shape: Shape = self.indices.fact.shape.clone();
        shape.insert(self.axis()?, depth);
        Ok(shape)
    }
}

impl Rule for OneHot {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let d = self.indices.dtype();
        ensure!(d.is_int(), "expected integer indices, found {d}");
        let depth = usize::try_from(self.depth).ok().filter(|d| *d <= 1 << 28);
        let depth =
            depth.ok_or_else(|| OpError::Invalid(format!("expected a depth of at least 0, found {}", self.depth)))?;
        let single = self.on_value.count() == 1 && self.off_value.count() == 1;
        ensure!(single, "expected single values, found {} and {}", self.on_value.fact, self.off_value.fact);
        real(&self.off_value)?;
        fact(&[&self.on_value], self.on_value.dtype())?;
        let shape = self.shape(depth)?;
        size(&shape)?;
        Ok(vec![Fact { dtype: self.on_value.dtype(), shape }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let Fact { dtype, shape } = only(self.infer()?)?;
        let on = only(scalars(self.on_value.tensor()?, dtype)?)?;
        let off = only(scalars(self.off_value.tensor()?, dtype)?)?;
        let [_, depth, inner] = around(&shape, self.axis()?)?;
        let mut y = vec![off; size(&shape)?];
        for (k, i) in self.indices.i64s()?.into_iter().enumerate() {
            if (0..self.depth).contains(&i) {
                *item_mut(&mut y, (k / inner * depth + i as usize) * inner + k % inner)? = on;
            }
        }
        Ok(vec![tensor_of(dtype, &shape, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let Fact { dtype, shape } = only(self.infer()?)?;
        if matches!(self.indices.dtype(), DType::U64 | DType::U32) || shape.contains(&0) {
            return Ok(None);
        }
        let axis = self.axis()?;
        let index = b.cast(self.indices.v, DType::I64);
        let index = b.reshape(index, &self.shape(1)?)?;
        let row = column(dim(&shape, axis)?, shape.len() - axis - 1);
        let positions = b.constant(Tensor::from_i64s(DType::I64, &row, &(0..self.depth).collect::<Vec<_>>())?);
        let hit = b.binary(Binary::Eq, index, positions)?;
        let hit = operand(b, hit);
        lower_choice(&hit, &flat(&self.on_value, b)?, &flat(&self.off_value, b)?, dtype, b)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let d = self.on_value.dtype();
        let axis = self.axis()?;
        let index = e.as_type(&self.indices, DType::I64)?;
        let index = e.unsqueeze(index, &[axis as i64]);
        let row = column(self.depth.max(0) as usize, self.indices.rank() - axis);
        let positions: Vec<i64> = (0..self.depth.max(0)).collect();
        let positions = e.constant(Tensor::from_i64s(DType::I64, &row, &positions)?);
        let hit = e.op("Equal", &[index, positions]);
        let wide = machine(d);
        let [on, off] = [&self.on_value, &self.off_value].map(|x| {
            let v = e.as_type(x, d)?;
            let v = e.cast(v, d, wide);
            Ok::<_, NoForm>(e.reshape(v, &[]))
        });
        let y = e.select(hit, on?, off?, wide);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }

    fn cases() -> Vec<Case> {
        let i = |d, dims: &[usize]| cycle(d, dims, &[0.0, 2.0, 5.0, -1.0, 1.0]);
        vec![
            sample().arg(i(DType::I32, &[5])).int(3).real(1.0).real(0.0).exact("last"),
            sample().arg(i(DType::I64, &[2, 3])).int(3).int(5).int(2).int(0).exact("first"),
            sample().arg(i(DType::I64, &[2, 3])).int(4).real(1.0).real(0.0).int(1).exact("middle"),
            sample().arg(i(DType::I32, &[])).int(3).real(1.0).real(0.0).exact("scalar"),
            sample().arg(i(DType::I32, &[2])).int(0).real(1.0).real(0.0).exact("no depth"),
        ]
    }
}

/// A single value with rank 0.
fn flat(x: &Operand, b: &mut Lowering) -> Result<Operand, OpError> {
    let v = b.reshape(x.v, &[])?;
    Ok(operand(b, v))
}
