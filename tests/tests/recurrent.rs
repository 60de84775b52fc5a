//! Recurrent layers from ONNX are one task for each direction, however long the sequence, and compute what their loops compute.

use mindir::graph::Model;
use mindir::{DType, Fact, GraphCell, Options, Source, Tensor};
use mindir_proto::onnx::*;
use mindir_proto::prost::Message;

fn weight(name: &str, dims: &[usize], seed: u32) -> TensorProto {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32 - 0.5
    };
    let raw: Vec<u8> = (0..dims.iter().product::<usize>()).flat_map(|_| next().to_le_bytes()).collect();
    TensorProto {
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: Some(1),
        name: Some(name.into()),
        raw_data: Some(raw.into()),
        ..TensorProto::default()
    }
}

fn port(name: &str, dims: &[usize]) -> ValueInfoProto {
    let dim = |&n: &usize| DimensionProto { dim_value: Some(n as i64), dim_param: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: Some(1), shape });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..TypeProto::default() }) }
}

/// A layer of three elements over two sequences.
#[derive(Clone, Debug)]
struct Layer {
    op: &'static str,
    direction: &'static str,
    activations: &'static [&'static str],
    linear_before_reset: bool,
    bias: bool,
    start: bool,
}

const INPUT: usize = 4;
const BATCH: usize = 2;
const HIDDEN: usize = 3;

impl Layer {
    fn directions(&self) -> usize {
        if self.direction == "bidirectional" { 2 } else { 1 }
    }

    fn model(&self, seq: usize) -> Model {
        let (d, gates) = (
            self.directions(),
            match self.op {
                "RNN" => 1,
                "GRU" => 3,
                _ => 4,
            },
        );
        let mut weights =
            vec![weight("w", &[d, gates * HIDDEN, INPUT], 1), weight("r", &[d, gates * HIDDEN, HIDDEN], 2)];
        let mut input = vec!["x", "w", "r"];
        let optional = |name: &'static str, given: bool| if given { name } else { "" };
        input.extend([optional("b", self.bias), "", optional("h", self.start)]);
        if self.bias {
            weights.push(weight("b", &[d, 2 * gates * HIDDEN], 3));
        }
        let state = [d, BATCH, HIDDEN];
        if self.start {
            weights.push(weight("h", &state, 4));
        }
        if self.op == "LSTM" && self.start {
            input.push("c");
            weights.push(weight("c", &state, 5));
        }
        let attr = |name: &str| AttributeProto { name: Some(name.into()), ..AttributeProto::default() };
        let int =
            |name: &str, i: i64| AttributeProto { i: Some(i), r#type: Some(AttributeType::Int as i32), ..attr(name) };
        let mut attribute = vec![int("hidden_size", HIDDEN as i64)];
        attribute.push(AttributeProto {
            s: Some(self.direction.into()),
            r#type: Some(AttributeType::String as i32),
            ..attr("direction")
        });
        if !self.activations.is_empty() {
            let strings = self.activations.iter().cycle().take(self.activations.len() * d).map(|&a| a.into()).collect();
            let r#type = Some(AttributeType::Strings as i32);
            attribute.push(AttributeProto { strings, r#type, ..attr("activations") });
        }
        if self.linear_before_reset {
            attribute.push(int("linear_before_reset", 1));
        }
        let names = |list: &[&str]| list.iter().map(|n| n.to_string()).collect();
        let (all, last) = ([seq, d, BATCH, HIDDEN], state);
        let mut output = vec![port("y", &all), port("last", &last)];
        if self.op == "LSTM" {
            output.push(port("cell", &last));
        }
        let node = NodeProto {
            op_type: Some(self.op.into()),
            input: names(&input),
            output: output.iter().filter_map(|o| o.name.clone()).collect(),
            attribute,
            ..NodeProto::default()
        };
        let graph = GraphProto {
            name: Some("layer".into()),
            node: vec![node],
            initializer: weights,
            input: vec![port("x", &[seq, BATCH, INPUT])],
            output,
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
        let file =
            ModelProto { ir_version: Some(8), graph: Some(Box::new(graph)), opset_import, ..ModelProto::default() };
        let source = Source::from_bytes("layer.onnx", file.encode_to_vec());
        mindir::load_source(source).expect("the layer is supported").model
    }
}

fn layers() -> Vec<Layer> {
    let mut out = Vec::new();
    for (op, activations) in [
        ("RNN", &[&[][..], &["Relu"]][..]),
        ("GRU", &[&[], &["Softsign", "Softplus"]]),
        ("LSTM", &[&[], &["Sigmoid", "Softsign", "Relu"]]),
    ] {
        for direction in ["forward", "reverse", "bidirectional"] {
            for (i, &activations) in activations.iter().enumerate() {
                for linear_before_reset in [false, true] {
                    for plain in [false, true] {
                        if (op == "GRU" || !linear_before_reset) && (i == 0 || !plain) {
                            out.push(Layer {
                                op,
                                direction,
                                activations,
                                linear_before_reset,
                                bias: !plain,
                                start: !plain,
                            });
                        }
                    }
                }
            }
        }
    }
    out
}

fn cell(model: Model) -> GraphCell {
    GraphCell::new(model, Options { threads: Some(1), ..Options::default() }).expect("supported")
}

#[test]
fn layers_compute_what_their_loops_compute() {
    for layer in layers() {
        let seq = 6;
        let model = layer.model(seq);
        let mut loops = model.clone();
        loops.graphs.iter_mut().for_each(|g| g.layer = None);
        let x: Vec<f32> = (0..seq * BATCH * INPUT).map(|i| (i as f32 * 0.7).sin()).collect();
        let x = Tensor::from_vec(&[seq, BATCH, INPUT], x).expect("a tensor");
        let [got, want] = [model, loops].map(|m| cell(m).run(std::slice::from_ref(&x)).expect("runs"));
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got.fact(), want.fact(), "{layer:?}");
            for (g, w) in got.view::<f32>().expect("floats").iter().zip(want.view::<f32>().expect("floats")) {
                assert!((g - w).abs() < 1e-5, "{layer:?}: {g}, expected {w}");
            }
        }
    }
}

#[test]
fn the_length_of_a_sequence_is_no_matter_of_the_plan() {
    for layer in layers() {
        let kernels = [3, 2000].map(|seq| {
            let facts = [Fact::new(DType::F32, &[seq, BATCH, INPUT])];
            let session = cell(layer.model(seq)).session(&facts).expect("a straight line");
            let steps = session.plan().stages().iter().flat_map(|s| &s.steps);
            steps.map(|s| s.kernel.clone()).collect::<Vec<_>>()
        });
        assert_eq!(kernels[0].len(), kernels[1].len(), "{layer:?}");
        let layers = kernels[1].iter().filter(|k| k.ends_with("-f32-steps")).count();
        assert_eq!(layers, layer.directions(), "{layer:?}: {kernels:?}");
        assert!(!kernels[1].iter().any(|k| k == "host"), "{layer:?}: {kernels:?}");
    }
}
