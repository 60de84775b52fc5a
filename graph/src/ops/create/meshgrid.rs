use crate::op::{Case, CaseArg, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{real, scalars, size, spread, tensor_of};
use crate::ops::kit::indices::replaced;
use crate::ops::kit::sample::{sample, wave};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op, op_enum};

op_enum! {
    /// Which of the first two vectors varies along the rows.
    Indexing {
        /// The first along the rows, as a matrix is indexed.
        Ij = 0, "ij";
        /// The first along the columns, as points are named.
        Xy = 1, "xy";
    }
}

op! {
    /// Every vector of the tuple `inputs` repeated over the grid of all. `indexing` "xy" swaps the first two dimensions.
    Meshgrid { inputs: Vec<Operand>, indexing: Indexing = Indexing::Xy } -> Tuple
}

impl Meshgrid {
    /// The dimension along which vector `i` varies.
    fn dimension(&self, i: usize) -> usize {
        match (self.indexing, i) {
            (Indexing::Xy, 0) if self.inputs.len() > 1 => 1,
            (Indexing::Xy, 1) => 0,
            _ => i,
        }
    }

    fn shape(&self) -> Result<Shape, OpError> {
        let mut shape: Shape = std::iter::repeat_n(1, self.inputs.len()).collect();
        for (i, x) in self.inputs.iter().enumerate() {
            ensure!(x.rank() <= 1, "expected vectors, found {}", x.fact);
            shape = replaced(&shape, self.dimension(i), x.count());
        }
        size(&shape)?;
        Ok(shape)
    }

    /// The dimensions of vector `i`, which is `x`, with a dimension for each vector.
    fn column(&self, i: usize, x: &Operand) -> Shape {
        replaced(&vec![1; self.inputs.len()], self.dimension(i), x.count())
    }
}

impl Rule for Meshgrid {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(!self.inputs.is_empty(), "expected at least one vector");
        let shape = self.shape()?;
        self.inputs.iter().map(|x| Ok(Fact { dtype: real(x)?, shape: shape.clone() })).collect()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let shape = self.shape()?;
        let one = |(i, x): (usize, &Operand)| {
            let data = scalars(x.tensor()?, x.dtype())?;
            tensor_of(x.dtype(), &shape, &spread(&data, &self.column(i, x), &shape)?)
        };
        self.inputs.iter().enumerate().map(one).collect()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let shape = self.shape()?;
        if shape.contains(&0) {
            return Ok(None);
        }
        let mut outs = Vec::new();
        for (i, x) in self.inputs.iter().enumerate() {
            let y = b.reshape(x.v, &self.column(i, x))?;
            outs.push(b.broadcast_to(y, &shape)?);
        }
        Ok(Some(outs))
    }

    fn cases() -> Vec<Case> {
        let xs = |lens: &[usize]| {
            let one = |&n: &usize| match wave(DType::F32, &[n]) {
                CaseArg::Tensor(t) => Some(t),
                _ => None,
            };
            CaseArg::Tensors(lens.iter().filter_map(one).collect())
        };
        vec![
            sample().arg(xs(&[2, 3])).exact("xy"),
            sample().arg(xs(&[2, 3, 4])).text("ij").exact("ij"),
            sample().arg(xs(&[2, 3, 4])).text("xy").exact("three xy"),
            sample().arg(xs(&[4])).exact("one"),
        ]
    }
}
