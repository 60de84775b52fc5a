//! The memory that cells keep: packed weights are shared, and so is the memory of runs.

use std::ops::Range;
use std::sync::Arc;

use mindir::{DType, ExportOptions, Fact, GraphCell, Options, Source};
use mindir_tests::counting::Counting;
use mindir_tests::models::{convolutions, numbers};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn options(plan_memory: usize) -> Options {
    Options { threads: Some(1), plan_memory, ..Options::default() }
}

fn run(cell: &GraphCell, [h, w]: [usize; 2]) {
    cell.run(&[numbers(&[1, 3, h, w], 1)]).expect("the model takes every size");
}

// One test, because all count the bytes of the process.
#[test]
fn memory_is_shared_and_bounded() {
    a_plan_neither_copies_nor_packs_weights();
    sizes_and_cells_share_packed_weights();
    sizes_take_over_the_memory_of_runs();
}

fn a_plan_neither_copies_nor_packs_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net.mindir");
    mindir::export(&convolutions(256).expect("a model"), &path, &ExportOptions::default()).expect("a file");
    let written = std::fs::read(&path).expect("a file");
    for shift in 0..2 {
        // From an odd address, every weight is misaligned.
        let file =
            mindir_graph::aligned_copy(&[&vec![0; shift], &written[..]].concat()).expect("memory").slice(shift..);
        let before = Counting::in_use();
        let model = mindir::load_source(Source::from_bytes("net.mindir", file)).expect("a model").model;
        let cell = GraphCell::new(model, options(0)).expect("a cell");
        let plan = cell.plan(&[Fact::new(DType::F32, &[1, 3, 6, 6])]).expect("a plan");
        assert!(plan.scratch_bytes() > 0);
        let taken = Counting::in_use() - before;
        assert!(taken < 100_000, "{taken} bytes for a plan of a file of {}", written.len());
    }
}

fn sizes_and_cells_share_packed_weights() {
    let model = Arc::new(convolutions(256).expect("a model"));
    let before = Counting::in_use();
    let cell = || GraphCell::new(model.clone(), options(256 << 10)).expect("a cell");
    let cells: Vec<GraphCell> = (0..4).map(|_| cell()).collect();
    run(&cells[0], [6, 6]);
    let one = Counting::in_use() - before;
    assert!(one > 256 * 256 * 9 * 4, "the weights are packed: {one}");
    let sizes = (6..14).flat_map(|h| (6..10).map(move |w| [h, w]));
    sizes.for_each(|size| run(&cells[0], size));
    let many = Counting::in_use() - before;
    // Plans and the memory of a run, but no second form of the weights.
    assert!(many < one + (1 << 20), "one size takes {one} bytes, 32 take {many}");
    cells.iter().for_each(|cell| run(cell, [6, 6]));
    let four = Counting::in_use() - before;
    assert!(four < many * 115 / 100, "one cell takes {many} bytes, four take {four}");
    drop(cells);
    let left = Counting::in_use() - before;
    assert!(left < 64 << 10, "{left} bytes are left");
}

fn sizes_take_over_the_memory_of_runs() {
    let model = Arc::new(convolutions(8).expect("a model"));
    let kept = |sizes: Range<usize>| {
        let cell = GraphCell::new(model.clone(), options(1 << 30)).expect("a cell");
        let before = Counting::in_use();
        sizes.for_each(|size| run(&cell, [size, size]));
        Counting::in_use() - before
    };
    // A size needs from half a megabyte to two.
    let [one, many] = [119..120, 100..120].map(kept);
    assert!(one > 512 << 10, "{one}");
    assert!(many < one + (512 << 10), "one size takes {one} bytes, 20 take {many}");
}
