//! `mindir serve`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mindir_serve::{
    Identity, MOST_INSTANCES, MetricsForm, ModelConfig, Repository, RepositoryError, RepositoryOptions, Server,
    ServerOptions, Token,
};
use tracing::Level;

use crate::args::{self, ModelKeyArgs, ThreadArg};
use crate::failure::{Failure, Outcome};
use crate::print::{self, Volume};

/// Serve the models of a folder, or one model, over HTTP and gRPC until the process is told to end.
///
/// Clients speak the Open Inference Protocol (v2), as those of Triton and KServe do, or MindSpore Serving's form; a browser
/// finds a page. The folder has NAME.mindir or NAME.onnx, or NAME/VERSION/model.mindir with a NAME/model.toml.
#[derive(Args, Debug)]
pub struct Serve {
    /// Folder of models, or a model
    root: PathBuf,
    #[command(flatten)]
    key: ModelKeyArgs,
    /// What the model is called, if it is the only one [default: as its file or folder]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where to listen: HOST:PORT, or :PORT for every address of this machine; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000", value_parser = address)]
    http: SocketAddr,
    /// Where to listen besides; HTTP and gRPC are answered at both addresses
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    grpc: Option<SocketAddr>,
    /// File with the certificate (PEM) that clients are shown; connections are TLS then
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// File with the certificate's key (PEM); both files are read again when they change
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Most rows of a batch that requests are joined to, for models whose rows have the same results in a batch as alone
    #[arg(long, value_name = "ROWS", default_value_t = 1, value_parser = size)]
    max_batch: usize,
    /// How long the first request of a batch waits for others
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = args::duration)]
    batch_delay: Duration,
    /// Requests that may wait for one model; more are refused
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = size)]
    queue: usize,
    /// Runs of one model at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = instances)]
    instances: usize,
    /// How long a request may take, waiting included
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    timeout: Option<Duration>,
    /// Where models run: cpu, or wgpu or cuda if built with the feature of that name
    #[arg(long, default_value = "cpu", value_name = "DEVICE", value_parser = args::device)]
    device: String,
    #[command(flatten)]
    threads: ThreadArg,
    /// Most bytes that one model may take, such as 512M or 1GiB
    #[arg(long, value_name = "BYTES", value_parser = args::bytes)]
    max_memory: Option<u64>,
    /// Folder that keeps large weights in the layouts that kernels read, so that the next start need not make them
    #[arg(long, value_name = "FOLDER")]
    packed_weights: Option<PathBuf>,
    /// Most bytes of the body of a request
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = some_bytes)]
    max_body: u64,
    /// Look for changes of the folder so often, and follow them
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2s", value_parser = some_time)]
    watch: Option<Duration>,
    /// File with a token that clients have to show, as `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Let clients that show the token load and unload models
    #[arg(long, requires = "token_file")]
    allow_admin: bool,
    /// Call figures at /metrics as another server does: triton
    #[arg(long, value_name = "SERVER", value_parser = metrics)]
    metrics_compat: Option<MetricsForm>,
    /// How long to go on, not ready but answering, once told to end
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = args::duration)]
    notice: Duration,
    /// How long requests that are under way may take then
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = args::duration)]
    drain: Duration,
}

impl Serve {
    pub fn execute(self) -> Result<Outcome, Failure> {
        log();
        let repository = Repository::open(&self.root, self.repository()?).map_err(|e| match e {
            RepositoryError::Folder { path, source } => Failure::File { path, source },
            e => Failure::Usage(e.to_string()),
        })?;
        let options = self.server()?;
        // Requests are read and written here; models run on threads of their own.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(Failure::file(&self.root))?;
        runtime.block_on(serve(Arc::new(repository), options))?;
        // A model that is still being loaded is not waited for.
        runtime.shutdown_background();
        Ok(Outcome::done("the server has ended\n".into()))
    }

