//! A run inside of an asynchronous program: who drops its future, as a timeout does, cancels it.
//!
//! `cargo run --release -p mindir --example async_timeout`

use std::time::{Duration, Instant};

use mindir::builder::Builder;
use mindir::{CancelToken, DType, Dim, Error, GraphCell, Options, Spec, Tensor};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a cell on a thread that may block. Dropping the future ends the run.
async fn run(cell: &GraphCell, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
    let token = CancelToken::new();
    let _cancel = token.when_dropped();
    let cell = cell.clone().with_cancel(token);
    Ok(tokio::task::spawn_blocking(move || cell.run(&inputs)).await??)
}

/// A convolution that takes minutes on large pictures.
fn slow() -> Result<GraphCell, Failure> {
    let mut b = Builder::new("slow");
    let dims = [Dim::Known(1), Dim::Known(4), Dim::Unknown, Dim::Unknown];
    let x = b.input("x", Spec { dtype: Some(DType::F32), dims: Some(dims.into_iter().collect()) });
    let w = b.param("w", Tensor::zeros(DType::F32, &[4, 4, 255, 255])?);
    let y = b.op("Conv2DExt", [x.into(), w.into()])?;
    Ok(GraphCell::new(b.finish(&[y]), Options::default())?)
}

async fn example() -> Result<(), Failure> {
    let cell = slow()?;
    let picture = |n: usize| Tensor::zeros(DType::F32, &[1, 4, n, n]);

    let start = Instant::now();
    let answer = tokio::time::timeout(Duration::from_millis(100), run(&cell, vec![picture(1024)?])).await;
    println!("a large picture: {} after {:?}", if answer.is_ok() { "done" } else { "given up" }, start.elapsed());

    let y = run(&cell, vec![picture(255)?]).await?;
    println!("a small picture: {}", y[0].fact());

    // A deadline of the cell's own needs no token.
    match cell.with_deadline(Duration::from_millis(100)).run(&[picture(1024)?]) {
        Err(e @ Error::Limit { .. }) => println!("a large picture: {e}"),
        other => return Err(format!("{other:?}").into()),
    }
    if answer.is_ok() { Err("nothing timed out".into()) } else { Ok(()) }
}

fn main() -> Result<(), Failure> {
    // The runtime waits for the threads that block, which shows that the cancelled run has ended.
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(example())
}
