//! A server in this process, models for it, and a client.

#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mindir::builder::Builder;
use mindir::graph::{Arg, Closure, Model};
use mindir::{DType, Dim, ExportOptions, Spec, Tensor};
use mindir_serve::{Repository, RepositoryOptions, Server, ServerOptions};
use serde_json::Value;
use tokio::sync::oneshot;

pub struct Running {
    pub address: SocketAddr,
    pub repository: Arc<Repository>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(root: &Path, models: RepositoryOptions, options: ServerOptions) -> Running {
        let repository = Arc::new(Repository::open(root, models).unwrap());
        let (stop, stopped) = oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let mut options = options;
        options.http = SocketAddr::from(([127, 0, 0, 1], 0));
        let shared = repository.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(shared, options).await.unwrap();
                let address = server.address().unwrap();
                server.run(move || told.send(address).unwrap(), async { drop(stopped.await) }).await;
            });
        });
        Running { address: address.recv().unwrap(), repository, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells the server to end; what it answers still comes.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.ask("POST", path, &[], body.as_ref())
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut stream = self.send(method, path, headers, body);
        Response::read(&mut stream)
    }

    /// Sends a request, whose answer is for the caller to read.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        head += &format!("content-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        // A server that refuses a body need not read it.
        drop(stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(body)));
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn read(stream: &mut TcpStream) -> Response {
        let mut bytes = Vec::new();
        // One that was refused while it was sent may end with a reset.
        drop(stream.read_to_end(&mut bytes));
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {bytes:?}"));
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head[9..12].parse().unwrap();
        Response { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_string()
    }

    /// The numbers of the first result.
    pub fn numbers(&self) -> Vec<f64> {
        self.json()["outputs"][0]["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }
}

pub fn write(model: &Model, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    mindir::export(model, to, &ExportOptions::default()).unwrap();
}

/// A tensor with an open first dimension.
pub fn rows(dtype: DType, row: &[usize]) -> Spec {
    let dims = [Dim::Unknown].into_iter().chain(row.iter().map(|n| Dim::Known(*n)));
    Spec { dtype: Some(dtype), dims: Some(dims.collect()) }
}

/// Rows of three numbers times a matrix, plus `bias`, and their softmax.
pub fn classifier(bias: f32) -> Model {
    let mut b = Builder::new("classifier");
    let x = b.input("x", rows(DType::F32, &[3]));
    let w =
        b.param("w", Tensor::from_vec(&[4, 3], (0..12).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>()).unwrap());
    let c = b.param("b", Tensor::vector(&[bias, 0.0, 0.0, 0.0]));
    let y = b.op("Dense", [x.into(), w.into(), c.into()]).unwrap();
    let p = b.op("Softmax", [y.into(), (-1i64).into()]).unwrap();
    b.rename(&[(y, "scores"), (p, "probabilities")]);
    b.finish(&[y, p])
}

/// All rows divided by the largest number of all, if that is more than 1.
pub fn scaled() -> Model {
    let mut b = Builder::new("scaled");
    let x = b.input("x", rows(DType::F32, &[3]));
    let most = b.op("ReduceMax", [x.into(), Arg::from(&[0i64, 1][..])]).unwrap();
    let one = b.constant(Tensor::scalar(1f32));
    let most = b.op("Maximum", [most.into(), one.into()]).unwrap();
    let y = b.op("Div", [x.into(), most.into()]).unwrap();
    b.finish(&[y])
}

/// Rows of 1024 numbers times a large matrix.
pub fn large() -> Model {
    let mut b = Builder::new("large");
    let x = b.input("x", rows(DType::F32, &[1024]));
    let numbers: Vec<f32> = (0..1 << 20).map(|i| (i % 251) as f32 * 0.01).collect();
    let w = b.param("w", Tensor::from_vec(&[1024, 1024], numbers).unwrap());
    let y = b.op("MatMul", [x.into(), w.into()]).unwrap();
    b.finish(&[y])
}

/// Columns of rows of three numbers.
pub fn turned() -> Model {
    let mut b = Builder::new("turned");
    let x = b.input("x", rows(DType::F32, &[3]));
    let y = b.op("Transpose", [x.into(), Arg::from(&[1i64, 0][..])]).unwrap();
    b.finish(&[y])
}

/// Rows of a table by their numbers.
pub fn lookup() -> Model {
    let mut b = Builder::new("lookup");
    let ids = b.input("ids", rows(DType::I32, &[1]));
    let table = b.param("table", Tensor::from_vec(&[4, 2], (0..8).map(|i| i as f32).collect::<Vec<_>>()).unwrap());
    let y = b.op("Embedding", [ids.into(), table.into()]).unwrap();
    b.finish(&[y])
}

/// Adds one to a number until it is as large as the input, one step at a time.
pub fn counting() -> Model {
    let mut b = Builder::new("counting");
    let scalar = Spec::fixed(DType::I64, &[]);
    let [test, again, leave] = ["test", "again", "leave"].map(|name| b.declare(name));
    b.define(test, |b| {
        let [i, n] = ["i", "n"].map(|name| b.input(name, scalar.clone()));
        let less = b.op("Less", [i.into(), n.into()])?;
        let [again, leave] = [again, leave].map(|graph| Closure { graph, args: vec![i.into(), n.into()] });
        Ok(b.choose(less, again, leave, 1))
    })
    .unwrap();
    b.define(again, |b| {
        let [i, n] = ["i", "n"].map(|name| b.input(name, scalar.clone()));
        let one = b.constant(Tensor::scalar(1i64));
        let next = b.op("Add", [i.into(), one.into()])?;
        Ok(b.call(test, [next.into(), n.into()], 1))
    })
    .unwrap();
    b.define(leave, |b| {
        let [i, _] = ["i", "n"].map(|name| b.input(name, scalar.clone()));
        Ok(vec![i])
    })
    .unwrap();
    let n = b.input("n", scalar.clone());
    let zero = b.constant(Tensor::scalar(0i64));
    let y = b.call(test, [zero.into(), n.into()], 1);
    b.finish(&y)
}

/// Adds its input to a number that it keeps.
pub fn adding() -> Model {
    let mut b = Builder::new("adding");
    let x = b.input("x", Spec::fixed(DType::F32, &[1]));
    let sum = b.param("sum", Tensor::vector(&[0.0f32]));
    let next = b.op("AssignAdd", [sum.into(), x.into()]).unwrap();
    b.finish(&[next])
}

/// Rows of pictures of 2 × 2 grey pixels as lists.
pub fn pixels() -> Model {
    let mut b = Builder::new("pixels");
    let x = b.input("x", rows(DType::F32, &[1, 2, 2]));
    let y = b.op("Reshape", [x.into(), Arg::from(&[-1i64, 4][..])]).unwrap();
    b.finish(&[y])
}
