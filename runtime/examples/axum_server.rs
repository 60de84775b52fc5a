//! A model behind HTTP: a request that its client gives up, or that takes too long, is cancelled.
//!
//! `cargo run --release -p mindir --example axum_server` asks itself once and ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use mindir::{CancelToken, DType, Error, ErrorKind, GraphCell, Options, Tensor};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Result<String, (StatusCode, String)>;

/// Takes 32 × 32 floats, little endian, and says which digit they show.
async fn classify(State(cell): State<GraphCell>, body: Bytes) -> Answer {
    let token = CancelToken::new();
    // The server drops this future when the client goes away.
    let _cancel = token.when_dropped();
    let cell = cell.with_cancel(token);
    let digit = tokio::task::spawn_blocking(move || digit(&cell, body)).await;
    match digit {
        Ok(Ok(digit)) => Ok(format!("{digit}\n")),
        Ok(Err(e)) if e.kind() == ErrorKind::Limit => Err((StatusCode::SERVICE_UNAVAILABLE, e.to_string())),
        Ok(Err(e)) => Err((StatusCode::BAD_REQUEST, e.to_string())),
        Err(e) => Err((StatusCode::INTERNAL_SERVER_ERROR, e.to_string())),
    }
}

fn digit(cell: &GraphCell, body: Bytes) -> Result<usize, Error> {
    let x = Tensor::from_bytes(DType::F32, &[1, 1, 32, 32], body)?;
    let scores = cell.run(&[x])?[0].to_f64s()?;
    let best = (0..scores.len()).max_by(|&i, &j| scores[i].total_cmp(&scores[j]));
    Ok(best.unwrap_or_default())
}

/// One request, as any client makes it.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let body: Vec<u8> = (0..1024).flat_map(|i| if i % 32 == 16 { 1f32 } else { 0f32 }.to_le_bytes()).collect();
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

async fn example() -> Result<(), Failure> {
    let model = mindir::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/lenet5.mindir"))?;
    let options = Options { max_memory: Some(64 << 20), deadline: Some(Duration::from_secs(2)), ..Options::default() };
    let cell = GraphCell::new(model, options)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = axum::Router::new().route("/", post(classify)).with_state(cell);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let answer = tokio::task::spawn_blocking(move || ask(address)).await??;
    println!("{answer}");
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err("no answer".into()) }
}

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(example())
}
