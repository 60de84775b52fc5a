//! Random ONNX models as exporters write them: open dimensions, sizes computed from shapes, conditions and loops.
//!
//! Every dimension is known for several sizes of the inputs at once. One that differs between them never stands in the model
//! as a number: where an operator wants it, it is computed from the shape of a value.

use mindir_graph::{DType, Tensor, count};
use mindir_proto::onnx::*;
use mindir_proto::prost::Message;

use super::Random;

/// For how many sizes of its inputs a model is made.
pub const SIZES: usize = 3;

/// Lengths for every size of the inputs.
type Length = [usize; SIZES];

/// A random model.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    nodes: Vec<NodeProto>,
    constants: Vec<(String, Tensor)>,
    inputs: Vec<Value>,
    /// Values that nodes of the outer graph compute.
    computed: Vec<Value>,
    outputs: Vec<usize>,
    /// What the inputs hold, for every size.
    pub contents: Vec<Vec<Tensor>>,
}

/// A value of the outer graph, or of a branch.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    dtype: DType,
    dims: Vec<Length>,
    /// The elements are whole numbers up to this.
    whole: Option<f64>,
}

/// An integer that is computed in the model.
#[derive(Clone, Debug)]
struct Size {
    name: String,
    is: [i64; SIZES],
}

impl Value {
    fn is_float(&self) -> bool {
        self.dtype.is_float()
    }

    fn shape(&self, size: usize) -> Vec<usize> {
        self.dims.iter().map(|d| d[size]).collect()
    }

    fn most(&self) -> usize {
        (0..SIZES).map(|size| count(&self.shape(size))).max().unwrap_or(0)
    }
}

fn fixed(n: usize) -> Length {
    [n; SIZES]
}

fn is_fixed(d: &Length) -> bool {
    d.iter().all(|n| *n == d[0])
}

impl OnnxModel {
    /// The file with open dimensions, or with those of one of the sizes.
    pub fn bytes(&self, size: Option<usize>) -> Vec<u8> {
        let input = |v: &Value| info(v, size);
        let graph = GraphProto {
            node: self.nodes.clone(),
            name: Some("random".into()),
            initializer: self.constants.iter().map(|(name, t)| initializer(name, t)).collect(),
            input: self.inputs.iter().map(input).collect(),
            output: self.outputs.iter().map(|v| info(&self.computed[*v], size)).collect(),
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: Some(8),
            producer_name: Some("pytorch".into()),
            graph: Some(Box::new(graph)),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    /// Number of nodes, those of inner graphs not counted.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it has no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A model with one output and fewer nodes that still `fails`.
    #[must_use]
    pub fn shrunk(&self, mut fails: impl FnMut(&OnnxModel) -> bool) -> OnnxModel {
        let only = |v: usize| OnnxModel { outputs: vec![v], ..self.clone() }.pruned();
        (0..self.computed.len()).map(only).find(|small| fails(small)).unwrap_or_else(|| self.pruned())
    }

    fn pruned(&self) -> OnnxModel {
        let mut needed: Vec<String> = self.outputs.iter().map(|v| self.computed[*v].name.clone()).collect();
        let mut nodes = Vec::new();
        for node in self.nodes.iter().rev() {
            if node.output.iter().any(|o| needed.contains(o)) {
                reads(node, &mut needed);
                nodes.push(node.clone());
            }
        }
        nodes.reverse();
        let kept: Vec<usize> = (0..self.inputs.len()).filter(|i| needed.contains(&self.inputs[*i].name)).collect();
        let pick = |all: &Vec<Tensor>| kept.iter().map(|i| all[*i].clone()).collect();
        OnnxModel {
            nodes,
            constants: self.constants.iter().filter(|(name, _)| needed.contains(name)).cloned().collect(),
            inputs: kept.iter().map(|i| self.inputs[*i].clone()).collect(),
            computed: self.computed.clone(),
            outputs: self.outputs.clone(),
            contents: self.contents.iter().map(pick).collect(),
        }
    }
}

impl std::fmt::Display for OnnxModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for v in &self.inputs {
            writeln!(f, "input {} {} {:?}", v.name, v.dtype, v.dims)?;
        }
        for (name, t) in &self.constants {
            let data = t.to_f64s().unwrap_or_default();
            writeln!(f, "{name} = {} {:?}", t.fact(), &data[..data.len().min(8)])?;
        }
        self.nodes.iter().try_for_each(|n| show(n, 0, f))?;
        self.outputs.iter().try_for_each(|v| {
            let v = &self.computed[*v];
            writeln!(f, "output {} {} {:?}", v.name, v.dtype, v.dims)
        })
    }
}

fn show(node: &NodeProto, depth: usize, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let op = node.op_type.as_deref().unwrap_or_default();
    let attr = |a: &AttributeProto| {
        let name = a.name.as_deref().unwrap_or_default();
        match (a.i, a.f, &a.s) {
            (Some(i), ..) => format!(" {name}={i}"),
            (_, Some(x), _) => format!(" {name}={x}"),
            (.., Some(s)) => format!(" {name}={}", String::from_utf8_lossy(s)),
            _ if a.g.is_some() => String::new(),
            _ => format!(" {name}={:?}", a.ints),
        }
    };
    let attrs: String = node.attribute.iter().map(attr).collect();
    writeln!(f, "{:depth$}{} = {op}({}){attrs}", "", node.output.join(", "), node.input.join(", "))?;
    for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        graph.node.iter().try_for_each(|n| show(n, depth + 4, f))?;
        let names = graph.output.iter().filter_map(|o| o.name.clone()).collect::<Vec<_>>();
        writeln!(f, "{:1$}give {2}", "", depth + 4, names.join(", "))?;
    }
    Ok(())
}