    fn repository(&self) -> Result<RepositoryOptions, Failure> {
        let mut options = RepositoryOptions::default();
        let failed = |e: std::io::Error| Failure::Usage(format!("--packed-weights: {e}"));
        options.config = ModelConfig {
            max_batch: self.max_batch,
            batch_delay_ms: milliseconds(self.batch_delay),
            queue: self.queue,
            instances: self.instances,
            timeout_ms: self.timeout.map(milliseconds),
            device: Some(self.device.clone()),
            max_memory: self.max_memory,
            packed_weights: self.packed_weights.as_deref().map(std::path::absolute).transpose().map_err(failed)?,
            ..ModelConfig::default()
        };
        options.name.clone_from(&self.name);
        options.threads = self.threads.threads;
        options.decryption = self.key.decryption()?;
        Ok(options)
    }

    fn server(&self) -> Result<ServerOptions, Failure> {
        let token = |file: &PathBuf| {
            let bytes = std::fs::read(file).map_err(Failure::file(file))?;
            let wrong = || Failure::Usage(format!("{}: expected a token of visible characters", file.display()));
            Token::new(&bytes).ok_or_else(wrong)
        };
        let mut options = ServerOptions::default();
        options.http = self.http;
        options.grpc = self.grpc;
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        options.tls = files.map(|(chain, key)| Identity { chain, key });
        options.max_body = self.max_body;
        options.token = self.token_file.as_ref().map(token).transpose()?;
        options.admin = self.allow_admin;
        options.watch = self.watch;
        options.metrics = self.metrics_compat.unwrap_or_default();
        options.notice = self.notice;
        options.drain = self.drain;
        Ok(options)
    }
}

async fn serve(repository: Arc<Repository>, options: ServerOptions) -> Result<(), Failure> {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let server = Server::bind(repository.clone(), options).await.map_err(|e| Failure::Usage(e.to_string()))?;
    let stop = told_to_end().map_err(|e| Failure::Usage(format!("signals: {e}")))?;
    let address = server.address().map_err(|e| Failure::Usage(e.to_string()))?;
    let loaded = move || {
        for (model, versions) in repository.ready() {
            print::tell(|| format!("{model}: {} ready", print::plural(versions, "version")));
        }
        // Nobody may be there to read it.
        drop(print::stdout(&format!("serving at {scheme}://{address}\n")));
    };
    server.run(loaded, stop).await;
    Ok(())
}

/// Ready once the process is told to end.
#[cfg(unix)]
fn told_to_end() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Who asks twice does not want to wait.
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(130);
        });
    })
}

/// Ready once the process is told to end.
#[cfg(not(unix))]
fn told_to_end() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without signals the server goes on.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Tells on stderr what goes wrong, and each request if asked to.
fn log() {
    let most = match print::volume() {
        Volume::Quiet => Level::ERROR,
        Volume::Normal => Level::WARN,
        Volume::Verbose => Level::INFO,
    };
    let format = tracing_subscriber::fmt().with_max_level(most).with_writer(std::io::stderr).with_target(false);
    // Nobody else has said where to.
    drop(format.with_ansi(false).try_init());
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = args::duration(text)?;
    if time.as_millis() == 0 { Err("expected a millisecond or more".into()) } else { Ok(time) }
}

fn some_bytes(text: &str) -> Result<u64, String> {
    let bytes = args::bytes(text)?;
    if bytes == 0 { Err("expected a byte or more".into()) } else { Ok(bytes) }
}

fn metrics(text: &str) -> Result<MetricsForm, String> {
    if text == "triton" { Ok(MetricsForm::Triton) } else { Err("expected triton".into()) }
}

fn size(text: &str) -> Result<usize, String> {
    number(text, 1 << 16)
}

fn instances(text: &str) -> Result<usize, String> {
    number(text, MOST_INSTANCES)
}

fn number(text: &str, most: usize) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=most).contains(n));
    n.ok_or_else(|| format!("expected a number from 1 to {most}"))
}

/// `HOST:PORT` or `:PORT`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_string() };
    let found = whole.to_socket_addrs().map_err(|e| format!("expected HOST:PORT or :PORT: {e}"))?.next();
    found.ok_or_else(|| "no address has this name".into())
}
