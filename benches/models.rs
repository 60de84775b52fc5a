//! Whole models: the committed goldens, or those in the folder that `MINDIR_GOLDENS` names.

use criterion::{Criterion, criterion_group, criterion_main};
use mindir::{GraphCell, Options, Tensor};
use mindir_benches::networks;

fn models(c: &mut Criterion) {
    let mut group = c.benchmark_group("models");
    for golden in networks() {
        let model = mindir::load(&golden.graph).expect("the golden loads");
        let cell = GraphCell::new(model, Options::default()).expect("the golden is supported");
        let inputs = &golden.runs[0].inputs;
        let facts: Vec<_> = inputs.iter().map(Tensor::fact).collect();
        let Ok(mut session) = cell.session(&facts) else { continue };
        let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
        group.bench_function(&golden.name, |b| b.iter(|| session.run_bytes(&bytes).expect("the golden runs")));
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
