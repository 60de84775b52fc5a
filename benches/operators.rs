//! Every operator on its cases in the suite, grouped by the task family that computes it.

use criterion::{Criterion, criterion_group, criterion_main};
use mindir::{Fact, GraphCell, Options, Tensor};
use mindir_tests::suite::operators;

fn benchmarks(c: &mut Criterion) {
    for case in operators() {
        let content = case.content().expect("the case is sound");
        let inputs = &content.calls[0].inputs;
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        let cell = GraphCell::new(content.model.clone(), Options { threads: Some(1), ..Options::default() });
        // What has no session is computed in more than one plan.
        let Ok(mut session) = cell.expect("the operator is supported").session(&facts) else { continue };
        let family = session.plan().stages().iter().flat_map(|s| &s.steps).next().map_or("nothing", |s| s.family);
        let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
        let mut group = c.benchmark_group(family);
        group.sample_size(10);
        group.bench_function(&case.name, |b| b.iter(|| session.run_bytes(&bytes)));
        group.finish();
    }
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
