//! ONNX models with open dimensions compute what the same model computes with all dimensions declared: random chains of
//! arithmetic on shapes, at several sizes each. `tests/oracle/onnx_open.py` asks ONNX Runtime.

use mindir::{GraphCell, Source, Tensor};
use mindir_proto::onnx::*;
use mindir_proto::prost::Message;

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

fn integers(name: &str, values: &[i64], rank: usize) -> TensorProto {
    TensorProto {
        dims: if rank == 0 { Vec::new() } else { vec![values.len() as i64] },
        data_type: Some(7),
        name: Some(name.into()),
        raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()),
        ..TensorProto::default()
    }
}

fn port(name: &str, dims: Option<&[usize]>, rank: usize) -> ValueInfoProto {
    let dim = |i: usize| DimensionProto { dim_value: dims.map(|d| d[i] as i64), dim_param: None };
    let shape = TensorShapeProto { dim: (0..rank).map(dim).collect() };
    let tensor_type = Some(TensorTypeProto { elem_type: Some(1), shape: Some(shape) });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..TypeProto::default() }) }
}

fn number(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(i),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    }
}

/// A model under construction: tensors with their ranks, and numbers that follow from their shapes.
struct Net {
    dice: Dice,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    tensors: Vec<(String, usize)>,
    numbers: Vec<String>,
}

/// Ranks of the inputs.
const INPUTS: [usize; 3] = [2, 3, 1];

impl Net {
    fn new(seed: u64) -> Net {
        let tensors = INPUTS.iter().enumerate().map(|(i, &rank)| (format!("x{i}"), rank)).collect();
        Net { dice: Dice(seed), nodes: Vec::new(), constants: Vec::new(), tensors, numbers: Vec::new() }
    }

    fn op(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let name = format!("v{}", self.nodes.len());
        let input = inputs.iter().map(|n| n.to_string()).collect();
        let output = vec![name.clone()];
        self.nodes.push(NodeProto { input, output, op_type: Some(op.into()), attribute, ..NodeProto::default() });
        name
    }

    fn vector(&mut self, values: &[i64], rank: usize) -> String {
        let name = format!("c{}", self.constants.len());
        self.constants.push(integers(&name, values, rank));
        name
    }

    fn tensor(&mut self) -> (String, usize) {
        self.dice.pick(&self.tensors.clone())
    }

    /// A vector of one number: a dimension, or arithmetic on numbers.
    fn number(&mut self) -> String {
        if self.numbers.is_empty() || self.dice.below(3) == 0 {
            let (x, rank) = self.tensor();
            let shape = self.op("Shape", &[&x], Vec::new());
            let at = self.dice.below(rank.max(1)) as i64;
            let at = self.vector(&[at], 1);
            let n = self.op("Gather", &[&shape, &at], Vec::new());
            self.numbers.push(n);
        } else {
            let (a, b) = (self.dice.pick(&self.numbers.clone()), self.dice.below(2));
            let other = self.dice.below(5) as i64 + 1;
            let b = if b == 0 { self.dice.pick(&self.numbers.clone()) } else { self.vector(&[other], 1) };
            let op = self.dice.pick(&["Add", "Sub", "Mul", "Div", "Mod", "Min", "Max"]);
            if matches!(op, "Div" | "Mod") {
                let one = self.vector(&[1], 1);
                let b = self.op("Max", &[&b, &one], Vec::new());
                let n = self.op(op, &[&a, &b], Vec::new());
                self.numbers.push(n);
            } else {
                let n = self.op(op, &[&a, &b], Vec::new());
                self.numbers.push(n);
            }
        }
        self.numbers[self.numbers.len() - 1].clone()
    }

    /// A number from 0 to a few.
    fn small(&mut self) -> String {
        let (n, low, high) = (self.number(), self.vector(&[0], 1), self.vector(&[4], 1));
        let n = self.op("Max", &[&n, &low], Vec::new());
        self.op("Min", &[&n, &high], Vec::new())
    }

