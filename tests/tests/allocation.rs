//! A session allocates nothing once it has run.

use std::time::Duration;

use mindir::{GraphCell, Options, Tensor};
use mindir_tests::counting::Counting;
use mindir_tests::golden;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NAMES: [&str; 7] =
    ["lenet5", "mlp_small", "resnet_bottleneck_small", "mobilenet_small", "bert_small", "vit_small", "yolo_small"];

#[test]
fn steady_state_allocates_nothing() {
    for (name, threads) in NAMES.into_iter().flat_map(|name| [(name, 1), (name, 2)]) {
        let golden = golden::read(&golden::folder().join(name));
        let model = mindir::load(&golden.graph).expect("the golden loads");
        let cell = GraphCell::new(model, Options { threads: Some(threads), ..Options::default() }).expect("supported");
        let inputs = &golden.runs[0].inputs;
        let facts: Vec<_> = inputs.iter().map(Tensor::fact).collect();
        let mut session = cell.session(&facts).expect("straight");
        let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
        let mut allocations = || {
            let before = Counting::totals()[0];
            (0..3).for_each(|_| session.run_bytes(&bytes).expect("runs"));
            Counting::totals()[0] - before
        };
        // Threads that have begun allocate what is their own, and a busy machine lets them begin late.
        let quiet = (0..200).any(|_| {
            let none = allocations() == 0 && allocations() == 0;
            std::thread::sleep(Duration::from_millis(1));
            none
        });
        assert!(quiet, "{name} allocates with {threads} threads");
    }
}
