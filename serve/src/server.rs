//! Connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::repository::Repository;
use crate::rest;
use crate::room::Room;
use crate::tls::{self, Identity, Shown};

/// What a client shows to be let in. It does not appear in messages.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

impl Token {
    /// The token with these bytes, without white space around them; `None` if nothing is left, or something that no header
    /// holds.
    pub fn new(bytes: &[u8]) -> Option<Token> {
        let bytes = bytes.trim_ascii();
        (!bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic)).then(|| Token(bytes.into()))
    }

    /// Whether it was given; the time that the answer takes says only how long the token is.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        let differ = |(a, b): (&u8, &u8)| a ^ b;
        let differs = self.0.iter().zip(given).map(differ).fold(0, |all, one| all | one);
        self.0.len() == given.len() && std::hint::black_box(differs) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What figures are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsForm {
    /// `mindir_…`, in seconds, as OpenMetrics.
    #[default]
    Own,
    /// `nv_inference_…`, as Triton has them.
    Triton,
}

/// How a server listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Where it listens for HTTP. Port 0 takes a free one.
    pub http: SocketAddr,
    /// Where it listens besides; both protocols are spoken at all addresses.
    pub grpc: Option<SocketAddr>,
    /// Who the server is: with it all connections are TLS. Files that have changed are read again within ten seconds, or as often as
    /// `watch` says.
    pub tls: Option<Identity>,
    /// Most bytes of the body of a request, packed and unpacked.
    pub max_body: u64,
    /// Most bytes of the bodies of all requests that are under way; more wait until there is room.
    pub max_bodies: u64,
    /// How long the head of a request may take to arrive, and how long a connection may be idle.
    pub head_time: Duration,
    /// How long the body of a request may take to arrive, and how long a client may take nothing of an answer.
    pub body_time: Duration,
    /// Connections at one time; more wait to be accepted.
    pub max_connections: usize,
    /// What clients have to show; health needs none.
    pub token: Option<Token>,
    /// Whether clients may load and unload models. Needs a token.
    pub admin: bool,
    /// What figures are called at `/metrics`.
    pub metrics: MetricsForm,
    /// How often the repository's folder is looked at for changes.
    pub watch: Option<Duration>,
    /// How long the server goes on after it was told to end, not ready but answering, so that those who send it requests learn it.
    pub notice: Duration,
    /// How long requests that are under way may take after that.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            http: SocketAddr::from(([127, 0, 0, 1], 8000)),
            grpc: None,
            tls: None,
            max_body: 64 << 20,
            max_bodies: 1 << 30,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            max_connections: 4096,
            token: None,
            admin: false,
            metrics: MetricsForm::Own,
            watch: None,
            notice: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address is taken, or not one of this machine.
    #[error("{address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file has no certificate, or no key that belongs to it.
    #[error("{}: {what}", .file.display())]
    Identity {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Models may be loaded and unloaded by everybody.
    #[error("loading and unloading on request needs a token")]
    OpenAdmin,
}

/// What all requests share.
pub(crate) struct Shared {
    pub repository: Arc<Repository>,
    pub options: ServerOptions,
    ending: AtomicBool,
    /// Whether connections end as soon as nothing is under way.
    closing: watch::Sender<bool>,
    tls: Option<Shown>,
    /// Memory for bodies.
    pub room: Arc<Room>,
}

/// Requests at one time over one connection of HTTP/2.
const STREAMS: u32 = 256;

impl Shared {
    fn new(repository: Arc<Repository>, options: ServerOptions) -> Result<Shared, ServerError> {
        let room = Arc::new(Room::new(options.max_bodies));
        let tls = options.tls.clone().map(Shown::new).transpose()?;
        let closing = watch::Sender::new(false);
        Ok(Shared { repository, options, ending: AtomicBool::new(false), closing, tls, room })
    }