/// Adds what a node and the graphs in it read.
fn reads(node: &NodeProto, out: &mut Vec<String>) {
    out.extend(node.input.iter().cloned());
    for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        graph.node.iter().for_each(|n| reads(n, out));
        out.extend(graph.output.iter().filter_map(|o| o.name.clone()));
    }
}

fn data_type(dtype: DType) -> i32 {
    mindir_graph::onnx::data_type(dtype)
}

fn info(v: &Value, size: Option<usize>) -> ValueInfoProto {
    let dim = |(i, d): (usize, &Length)| match size {
        Some(size) => DimensionProto { dim_value: Some(d[size] as i64), dim_param: None },
        None if is_fixed(d) => DimensionProto { dim_value: Some(d[0] as i64), dim_param: None },
        None => DimensionProto { dim_value: None, dim_param: Some(format!("{}_{i}", v.name)) },
    };
    let shape = TensorShapeProto { dim: v.dims.iter().enumerate().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: Some(data_type(v.dtype)), shape: Some(shape) };
    ValueInfoProto {
        name: Some(v.name.clone()),
        r#type: Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() }),
    }
}

fn initializer(name: &str, t: &Tensor) -> TensorProto {
    TensorProto {
        dims: t.shape().iter().map(|d| *d as i64).collect(),
        data_type: Some(data_type(t.dtype())),
        name: Some(name.into()),
        raw_data: Some(t.bytes().clone()),
        ..TensorProto::default()
    }
}

fn attr(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind as i32), ..AttributeProto::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i: Some(i), ..attr(name, AttributeType::Int) }
}

fn ints(name: &str, ints: impl IntoIterator<Item = i64>) -> AttributeProto {
    AttributeProto { ints: ints.into_iter().collect(), ..attr(name, AttributeType::Ints) }
}

fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(Box::new(graph)), ..attr(name, AttributeType::Graph) }
}

/// A random model.
pub fn model(seed: u64) -> OnnxModel {
    let mut random = Random::new(seed);
    let mut w = Writer {
        random: &mut random,
        model: OnnxModel {
            nodes: Vec::new(),
            constants: Vec::new(),
            inputs: Vec::new(),
            computed: Vec::new(),
            outputs: Vec::new(),
            contents: vec![Vec::new(); SIZES],
        },
        names: 0,
        inner: None,
    };
    w.inputs();
    let steps = w.random.between(2, 12);
    for _ in 0..steps {
        w.step();
    }
    w.finish()
}

struct Writer<'r> {
    random: &'r mut Random,
    model: OnnxModel,
    names: usize,
    /// Nodes of the branch or body that is being written.
    inner: Option<Vec<NodeProto>>,
}

