//! Runs a model again and again on one thread, as `benches/python/calls.py` times the same from Python.
//!
//! `calls MODEL ROUNDS RUNS` runs it on zeros. After each line that it reads it prints the microseconds of the fastest of `RUNS` runs, by
//! `GraphCell::run` and by `Session::run_bytes`.

use std::time::{Duration, Instant};

use mindir::{Error, GraphCell, Options, Tensor};

fn fastest(runs: usize, mut run: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let mut best = Duration::MAX;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed());
    }
    Ok(best.as_secs_f64() * 1e6)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, rounds, runs] = args.as_slice() else { return Err("usage: calls MODEL ROUNDS RUNS".into()) };
    let runs = runs.parse()?;
    let cell = GraphCell::new(mindir::load(model)?, Options { threads: Some(1), ..Options::default() })?;
    let facts = cell.exported_facts().ok_or("the model leaves dimensions open")?;
    let inputs: Vec<Tensor> = facts.iter().map(|f| Tensor::zeros(f.dtype, &f.shape)).collect::<Result<_, _>>()?;
    let bytes: Vec<&[u8]> = inputs.iter().map(|t| &t.bytes()[..]).collect();
    let mut session = cell.session(&facts)?;
    for _ in 0..rounds.parse()? {
        std::io::stdin().read_line(&mut String::new())?;
        let whole = fastest(runs, || cell.run(&inputs).map(drop))?;
        println!("{whole} {}", fastest(runs, || session.run_bytes(&bytes))?);
    }
    Ok(())
}
