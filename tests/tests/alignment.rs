//! Weights may lie anywhere in a file.

use mindir::{GraphCell, Options, Source, Tensor};
use mindir_tests::golden;

/// The results of a file of which every byte lies `shift` bytes behind a multiple of 64.
fn results(file: &[u8], shift: usize, inputs: &[Tensor]) -> Vec<Tensor> {
    let room = mindir_graph::aligned_copy(&[&vec![0; shift], file].concat()).expect("memory");
    let loaded = mindir::load_source(Source::from_bytes("shifted.mindir", room.slice(shift..))).expect("a model");
    let cell = GraphCell::new(loaded.model, Options::default()).expect("a cell");
    cell.run(inputs).expect("results")
}

#[test]
fn weights_lie_anywhere() {
    for name in ["lenet5", "bert_small", "lstm_layer", "cf_while", "norms", "state_counter"] {
        let golden = golden::read(&golden::folder().join(name));
        let file = std::fs::read(&golden.graph).expect("a file");
        let inputs = &golden.runs[0].inputs;
        let want = results(&file, 0, inputs);
        for shift in 1..8 {
            assert_eq!(results(&file, shift, inputs), want, "{name} shifted by {shift}");
        }
    }
}
