//! Changing and moving model files without losing what this crate does not understand.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use bytes::{Buf, Bytes};
use mindir_graph::Tensor;
use mindir_proto::mindir::{ModelProto, TensorProto};
use mindir_proto::prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use mindir_proto::prost::{DecodeError, Message};

use super::super::read::{Layout, WireModel};
use super::super::schema::{Kind, MODEL, Schema};
use super::super::source::{Source, contents};
use super::super::tensor::TensorData;
use super::fault::{ExportError, NameFault};
use super::image::{self, Image, Weight};
use super::layout::{self, ExportOptions, Written};
use crate::crypto::{Encryption, KeyFault};
use crate::element::ElementType;
use crate::error::LoadError;
use crate::limits::{Limits, MOST_NAME};

/// A model file as it is, down to fields that the schema does not have, with changes to be made when it is written.
///
/// Only what changes is written anew: everything else is copied byte for byte, and a file without changes that keeps its
/// layout is written as it was read. What was encrypted is encrypted again, with the same key and in the same mode, unless the
/// options name others or [`decrypted`](Self::decrypted) was called.
///
/// ```no_run
/// use mindir_loader::{Access, Limits, mindir::{ExportOptions, ModelFile, Source}};
///
/// let source = Source::open("net.mindir", Access::Map)?;
/// let mut file = ModelFile::read(source, &Limits::default())?;
/// file.set_user_info("license", Some("Apache-2.0"));
/// file.rename_parameters([("fc.weight", "head.weight")])?;
/// file.write("renamed.mindir", &ExportOptions::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// The graph file, decrypted.
    bytes: Bytes,
    wire: WireModel,
    user_info: BTreeMap<String, Option<String>>,
    /// New names by old names.
    names: BTreeMap<String, String>,
    /// New contents by the parameter's number.
    contents: BTreeMap<usize, Bytes>,
    /// How the files were encrypted.
    encryption: Option<Encryption>,
}

impl ModelFile {
    /// Reads and checks a model.
    ///
    /// # Errors
    /// As [`WireModel::read`].
    pub fn read(source: Source, limits: &Limits) -> Result<Self, LoadError> {
        let bytes = contents(&source.name, source.bytes.clone(), source.decryption.as_ref())?;
        let encryption = source.decryption.as_ref().zip(source.cipher()).map(|(key, cipher)| key.encryption(cipher));
        let refused = |fault: KeyFault| LoadError::Decrypt { file: source.name.clone(), fault: fault.into() };
        let encryption = encryption.transpose().map_err(refused)?;
        let wire = WireModel::of_contents(source, bytes.clone(), limits)?;
        let (user_info, names, contents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { bytes, wire, user_info, names, contents, encryption })
    }

    /// The same model, which is not encrypted when it is written unless the options say how.
    #[must_use]
    pub fn decrypted(self) -> Self {
        Self { encryption: None, ..self }
    }

    /// The model as it was read, without the changes.
    pub fn wire(&self) -> &WireModel {
        &self.wire
    }

    /// Bytes of all parameters.
    pub fn parameter_bytes(&self) -> u64 {
        split(&self.bytes, &self.wire).weight_bytes()
    }

    /// Sets a text that users attach, or removes it.
    pub fn set_user_info(&mut self, key: &str, text: Option<&str>) {
        self.user_info.insert(key.to_string(), text.map(str::to_string));
    }

    /// Gives parameters other names, everywhere and all at once, so that two may take each other's. Names are the network's,
    /// without the graph's in front; old ones are those in the file that was read.
    ///
    /// # Errors
    /// [`ExportError::Unknown`] if no parameter has an old name; [`ExportError::Name`] if one cannot have its new name.
    pub fn rename_parameters<'a>(
        &mut self,
        names: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ExportError> {
        let mut all = self.names.clone();
        for (from, to) in names {
            self.parameter(from)?;
            all.insert(from.to_string(), to.to_string());
        }
        all.retain(|from, to| from != to);
        self.check_names(&all)?;
        self.names = all;
        Ok(())
    }

