//! A model as messages.

use std::collections::HashMap;

use mindir_graph::graph::{Graph, GraphId, Model, ValueId};
use mindir_graph::{Table, infer, verify};
use mindir_proto::mindir::{GraphProto, MAX_MIND_IR_VERSION, ModelProto};

use super::fault::{ExportError, NameFault, NodeFault};
use super::names::Names;
use super::needs::Needs;
use super::primitive::Primitives;
use super::{body, preprocess, value};

/// A file under construction.
pub(super) struct File<'m> {
    pub model: &'m Model,
    pub names: Names,
    pub primitives: Primitives,
    /// Names of parameters in the entry graph.
    pub params: HashMap<usize, String>,
    pub faults: Vec<NodeFault>,
    graphs: Vec<String>,
    needs: Vec<Needs>,
    /// For every graph how often its values are used.
    uses: Vec<Table<ValueId, usize>>,
}

/// The messages of a file that holds `model`. Weights share their memory with the model.
pub(super) fn encode(model: &Model) -> Result<ModelProto, ExportError> {
    verify(model)?;
    let mut model = model.clone();
    infer(&mut model);
    let mut file = File::new(&model);
    let mut graphs = (0..model.graphs.len()).map(|graph| GraphId(graph as u32));
    let mut entry = graphs.next().map(|id| body::write(&mut file, id)).unwrap_or_default();
    let functions: Vec<GraphProto> = graphs.map(|id| body::write(&mut file, id)).collect();
    if !file.faults.is_empty() {
        return Err(ExportError::Graph(file.faults));
    }
    if let Some(name) = file.names.too_long() {
        return Err(ExportError::Name { name: name.to_string(), why: NameFault::TooLong(name.len()) });
    }
    let params = model.params.iter().enumerate();
    let named = |place: usize| file.params.get(&place).cloned().unwrap_or_default();
    entry.parameter = params.map(|(place, held)| value::parameter(named(place), &held.name, &held.tensor)).collect();
    let or = |text: &str, other: &str| Some(if text.is_empty() { other.to_string() } else { text.to_string() });
    Ok(ModelProto {
        ir_version: Some("1.1".to_string()),
        producer_name: or(&model.origin.producer, "mindir"),
        model_version: or(&model.origin.version, env!("CARGO_PKG_VERSION")),
        graph: Some(Box::new(entry)),
        functions,
        preprocessor: preprocess::preprocessor(&model.preprocess),
        little_endian: Some(true),
        primitives: file.primitives.list,
        mind_ir_version: Some(MAX_MIND_IR_VERSION),
        user_info: model.origin.user_info.iter().cloned().collect(),
        ..Default::default()
    })
}

impl<'m> File<'m> {
    fn new(model: &'m Model) -> File<'m> {
        let mut names = Names::default();
        // A parameter's own name begins after the first colon.
        let graphs: Vec<String> = model.graphs.iter().map(|graph| names.unique(graph_name(graph))).collect();
        let entry = graphs.first().cloned().unwrap_or_default();
        let params = model.params.iter().enumerate();
        let params = params.map(|(place, held)| (place, names.unique(format!("{entry}:{}", held.name)))).collect();
        let uses = model.graphs.iter().map(Graph::uses).collect();
        let needs = Needs::of(model);
        File { model, names, primitives: Primitives::default(), params, faults: Vec::new(), graphs, needs, uses }
    }

    pub(super) fn graph(&self, id: GraphId) -> Option<(&'m Graph, String)> {
        let place = id.0 as usize;
        Some((self.model.graphs.get(place)?, self.graphs.get(place)?.clone()))
    }

    pub(super) fn graph_name(&self, id: GraphId) -> String {
        self.graphs.get(id.0 as usize).cloned().unwrap_or_default()
    }

    pub(super) fn needs(&self, id: GraphId) -> Needs {
        self.needs.get(id.0 as usize).cloned().unwrap_or_default()
    }

    pub(super) fn is_used(&self, graph: GraphId, value: ValueId) -> bool {
        let uses = self.uses.get(graph.0 as usize).and_then(|uses| uses.find(value));
        uses.is_some_and(|uses| *uses > 0)
    }
}

fn graph_name(graph: &Graph) -> String {
    let name = graph.name.replace(':', "_");
    if name.is_empty() { "graph".to_string() } else { name }
}
