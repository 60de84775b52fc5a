//! Damaged files: reading them ends with a model or an error, never with a panic.

mod common;

use std::{collections::BTreeMap, fs, sync::LazyLock};

use bytes::Bytes;
use common::data;
use mindir_loader::{
    Limits, LoadError,
    mindir::{Source, WireModel},
};
use proptest::{prelude::*, sample::Index};

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