    fn step(&mut self) {
        let (x, rank) = self.tensor();
        let n = self.small();
        let axis = self.dice.below(rank.max(1)) as i64;
        let zero = self.vector(&[0], 1);
        let (y, rank) = match self.dice.below(13) {
            0 => {
                let rest = self.vector(&[-1], 1);
                (self.op("Reshape", &[&x, &rest], Vec::new()), 1)
            }
            1 if rank >= 2 => {
                let shape = self.op("Shape", &[&x], Vec::new());
                let first = self.vector(&[0], 1);
                let first = self.op("Gather", &[&shape, &first], Vec::new());
                let rest = self.vector(&[-1], 1);
                let shape = self.op("Concat", &[&first, &rest], vec![number("axis", 0)]);
                (self.op("Reshape", &[&x, &shape], Vec::new()), 2)
            }
            2 if rank >= 1 => {
                let axis = self.vector(&[axis], 1);
                (self.op("Slice", &[&x, &zero, &n, &axis], Vec::new()), rank)
            }
            3 if rank >= 1 => {
                let (axis, end) = (self.vector(&[axis], 1), self.vector(&[i64::MAX], 1));
                let start = self.op("Neg", &[&n], Vec::new());
                (self.op("Slice", &[&x, &start, &end, &axis], Vec::new()), rank)
            }
            4 if rank >= 1 => {
                let mut parts = vec![zero.clone(); 2 * rank];
                let at = self.dice.below(2 * rank);
                parts[at] = n;
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let pads = self.op("Concat", &parts, vec![number("axis", 0)]);
                (self.op("Pad", &[&x, &pads], Vec::new()), rank)
            }
            5 if rank >= 1 => {
                let one = self.vector(&[1], 1);
                let mut parts = vec![one; rank];
                let at = self.dice.below(rank);
                parts[at] = n;
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let times = self.op("Concat", &parts, vec![number("axis", 0)]);
                (self.op("Tile", &[&x, &times], Vec::new()), rank)
            }
            6 => {
                let last = self.vector(&[-1], 1);
                let x = self.op("Unsqueeze", &[&x, &last], Vec::new());
                (self.op("Expand", &[&x, &n], Vec::new()), rank + 1)
            }
            7 => {
                let shape = self.op("Shape", &[&x], Vec::new());
                let ones = self.op("ConstantOfShape", &[&shape], Vec::new());
                (self.op("Add", &[&x, &ones], Vec::new()), rank)
            }
            8 => {
                let (other, with) = self.tensor();
                (self.op("Add", &[&x, &other], Vec::new()), rank.max(with))
            }
            9 if rank >= 2 => {
                let perm = AttributeProto {
                    name: Some("perm".into()),
                    ints: (0..rank as i64).rev().collect(),
                    r#type: Some(AttributeType::Ints as i32),
                    ..AttributeProto::default()
                };
                (self.op("Transpose", &[&x], vec![perm]), rank)
            }
            10 if rank >= 1 => {
                let axis = self.vector(&[axis], 1);
                (self.op("ReduceSum", &[&x, &axis], vec![number("keepdims", 0)]), rank - 1)
            }
            11 => {
                let scalar = self.vector(&[], 1);
                let n = self.op("Reshape", &[&n, &scalar], Vec::new());
                let (start, step) = (self.vector(&[0], 0), self.vector(&[1], 0));
                let r = self.op("Range", &[&start, &n, &step], Vec::new());
                (self.op("Cast", &[&r], vec![number("to", 1)]), 1)
            }
            12 => {
                let limit = self.vector(&[3], 1);
                let many = self.op("Greater", &[&n, &limit], Vec::new());
                let negative = self.op("Neg", &[&x], Vec::new());
                (self.op("Where", &[&many, &x, &negative], Vec::new()), rank.max(1))
            }
            _ => (self.op("Neg", &[&x], Vec::new()), rank),
        };
        if rank < 5 {
            self.tensors.push((y, rank));
        }
    }

    /// The model with these dimensions declared, or none.
    fn model(&self, shapes: Option<&[Vec<usize>]>) -> Vec<u8> {
        let inputs = INPUTS.iter().enumerate().map(|(i, &rank)| {
            let dims = shapes.map(|s| s[i].as_slice());
            port(&format!("x{i}"), dims, rank)
        });
        let (last, rank) = &self.tensors[self.tensors.len() - 1];
        let graph = GraphProto {
            name: Some("arithmetic".into()),
            node: self.nodes.clone(),
            initializer: self.constants.clone(),
            input: inputs.collect(),
            output: vec![port(last, None, *rank)],
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
        let model =
            ModelProto { ir_version: Some(8), graph: Some(Box::new(graph)), opset_import, ..ModelProto::default() };
        model.encode_to_vec()
    }
}

fn cell(bytes: Vec<u8>) -> Result<GraphCell, String> {
    let loaded = mindir::load_source(Source::from_bytes("net.onnx", bytes)).map_err(|e| e.to_string())?;
    GraphCell::new(loaded.model, Default::default()).map_err(|e| e.to_string())
}

#[test]
fn open_dimensions_are_what_they_are() {
    let (mut compared, mut sized) = (0, 0);
    for seed in 0..400 {
        let mut net = Net::new(seed);
        let steps = 1 + net.dice.below(5);
        (0..steps).for_each(|_| net.step());
        let open = cell(net.model(None));
        if let Err(e) = &open {
            // A shape without elements has no element 0, whatever the sizes are.
            assert!(e.contains("out of range"), "seed {seed}: {e}");
        }
        for _ in 0..4 {
            let shapes: Vec<Vec<usize>> = INPUTS
                .iter()
                .map(|&rank| (0..rank).map(|_| net.dice.pick(&[0, 1, 1, 2, 3, 7, 11])).collect())
                .collect();
            let inputs: Vec<Tensor> = shapes
                .iter()
                .map(|dims| {
                    let n = dims.iter().product::<usize>();
                    Tensor::from_vec(dims, (0..n).map(|i| i as f32 - 2.5).collect()).unwrap()
                })
                .collect();
            // Some sizes do not go with the model: then no way to read it may give a result.
            let declared = cell(net.model(Some(&shapes))).and_then(|c| c.run(&inputs).map_err(|e| e.to_string()));
            let found = open.as_ref().map_err(Clone::clone).and_then(|c| c.run(&inputs).map_err(|e| e.to_string()));
            match (declared, found) {
                (Ok(want), Ok(got)) => {
                    assert_eq!(got, want, "seed {seed}, {shapes:?}");
                    compared += 1;
                    sized += usize::from(want[0].count() > 0);
                }
                (Err(_), Err(_)) => {}
                (want, got) => panic!("seed {seed}, {shapes:?}: declared {want:?}, open {got:?}"),
            }
        }
    }
    assert!(compared > 600 && sized > 300, "only {compared} runs were compared, {sized} of them with elements");
}
