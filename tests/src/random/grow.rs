//! Random networks for the builder.

use mindir_graph::op::{CaseArg, Const, Effect, OpDef, ParamKind};
use mindir_graph::ops::OPS;
use mindir_graph::{DType, Tensor, count};

use super::Random;
use super::network::{Kind, Network, Operand, Origin, Step, reference};

/// Most elements of a value.
const MOST: usize = 2048;
/// Float and integer types that values have.
const TYPES: [DType; 8] =
    [DType::F32, DType::F32, DType::F32, DType::F16, DType::BF16, DType::I32, DType::I64, DType::U8];

/// What an operator asks of the numbers it gets, and what it makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// Whole numbers stay whole; others are rounded.
    Whole,
    /// Moves numbers and leaves them as they are.
    View,
    /// Results are rounded; errors stay small.
    Smooth,
    /// Jumps, so that a rounding error becomes a difference: takes exact numbers only.
    Jumps,
}

/// A random network.
pub fn network(seed: u64) -> Network {
    let mut random = Random::new(seed);
    let special = random.one_in(4);
    let mut grower = Grower { random: &mut random, net: Network::default(), special, inner: false };
    for _ in 0..grower.random.between(1, 3) {
        let dtype = grower.random.pick(&TYPES);
        let dims = grower.dims();
        grower.source(dtype, &dims, Origin::Input);
    }
    for _ in 0..grower.random.between(2, 14) {
        grower.step();
    }
    grower.net.open = grower.random.one_in(3);
    grower.finish()
}

struct Grower<'r> {
    random: &'r mut Random,
    net: Network,
    /// Whether inputs hold NaN, infinities and −0.
    special: bool,
    /// Whether this is the body of a branch or loop.
    inner: bool,
}

fn ints(values: impl IntoIterator<Item = i64>) -> Option<Operand> {
    Some(Operand::Const(Const::Tuple(values.into_iter().map(Const::Int).collect())))
}

fn int(value: i64) -> Option<Operand> {
    Some(Operand::Const(Const::Int(value)))
}

fn flag(value: bool) -> Option<Operand> {
    Some(Operand::Const(Const::Bool(value)))
}

fn value(v: usize) -> Option<Operand> {
    Some(Operand::Value(v))
}

/// Whole numbers up to this have room for sums of some of them.
fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1024.0,
        DType::BF16 => 128.0,
        _ => 1e6,
    }
}