    /// Whether requests should come.
    pub fn is_ready(&self) -> bool {
        !self.ending.load(Ordering::Relaxed) && self.repository.is_ready()
    }
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    second: Option<TcpListener>,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens for requests about the models of `repository`.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn bind(repository: Arc<Repository>, options: ServerOptions) -> Result<Server, ServerError> {
        if options.admin && options.token.is_none() {
            return Err(ServerError::OpenAdmin);
        }
        let address = options.http;
        let second_address = options.grpc;
        let shared = Arc::new(Shared::new(repository, options)?);
        let listener = listen(address).await?;
        let second = match second_address {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Server { listener, second, shared })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Loads the models, calls `loaded`, and answers requests, from the beginning, until `stop` is ready: then it is not ready any
    /// more, takes no new connections after [`ServerOptions::notice`], answers what is under way, and returns.
    pub async fn run(self, loaded: impl FnOnce() + Send + 'static, stop: impl Future<Output = ()>) {
        let Server { listener, second, shared } = self;
        let follow = tokio::spawn(follow(shared.clone(), loaded));
        let renew = tokio::spawn(renew(shared.clone()));
        let connections = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(shared.options.max_connections));
        let first = accept(listener, &shared, &room, &connections);
        let second = async {
            match second {
                Some(listener) => accept(listener, &shared, &room, &connections).await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            stop.await;
            shared.ending.store(true, Ordering::Relaxed);
            tokio::time::sleep(shared.options.notice).await;
        };
        tokio::select! {
            () = first => {}
            () = second => {}
            () = ended => {}
        }
        follow.abort();
        renew.abort();
        shared.closing.send_replace(true);
        if timeout(shared.options.drain, connections.shutdown()).await.is_err() {
            tracing::warn!("requests were under way after {:?}", shared.options.drain);
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })
}

/// Takes connections for ever, as many at one time as there is room for.
async fn accept(listener: TcpListener, shared: &Arc<Shared>, room: &Arc<Semaphore>, connections: &GracefulShutdown) {
    let service = TowerToHyperService::new(rest::router(shared.clone()));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(shared.options.head_time);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(shared.options.head_time)
        .max_concurrent_streams(STREAMS);
    let speaker = Arc::new(Speaker { builder, service, shared: shared.clone() });
    while let Ok(permit) = room.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                // As when there are no more file handles: those that are open will close.
                tracing::warn!("a connection was not taken: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!("a connection waits for full packets: {e}");
        }
        let (speaker, watcher) = (speaker.clone(), connections.watcher());
        tokio::spawn(async move {
            if let Err(e) = speaker.greet(stream, watcher).await {
                tracing::debug!("a connection broke off: {e}");
            }
            drop(permit);
        });
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What speaks with clients.
struct Speaker {
    builder: auto::Builder<TokioExecutor>,
    service: TowerToHyperService<axum::Router>,
    shared: Arc<Shared>,
}

impl Speaker {
    /// Speaks over a connection, through TLS if the server has an identity.
    async fn greet(&self, stream: TcpStream, watcher: Watcher) -> Result<(), Failure> {
        let Some(shown) = &self.shared.tls else { return self.speak(stream, watcher).await };
        let mut closing = self.shared.closing.subscribe();
        let greeting = timeout(self.shared.options.head_time, shown.acceptor().accept(stream));
        let stream = tokio::select! {
            greeted = greeting => greeted.map_err(tls::late)??,
            _ = closing.wait_for(|closing| *closing) => return Ok(()),
        };
        self.speak(stream, watcher).await
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        watcher: Watcher,
    ) -> Result<(), Failure> {
        let stream = Connection::new(stream, self.shared.options.head_time, self.shared.options.body_time);
        watcher.watch(self.builder.serve_connection(TokioIo::new(stream), self.service.clone())).await
    }
}

/// How often files of an identity are looked at.
const RENEWAL: Duration = Duration::from_secs(10);

/// Looks for changes of the certificate for ever.
async fn renew(shared: Arc<Shared>) {
    let every = shared.options.watch.unwrap_or(RENEWAL);
    while shared.tls.is_some() {
        tokio::time::sleep(every).await;
        let of = shared.clone();
        if let Err(e) = tokio::task::spawn_blocking(move || of.tls.as_ref().map(Shown::refresh)).await {
            tracing::warn!("the certificate is the one before: {e}");
        }
    }
}

/// Loads the repository, and looks for changes of its folder for ever.
async fn follow(shared: Arc<Shared>, loaded: impl FnOnce()) {
    let mut readable = refresh(&shared).await;
    loaded();
    let Some(every) = shared.options.watch else { return };
    loop {
        tokio::time::sleep(every).await;
        let found = refresh(&shared).await;
        // Told once, not each time.
        if let (Err(e), Ok(())) = (&found, &readable) {
            tracing::warn!("the repository cannot be read: {e}");
        }
        readable = found;
    }
}

async fn refresh(shared: &Arc<Shared>) -> Result<(), String> {
    let of = shared.clone();
    let done = tokio::task::spawn_blocking(move || of.repository.refresh()).await;
    done.map_err(|e| e.to_string()).and_then(|read| read.map_err(|e| e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_as_a_whole() {
        let token = Token::new(b" secret\n").unwrap();
        assert!(token.is(b"secret"));
        assert!(![&b"secre"[..], b"secret1", b"Secret", b""].iter().any(|given| token.is(given)));
        assert!(Token::new(b" \n").is_none() && Token::new("schlüssel".as_bytes()).is_none());
        assert!(!format!("{token:?}").contains("secret"));
    }
}
