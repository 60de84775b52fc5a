//! A file as pieces of bytes. Weights are pieces of their own that share the model's memory.

use bytes::Bytes;
use mindir_proto::{
    mindir::{ExternalDataProto, GraphProto, ModelProto, TensorProto},
    prost::{
        Message,
        encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
    },
};

const MODEL_GRAPH: u32 = 7;
const GRAPH_PARAMETER: u32 = 3;
const TENSOR_RAW_DATA: u32 = 9;
const TENSOR_EXTERNAL_DATA: u32 = 12;

/// A file with the weights of its graph apart.
pub(super) struct Image {
    /// Fields of the model in front of its graph, and behind it.
    pub around: [Bytes; 2],
    /// Fields of the graph in front of its weights, and behind them.
    pub graph: [Bytes; 2],
    pub weights: Vec<Weight>,
}

/// A weight in pieces.
pub(super) struct Weight {
    /// The name that MindSpore sorts data files by.
    pub key: String,
    /// Its fields in front of the contents, and behind them.
    pub around: [Bytes; 2],
    pub contents: Bytes,
}

impl Image {
    /// The file that holds `model`. Fields stand in the order of their numbers, as MindSpore writes them.
    pub(super) fn of(model: ModelProto) -> Image {
        let ModelProto { ir_version, producer_name, producer_version, domain, model_version, doc_string, .. } = model;
        let front = ModelProto {
            ir_version,
            producer_name,
            producer_version,
            domain,
            model_version,
            doc_string,
            ..ModelProto::default()
        };
        let graph = model.graph.map(|graph| *graph).unwrap_or_default();
        let back = ModelProto {
            functions: model.functions,
            preprocessor: model.preprocessor,
            little_endian: model.little_endian,
            parallel: model.parallel,
            primitives: model.primitives,
            mind_ir_version: model.mind_ir_version,
            user_info: model.user_info,
            ..ModelProto::default()
        };
        let GraphProto { node, name, parameter, .. } = graph;
        let first = GraphProto { node, name, ..GraphProto::default() };
        let rest = GraphProto {
            doc_string: graph.doc_string,
            input: graph.input,
            output: graph.output,
            bprop_hash: graph.bprop_hash,
            attribute: graph.attribute,
            bprop_filepath: graph.bprop_filepath,
            map_parameter: graph.map_parameter,
            ..GraphProto::default()
        };
        Image {
            around: [encoded(&front), encoded(&back)],
            graph: [encoded(&first), encoded(&rest)],
            weights: parameter.into_iter().map(Weight::of).collect(),
        }
    }

    /// Bytes of all weights.
    pub(super) fn weight_bytes(&self) -> u64 {
        self.weights.iter().map(|weight| weight.contents.len() as u64).sum()
    }

    /// The pieces of the graph file. Where `places` has a place for a weight, it stands there instead of the contents.
    pub(super) fn pieces(&self, places: &[Option<ExternalDataProto>]) -> Vec<Bytes> {
        let places = places.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let weights: Vec<Vec<Bytes>> = self
            .weights
            .iter()
            .zip(places)
            .map(|(weight, place)| message(GRAPH_PARAMETER, weight.pieces(place)))
            .collect();
        let [first, rest] = self.graph.clone();
        let inside = [first].into_iter().chain(weights.into_iter().flatten()).chain([rest]).collect();
        let [front, back] = self.around.clone();
        [front].into_iter().chain(message(MODEL_GRAPH, inside)).chain([back]).collect()
    }
}

impl Weight {
    /// A weight that comes as a message.
    pub(super) fn of(tensor: TensorProto) -> Weight {
        let TensorProto { dims, data_type, name, doc_string, raw_data, .. } = tensor;
        let python = tensor.ref_key.clone().or_else(|| name.clone()).unwrap_or_default();
        let front = TensorProto { dims, data_type, name, doc_string, ..TensorProto::default() };
        let back = TensorProto {
            ref_key: tensor.ref_key,
            min_dims: tensor.min_dims,
            max_dims: tensor.max_dims,
            compression_type: tensor.compression_type,
            quant_params: tensor.quant_params,
            ..TensorProto::default()
        };
        Weight { key: python, around: [encoded(&front), encoded(&back)], contents: raw_data.unwrap_or_default() }
    }

    fn pieces(&self, place: Option<&ExternalDataProto>) -> Vec<Bytes> {
        let [front, back] = self.around.clone();
        let contents = match place {
            Some(place) => message(TENSOR_EXTERNAL_DATA, vec![encoded(place)]),
            None => message(TENSOR_RAW_DATA, vec![self.contents.clone()]),
        };
        [front].into_iter().chain(contents).chain([back]).collect()
    }
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// A field that consists of `pieces`, with its key and length in front.
pub(super) fn message(number: u32, pieces: Vec<Bytes>) -> Vec<Bytes> {
    let len = length(&pieces);
    let mut head = Vec::with_capacity(8 + encoded_len_varint(len));
    encode_key(number, WireType::LengthDelimited, &mut head);
    encode_varint(len, &mut head);
    [Bytes::from(head)].into_iter().chain(pieces).collect()
}

/// Number of bytes.
pub(super) fn length(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_message() {
        let tensor = |name: &str| TensorProto {
            dims: vec![3],
            data_type: Some(9),
            name: Some(name.to_string()),
            raw_data: Some(Bytes::from_static(b"\x01\0\x01")),
            ref_key: Some(name.to_string()),
            compression_type: Some(0),
            ..Default::default()
        };
        let graph = GraphProto {
            name: Some("net".into()),
            parameter: vec![tensor("a"), tensor("b")],
            bprop_hash: Some("x".into()),
            ..Default::default()
        };
        let model = ModelProto {
            ir_version: Some("1.1".into()),
            graph: Some(Box::new(graph)),
            mind_ir_version: Some(3),
            ..Default::default()
        };
        let bytes = model.encode_to_vec();
        let image = Image::of(model);
        assert_eq!(image.pieces(&[]).concat(), bytes);
        assert_eq!(image.weight_bytes(), 6);
    }
}