impl Writer<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    fn inputs(&mut self) {
        let open: Vec<Length> = vec![[2, 1, 3], [5, 7, 1], [8, 6, 11], [4, 9, 12]];
        let dynamic = !self.random.one_in(8);
        for _ in 0..self.random.between(1, 2) {
            let dtype = self.random.pick(&[DType::F32, DType::F32, DType::F32, DType::I64]);
            let rank = self.random.pick(&[2, 3, 3, 4, 4]);
            let dims: Vec<Length> = (0..rank)
                .map(|at| match self.random.below(3) {
                    0 | 1 if dynamic && (at < 2 || self.random.one_in(2)) => {
                        let which = if at == 0 { 0 } else { self.random.below(open.len()) };
                        open[which]
                    }
                    _ => fixed(self.random.pick(&[1, 2, 3, 4, 6, 8])),
                })
                .collect();
            let v = Value { name: format!("x{}", self.model.inputs.len()), dtype, dims, whole: Some(4.0) };
            for size in 0..SIZES {
                let t = self.numbers(dtype, &v.shape(size), 4);
                self.model.contents[size].push(t);
            }
            self.model.inputs.push(v);
        }
    }

    /// A tensor of small whole numbers.
    fn numbers(&mut self, dtype: DType, dims: &[usize], most: i64) -> Tensor {
        let signed = dtype != DType::Bool;
        let data: Vec<i64> = (0..count(dims))
            .map(|_| self.random.below(2 * most as usize + 1) as i64 - if signed { most } else { 0 })
            .collect();
        Tensor::from_i64s(dtype, dims, &data).unwrap_or_else(|_| Tensor::scalar(0f32))
    }

    fn constant(&mut self, t: Tensor) -> String {
        let name = self.name();
        self.model.constants.push((name.clone(), t));
        name
    }

    fn vector(&mut self, values: &[i64]) -> String {
        self.constant(Tensor::vector(values))
    }

    fn node(&mut self, op: &str, inputs: &[&str], attrs: Vec<AttributeProto>, results: usize) -> Vec<String> {
        let output: Vec<String> = (0..results).map(|_| self.name()).collect();
        let node = NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: output.clone(),
            name: Some(format!("/{op}_{}", self.names)),
            op_type: Some(op.into()),
            attribute: attrs,
            ..NodeProto::default()
        };
        self.inner.as_mut().unwrap_or(&mut self.model.nodes).push(node);
        output
    }

    fn one(&mut self, op: &str, inputs: &[&str], attrs: Vec<AttributeProto>) -> String {
        self.node(op, inputs, attrs, 1).remove(0)
    }

    /// Keeps a result for later steps.
    fn keep(&mut self, name: String, dtype: DType, dims: Vec<Length>, whole: Option<f64>) {
        let whole = whole.filter(|most| *most <= if dtype == DType::F16 { 1000.0 } else { 1e6 });
        self.model.computed.push(Value { name, dtype, dims, whole });
    }

    fn all(&self) -> Vec<Value> {
        self.model.inputs.iter().chain(&self.model.computed).cloned().collect()
    }

    fn any_of(&mut self, accept: impl Fn(&Value) -> bool) -> Option<Value> {
        let found: Vec<Value> = self.all().into_iter().filter(accept).collect();
        let recent = if self.random.one_in(3) { found.len() } else { found.len().min(3) };
        (!found.is_empty()).then(|| found[found.len() - 1 - self.random.below(recent)].clone())
    }

    /// The length of a dimension as a number in the model, for every size the right one.
    fn size(&mut self, v: &Value, axis: usize) -> Size {
        let is = v.dims[axis].map(|n| n as i64);
        if is_fixed(&v.dims[axis]) && !self.random.one_in(3) {
            return Size { name: self.constant(Tensor::scalar(is[0])), is };
        }
        let shape = self.one("Shape", &[&v.name], Vec::new());
        let at = axis as i64 - if self.random.one_in(3) { v.dims.len() as i64 } else { 0 };
        let at = self.constant(Tensor::scalar(at));
        let name = self.one("Gather", &[&shape, &at], vec![int("axis", 0)]);
        Size { name, is }
    }

    fn number(&mut self, n: i64) -> Size {
        Size { name: self.constant(Tensor::scalar(n)), is: [n; SIZES] }
    }

    fn arithmetic(&mut self, op: &str, a: &Size, b: &Size) -> Size {
        let name = self.one(op, &[&a.name, &b.name], Vec::new());
        let f = |a: i64, b: i64| match op {
            "Add" => a + b,
            "Sub" => a - b,
            "Mul" => a * b,
            _ => a.checked_div(b).unwrap_or(0),
        };
        let mut is = a.is;
        is.iter_mut().zip(b.is).for_each(|(a, b)| *a = f(*a, b));
        Size { name, is }
    }

    /// A size that somehow comes from another one.
    fn related(&mut self, a: Size) -> Size {
        let (op, n) = self.random.pick(&[("Add", 1), ("Sub", 1), ("Mul", 2), ("Div", 2), ("Add", 0), ("Mul", 1)]);
        let n = self.number(n);
        self.arithmetic(op, &a, &n)
    }

    /// Sizes as one vector.
    fn listed(&mut self, sizes: &[Size]) -> String {
        let axes = self.vector(&[0]);
        let parts: Vec<String> = sizes.iter().map(|s| self.one("Unsqueeze", &[&s.name, &axes], Vec::new())).collect();
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.one("Concat", &names, vec![int("axis", 0)])
    }

    fn lengths(size: &Size) -> Option<Length> {
        let ok = size.is.iter().all(|n| (1..=64).contains(n));
        ok.then(|| size.is.map(|n| n as usize))
    }

    fn step(&mut self) {
        for _ in 0..4 {
            let done = match self.random.below(26) {
                0..=3 => self.reshape(),
                4..=5 => self.slice(),
                6..=7 => self.moved(),
                8 => self.expand(),
                9..=11 => self.binary(),
                12 => self.unary(),
                13 => self.convolution(),
                14 => self.pool(),
                15..=16 => self.product(),
                17 => self.reduction(),
                18 => self.select(),
                19 => self.joined(),
                20 => self.order(),
                21 => self.made(),
                22 => self.normalized(),
                23 => self.branch(),
                24 => self.repetition(),
                _ => self.gather(),
            };
            if done.is_some() {
                return;
            }
        }
    }

    fn reshape(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.most() <= 4096)?;
        let rank = v.dims.len();
        if rank == 0 {
            return None;
        }
        // Runs of dimensions become one, others stay; a 1 may come in between.
        let (mut dims, mut sizes): (Vec<Length>, Vec<Size>) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < rank {
            let run = if self.random.one_in(2) { 1 } else { self.random.between(1, (rank - at).min(2)) };
            let mut size = self.size(&v, at);
            for axis in at + 1..at + run {
                let next = self.size(&v, axis);
                size = self.arithmetic("Mul", &size, &next);
            }
            if self.random.one_in(6) {
                dims.push(fixed(1));
                sizes.push(self.number(1));
            }
            let whole = size.is[0] as usize;
            if is_fixed(&size.is.map(|n| n as usize)) && whole.is_multiple_of(2) && self.random.one_in(3) {
                dims.push(fixed(2));
                sizes.push(self.number(2));
                size = self.number(size.is[0] / 2);
            }
            dims.push(size.is.map(|n| n as usize));
            sizes.push(size);
            at += run;
        }
        // A dimension that is the same as the one in its place may be 0, and one may be −1.
        for (i, size) in sizes.iter_mut().enumerate() {
            if i < rank && v.dims[i] == dims[i] && self.random.one_in(3) {
                *size = Size { is: size.is, ..self.number(0) };
            }
        }
        if self.random.one_in(2) {
            let i = self.random.below(sizes.len());
            sizes[i] = Size { is: sizes[i].is, ..self.number(-1) };
        }
        let shape = self.listed(&sizes);
        let y = self.one("Reshape", &[&v.name, &shape], Vec::new());
        self.keep(y, v.dtype, dims, v.whole);
        Some(())
    }

    fn slice(&mut self) -> Option<()> {
        let v = self.any_of(|v| !v.dims.is_empty())?;
        let axis = self.random.below(v.dims.len());
        let step = self.random.pick(&[1, 1, 1, 2, -1]);
        let start = self.random.pick(&[0, 0, 1, -2]);
        let length = self.size(&v, axis);
        let (start, end) = if step < 0 {
            (self.number(-1), self.number(i64::MIN + 1))
        } else {
            let end = match self.random.below(4) {
                0 => self.number(i64::MAX),
                1 => self.number(-1),
                2 => self.related(length),
                _ => {
                    let n = self.random.between(1, 4);
                    self.number(n as i64)
                }
            };
            (self.number(start), end)
        };
        let mut out = [0; SIZES];
        for (k, n) in out.iter_mut().enumerate() {
            let d = v.dims[axis][k] as i64;
            let clamp = |x: i64| (if x < 0 { x.saturating_add(d) } else { x }).clamp(0, d);
            *n = if step < 0 {
                d as usize
            } else {
                let span = clamp(end.is[k]) - clamp(start.is[k]);
                usize::try_from((span + step - 1) / step).ok()?
            };
        }
        if out.contains(&0) {
            return None;
        }
        let (starts, ends) = (self.listed(&[start]), self.listed(&[end]));
        let (axes, steps) = (self.vector(&[axis as i64]), self.vector(&[step]));
        let y = self.one("Slice", &[&v.name, &starts, &ends, &axes, &steps], Vec::new());
        let mut dims = v.dims.clone();
        dims[axis] = out;
        self.keep(y, v.dtype, dims, v.whole);
        Some(())
    }

    /// Transposes, and dimensions of 1 that come and go.
    fn moved(&mut self) -> Option<()> {
        let v = self.any_of(|v| !v.dims.is_empty() && v.dims.len() < 6)?;
        let rank = v.dims.len();
        match self.random.below(4) {
            0 | 1 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                (1..rank).for_each(|i| perm.swap(i, self.random.below(i + 1)));
                let y = self.one("Transpose", &[&v.name], vec![ints("perm", perm.iter().map(|p| *p as i64))]);
                self.keep(y, v.dtype, perm.iter().map(|p| v.dims[*p]).collect(), v.whole);
            }
            2 => {
                let at = self.random.below(rank + 1);
                let back = if self.random.one_in(3) { rank as i64 + 1 } else { 0 };
                let axes = self.vector(&[at as i64 - back]);
                let y = self.one("Unsqueeze", &[&v.name, &axes], Vec::new());
                let mut dims = v.dims.clone();
                dims.insert(at, fixed(1));
                self.keep(y, v.dtype, dims, v.whole);
            }
            _ => {
                let at = (0..rank).find(|d| v.dims[*d] == fixed(1))?;
                let axes = self.vector(&[at as i64]);
                let y = self.one("Squeeze", &[&v.name, &axes], Vec::new());
                let mut dims = v.dims.clone();
                dims.remove(at);
                self.keep(y, v.dtype, dims, v.whole);
            }
        }
        Some(())
    }

    fn expand(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dims.contains(&fixed(1)))?;
        let other = self.any_of(|v| !v.dims.is_empty())?;
        let mut sizes = Vec::new();
        let mut dims = v.dims.clone();
        for axis in 0..v.dims.len() {
            let size = if v.dims[axis] == fixed(1) && self.random.one_in(2) {
                let from = self.random.below(other.dims.len());
                self.size(&other, from)
            } else if self.random.one_in(2) {
                self.number(1)
            } else {
                self.size(&v, axis)
            };
            let to = Writer::lengths(&size)?;
            if v.dims[axis] == fixed(1) {
                dims[axis] = to;
            }
            sizes.push(size);
        }
        let shape = self.listed(&sizes);
        let y = self.one("Expand", &[&v.name, &shape], Vec::new());
        self.keep(y, v.dtype, dims, v.whole);
        Some(())
    }

    fn binary(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype != DType::Bool)?;
        let op = self.random.pick(&["Add", "Add", "Sub", "Mul", "Mul", "Max", "Min"]);
        let broadcasts = |o: &Value| {
            let skip = v.dims.len().checked_sub(o.dims.len());
            skip.is_some_and(|s| o.dims.iter().zip(&v.dims[s..]).all(|(a, b)| a == b || *a == fixed(1)))
        };
        let other = if self.random.one_in(2) { self.any_of(|o| o.dtype == v.dtype && broadcasts(o)) } else { None };
        let other = match other {
            Some(o) => o,
            None => {
                let last = v.dims.last().filter(|d| is_fixed(d) && self.random.one_in(2)).map(|d| d[0]);
                let t = self.numbers(v.dtype, &last.into_iter().collect::<Vec<_>>(), 3);
                let dims = t.shape().iter().map(|n| fixed(*n)).collect();
                Value { name: self.constant(t), dtype: v.dtype, dims, whole: Some(3.0) }
            }
        };
        let whole = v.whole.zip(other.whole).map(|(a, b)| if op == "Mul" { a * b } else { a + b });
        if whole.is_none() && (op == "Sub" || v.whole.is_none() && other.whole.is_none()) || whole > Some(1e6) {
            return None;
        }
        let both = if self.random.one_in(2) { [&v.name, &other.name] } else { [&other.name, &v.name] };
        let y = self.one(op, &both.map(String::as_str), Vec::new());
        self.keep(y, v.dtype, v.dims, whole);
        Some(())
    }

    fn unary(&mut self) -> Option<()> {
        let v = self.any_of(Value::is_float)?;
        let (op, whole) = match self.random.below(6) {
            0 | 1 => ("Relu", v.whole),
            2 => ("Neg", v.whole),
            3 => ("Abs", v.whole),
            4 => ("Sigmoid", None),
            _ => ("Tanh", None),
        };
        let y = self.one(op, &[&v.name], Vec::new());
        self.keep(y, v.dtype, v.dims, whole);
        Some(())
    }

    fn convolution(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype == DType::F32 && (3..=5).contains(&v.dims.len()) && is_fixed(&v.dims[1]))?;
        let spatial = v.dims.len() - 2;
        let cin = v.dims[1][0];
        let groups = if cin % 2 == 0 && self.random.one_in(3) { 2 } else { 1 };
        let cout = groups * self.random.between(1, 4);
        let kernel: Vec<usize> = (0..spatial).map(|_| self.random.pick(&[1, 3])).collect();
        let pads: Vec<usize> = kernel.iter().map(|k| if self.random.one_in(4) { 0 } else { k / 2 }).collect();
        let strides: Vec<usize> = (0..spatial).map(|_| self.random.pick(&[1, 1, 2])).collect();
        let mut dims = vec![v.dims[0], fixed(cout)];
        for d in 0..spatial {
            let mut out = [0; SIZES];
            for (k, n) in out.iter_mut().enumerate() {
                *n = (v.dims[d + 2][k] + 2 * pads[d]).checked_sub(kernel[d])? / strides[d] + 1;
            }
            dims.push(out);
        }
        let shape: Vec<usize> = [cout, cin / groups].into_iter().chain(kernel.iter().copied()).collect();
        let terms = count(&shape[1..]) as f64;
        let weights = self.numbers(v.dtype, &shape, 2);
        let w = self.constant(weights);
        let mut operands = vec![v.name.clone(), w];
        if self.random.one_in(2) {
            let bias = self.numbers(v.dtype, &[cout], 3);
            operands.push(self.constant(bias));
        }
        let list = |x: &[usize]| x.iter().map(|n| *n as i64).collect::<Vec<_>>();
        let both: Vec<i64> = list(&pads).into_iter().chain(list(&pads)).collect();
        let attrs = vec![
            ints("kernel_shape", list(&kernel)),
            ints("pads", both),
            ints("strides", list(&strides)),
            int("group", groups as i64),
        ];
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        let y = self.one("Conv", &operands, attrs);
        self.keep(y, v.dtype, dims, v.whole.map(|most| most * 2.0 * terms + 3.0));
        Some(())
    }

    fn pool(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype == DType::F32 && (3..=4).contains(&v.dims.len()))?;
        let spatial = v.dims.len() - 2;
        if self.random.one_in(3) {
            let y = self.one("GlobalAveragePool", &[&v.name], Vec::new());
            let dims = v.dims[..2].iter().copied().chain(vec![fixed(1); spatial]).collect();
            self.keep(y, v.dtype, dims, None);
            return Some(());
        }
        let op = self.random.pick(&["MaxPool", "AveragePool"]);
        let mut dims = v.dims[..2].to_vec();
        for d in 0..spatial {
            let mut out = v.dims[d + 2];
            for n in &mut out {
                *n = n.checked_sub(2)? / 2 + 1;
            }
            dims.push(out);
        }
        let attrs = vec![ints("kernel_shape", vec![2; spatial]), ints("strides", vec![2; spatial])];
        let y = self.one(op, &[&v.name], attrs);
        self.keep(y, v.dtype, dims, v.whole.filter(|_| op == "MaxPool"));
        Some(())
    }

    fn product(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype == DType::F32 && v.dims.len() >= 2)?;
        let rank = v.dims.len();
        let k = v.dims[rank - 1];
        if self.random.one_in(3) {
            // With itself, transposed.
            let mut perm: Vec<i64> = (0..rank as i64).collect();
            perm.swap(rank - 1, rank - 2);
            let t = self.one("Transpose", &[&v.name], vec![ints("perm", perm)]);
            let y = self.one("MatMul", &[&v.name, &t], Vec::new());
            let mut dims = v.dims.clone();
            dims[rank - 1] = v.dims[rank - 2];
            let most = *k.iter().max().unwrap_or(&1) as f64;
            self.keep(y, v.dtype, dims, v.whole.map(|w| w * w * most));
            return Some(());
        }
        if !is_fixed(&k) {
            return None;
        }
        let n = self.random.between(1, 6);
        let whole = v.whole.map(|w| w * 2.0 * k[0] as f64 + 3.0);
        let mut dims = v.dims.clone();
        dims[rank - 1] = fixed(n);
        if rank == 2 && self.random.one_in(2) {
            let (w, b) = (self.numbers(v.dtype, &[n, k[0]], 2), self.numbers(v.dtype, &[n], 3));
            let (w, b) = (self.constant(w), self.constant(b));
            let y = self.one("Gemm", &[&v.name, &w, &b], vec![int("transB", 1)]);
            self.keep(y, v.dtype, dims, whole);
        } else {
            let w = self.numbers(v.dtype, &[k[0], n], 2);
            let w = self.constant(w);
            let y = self.one("MatMul", &[&v.name, &w], Vec::new());
            self.keep(y, v.dtype, dims, whole);
        }
        Some(())
    }

    fn reduction(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.is_float() && !v.dims.is_empty())?;
        let axis = self.random.below(v.dims.len());
        let keep = self.random.one_in(2);
        let most = *v.dims[axis].iter().max().unwrap_or(&1) as f64;
        let keepdims = int("keepdims", i64::from(keep));
        let (y, whole) = match self.random.below(3) {
            0 => {
                let axes = self.vector(&[axis as i64]);
                (self.one("ReduceSum", &[&v.name, &axes], vec![keepdims]), v.whole.map(|w| w * most))
            }
            1 => (self.one("ReduceMean", &[&v.name], vec![ints("axes", [axis as i64]), keepdims]), None),
            _ => (self.one("ReduceMax", &[&v.name], vec![ints("axes", [axis as i64]), keepdims]), v.whole),
        };
        let mut dims = v.dims.clone();
        if keep {
            dims[axis] = fixed(1);
        } else {
            dims.remove(axis);
        }
        self.keep(y, v.dtype, dims, whole);
        Some(())
    }

    /// Comparisons, casts, and choices by a mask.
    fn select(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.whole.is_some() && v.dtype != DType::Bool)?;
        match self.random.below(3) {
            0 => {
                let to = self.random.pick(&[DType::F32, DType::I64, DType::I32, DType::F16]);
                let y = self.one("Cast", &[&v.name], vec![int("to", data_type(to).into())]);
                self.keep(y, to, v.dims, v.whole);
            }
            _ => {
                let zero = self.numbers(v.dtype, &[], 1);
                let zero = self.constant(zero);
                let op = self.random.pick(&["Less", "Greater", "Equal"]);
                let mask = self.one(op, &[&v.name, &zero], Vec::new());
                let least = self.numbers(v.dtype, &[], 3);
                let least = self.constant(least);
                let y = self.one("Where", &[&mask, &v.name, &least], Vec::new());
                self.keep(y, v.dtype, v.dims, v.whole.map(|w| w.max(3.0)));
            }
        }
        Some(())
    }

    fn joined(&mut self) -> Option<()> {
        let v = self.any_of(|v| !v.dims.is_empty() && v.dtype != DType::Bool)?;
        let axis = self.random.below(v.dims.len());
        let fits = |o: &Value| {
            o.dtype == v.dtype
                && o.dims.len() == v.dims.len()
                && (0..v.dims.len()).all(|d| d == axis || o.dims[d] == v.dims[d])
        };
        if self.random.one_in(3) && is_fixed(&v.dims[axis]) && v.dims[axis][0] > 1 {
            let first = self.random.between(1, v.dims[axis][0] - 1);
            let sizes = [first, v.dims[axis][0] - first];
            let split = self.vector(&sizes.map(|n| n as i64));
            let parts = self.node("Split", &[&v.name, &split], vec![int("axis", axis as i64)], 2);
            for (part, n) in parts.into_iter().zip(sizes) {
                let mut dims = v.dims.clone();
                dims[axis] = fixed(n);
                self.keep(part, v.dtype, dims, v.whole);
            }
            return Some(());
        }
        let o = self.any_of(fits)?;
        let y = self.one("Concat", &[&v.name, &o.name], vec![int("axis", axis as i64)]);
        let mut dims = v.dims.clone();
        dims[axis].iter_mut().zip(o.dims[axis]).for_each(|(a, b)| *a += b);
        let whole = v.whole.zip(o.whole).map(|(a, b)| a.max(b));
        self.keep(y, v.dtype, dims, whole);
        Some(())
    }

    /// Positions and order of elements.
    fn order(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype == DType::F32 && v.whole.is_some() && !v.dims.is_empty())?;
        let axis = v.dims.len() - 1;
        match self.random.below(3) {
            0 => {
                let y = self.one("ArgMax", &[&v.name], vec![int("axis", axis as i64), int("keepdims", 0)]);
                self.keep(y, DType::I64, v.dims[..axis].to_vec(), Some(64.0));
            }
            1 => {
                let k = if is_fixed(&v.dims[axis]) {
                    let k = self.random.between(1, v.dims[axis][0]);
                    self.number(k as i64)
                } else {
                    let all = self.size(&v, axis);
                    self.related(all)
                };
                let k_is = Writer::lengths(&k)?;
                if k_is.iter().zip(v.dims[axis]).any(|(k, n)| *k > n) {
                    return None;
                }
                let k = self.listed(&[k]);
                let y = self.node("TopK", &[&v.name, &k], vec![int("axis", axis as i64)], 2).remove(0);
                let mut dims = v.dims.clone();
                dims[axis] = k_is;
                self.keep(y, v.dtype, dims, v.whole);
            }
            _ => {
                let at = self.constant(Tensor::scalar(axis as i64));
                let y = self.one("CumSum", &[&v.name, &at], Vec::new());
                let most = *v.dims[axis].iter().max().unwrap_or(&1) as f64;
                self.keep(y, v.dtype, v.dims, v.whole.map(|w| w * most));
            }
        }
        Some(())
    }

    /// Tensors made of sizes: positions, zeros, repetitions, padding.
    fn made(&mut self) -> Option<()> {
        let v = self.any_of(|v| !v.dims.is_empty() && v.dtype != DType::Bool)?;
        let axis = self.random.below(v.dims.len());
        let length = self.size(&v, axis);
        match self.random.below(4) {
            0 => {
                let end = self.related(length);
                let dims = vec![Writer::lengths(&end)?];
                let (zero, one) = (self.number(0), self.number(1));
                let y = self.one("Range", &[&zero.name, &end.name, &one.name], Vec::new());
                self.keep(y, DType::I64, dims, Some(64.0));
            }
            1 => {
                let end = self.related(length);
                let n = self.random.between(1, 3) as i64;
                let second = self.number(n);
                let dims = vec![Writer::lengths(&end)?, fixed(n as usize)];
                let shape = self.listed(&[end, second]);
                let value = AttributeProto {
                    t: Some(Box::new(initializer("value", &Tensor::vector(&[2f32])))),
                    ..attr("value", AttributeType::Tensor)
                };
                let y = self.one("ConstantOfShape", &[&shape], vec![value]);
                self.keep(y, DType::F32, dims, Some(2.0));
            }
            2 => {
                let mut dims = v.dims.clone();
                let mut repeats = vec![1; dims.len()];
                repeats[axis] = 2;
                dims[axis].iter_mut().for_each(|n| *n *= 2);
                if v.most() > 1024 {
                    return None;
                }
                let repeats = self.vector(&repeats);
                let y = self.one("Tile", &[&v.name, &repeats], Vec::new());
                self.keep(y, v.dtype, dims, v.whole);
            }
            _ => {
                if !v.is_float() {
                    return None;
                }
                let mut dims = v.dims.clone();
                let mut pads = vec![0; 2 * dims.len()];
                (pads[axis], pads[axis + v.dims.len()]) = (1, 2);
                dims[axis].iter_mut().for_each(|n| *n += 3);
                let pads = self.vector(&pads);
                let y = self.one("Pad", &[&v.name, &pads], Vec::new());
                self.keep(y, v.dtype, dims, v.whole);
            }
        }
        Some(())
    }

    fn normalized(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype == DType::F32 && v.dims.len() >= 2)?;
        let last = v.dims[v.dims.len() - 1];
        if self.random.one_in(2) {
            let axis = self.random.below(v.dims.len()) as i64;
            let y = self.one("Softmax", &[&v.name], vec![int("axis", axis)]);
            self.keep(y, v.dtype, v.dims, None);
        } else if is_fixed(&v.dims[1]) {
            let c = v.dims[1][0];
            let [scale, bias, mean] = [(); 3].map(|()| self.numbers(v.dtype, &[c], 2));
            let [scale, bias, mean] = [scale, bias, mean].map(|t| self.constant(t));
            let variance = self.constant(Tensor::vector(&vec![3f32; c]));
            let y = self.one("BatchNormalization", &[&v.name, &scale, &bias, &mean, &variance], Vec::new());
            self.keep(y, v.dtype, v.dims, None);
        } else if is_fixed(&last) && last[0] > 2 {
            let [scale, bias] = [(); 2].map(|()| self.numbers(v.dtype, &[last[0]], 2));
            let [scale, bias] = [scale, bias].map(|t| self.constant(t));
            let y = self.one("LayerNormalization", &[&v.name, &scale, &bias], vec![int("axis", -1)]);
            self.keep(y, v.dtype, v.dims, None);
        } else {
            return None;
        }
        Some(())
    }

    fn gather(&mut self) -> Option<()> {
        let v = self.any_of(|v| !v.dims.is_empty())?;
        let axis = self.random.below(v.dims.len());
        let least = *v.dims[axis].iter().min()?;
        let shape = if self.random.one_in(3) { vec![] } else { vec![self.random.between(1, 3)] };
        let data: Vec<i64> = (0..count(&shape))
            .map(|_| self.random.below(least) as i64 - if self.random.one_in(3) { least as i64 } else { 0 })
            .collect();
        let index = self.constant(Tensor::from_i64s(DType::I64, &shape, &data).ok()?);
        let y = self.one("Gather", &[&v.name, &index], vec![int("axis", axis as i64)]);
        let mut dims = v.dims.clone();
        dims.splice(axis..=axis, shape.iter().map(|n| fixed(*n)));
        self.keep(y, v.dtype, dims, v.whole);
        Some(())
    }

    /// Nodes of an inner graph that compute something of the shape of `v`; gives the name of the result.
    fn body(&mut self, v: &Value) -> (Vec<NodeProto>, String, Option<f64>) {
        self.inner = Some(Vec::new());
        let (mut at, mut whole) = (v.name.clone(), v.whole);
        for _ in 0..self.random.between(1, 3) {
            let op = self.random.pick(&["Add", "Mul", "Relu", "Neg", "Max"]);
            if matches!(op, "Relu" | "Neg") {
                at = self.one(op, &[&at], Vec::new());
                continue;
            }
            let t = self.numbers(v.dtype, &[], 2);
            let other = match self.any_of(|o| o.dtype == v.dtype && o.dims == v.dims && o.whole.is_some()) {
                Some(o) if self.random.one_in(2) => o,
                _ => Value { name: self.constant(t), dtype: v.dtype, dims: Vec::new(), whole: Some(2.0) },
            };
            at = self.one(op, &[&at, &other.name], Vec::new());
            whole = whole.zip(other.whole).map(|(a, b)| if op == "Mul" { a * b } else { a + b });
        }
        (self.inner.take().unwrap_or_default(), at, whole)
    }

    fn branch(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype == DType::F32 && v.whole.is_some_and(|w| w < 100.0))?;
        let condition = if self.random.one_in(2) && !v.dims.is_empty() {
            let axis = self.random.below(v.dims.len());
            let (size, limit) = (self.size(&v, axis), self.random.between(1, 8));
            let limit = self.number(limit as i64);
            self.one("Greater", &[&size.name, &limit.name], Vec::new())
        } else {
            let top = self.one("ReduceMax", &[&v.name], vec![int("keepdims", 0)]);
            let limit = self.constant(Tensor::scalar(2f32));
            self.one("Less", &[&top, &limit], Vec::new())
        };
        let [then, otherwise] = [(); 2].map(|()| self.body(&v));
        let whole = then.2.zip(otherwise.2).map(|(a, b)| a.max(b));
        let branch = |(nodes, result, _): (Vec<NodeProto>, String, Option<f64>)| {
            let output = ValueInfoProto { name: Some(result), r#type: None };
            GraphProto { node: nodes, name: Some("branch".into()), output: vec![output], ..GraphProto::default() }
        };
        let mut branches = [branch(then), branch(otherwise)];
        for b in &mut branches {
            b.output[0].r#type = info(&v, None).r#type;
        }
        let [then, otherwise] = branches;
        let y = self.one("If", &[&condition], vec![graph("then_branch", then), graph("else_branch", otherwise)]);
        self.keep(y, v.dtype, v.dims, whole);
        Some(())
    }

    fn repetition(&mut self) -> Option<()> {
        let v = self.any_of(|v| v.dtype == DType::F32 && v.whole.is_some_and(|w| w < 20.0))?;
        let trips = if self.random.one_in(2) && !v.dims.is_empty() {
            let axis = self.random.below(v.dims.len());
            let size = self.size(&v, axis);
            let two = self.number(2);
            let half = self.arithmetic("Div", &size, &two);
            if half.is.iter().any(|n| *n > 3) {
                return None;
            }
            half
        } else {
            let trips = self.random.below(4);
            self.number(trips as i64)
        };
        let condition = self.constant(Tensor::from_bools(&[], &[true]).ok()?);
        let (i, go, state) = (self.name(), self.name(), self.name());
        let carried = Value { name: state, whole: None, ..v.clone() };
        self.inner = Some(Vec::new());
        let still = self.one("Identity", &[&go], Vec::new());
        let start = self.inner.take().unwrap_or_default();
        let (nodes, result, _) = self.body(&carried);
        let scalar = |name: &str, dtype| Value { name: name.into(), dtype, dims: Vec::new(), whole: None };
        let body = GraphProto {
            node: start.into_iter().chain(nodes).collect(),
            name: Some("body".into()),
            input: vec![
                info(&scalar(&i, DType::I64), None),
                info(&scalar(&go, DType::Bool), None),
                info(&carried, None),
            ],
            output: vec![
                info(&scalar(&still, DType::Bool), None),
                info(&Value { name: result, ..carried.clone() }, None),
            ],
            ..GraphProto::default()
        };
        let y = self.one("Loop", &[&trips.name, &condition, &v.name], vec![graph("body", body)]);
        self.keep(y, v.dtype, v.dims, None);
        Some(())
    }

    fn finish(mut self) -> OnnxModel {
        if self.model.computed.is_empty() {
            let v = self.model.inputs[0].clone();
            let y = self.one("Identity", &[&v.name], Vec::new());
            self.keep(y, v.dtype, v.dims, v.whole);
        }
        let n = self.model.computed.len();
        let mut outputs = vec![n - 1];
        for _ in 0..self.random.below(3) {
            outputs.push(self.random.below(n));
        }
        outputs.sort_unstable();
        outputs.dedup();
        self.model.outputs = outputs;
        self.model.pruned()
    }
}
