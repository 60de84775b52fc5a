//! A file as pieces of bytes. Weights are pieces of their own that share the model's memory.

use bytes::Bytes;
use mindir_proto::mindir::{ExternalDataProto, GraphProto, ModelProto, TensorProto};
use mindir_proto::prost::Message;
use mindir_proto::prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// The multiple at which contents start.
const LINE: u64 = 64;
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
    /// Whether it has a description already.
    pub described: bool,
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
        // How long the key and length of the graph are is known when all else is; one more guess is right but for files
        // whose length is close to a power of 128.
        let guess = message(MODEL_GRAPH, self.inside(places, 0));
        let head = guess.first().map_or(0, Bytes::len);
        let start = self.around[0].len() + head;
        let [front, back] = self.around.clone();
        [front].into_iter().chain(message(MODEL_GRAPH, self.inside(places, start as u64))).chain([back]).collect()
    }

    /// The pieces of the graph, which starts at byte `start` of the file.
    fn inside(&self, places: &[Option<ExternalDataProto>], start: u64) -> Vec<Bytes> {
        let mut inside = vec![self.graph[0].clone()];
        let mut at = start + length(&inside);
        let places = places.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        for (weight, place) in self.weights.iter().zip(places) {
            let pieces = match place {
                Some(_) => message(GRAPH_PARAMETER, weight.pieces(place, 0)),
                None => weight.aligned(at),
            };
            at += length(&pieces);
            inside.extend(pieces);
        }
        inside.push(self.graph[1].clone());
        inside
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
        let described = front.doc_string.is_some();
        let around = [encoded(&front), encoded(&back)];
        Weight { key: python, around, contents: raw_data.unwrap_or_default(), described }
    }

    /// The weight at byte `at` of a file. Contents that fill a line have a description of spaces in front of them, so that they
    /// start at a multiple of [`LINE`].
    fn aligned(&self, at: u64) -> Vec<Bytes> {
        let with = |spaces| message(GRAPH_PARAMETER, self.pieces(None, spaces));
        let starts = |pieces: &[Bytes]| {
            let before = pieces.len().saturating_sub(2);
            at + length(pieces.get(..before).unwrap_or_default())
        };
        let worth = self.contents.len() as u64 >= LINE && !self.described;
        let all = if worth { 0..2 * LINE as usize } else { 0..1 };
        all.map(with).find(|pieces| starts(pieces).is_multiple_of(LINE)).unwrap_or_else(|| with(0))
    }

    /// The fields in front of the contents, these, and those behind them.
    fn pieces(&self, place: Option<&ExternalDataProto>, spaces: usize) -> Vec<Bytes> {
        let [front, back] = self.around.clone();
        let text = TensorProto { doc_string: Some(" ".repeat(spaces)), ..TensorProto::default() };
        let text = if spaces > 0 { encoded(&text) } else { Bytes::new() };
        let contents = match place {
            Some(place) => message(TENSOR_EXTERNAL_DATA, vec![encoded(place)]),
            None => message(TENSOR_RAW_DATA, vec![self.contents.clone()]),
        };
        [front, text].into_iter().chain(contents).chain([back]).collect()
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
        let tensor = |name: &str, contents: &'static [u8]| TensorProto {
            dims: vec![contents.len() as i64],
            data_type: Some(9),
            name: Some(name.to_string()),
            raw_data: Some(Bytes::from_static(contents)),
            ref_key: Some(name.to_string()),
            compression_type: Some(0),
            ..Default::default()
        };
        let graph = GraphProto {
            name: Some("net".into()),
            parameter: vec![tensor("a", b"\x01\0\x01"), tensor("b", b"\x01")],
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
        assert_eq!(image.weight_bytes(), 4);
    }

    #[test]
    fn contents_start_at_lines_wherever_they_end() {
        for more in 0..300 {
            let tensor = |len: usize| TensorProto {
                dims: vec![len as i64],
                data_type: Some(3),
                name: Some("w".repeat(1 + more % 7)),
                raw_data: Some(vec![1; len].into()),
                ..Default::default()
            };
            let graph = GraphProto {
                name: Some("n".repeat(more)),
                parameter: [64, 3, 127, 16_300, 64 + more].map(tensor).into(),
                ..Default::default()
            };
            let model = ModelProto { graph: Some(Box::new(graph)), ..Default::default() };
            let bytes: Bytes = Image::of(model.clone()).pieces(&[]).concat().into();
            let mut back = ModelProto::decode(bytes.clone()).unwrap();
            for tensor in back.graph.iter_mut().flat_map(|g| &mut g.parameter) {
                let contents = tensor.raw_data.as_ref().unwrap();
                let at = contents.as_ptr().addr() - bytes.as_ptr().addr();
                assert!(at.is_multiple_of(64) || contents.len() < 64, "{more}: {} bytes at {at}", contents.len());
                assert!(tensor.doc_string.take().is_none_or(|text| text.trim().is_empty()));
            }
            assert_eq!(back, model);
        }
    }
}
