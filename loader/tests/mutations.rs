//! Damaged files: reading them ends with a model or an error, never with a panic.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use bytes::Bytes;
use common::data;
use mindir_loader::mindir::{Source, WireModel};
use mindir_loader::{GraphFault, Limits, LoadError, NoFiles};
use mindir_proto::mindir::{GraphProto, ModelProto};
use mindir_proto::prost::Message;
use proptest::prelude::*;
use proptest::sample::Index;

struct Seed {
    graph: Vec<u8>,
    files: BTreeMap<String, Bytes>,
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let seed = |graph: &str, files: &[&str]| Seed {
        graph: fs::read(data(graph)).unwrap(),
        files: files
            .iter()
            .map(|file| (file.to_string(), fs::read(data("split_one").join(file)).unwrap().into()))
            .collect(),
    };
    vec![
        seed("io_multi_in.mindir", &[]),
        seed("cf_while.mindir", &[]),
        seed("io_const_dtypes.mindir", &[]),
        seed("preprocess.mindir", &[]),
        seed("split_one/net_graph.mindir", &["net_variables/data_0"]),
    ]
});

#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
    Swap(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        (at(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), 1..64usize).prop_map(|(at, len)| Change::Remove(at, len)),
        (at(), 1..64usize).prop_map(|(at, len)| Change::Repeat(at, len)),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let span = |at: &Index, len: usize| at.index(bytes.len())..(at.index(bytes.len()) + len).min(bytes.len());
    match change {
        Change::Set(at, value) => {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        Change::Flip(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Change::Remove(at, len) => drop(bytes.drain(span(at, *len))),
        Change::Repeat(at, len) => {
            let span = span(at, *len);
            let copy = bytes[span.clone()].to_vec();
            bytes.splice(span.start..span.start, copy);
        }
        Change::Swap(a, b) => {
            let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
            bytes.swap(a, b);
        }
    }
}

fn read(graph: Vec<u8>, files: BTreeMap<String, Bytes>) -> Result<WireModel, LoadError> {
    WireModel::read(Source::from_bytes("mutated", graph).with_files(files), &Limits::default())
}

/// A change that keeps the file a message.
#[derive(Clone, Debug)]
enum Rewire {
    /// A node takes another name of the file as input.
    Input(Index, Index, Index),
    /// A node calls, or is an operator, by another name of the file.
    Operator(Index, Index),
    /// A graph returns another name of the file.
    Output(Index, Index),
    Remove(Index),
    /// An integer constant has another value.
    Number(Index, i64),
    /// A node says nothing about its result.
    Forget(Index),
    Reverse,
}

fn rewire() -> impl Strategy<Value = Rewire> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), at(), at()).prop_map(|(node, input, name)| Rewire::Input(node, input, name)),
        3 => (at(), at()).prop_map(|(node, name)| Rewire::Operator(node, name)),
        1 => (at(), at()).prop_map(|(graph, name)| Rewire::Output(graph, name)),
        1 => at().prop_map(Rewire::Remove),
        1 => (at(), -9..9i64).prop_map(|(node, value)| Rewire::Number(node, value)),
        1 => at().prop_map(Rewire::Forget),
        1 => Just(Rewire::Reverse),
    ]
}

fn graphs(model: &mut ModelProto) -> Vec<&mut GraphProto> {
    model.graph.as_deref_mut().into_iter().chain(&mut model.functions).collect()
}

/// Every name of a file, and operators with names of their own.
fn names(model: &ModelProto) -> Vec<String> {
    let mut names: Vec<_> =
        ["MakeTuple", "TupleGetItem", "Switch", "switch_layer", "Partial", "Depend", "Load"].map(str::to_string).into();
    names.extend(model.primitives.iter().map(|primitive| primitive.name().to_string()));
    for graph in model.graph.as_deref().into_iter().chain(&model.functions) {
        names.push(graph.name().to_string());
        names.extend(graph.input.iter().map(|input| input.name().to_string()));
        names.extend(graph.parameter.iter().map(|parameter| parameter.name().to_string()));
        names.extend(graph.node.iter().map(|node| node.output[0].clone()));
    }
    names
}

fn redo(model: &mut ModelProto, change: &Rewire) {
    let names = names(model);
    let mut graphs = graphs(model);
    if let Rewire::Output(graph, name) = change {
        let count = graphs.len();
        graphs[graph.index(count)].output[0].name = Some(name.get(&names).clone());
        return;
    }
    if let Rewire::Reverse = change {
        graphs.iter_mut().for_each(|graph| graph.node.reverse());
        return;
    }
    let total: usize = graphs.iter().map(|graph| graph.node.len()).sum();
    let (Rewire::Input(at, ..)
    | Rewire::Operator(at, _)
    | Rewire::Remove(at)
    | Rewire::Number(at, _)
    | Rewire::Forget(at)) = change
    else {
        return;
    };
    if total == 0 {
        return;
    }
    let mut place = at.index(total);
    let graph = graphs.into_iter().find(|graph| {
        let here = place < graph.node.len();
        place -= if here { 0 } else { graph.node.len() };
        here
    });
    let nodes = &mut graph.unwrap().node;
    match change {
        Rewire::Input(_, input, name) => match nodes[place].input.len() {
            0 => nodes[place].input.push(name.get(&names).clone()),
            count => nodes[place].input[input.index(count)] = name.get(&names).clone(),
        },
        Rewire::Operator(_, name) => {
            let name = name.get(&names);
            let bare = name.chars().all(char::is_alphabetic);
            nodes[place].op_type = Some(if bare { name.clone() } else { format!("REF::{name}") });
        }
        Rewire::Remove(_) => drop(nodes.remove(place)),
        Rewire::Number(_, value) => nodes[place].attribute.iter_mut().for_each(|attribute| attribute.i = Some(*value)),
        _ => nodes[place].attribute.clear(),
    }
}

const GRAPHS: &[&str] = &[
    "cf_while",
    "cf_nested_while",
    "cf_if_assign",
    "cf_closure",
    "cf_switch_layer",
    "cf_lazy_inline",
    "train_momentum",
    "io_mutable_in",
    "io_tuple_out",
    "dyn_rank",
    "lstm_layer",
];

static MODELS: LazyLock<Vec<ModelProto>> = LazyLock::new(|| {
    let folder = data("../../../tests/goldens");
    let read = |name: &&str| ModelProto::decode(fs::read(folder.join(name).join("model.mindir")).unwrap().as_slice());
    GRAPHS.iter().map(|name| read(name).unwrap()).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rewired_graphs_end_well(seed in 0..GRAPHS.len(), changes in proptest::collection::vec(rewire(), 1..8)) {
        let mut model = MODELS[seed].clone();
        changes.iter().for_each(|change| redo(&mut model, change));
        if let Err(error) = mindir_loader::load_bytes("mutated", model.encode_to_vec(), NoFiles) {
            let own = matches!(&error, LoadError::Graph { fault, .. } if matches!(**fault, GraphFault::Model(_)));
            prop_assert!(!own, "{error}");
            prop_assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_end_well(seed in 0..5usize, changes in proptest::collection::vec(change(), 1..6)) {
        let Seed { mut graph, files } = Seed { graph: SEEDS[seed].graph.clone(), files: SEEDS[seed].files.clone() };
        changes.iter().for_each(|change| apply(&mut graph, change));
        if let Err(error) = read(graph, files) {
            prop_assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }

    #[test]
    fn noise_ends_well(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(noise, BTreeMap::new()).is_err());
    }

    #[test]
    fn noise_in_a_graph_ends_well(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(common::field(7, &noise), BTreeMap::new());
    }
}
