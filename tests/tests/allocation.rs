//! A session allocates nothing once it has run.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use mindir::{GraphCell, Options, Tensor};
use mindir_tests::golden;

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

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
        let before = COUNT.load(Ordering::Relaxed);
        for _ in 0..3 {
            session.run_bytes(&bytes).expect("runs");
        }
        assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0, "{name} allocates");
    }
}
