//! With [`Options::batch_invariant`] a row has the same bits however many rows there are.

use std::path::Path;

use mindir::random::SplitMix;
use mindir::{DType, Fact, GraphCell, Options, Tensor};
use mindir_kernels::cpu::Isa;
use mindir_tests::golden;

/// Exported networks whose first dimension is open.
const NETWORKS: [&str; 5] = ["lenet5_dynamic", "mlp_dynamic", "cnn_dynamic", "resnet_dynamic", "vit_dynamic_batch"];

fn rows(fact: &Fact, seed: u64) -> Tensor {
    let mut random = SplitMix(seed);
    let number = |_| if fact.dtype.is_float() { f64::from(random.even()) } else { random.below(2) as f64 };
    Tensor::from_f64s(fact.dtype, &fact.shape, &(0..fact.count()).map(number).collect::<Vec<_>>()).unwrap()
}

fn part(whole: &Tensor, row: usize) -> Tensor {
    let bytes = whole.bytes().len() / whole.shape()[0];
    let dims: Vec<usize> = [1].iter().chain(&whole.shape()[1..]).copied().collect();
    Tensor::from_bytes(whole.dtype(), &dims, whole.bytes().slice(row * bytes..(row + 1) * bytes)).unwrap()
}

/// Says which row of which result is another in a batch of `n` than alone.
fn differs(cell: &GraphCell, examples: &[Fact], n: usize) -> Option<(usize, usize)> {
    let batch = |(i, f): (usize, &Fact)| {
        let dims: Vec<usize> = [n].iter().chain(&f.shape[1..]).copied().collect();
        rows(&Fact::new(f.dtype, &dims), 7 * i as u64 + n as u64)
    };
    let inputs: Vec<Tensor> = examples.iter().enumerate().map(batch).collect();
    let together = cell.run(&inputs).unwrap();
    (0..n).find_map(|row| {
        let alone = cell.run(&inputs.iter().map(|t| part(t, row)).collect::<Vec<_>>()).unwrap();
        let result = together.iter().zip(&alone).position(|(t, a)| part(t, row).bytes() != a.bytes())?;
        Some((row, result))
    })
}

#[test]
fn rows_are_the_same_in_a_batch_as_alone() {
    for name in NETWORKS {
        let folder = golden::folder().join(name);
        let model = mindir::load(Path::new(&folder).join("model.mindir")).unwrap();
        for (isa, threads) in Isa::all().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
            let options =
                Options { isa: Some(isa), threads: Some(threads), batch_invariant: true, ..Options::default() };
            let cell = GraphCell::new(model.clone(), options).unwrap();
            let examples: Vec<Fact> = cell
                .inputs()
                .iter()
                .map(|port| {
                    let dims = port.spec.dims.as_ref().unwrap();
                    let length = |(i, d): (usize, &mindir::Dim)| d.size().unwrap_or(if i == 0 { 1 } else { 32 });
                    let dims: Vec<usize> = dims.iter().enumerate().map(length).collect();
                    Fact::new(port.spec.dtype.unwrap_or(DType::F32), &dims)
                })
                .collect();
            for n in [2, 3, 4, 5, 8, 13, 17] {
                assert_eq!(differs(&cell, &examples, n), None, "{name} with {n} rows on {isa}, {threads} threads");
            }
        }
    }
}