    /// Checks that the file can be read when its parameters have these names.
    fn check_names(&self, names: &BTreeMap<String, String>) -> Result<(), ExportError> {
        let others: HashSet<&str> = other_names(&self.wire.model).collect();
        let mut own = HashSet::new();
        for (name, proto) in self.parameters() {
            let to = names.get(name).map_or(name, String::as_str);
            let full = full(proto, to);
            let fault = match () {
                () if to.is_empty() => NameFault::Empty,
                () if full.len() > MOST_NAME => NameFault::TooLong(full.len()),
                () if short(&full) != to => NameFault::Colon,
                () if others.contains(&*full) => NameFault::Taken,
                () if !own.insert(to) => NameFault::SameName,
                () => continue,
            };
            return Err(ExportError::Name { name: to.to_string(), why: fault });
        }
        Ok(())
    }

    /// Gives a parameter other contents. It is called as in the file that was read.
    ///
    /// # Errors
    /// [`ExportError::Unknown`] if there is no such parameter; [`ExportError::Contents`] if it is of another type or shape.
    pub fn set_parameter(&mut self, name: &str, tensor: &Tensor) -> Result<(), ExportError> {
        let number = self.parameter(name)?;
        let held = self.parameters().nth(number).and_then(|(_, proto)| TensorData::of(proto, usize::MAX).ok());
        let fits = held.is_some_and(|held| {
            held.element == ElementType::from(tensor.dtype()) && held.dims.as_slice() == tensor.shape()
        });
        if !fits {
            return Err(ExportError::Contents { name: name.to_string(), found: tensor.fact().to_string() });
        }
        self.contents.insert(number, tensor.bytes().clone());
        Ok(())
    }

    /// Writes the model with its changes. Options are those of [`export`](super::export()), but that without `encryption` the
    /// files are encrypted as those were that were read.
    ///
    /// # Errors
    /// As [`export`](super::export()), but for the graphs, which stay as they are.
    pub fn write(&self, path: impl AsRef<Path>, options: &ExportOptions) -> Result<Written, ExportError> {
        let mut file = self.clone();
        file.user_info.extend(options.user_info.iter().map(|(key, text)| (key.clone(), Some(text.clone()))));
        let image = file.image();
        let unchanged = file.user_info.is_empty() && file.names.is_empty() && file.contents.is_empty();
        let single = file.wire.origin.layout == Layout::Single && image.weight_bytes() <= options.split_above;
        let whole = (unchanged && single).then_some(&self.bytes);
        let encryption = options.encryption.clone().or(file.encryption);
        layout::write(image, whole, path.as_ref(), &ExportOptions { encryption, ..options.clone() })
    }

    fn parameters(&self) -> impl Iterator<Item = (&str, &TensorProto)> {
        let list = self.wire.model.graph.iter().flat_map(|graph| &graph.parameter);
        list.map(|proto| (short(proto.name.as_deref().unwrap_or_default()), proto))
    }

    fn parameter(&self, name: &str) -> Result<usize, ExportError> {
        let found = self.parameters().position(|(held, _)| held == name);
        found.ok_or_else(|| ExportError::Unknown { what: "parameter", name: name.to_string() })
    }

    /// The file in pieces, changed.
    fn image(&self) -> Image {
        let mut image = split(&self.bytes, &self.wire);
        for (number, contents) in &self.contents {
            if let Some(weight) = image.weights.get_mut(*number) {
                weight.contents = contents.clone();
            }
        }
        if !self.names.is_empty() {
            self.rename(&mut image);
        }
        if !self.user_info.is_empty() {
            self.inform(&mut image);
        }
        image
    }

