//! Whole models: the suite's networks, or the goldens in the folder that `MINDIR_GOLDENS` names.

use criterion::{Criterion, criterion_group, criterion_main};
use mindir::{GraphCell, Options, Tensor};
use mindir_benches::networks;

fn models(c: &mut Criterion) {
    let mut group = c.benchmark_group("models");
    for case in networks() {
        let content = case.content().expect("the golden loads");
        let cell = GraphCell::new(content.model.clone(), Options::default()).expect("the golden is supported");
        let inputs = &content.calls[0].inputs;
        let facts: Vec<_> = inputs.iter().map(Tensor::fact).collect();
        let Ok(mut session) = cell.session(&facts) else { continue };
        let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
        group.bench_function(&case.name, |b| b.iter(|| session.run_bytes(&bytes).expect("the golden runs")));
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
