//! A session allocates nothing once it has run.

use mindir::{GraphCell, Options, Tensor};
use mindir_tests::counting::Counting;
use mindir_tests::golden;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn steady_state_allocates_nothing() {
    for name in
        ["lenet5", "mlp_small", "resnet_bottleneck_small", "mobilenet_small", "bert_small", "vit_small", "yolo_small"]
    {
        let golden = golden::read(&golden::folder().join(name));
        let model = mindir::load(&golden.graph).expect("the golden loads");
        let cell = GraphCell::new(model, Options { threads: Some(1), ..Options::default() }).expect("supported");
        let inputs = &golden.runs[0].inputs;
        let facts: Vec<_> = inputs.iter().map(Tensor::fact).collect();
        let mut session = cell.session(&facts).expect("straight");
        let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
        session.run_bytes(&bytes).expect("runs");
        let before = Counting::totals()[0];
        for _ in 0..3 {
            session.run_bytes(&bytes).expect("runs");
        }
        assert_eq!(Counting::totals()[0] - before, 0, "{name} allocates");
    }
}