impl Grower<'_> {
    fn dims(&mut self) -> Vec<usize> {
        let rank = self.random.pick(&[1, 2, 2, 3, 3, 4, 4, 5]);
        let mut dims: Vec<usize> = (0..rank).map(|_| self.random.pick(&[1, 1, 2, 3, 4, 5, 7, 8])).collect();
        while count(&dims) > 512 {
            let at = self.random.below(dims.len());
            dims[at] = 1;
        }
        dims
    }

    /// A new tensor of small whole numbers.
    fn source(&mut self, dtype: DType, dims: &[usize], origin: Origin) -> usize {
        let n = count(dims);
        let signed = !matches!(dtype, DType::U8 | DType::U16 | DType::U32 | DType::U64 | DType::Bool);
        let tensor = if dtype.is_float() {
            let special = self.special && origin == Origin::Input && self.random.one_in(2);
            let mut number = || {
                if special && self.random.one_in(20) {
                    return self.random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]);
                }
                self.random.below(7) as f64 - 3.0
            };
            Tensor::from_f64s(dtype, dims, &(0..n).map(|_| number()).collect::<Vec<_>>())
        } else {
            let mut number = || self.random.below(5) as i64 - if signed { 2 } else { 0 };
            let data: Vec<i64> = (0..n).map(|_| number()).collect();
            Tensor::from_i64s(dtype, dims, &data)
        };
        let tensor = tensor.unwrap_or_else(|_| Tensor::scalar(0f32));
        self.net.add(tensor, origin, true)
    }

    /// A constant, parameter or input: where a second operand comes from if it is not computed.
    fn operand(&mut self, dtype: DType, dims: &[usize]) -> usize {
        let origins = [Origin::Constant, Origin::Constant, Origin::Parameter, Origin::Input];
        let origin = if self.inner { Origin::Constant } else { self.random.pick(&origins) };
        self.source(dtype, dims, origin)
    }

    fn dtype(&self, v: usize) -> DType {
        self.net.tensor(v).dtype()
    }

    fn shape(&self, v: usize) -> Vec<usize> {
        self.net.tensor(v).shape().to_vec()
    }

    /// A value, mostly a late one.
    fn any(&mut self) -> usize {
        let n = self.net.values.len();
        if self.random.one_in(3) { self.random.below(n) } else { n - 1 - self.random.below(n.min(4)) }
    }

    fn any_of(&mut self, accept: impl Fn(&Tensor) -> bool) -> Option<usize> {
        let found = (0..self.net.values.len()).filter(|v| accept(self.net.tensor(*v))).collect::<Vec<_>>();
        let late = found.len().saturating_sub(if self.random.one_in(3) { found.len() } else { 4 });
        (!found.is_empty()).then(|| found[late + self.random.below(found.len() - late)])
    }

    fn float(&mut self) -> Option<usize> {
        self.any_of(|t| t.dtype().is_float())
    }

    /// A value of this type and shape: one that there is, one that is cut out of another one, or a new one.
    fn fit(&mut self, dtype: DType, dims: &[usize]) -> usize {
        if !self.random.one_in(4) {
            if let Some(v) = self.any_of(|t| t.dtype() == dtype && t.shape() == dims) {
                return v;
            }
            let n = count(dims);
            if n > 0
                && let Some(v) = self.any_of(|t| t.dtype() == dtype && t.count() >= n)
                && let Some(v) = self.cut(v, dims)
            {
                return v;
            }
        }
        self.operand(dtype, dims)
    }

    /// The first elements of a value, in these dimensions.
    fn cut(&mut self, mut v: usize, dims: &[usize]) -> Option<usize> {
        let n = count(dims) as i64;
        if self.net.tensor(v).count() as i64 != n {
            v = self.op("Reshape", vec![value(v), ints([-1])], Nature::View)?;
            v = self.op("Slice", vec![value(v), ints([0]), ints([n])], Nature::View)?;
        }
        self.op("Reshape", vec![value(v), ints(dims.iter().map(|d| *d as i64))], Nature::View)
    }

    /// Adds an operator with one result, or several of which the first is given; `None` if it does not take the arguments or
    /// its results are of no use.
    fn op(&mut self, name: &'static str, args: Vec<Option<Operand>>, nature: Nature) -> Option<usize> {
        let contents: Vec<Option<CaseArg>> =
            args.iter().map(|a| a.as_ref().map(|a| a.contents(|v| self.net.tensor(v).clone()))).collect();
        let results = reference(name, &contents).ok()?;
        self.add(Kind::Op(name), args, results, nature)
    }

    fn add(&mut self, kind: Kind, args: Vec<Option<Operand>>, results: Vec<Tensor>, nature: Nature) -> Option<usize> {
        let mut read = Vec::new();
        args.iter().flatten().for_each(|a| a.each(|v| read.push(v)));
        let exact = read.iter().all(|v| self.net.values[*v].exact);
        if results.is_empty() || nature == Nature::Jumps && !exact {
            return None;
        }
        let sums = read.iter().map(|v| magnitude(self.net.tensor(*v)).0.max(1.0)).product::<f64>();
        let longest = read.iter().map(|v| self.net.tensor(*v).count()).max().unwrap_or(1);
        let room = |t: &Tensor| nature != Nature::Whole || sums * longest as f64 <= limit(t.dtype()) * 16.0;
        let mut kept = Vec::new();
        for t in results {
            let (most, whole) = magnitude(&t);
            let exact = exact && nature != Nature::Smooth && whole && most <= limit(t.dtype()) && room(&t);
            let finite = self.special || !has_special(&t);
            // What is left of numbers that cancel out is error.
            let cancelled = !exact && t.dtype().is_float() && nature != Nature::View && most < 0.05;
            if t.count() > MOST || !finite || most > 1e4 || cancelled || !supported(t.dtype()) {
                return None;
            }
            let rounded = !exact && !t.dtype().is_float();
            if rounded && nature != Nature::View && !(whole && t.dtype().is_int()) {
                return None;
            }
            kept.push((t, exact));
        }
        let results: Vec<usize> = kept.into_iter().map(|(t, exact)| self.net.add(t, Origin::Step, exact)).collect();
        let first = results[0];
        self.net.steps.push(Step { kind, args, results });
        Some(first)
    }

    fn step(&mut self) {
        // An attempt may fail; another one follows.
        for _ in 0..4 {
            let done = match self.random.below(24) {
                0..=4 => self.view(),
                5..=7 => self.binary(),
                8 => self.unary(),
                9 => self.smooth(),
                10 | 11 => self.convolution(),
                12 | 13 => self.product(),
                14 => self.reduction(),
                15 => self.choice(),
                16 if !self.inner => self.branch(),
                17 if !self.inner => self.repetition(),
                _ => self.template(),
            };
            if done.is_some() {
                return;
            }
        }
    }

    fn view(&mut self) -> Option<usize> {
        let v = self.any();
        let dims = self.shape(v);
        let rank = dims.len();
        let axis = self.random.below(rank) as i64;
        let signed = axis - if self.random.one_in(2) { rank as i64 } else { 0 };
        let args = |rest: Vec<Option<Operand>>| [value(v)].into_iter().chain(rest).collect::<Vec<_>>();
        let (name, rest) = match self.random.below(14) {
            0 | 1 => ("Reshape", vec![ints(self.regrouped(&dims))]),
            2 | 3 => ("Transpose", vec![ints(self.permutation(rank))]),
            4 | 5 => return self.strided(v),
            6 => ("ExpandDims", vec![int(self.random.below(rank + 1) as i64)]),
            7 => ("Squeeze", vec![ints((0..rank).filter(|d| dims[*d] == 1).map(|d| d as i64))]),
            8 => {
                let mut wide: Vec<i64> = Vec::new();
                if self.random.one_in(3) {
                    wide.push(self.random.between(1, 3) as i64);
                }
                for d in &dims {
                    wide.push(if *d == 1 { self.random.between(1, 4) as i64 } else { *d as i64 });
                }
                ("BroadcastTo", vec![ints(wide)])
            }
            9 => ("Tile", vec![ints((0..rank).map(|_| self.random.between(1, 2) as i64).collect::<Vec<_>>())]),
            10 => {
                let pads: Vec<i64> = (0..2 * rank).map(|_| self.random.pick(&[0, 0, 1, 2, -1])).collect();
                ("ConstantPadND", vec![ints(pads), Some(Operand::Const(Const::Float(self.random.below(3) as f32)))])
            }
            11 => ("ReverseV2", vec![ints([signed])]),
            12 => return self.joined(v, axis as usize),
            _ => {
                let n = dims.get(axis as usize).copied().unwrap_or(1);
                let parts = (2..=n).find(|p| n % p == 0)? as i64;
                ("Split", vec![int(signed), int(parts)])
            }
        };
        self.op(name, args(rest), Nature::View)
    }

    /// Dimensions of as many elements.
    fn regrouped(&mut self, dims: &[usize]) -> Vec<i64> {
        let mut out: Vec<i64> = Vec::new();
        for d in dims {
            match self.random.below(4) {
                0 if !out.is_empty() => *out.last_mut().unwrap_or(&mut 1) *= *d as i64,
                1 if *d > 1 && d % 2 == 0 => out.extend([2, *d as i64 / 2]),
                2 => out.extend([1, *d as i64]),
                _ => out.push(*d as i64),
            }
        }
        if self.random.one_in(3) && !out.is_empty() && !out.contains(&0) {
            let at = self.random.below(out.len());
            out[at] = -1;
        }
        out
    }

    fn permutation(&mut self, rank: usize) -> Vec<i64> {
        let mut order: Vec<i64> = (0..rank as i64).collect();
        for i in 1..rank {
            order.swap(i, self.random.below(i + 1));
        }
        order
    }

    fn strided(&mut self, v: usize) -> Option<usize> {
        let dims = self.shape(v);
        let (mut begin, mut end, mut step) = (Vec::new(), Vec::new(), Vec::new());
        for d in &dims {
            let d = *d as i64;
            let s = self.random.pick(&[1, 1, 1, 2, 3, -1, -2]);
            let (a, b) = (self.random.below(d.max(1) as usize) as i64, self.random.between(0, d as usize) as i64);
            let whole = self.random.one_in(2);
            let (from, to) = if s > 0 {
                if whole { (0, d) } else { (a.min(b), a.max(b)) }
            } else if whole {
                (-1, -d - 1)
            } else {
                (a.max(b).min(d - 1), a.min(b) - 1)
            };
            begin.push(from);
            end.push(if to == -1 && s < 0 { -d - 1 } else { to });
            step.push(s);
        }
        let mask = |r: &mut Random| if r.one_in(4) { r.below(1 << dims.len()) as i64 } else { 0 };
        let (begins, ends) = (mask(self.random), mask(self.random));
        let shrink = if self.random.one_in(5) { 1 << self.random.below(dims.len().max(1)) } else { 0 };
        let args =
            vec![value(v), ints(begin), ints(end), ints(step), int(begins), int(ends), int(0), int(0), int(shrink)];
        let at = self.op("StridedSlice", args, Nature::View)?;
        Some(at)
    }

    fn joined(&mut self, v: usize, axis: usize) -> Option<usize> {
        let dims = self.shape(v);
        let dtype = self.dtype(v);
        let own = *dims.get(axis)?;
        let mut all = vec![v];
        for _ in 0..self.random.between(1, 2) {
            let mut other = dims.clone();
            other[axis] = self.random.pick(&[own, 1, 2]);
            all.push(if self.random.one_in(4) { v } else { self.fit(dtype, &other) });
        }
        let at = self.random.below(all.len());
        all.swap(0, at);
        let same = all.iter().all(|o| self.shape(*o) == dims);
        let name = if same && self.random.one_in(3) { "Stack" } else { "Concat" };
        self.op(name, vec![Some(Operand::List(all)), int(axis as i64)], Nature::View)
    }

    /// A partner that broadcasts to `v`.
    fn partner(&mut self, v: usize) -> usize {
        if self.random.one_in(6) {
            return v;
        }
        let mut dims = self.shape(v);
        match self.random.below(5) {
            0 => dims.iter_mut().for_each(|d| *d = if self.random.one_in(2) { 1 } else { *d }),
            1 => drop(dims.drain(..self.random.below(dims.len() + 1))),
            2 if dims.len() > 1 => {
                // One for each channel.
                let c = dims[1];
                dims = vec![1; dims.len()];
                dims[1] = c;
            }
            _ => {}
        }
        self.fit(self.dtype(v), &dims)
    }

    fn binary(&mut self) -> Option<usize> {
        let v = self.any();
        let w = self.partner(v);
        let name = self.random.pick(&["Add", "Add", "Sub", "Mul", "Mul", "Maximum", "Minimum"]);
        let both = if self.random.one_in(2) { [v, w] } else { [w, v] };
        let rounded = both.iter().filter(|v| !self.net.values[**v].exact).count();
        if name == "Sub" && rounded > 0 || rounded > 1 && name != "Mul" {
            return None;
        }
        self.op(name, both.map(value).to_vec(), Nature::Whole)
    }

    fn unary(&mut self) -> Option<usize> {
        let v = self.any();
        let (name, nature) = self.random.pick(&[
            ("ReLU", Nature::Whole),
            ("ReLU", Nature::Whole),
            ("ReLU6", Nature::Whole),
            ("Neg", Nature::Whole),
            ("Abs", Nature::Whole),
            ("Square", Nature::Whole),
            ("Sign", Nature::Jumps),
            ("Floor", Nature::Jumps),
            ("Identity", Nature::View),
        ]);
        self.op(name, vec![value(v)], nature)
    }

    fn smooth(&mut self) -> Option<usize> {
        let v = self.float()?;
        match self.random.below(8) {
            0 => self.op("Softmax", vec![value(v), ints([-1])], Nature::Smooth),
            1 => {
                let dims = self.shape(v);
                let last = [*dims.last()?];
                let (gamma, beta) = (self.fit(self.dtype(v), &last), self.fit(self.dtype(v), &last));
                if self.net.tensor(v).count() > last[0] && last[0] < 3 {
                    return None;
                }
                let args = vec![value(v), ints([last[0] as i64]), value(gamma), value(beta)];
                self.op("LayerNormExt", args, Nature::Smooth)
            }
            _ => {
                let name = self.random.pick(&["Sigmoid", "Tanh", "GeLU", "SiLU", "HSwish", "HSigmoid", "Exp", "Erf"]);
                if name == "Exp" && magnitude(self.net.tensor(v)).0 > 5.0 {
                    return None;
                }
                self.op(name, vec![value(v)], Nature::Smooth)
            }
        }
    }

    fn convolution(&mut self) -> Option<usize> {
        let dtype = self.random.pick(&[DType::F32, DType::F32, DType::F32, DType::F16]);
        let spatial = self.random.pick(&[1, 2, 2, 2, 3]);
        let groups = self.random.pick(&[1, 1, 1, 2, 4]);
        let (cin, cout) = (self.random.between(1, 3) * groups, self.random.between(1, 4) * groups);
        let mut dims = vec![self.random.between(1, 2), cin];
        dims.extend((0..spatial).map(|_| self.random.between(1, 6)));
        let x =
            match self.any_of(|t| t.dtype() == dtype && t.shape().len() == spatial + 2 && t.shape()[1] % groups == 0) {
                Some(v) if !self.random.one_in(4) => v,
                _ => self.fit(dtype, &dims),
            };
        let cin = self.shape(x)[1];
        let mut filters = vec![cout, cin / groups];
        filters.extend((0..spatial).map(|_| self.random.pick(&[1, 1, 2, 3])));
        let w = if self.random.one_in(3) { self.fit(dtype, &filters) } else { self.operand(dtype, &filters) };
        let bias = self.random.one_in(2).then(|| self.fit(dtype, &[cout]));
        let name = ["Conv1DExt", "Conv2DExt", "Conv3DExt"][spatial - 1];
        let each = |r: &mut Random, of: &[i64]| ints((0..spatial).map(|_| r.pick(of)).collect::<Vec<_>>());
        let (stride, pad) = (each(self.random, &[1, 1, 2]), each(self.random, &[0, 1, 1]));
        let dilation = each(self.random, &[1, 1, 1, 2]);
        let args = vec![value(x), value(w), bias.map(Operand::Value), stride, pad, dilation, int(groups as i64)];
        let mut v = self.op(name, args, Nature::Whole)?;
        if self.random.one_in(3) {
            v = self.normalized(v).unwrap_or(v);
        }
        if self.random.one_in(3) {
            v = self.op("ReLU", vec![value(v)], Nature::Whole).unwrap_or(v);
        }
        Some(v)
    }

    /// Batch normalisation at inference.
    fn normalized(&mut self, v: usize) -> Option<usize> {
        let c = [*self.shape(v).get(1)?];
        let dtype = self.dtype(v);
        let scale = self.source(dtype, &c, Origin::Parameter);
        let [shift, mean] = [(); 2].map(|()| self.source(dtype, &c, Origin::Parameter));
        let variance = Tensor::from_f64s(dtype, &c, &vec![2.0; c[0]]).ok()?;
        let variance = self.net.add(variance, Origin::Parameter, true);
        let args = [v, scale, shift, mean, variance].map(value).to_vec();
        let at = self.op("BatchNorm", args, Nature::Smooth)?;
        Some(at)
    }

    fn product(&mut self) -> Option<usize> {
        let dtype = self.random.pick(&[DType::F32, DType::F32, DType::F32, DType::F16, DType::I32]);
        let [m, k, n] = [(); 3].map(|()| self.random.pick(&[1, 1, 2, 3, 5, 8]));
        let (ta, tb) = (self.random.one_in(3), self.random.one_in(2));
        let batch: Vec<usize> = (0..self.random.pick(&[0, 0, 1, 2])).map(|_| self.random.between(1, 3)).collect();
        let with = |tail: [usize; 2], swap: bool| {
            let tail = if swap { [tail[1], tail[0]] } else { tail };
            batch.iter().copied().chain(tail).collect::<Vec<_>>()
        };
        let a = match self.any_of(|t| t.dtype() == dtype && t.shape().len() == batch.len() + 2) {
            Some(v) if self.random.one_in(2) && batch.is_empty() => v,
            _ => self.fit(dtype, &with([m, k], ta)),
        };
        let dims = self.shape(a);
        let k = if ta { dims[batch.len()] } else { dims[batch.len() + 1] };
        let b = if self.random.one_in(2) {
            self.fit(dtype, &with([k, n], tb))
        } else {
            self.operand(dtype, &with([k, n], tb))
        };
        let mut v = match batch.len() {
            0 if dtype != DType::I32 && self.random.one_in(3) => {
                self.op("MatMulExt", vec![value(a), value(b)], Nature::Whole)?
            }
            0 => self.op("MatMul", vec![value(a), value(b), flag(ta), flag(tb)], Nature::Whole)?,
            _ => self.op("BatchMatMul", vec![value(a), value(b), flag(ta), flag(tb)], Nature::Whole)?,
        };
        if self.random.one_in(2) {
            let bias = self.fit(dtype, &[*self.shape(v).last()?]);
            if self.net.values[bias].exact {
                v = self.op("Add", vec![value(v), value(bias)], Nature::Whole).unwrap_or(v);
            }
        }
        Some(v)
    }

    fn reduction(&mut self) -> Option<usize> {
        let v = self.any();
        let rank = self.shape(v).len();
        let axes: Vec<i64> = (0..rank as i64).filter(|_| self.random.one_in(2)).collect();
        let keep = flag(self.random.one_in(2));
        let (name, nature) = self.random.pick(&[
            ("ReduceSum", Nature::Whole),
            ("ReduceMax", Nature::Whole),
            ("ReduceMin", Nature::Whole),
            ("ReduceMean", Nature::Smooth),
        ]);
        if axes.is_empty() || nature == Nature::Smooth && !self.dtype(v).is_float() {
            return None;
        }
        self.op(name, vec![value(v), ints(axes), keep], nature)
    }

    /// Comparisons, casts, choices by a mask.
    fn choice(&mut self) -> Option<usize> {
        let v = self.any();
        match self.random.below(3) {
            0 => {
                let dtype = self.random.pick(&TYPES);
                self.op("Cast", vec![value(v), Some(Operand::Const(Const::DType(dtype)))], Nature::Jumps)
            }
            1 => {
                let w = self.partner(v);
                let name = self.random.pick(&["Less", "GreaterEqual", "Equal", "NotEqual"]);
                self.op(name, vec![value(v), value(w)], Nature::Jumps)
            }
            _ => {
                let mask = self.any_of(|t| t.dtype() == DType::Bool)?;
                let dims = self.shape(mask);
                let dtype = self.random.pick(&[DType::F32, DType::I32]);
                let (a, b) = (self.fit(dtype, &dims), self.fit(dtype, &dims));
                self.op("Select", vec![value(mask), value(a), value(b)], Nature::View)
            }
        }
    }

    /// A case of an operator's own tests, with values of the network in place of its tensors where they fit.
    fn template(&mut self) -> Option<usize> {
        let def = &OPS[self.random.below(OPS.len())];
        let cases = (def.cases)();
        if cases.is_empty() || !def.is_told() {
            return None;
        }
        let case = &cases[self.random.below(cases.len())];
        let small = |a: &CaseArg| match a {
            CaseArg::Tensor(t) => t.count() <= 512,
            CaseArg::Tensors(all) => all.iter().all(|t| t.count() <= 512),
            CaseArg::Const(_) => true,
        };
        // One takes a tuple of numbers, not a tensor. The other is 0 at whole numbers, which a rounded π misses.
        if ["TupleGetItem", "Sinc"].contains(&def.name) {
            return None;
        }
        // Rounding decides which of two levels is the nearer one.
        if ["DynamicQuant", "FakeQuant", "Quant"].iter().any(|begin| def.name.starts_with(begin)) {
            return None;
        }
        let foreign = ["out of range", "offset", "ties"].iter().any(|name| case.name.contains(name));
        if foreign || !case.args.iter().flatten().all(small) {
            return None;
        }
        let nature = if case.exact { Nature::Jumps } else { Nature::Smooth };
        let mut args = Vec::new();
        for (i, arg) in case.args.iter().enumerate() {
            let constant = def.params.get(i).is_some_and(|p| p.kind == ParamKind::Value);
            args.push(match arg {
                None => None,
                Some(CaseArg::Const(c)) => Some(Operand::Const(c.clone())),
                Some(CaseArg::Tensor(t)) if constant => Some(Operand::Const(Const::Tensor(t.clone()))),
                Some(CaseArg::Tensor(t)) => value(self.like(t)),
                Some(CaseArg::Tensors(all)) => Some(Operand::List(all.iter().map(|t| self.like(t)).collect())),
            });
        }
        let mut read = Vec::new();
        args.iter().flatten().for_each(|a| a.each(|v| read.push(v)));
        if nature == Nature::Smooth && read.iter().any(|v| !self.net.values[*v].exact) {
            return None;
        }
        // MindSpore has an order of equal elements of its own here, which ONNX cannot express.
        if def.name == "TopK" && read.iter().any(|v| has_equals(self.net.tensor(*v))) {
            return None;
        }
        self.op(def.name, args, nature)
    }

    /// A value for a tensor of a case: of its type and shape, or the tensor itself.
    fn like(&mut self, t: &Tensor) -> usize {
        if t.dtype().is_float() && !self.random.one_in(3) {
            let v = self.fit(t.dtype(), t.shape());
            if self.net.values[v].exact {
                return v;
            }
        }
        let origins = [Origin::Constant, Origin::Parameter, Origin::Input];
        let origin = if self.inner { Origin::Constant } else { self.random.pick(&origins) };
        self.net.add(t.clone(), origin, true)
    }

    /// A network that takes values like these and gives values like them.
    fn body(&mut self, args: &[usize]) -> Network {
        let mut net = Network::default();
        for v in args {
            let value = &self.net.values[*v];
            net.add(value.tensor.clone(), Origin::Input, value.exact);
        }
        let mut inner = Grower { random: self.random, net, special: self.special, inner: true };
        for _ in 0..inner.random.between(1, 4) {
            inner.step();
        }
        for at in 0..args.len() {
            let (dtype, dims) = (inner.dtype(at), inner.shape(at));
            let same: Vec<usize> = (args.len()..inner.net.values.len())
                .filter(|v| inner.dtype(*v) == dtype && inner.shape(*v) == dims)
                .collect();
            let same = same.into_iter().rev().find(|_| !inner.random.one_in(3)).unwrap_or(at);
            let held = if dtype.is_float() {
                let [low, high] = [-20.0, 20.0].map(|x| Tensor::from_f64s(dtype, &[], &[x]));
                let bounds = [low, high].map(|t| t.unwrap_or_else(|_| Tensor::scalar(0f32)));
                let [low, high] = bounds.map(|t| inner.net.add(t, Origin::Constant, true));
                let v = inner.op("Maximum", vec![value(same), value(low)], Nature::Whole);
                v.and_then(|v| inner.op("Minimum", vec![value(v), value(high)], Nature::Whole)).unwrap_or(at)
            } else {
                same
            };
            inner.net.outputs.push(held);
        }
        inner.net.pruned_body(args.len())
    }

    fn arguments(&mut self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.random.between(1, 3)).map(|_| self.any()).collect();
        all.retain(|v| self.dtype(*v) != DType::Bool && self.net.values[*v].exact);
        all
    }

    fn branch(&mut self) -> Option<usize> {
        let args = self.arguments();
        let condition = match self.any_of(|t| t.dtype() == DType::Bool && t.count() == 1) {
            Some(v) if self.random.one_in(2) => self.op("Reshape", vec![value(v), ints([])], Nature::View)?,
            _ => {
                let v = self.any_of(|t| t.dtype() == DType::F32)?;
                let rank = self.shape(v).len() as i64;
                let sum = self.op("ReduceMax", vec![value(v), ints(0..rank)], Nature::Whole)?;
                let zero = self.net.add(Tensor::scalar(1f32), Origin::Constant, true);
                self.op("Less", vec![value(sum), value(zero)], Nature::Jumps)?
            }
        };
        if args.is_empty() {
            return None;
        }
        let branches = [self.body(&args), self.body(&args)];
        let operands = [condition].iter().chain(&args).map(|v| value(*v)).collect();
        self.flow(Kind::If(Box::new(branches)), operands)
    }

    fn repetition(&mut self) -> Option<usize> {
        let args = self.arguments();
        if args.is_empty() {
            return None;
        }
        let body = self.body(&args);
        let trips = self.random.below(4);
        self.flow(Kind::Loop(Box::new(body), trips), args.iter().map(|v| value(*v)).collect())
    }

    fn flow(&mut self, kind: Kind, args: Vec<Option<Operand>>) -> Option<usize> {
        let step = Step { kind, args, results: Vec::new() };
        let results = step.compute(|v| self.net.tensor(v).clone()).ok()?;
        if results.iter().any(|t| !magnitude(t).1 && t.dtype().is_float() && has_special(t)) {
            return None;
        }
        // What happened inside may have been rounded.
        self.add(step.kind, step.args, results, Nature::Smooth)
    }

    fn finish(mut self) -> Network {
        let n = self.net.values.len();
        let mut outputs = vec![n - 1];
        for _ in 0..self.random.below(3) {
            outputs.push(self.random.below(n));
        }
        let computed = |v: &usize| self.net.values[*v].origin == Origin::Step;
        if let Some(last) = (0..n).rev().find(computed) {
            outputs[0] = last;
        }
        self.net.outputs = outputs;
        self.net.pruned()
    }
}

/// Whether a case of an operator may stand anywhere: it writes nothing and prints nothing.
trait Told {
    fn is_told(&self) -> bool;
}

impl Told for OpDef {
    fn is_told(&self) -> bool {
        matches!(self.effect, Effect::Pure) && !["Dropout", "JoinedStr", "TensorToTuple"].contains(&self.name)
    }
}

fn supported(dtype: DType) -> bool {
    !dtype.is_complex()
}

/// The largest finite magnitude, and whether all finite elements are whole.
fn magnitude(t: &Tensor) -> (f64, bool) {
    let data = t.to_f64s().unwrap_or_default();
    let finite = || data.iter().filter(|x| x.is_finite());
    (finite().fold(0.0, |a: f64, x| a.max(x.abs())), finite().all(|x| x.fract() == 0.0))
}

fn has_equals(t: &Tensor) -> bool {
    let mut data = t.to_f64s().unwrap_or_default();
    data.sort_by(f64::total_cmp);
    data.windows(2).any(|pair| pair[0] == pair[1])
}

fn has_special(t: &Tensor) -> bool {
    t.to_f64s().is_ok_and(|data| data.iter().any(|x| !x.is_finite()))
}