    fn rename(&self, image: &mut Image) {
        let full: BTreeMap<String, String> = self
            .parameters()
            .filter_map(|(name, proto)| Some((proto.name.clone()?, full(proto, self.names.get(name)?))))
            .collect();
        let change = |field: &str, text: &str| {
            let names = if field == "ref_key" { &self.names } else { &full };
            names.get(text).cloned()
        };
        let tensor = message_of(graph_schema(), "parameter");
        let pieces = image.around.iter_mut().map(|piece| (piece, &MODEL));
        let pieces = pieces.chain(image.graph.iter_mut().map(|piece| (piece, graph_schema())));
        let weights = image.weights.iter_mut().flat_map(|weight| weight.around.iter_mut()).map(|piece| (piece, tensor));
        for (piece, schema) in pieces.chain(weights) {
            if let Some(changed) = rewritten(piece, schema, &change) {
                *piece = changed;
            }
        }
        for weight in &mut image.weights {
            if let Some(to) = self.names.get(&weight.key) {
                weight.key.clone_from(to);
            }
        }
    }

    /// Replaces texts of users: entries that change go, and come back at the end.
    fn inform(&self, image: &mut Image) {
        let number = number_of(&MODEL, "user_info");
        for piece in &mut image.around {
            let kept = fields(piece).into_iter().filter(|field| {
                let entry = ModelProto::decode(field.whole.clone()).unwrap_or_default();
                field.number != number || !entry.user_info.keys().any(|key| self.user_info.contains_key(key))
            });
            let kept: Vec<Bytes> = kept.map(|field| field.whole).collect();
            *piece = kept.concat().into();
        }
        let set = self.user_info.iter().filter_map(|(key, text)| Some((key.clone(), text.clone()?)));
        let added = ModelProto { user_info: set.collect(), ..ModelProto::default() };
        let [_, back] = &mut image.around;
        *back = [&back[..], &added.encode_to_vec()].concat().into();
    }
}

/// Names of graphs, inputs and nodes.
fn other_names(model: &ModelProto) -> impl Iterator<Item = &str> {
    let graphs = model.graph.as_deref().into_iter().chain(&model.functions);
    graphs.flat_map(|graph| {
        let nodes = graph.node.iter().map(|node| node.output.first().or(node.name.as_ref()));
        let inputs = graph.input.iter().map(|input| input.name.as_ref());
        nodes.chain(inputs).chain([graph.name.as_ref()]).flatten().map(String::as_str)
    })
}

/// The name `to` of a parameter with what stands in front of its own.
fn full(proto: &TensorProto, to: &str) -> String {
    let own = proto.name.as_deref().unwrap_or_default();
    format!("{}{to}", own.strip_suffix(short(own)).unwrap_or_default())
}

/// What stands behind the first colon.
fn short(name: &str) -> &str {
    name.split_once(':').map(|(_, rest)| rest).filter(|rest| !rest.is_empty()).unwrap_or(name)
}

fn graph_schema() -> &'static Schema {
    message_of(&MODEL, "graph")
}

