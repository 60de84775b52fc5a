//! Asks a server over HTTP again and again, as `benches/serve/serve.py` times it.
//!
//! `load HOST:PORT PATH BODY CLIENTS SECONDS [HEADER…]` keeps one connection for each client, and prints how many answers came,
//! how many of them were no success, and how long they took in microseconds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Client {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Client {
    fn new(address: &str, request: &[u8]) -> Result<Client, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Client { stream: BufReader::new(stream), request: request.to_vec() })
    }

    /// Asks once. Whether the answer is a success.
    fn ask(&mut self) -> Result<bool, Failure> {
        self.stream.get_mut().write_all(&self.request)?;
        let (mut line, mut length, mut success) = (String::new(), 0, None);
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err("the server closed the connection".into());
            }
            if success.is_none() {
                success = Some(line.contains(" 200 "));
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        std::io::copy(&mut self.stream.by_ref().take(length), &mut std::io::sink())?;
        Ok(success.unwrap_or(false))
    }
}

/// Times of a client's requests, and how many failed.
fn run(mut client: Client, time: Duration) -> Result<(Vec<u64>, u64), Failure> {
    let (mut times, mut failed) = (Vec::new(), 0);
    let end = Instant::now() + time;
    while Instant::now() < end {
        let start = Instant::now();
        failed += u64::from(!client.ask()?);
        times.push(start.elapsed().as_nanos() as u64);
    }
    Ok((times, failed))
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, body, clients, seconds, headers @ ..] = args.as_slice() else {
        return Err("usage: load HOST:PORT PATH BODY CLIENTS SECONDS [HEADER…]".into());
    };
    let body = std::fs::read(body)?;
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|header| request += &format!("{header}\r\n"));
    let request = [format!("{request}\r\n").as_bytes(), &body].concat();
    let (clients, time): (usize, _) = (clients.parse()?, Duration::from_secs_f64(seconds.parse()?));
    let barrier = Barrier::new(clients);
    let results = std::thread::scope(|scope| {
        let work = || -> Result<_, Failure> {
            let client = Client::new(address, &request);
            barrier.wait();
            run(client?, time)
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client ends")).collect::<Result<Vec<_>, Failure>>()
    })?;
    let failed: u64 = results.iter().map(|(_, failed)| failed).sum();
    let mut times: Vec<u64> = results.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_unstable();
    let at = |part: f64| times.get(((times.len() as f64 - 1.0) * part) as usize).map_or(0.0, |ns| *ns as f64 / 1e3);
    println!("answers {} failed {failed} p50 {:.1} p99 {:.1}", times.len(), at(0.5), at(0.99));
    Ok(())
}
