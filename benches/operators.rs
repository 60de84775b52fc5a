//! Every operator on its own test cases, grouped by the task family that computes it.

use criterion::{Criterion, criterion_group, criterion_main};
use mindir::builder::single;
use mindir::ops::OPS;
use mindir::{Fact, GraphCell, Options, Tensor};

fn operators(c: &mut Criterion) {
    for def in OPS {
        for case in (def.cases)() {
            let (model, inputs) = single(def, &case, 1);
            let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
            let Ok(cell) = GraphCell::new(model, Options { threads: Some(1), ..Options::default() }) else { continue };
            let Ok(mut session) = cell.session(&facts) else { continue };
            let family = session.plan().stages().iter().flat_map(|s| &s.steps).next().map_or("nothing", |s| s.family);
            let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
            let mut group = c.benchmark_group(family);
            group.sample_size(10);
            group.bench_function(format!("{} {}", def.name, case.name), |b| b.iter(|| session.run_bytes(&bytes)));
            group.finish();
        }
    }
}

criterion_group!(benches, operators);
criterion_main!(benches);