/// The schema of a field that holds messages.
fn message_of(schema: &'static Schema, name: &str) -> &'static Schema {
    match schema.fields.iter().find(|field| field.name == name).map(|field| field.kind) {
        Some(Kind::Message(inner)) => inner,
        _ => schema,
    }
}

fn number_of(schema: &Schema, name: &str) -> u32 {
    schema.fields.iter().find(|field| field.name == name).map_or(0, |field| field.number)
}

/// A field as it stands in a message.
struct Field {
    number: u32,
    wire_type: WireType,
    /// Key, length and contents.
    whole: Bytes,
    /// What follows the key, and the length if it has one.
    contents: Bytes,
}

/// The fields of a message that was checked before; what cannot be read stays out.
fn fields(bytes: &Bytes) -> Vec<Field> {
    let mut rest = bytes.clone();
    let mut fields = Vec::new();
    while rest.has_remaining() {
        match field(&mut rest) {
            Ok(field) => fields.push(field),
            Err(_) => break,
        }
    }
    fields
}

fn field(rest: &mut Bytes) -> Result<Field, DecodeError> {
    let start = rest.clone();
    let (number, wire_type) = decode_key(rest)?;
    let mut behind_key = rest.clone();
    skip_field(wire_type, number, rest, DecodeContext::default())?;
    let end = start.len() - rest.len();
    if wire_type == WireType::LengthDelimited {
        decode_varint(&mut behind_key)?;
    }
    let contents = behind_key.slice(..behind_key.len() - rest.len());
    Ok(Field { number, wire_type, whole: start.slice(..end), contents })
}

/// The parts of `bytes` in front of the first field with one of `numbers`, all such fields, and the parts behind.
fn around(bytes: &Bytes, numbers: &[u32]) -> ([Bytes; 2], Vec<Field>) {
    let (mut front, mut found, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields(bytes) {
        if numbers.contains(&field.number) {
            found.push(field);
        } else if found.is_empty() {
            front.push(field);
        } else {
            back.push(field);
        }
    }
    ([joined(bytes, &front), joined(bytes, &back)], found)
}

/// Fields as one piece: a slice of `bytes` where they follow each other.
fn joined(bytes: &Bytes, fields: &[Field]) -> Bytes {
    let len: usize = fields.iter().map(|field| field.whole.len()).sum();
    let Some(first) = fields.first() else { return Bytes::new() };
    let start = first.whole.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
    let adjacent = fields.windows(2).all(|pair| match pair {
        [a, b] => a.whole.as_ptr_range().end == b.whole.as_ptr(),
        _ => true,
    });
    if adjacent && start.checked_add(len).is_some_and(|end| end <= bytes.len()) {
        return bytes.slice(start..start + len);
    }
    fields.iter().map(|field| field.whole.clone()).collect::<Vec<_>>().concat().into()
}

/// The graph file in pieces. Contents of weights are those of `wire`, wherever they were.
fn split(bytes: &Bytes, wire: &WireModel) -> Image {
    let graph = graph_schema();
    let (model, graphs) = around(bytes, &[number_of(&MODEL, "graph")]);
    let inside = graphs.into_iter().next().map(|field| field.contents).unwrap_or_default();
    let (graph_around, weights) = around(&inside, &[number_of(graph, "parameter")]);
    let parameters = wire.model.graph.iter().flat_map(|graph| &graph.parameter);
    let tensor = message_of(graph, "parameter");
    let sources = [number_of(tensor, "raw_data"), number_of(tensor, "external_data")];
    let weights = if weights.is_empty() {
        // They were in files of their own.
        parameters.cloned().map(Weight::of).collect()
    } else {
        let pairs = weights.into_iter().zip(parameters);
        pairs
            .map(|(field, proto)| Weight {
                key: short(proto.name.as_deref().unwrap_or_default()).to_string(),
                around: around(&field.contents, &sources).0,
                contents: proto.raw_data.clone().unwrap_or_default(),
                described: proto.doc_string.is_some(),
            })
            .collect()
    };
    Image { around: model, graph: graph_around, weights }
}

/// `bytes` with other names, where `change` has one for the name in a field. `None` if nothing changes.
///
/// Messages nest no deeper than the limits allow that they were read with.
fn rewritten(bytes: &Bytes, schema: &'static Schema, change: &dyn Fn(&str, &str) -> Option<String>) -> Option<Bytes> {
    let mut changed = false;
    let mut pieces = Vec::new();
    for field in fields(bytes) {
        let new = match schema.field(field.number).map(|(_, known)| (known.name, known.kind)) {
            Some((name, Kind::Name)) if field.wire_type == WireType::LengthDelimited => {
                std::str::from_utf8(&field.contents).ok().and_then(|text| change(name, text)).map(Bytes::from)
            }
            Some((_, Kind::Message(inner))) if field.wire_type == WireType::LengthDelimited => {
                rewritten(&field.contents, inner, change)
            }
            _ => None,
        };
        changed |= new.is_some();
        match new {
            Some(contents) => pieces.extend(image::message(field.number, vec![contents])),
            None => pieces.push(field.whole),
        }
    }
    changed.then(|| pieces.concat().into())
}
