//! Random models over open dimensions whose values follow from shapes: sizes, bounds, conditions, numbers.

use mindir::{DType, GraphCell, Options, Tensor};
use mindir_graph::builder::Builder;
use mindir_graph::graph::{Arg, Closure, Model, ValueId};
use mindir_graph::op::Const;
use mindir_graph::{Dim, OpError, Spec};

/// Numbers that follow from a seed.
pub struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// A number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A model, and inputs of three sizes that it runs with, as many as it takes, with its results.
pub struct Sample {
    /// The model.
    pub model: Model,
    /// Inputs and results.
    pub runs: Vec<(Vec<Tensor>, Vec<Tensor>)>,
}

/// A tensor of `f32` with this many dimensions.
type Ranked = (ValueId, usize);

struct Maker<'a> {
    b: &'a mut Builder,
    random: &'a mut Random,
    tensors: Vec<Ranked>,
    /// Single integers.
    numbers: Vec<ValueId>,
}

/// The model of `seed` with the inputs that it runs with: open dimensions of 1, of 0 and of something else. `None` if it runs
/// with none of them.
pub fn sample(seed: u64) -> Option<Sample> {
    let mut random = Random::new(seed);
    let ranks: Vec<usize> = (0..1 + random.below(2)).map(|_| 1 + random.below(3)).collect();
    let dims: Vec<Vec<Dim>> = ranks.iter().map(|&rank| (0..rank).map(|_| dimension(&mut random)).collect()).collect();
    let model = model(&mut random, &dims).ok()?;
    let cell = GraphCell::new(model.clone(), Options::default()).ok()?;
    let sizes = [1, 0, 2 + random.below(14)];
    let mut runs = Vec::new();
    for (i, size) in sizes.into_iter().enumerate() {
        let inputs: Vec<Tensor> =
            dims.iter().map(|dims| filled(&mut random, dims, size, i == 2)).collect::<Option<_>>()?;
        if let Ok(outputs) = cell.run(&inputs) {
            runs.push((inputs, outputs));
        }
    }
    (!runs.is_empty()).then_some(Sample { model, runs })
}

fn dimension(random: &mut Random) -> Dim {
    if random.below(3) == 0 { Dim::Known(random.pick(&[1, 2, 3, 4])) } else { Dim::Unknown }
}

fn filled(random: &mut Random, dims: &[Dim], size: usize, varied: bool) -> Option<Tensor> {
    let mut length = |d: &Dim| match d {
        Dim::Known(n) => *n,
        _ if varied => size + random.below(3),
        _ => size,
    };
    let shape: Vec<usize> = dims.iter().map(&mut length).collect();
    let values = (0..shape.iter().product()).map(|_| random.below(17) as f32 / 8.0 - 1.0).collect();
    Tensor::from_vec(&shape, values).ok()
}

fn model(random: &mut Random, dims: &[Vec<Dim>]) -> Result<Model, OpError> {
    let mut b = Builder::new("shapes");
    let mut tensors = Vec::new();
    for (i, dims) in dims.iter().enumerate() {
        let spec = Spec { dtype: Some(DType::F32), dims: Some(dims.iter().cloned().collect()) };
        tensors.push((b.input(&format!("x{i}"), spec), dims.len()));
    }
    let mut maker = Maker { b: &mut b, random, tensors, numbers: Vec::new() };
    for _ in 0..4 + maker.random.below(8) {
        maker.step()?;
    }
    let mut outputs: Vec<ValueId> = maker.tensors.iter().rev().take(2).map(|t| t.0).collect();
    outputs.extend(maker.numbers.last());
    Ok(b.finish(&outputs))
}

fn integers(values: &[i64]) -> Arg {
    Arg::from(values)
}

fn list(items: Vec<Arg>) -> Arg {
    Arg::List(items)
}

