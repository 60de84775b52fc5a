//! What a process keeps that runs one model at many sizes.
//!
//! `sizes MODEL COUNT [CELLS]` runs a model of one input `[1, 3, h, w]` at `COUNT` sizes and prints the memory of the process
//! after the first and after the last; then each of `CELLS` cells of the model at the first size, and the memory again.

use std::sync::Arc;

use mindir::{GraphCell, Options, Tensor};

/// The resident memory of this process, in MiB: all of it, and what is mapped from files.
fn resident() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    };
    (number("VmRSS:"), number("RssFile:"))
}

fn run(cell: &GraphCell, i: usize) -> Result<(), mindir::Error> {
    // 300 different sizes around 224 × 224.
    let (h, w) = (216 + i / 20, 216 + i % 20);
    let pixels = (0..3 * h * w).map(|p| (p % 251) as f32 / 251.0).collect();
    let x = Tensor::from_vec(&[1, 3, h, w], pixels).map_err(mindir::OpError::from);
    cell.run(&[x.expect("as many pixels as the shape says")]).map(drop)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, count, rest @ ..] = args.as_slice() else { return Err("usage: sizes MODEL COUNT [CELLS]".into()) };
    let count: usize = count.parse()?;
    let model = Arc::new(mindir::load(path)?);
    let cell = GraphCell::new(model.clone(), Options::default())?;
    (0..3).try_for_each(|_| run(&cell, 0))?;
    let (one, mapped) = resident();
    println!("1 size: {one:.0} MiB, {mapped:.0} of them mapped");
    for i in 1..count {
        run(&cell, i)?;
    }
    let (many, mapped) = resident();
    println!("{count} sizes: {many:.0} MiB, {mapped:.0} of them mapped, {:.2} times", many / one);
    if let [cells] = rest {
        let cells: Vec<GraphCell> =
            (1..cells.parse()?).map(|_| GraphCell::new(model.clone(), Options::default())).collect::<Result<_, _>>()?;
        cells.iter().try_for_each(|cell| run(cell, 0))?;
        let (all, _) = resident();
        println!("{} cells: {all:.0} MiB, {:.2} times", cells.len() + 1, all / many);
    }
    Ok(())
}
