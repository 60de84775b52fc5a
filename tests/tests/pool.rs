//! Cells on one pool of threads.
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mindir::{GraphCell, Options};
use mindir_tests::models::{convolutions, numbers};
use rayon::ThreadPoolBuilder;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("the process has threads").count()
}

// One test, because it counts the threads of the process.
#[test]
fn cells_share_the_threads_of_a_pool() {
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(3).build().unwrap());
    let model = Arc::new(convolutions(16).unwrap());
    let x = [numbers(&[1, 3, 32, 32], 1)];
    let want =
        GraphCell::new(model.clone(), Options { threads: Some(1), ..Options::default() }).unwrap().run(&x).unwrap();
    let before = threads();
    let options = Options::default().with_pool(pool);
    let cells: Vec<GraphCell> = (0..8).map(|_| GraphCell::new(model.clone(), options.clone()).unwrap()).collect();
    std::thread::scope(|s| {
        for cell in &cells {
            let (x, want) = (&x, &want);
            s.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(&cell.run(x).unwrap(), want);
                }
            });
        }
    });
    // The system may take a moment to bury threads that have ended.
    let end = Instant::now() + Duration::from_secs(10);
    while threads() > before && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(threads(), before);
}