impl Maker<'_> {
    fn op(&mut self, name: &str, args: Vec<Arg>) -> Result<ValueId, OpError> {
        self.b.op(name, args)
    }

    fn tensor(&mut self) -> Ranked {
        // Late values, so that models are deep.
        let n = self.tensors.len();
        self.tensors[n - 1 - self.random.below(n.min(3))]
    }

    /// A tensor with at least one dimension, and one of its dimensions.
    fn dimension(&mut self) -> Result<(Ranked, usize), OpError> {
        let (x, rank) = self.tensor();
        if rank > 0 {
            return Ok(((x, rank), self.random.below(rank)));
        }
        let x = self.op("ExpandDims", vec![x.into(), 0i64.into()])?;
        Ok(((x, 1), 0))
    }

    /// The length of dimension `d` of `x`.
    fn length(&mut self, x: ValueId, d: usize) -> Result<ValueId, OpError> {
        let shape = self.op("Shape", vec![x.into()])?;
        self.op("TupleGetItem", vec![shape.into(), (d as i64).into()])
    }

    /// A number that follows from shapes.
    fn number(&mut self) -> Result<ValueId, OpError> {
        if let Some(&last) = self.numbers.last()
            && self.random.below(2) == 0
        {
            return Ok(last);
        }
        let ((x, _), d) = self.dimension()?;
        self.length(x, d)
    }

    /// A number from 0 to 6.
    fn small(&mut self) -> Result<ValueId, OpError> {
        let n = self.number()?;
        let n = self.op("ScalarMin", vec![n.into(), 6i64.into()])?;
        self.op("ScalarMax", vec![n.into(), 0i64.into()])
    }

    /// An operand for arithmetic: another number or a constant.
    fn other(&mut self) -> Result<Arg, OpError> {
        Ok(if self.random.below(3) == 0 {
            self.number()?.into()
        } else {
            (self.random.pick(&[1i64, 2, 3, 5, 10])).into()
        })
    }

    fn step(&mut self) -> Result<(), OpError> {
        let made = match self.random.below(20) {
            0 | 1 => return self.arithmetic(),
            2 => self.element_wise()?,
            3 => self.last_ones()?,
            4 => self.between()?,
            5 => self.joined()?,
            6 => self.flattened()?,
            7 => self.turned()?,
            8 => self.summed()?,
            9 => self.filled()?,
            10 => self.repeated()?,
            11 => self.tiled()?,
            12 => self.counted()?,
            13 => self.concatenated()?,
            14 | 15 => self.chosen()?,
            16 => self.scaled()?,
            17 => self.inserted()?,
            18 => self.normalised()?,
            _ => self.multiplied()?,
        };
        self.tensors.push(made);
        Ok(())
    }

    fn arithmetic(&mut self) -> Result<(), OpError> {
        let (a, b) = (self.number()?, self.other()?);
        let name =
            self.random.pick(&["ScalarAdd", "ScalarSub", "ScalarMul", "ScalarMax", "ScalarMin", "ScalarFloorDiv"]);
        let b = if name == "ScalarFloorDiv" { 2i64.into() } else { b };
        let n = self.op(name, vec![a.into(), b])?;
        self.numbers.push(n);
        Ok(())
    }

    fn element_wise(&mut self) -> Result<Ranked, OpError> {
        let (x, rank) = self.tensor();
        let (name, y) = match self.random.below(3) {
            0 => ("Add", 0.5f32.into()),
            1 => ("Mul", x.into()),
            _ => ("Maximum", 0.0f32.into()),
        };
        Ok((self.op(name, vec![x.into(), y])?, rank))
    }

    /// `x[…, n − k:, …]`, where `n − k` may be below 0.
    fn last_ones(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        let n = self.length(x, d)?;
        let keep = self.random.pick(&[1i64, 3, 10]);
        let mut start = self.op("ScalarSub", vec![n.into(), keep.into()])?;
        if self.random.below(2) == 0 {
            start = self.op("ScalarMax", vec![start.into(), 0i64.into()])?;
        }
        let begin = (0..rank).map(|i| if i == d { start.into() } else { 0i64.into() }).collect();
        let ends = (0..rank).map(|_| i64::MAX.into()).collect();
        let (ones, mask) = (vec![1i64; rank], ((1i64 << rank) - 1) & !(1 << d));
        let args = vec![x.into(), list(begin), list(ends), integers(&ones), mask.into(), ((1i64 << rank) - 1).into()];
        Ok((self.op("StridedSlice", args)?, rank))
    }

    fn between(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        let (start, end) = (self.other()?, self.number()?);
        let args = vec![x.into(), (d as i64).into(), start, end.into(), self.random.pick(&[1i64, 2]).into()];
        Ok((self.op("SliceExt", args)?, rank))
    }

    /// Two dimensions as one, by their product or as what is left.
    fn joined(&mut self) -> Result<Ranked, OpError> {
        let (x, rank) = self.tensor();
        if rank < 2 {
            return self.flattened();
        }
        let d = self.random.below(rank - 1);
        let mut dims = Vec::new();
        for i in 0..rank {
            dims.push(self.length(x, i)?);
        }
        let both = self.op("ScalarMul", vec![dims[d].into(), dims[d + 1].into()])?;
        let mut shape: Vec<Arg> = dims.into_iter().map(Arg::from).collect();
        shape.splice(d..d + 2, [if self.random.below(3) == 0 { (-1i64).into() } else { both.into() }]);
        Ok((self.op("Reshape", vec![x.into(), list(shape)])?, rank - 1))
    }

    fn flattened(&mut self) -> Result<Ranked, OpError> {
        let (x, _) = self.tensor();
        Ok((self.op("Reshape", vec![x.into(), integers(&[-1])])?, 1))
    }

    fn turned(&mut self) -> Result<Ranked, OpError> {
        let (x, rank) = self.tensor();
        let perm: Vec<i64> = (0..rank as i64).rev().collect();
        Ok((self.op("Transpose", vec![x.into(), integers(&perm)])?, rank))
    }

    fn summed(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        let keep = self.random.below(2) == 0;
        let args = vec![x.into(), integers(&[d as i64]), keep.into()];
        Ok((self.op("ReduceSum", args)?, if keep { rank } else { rank - 1 }))
    }

    fn filled(&mut self) -> Result<Ranked, OpError> {
        let (n, m) = (self.small()?, self.small()?);
        let dims = if self.random.below(2) == 0 { vec![n.into(), 2i64.into()] } else { vec![n.into(), m.into()] };
        let dtype = Arg::Const(Const::DType(DType::F32));
        let name = self.random.pick(&["Zeros", "Ones"]);
        Ok((self.op(name, vec![list(dims), dtype])?, 2))
    }

    /// Sums along a dimension, repeated to where they came from.
    fn repeated(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        let sums = self.op("ReduceSum", vec![x.into(), integers(&[d as i64]), true.into()])?;
        let shape = self.op("Shape", vec![x.into()])?;
        Ok((self.op("BroadcastTo", vec![sums.into(), shape.into()])?, rank))
    }

    fn tiled(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        let n = self.small()?;
        let times = (0..rank).map(|i| if i == d { n.into() } else { 1i64.into() }).collect();
        Ok((self.op("Tile", vec![x.into(), list(times)])?, rank))
    }

    fn counted(&mut self) -> Result<Ranked, OpError> {
        let n = self.small()?;
        let numbers = self.op("Range", vec![0i64.into(), n.into(), 1i64.into()])?;
        Ok((self.op("Cast", vec![numbers.into(), Arg::Const(Const::DType(DType::F32))])?, 1))
    }

    fn concatenated(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        let y = self.op("Neg", vec![x.into()])?;
        Ok((self.op("Concat", vec![list(vec![x.into(), y.into()]), (d as i64).into()])?, rank))
    }

    /// One of two branches, whose results have other lengths.
    fn chosen(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        let (n, limit) = (self.number()?, self.random.pick(&[0i64, 1, 4, 9]));
        let name = self.random.pick(&["ScalarGt", "ScalarEq", "ScalarLe"]);
        let test = self.op(name, vec![n.into(), limit.into()])?;
        let [longer, other] = ["longer", "other"].map(|name| self.b.declare(name));
        let open = Spec { dtype: Some(DType::F32), dims: Some((0..rank).map(|_| Dim::Unknown).collect()) };
        self.b.define(longer, |b| {
            let x = b.input("x", open.clone());
            Ok(vec![b.op("Concat", [list(vec![x.into(), x.into()]), (d as i64).into()])?])
        })?;
        self.b.define(other, |b| {
            let x = b.input("x", open.clone());
            Ok(vec![b.op("Neg", [x.into()])?])
        })?;
        let [longer, other] = [longer, other].map(|graph| Closure { graph, args: vec![x.into()] });
        Ok((self.b.choose(test, longer, other, 1)[0], rank))
    }

    /// A number as an element.
    fn scaled(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), n) = (self.tensor(), self.number()?);
        let n = self.op("Cast", vec![n.into(), Arg::Const(Const::DType(DType::F32))])?;
        Ok((self.op("Mul", vec![x.into(), n.into()])?, rank))
    }

    fn inserted(&mut self) -> Result<Ranked, OpError> {
        let (x, rank) = self.tensor();
        if rank > 3 {
            return self.flattened();
        }
        let at = self.random.below(rank + 1) as i64;
        Ok((self.op("ExpandDims", vec![x.into(), at.into()])?, rank + 1))
    }

    fn normalised(&mut self) -> Result<Ranked, OpError> {
        let ((x, rank), d) = self.dimension()?;
        Ok((self.op("Softmax", vec![x.into(), integers(&[d as i64])])?, rank))
    }

    /// The product with its own transpose.
    fn multiplied(&mut self) -> Result<Ranked, OpError> {
        let (x, rank) = self.tensor();
        if rank != 2 {
            return self.turned();
        }
        let args = vec![x.into(), x.into(), false.into(), true.into()];
        Ok((self.op("MatMul", args)?, 2))
    }
}
