//! Connections through TLS, with the certificates of `data`: `one` and `two` vouch for themselves.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Running, classifier, write};
use mindir_serve::{Identity, Repository, RepositoryOptions, Server, ServerError, ServerOptions};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Copies a certificate and its key.
fn put(name: &str, to: &Identity) {
    for (kind, file) in [("crt", &to.chain), ("key", &to.key)] {
        std::fs::copy(data(&format!("{name}.{kind}")), file).unwrap();
    }
}

/// The answer to a request, to a server that has to be who `name` is, in the protocol that both choose.
fn ask(address: SocketAddr, name: &str, protocols: &[&[u8]]) -> std::io::Result<(Vec<u8>, String)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data(&format!("{name}.crt"))).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    stream.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok((stream.conn.alpn_protocol().unwrap_or_default().to_vec(), answer))
}

fn options(identity: &Identity) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.tls = Some(identity.clone());
    options.watch = Some(Duration::from_millis(20));
    options.head_time = Duration::from_millis(500);
    options
}

fn place(folder: &Path) -> Identity {
    Identity { chain: folder.join("server.crt"), key: folder.join("server.key") }
}

#[test]
fn a_certificate_that_was_replaced_is_shown_without_a_new_start() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let identity = place(elsewhere.path());
    put("one", &identity);
    let server = Running::start(folder.path(), RepositoryOptions::default(), options(&identity));
    let (protocol, answer) = ask(server.address, "one", &[b"http/1.1"]).unwrap();
    assert!(protocol == b"http/1.1" && answer.contains("200 OK") && answer.contains("\"live\":true"), "{answer}");
    let stranger = ask(server.address, "two", &[b"http/1.1"]).unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::InvalidData);
    // What is no certificate changes nothing.
    std::fs::write(&identity.chain, "no certificate").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    ask(server.address, "one", &[]).unwrap();
    put("two", &identity);
    let start = Instant::now();
    while ask(server.address, "two", &[]).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(ask(server.address, "one", &[]).is_err());
}

#[test]
fn who_does_not_greet_is_not_waited_for() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let identity = place(elsewhere.path());
    put("one", &identity);
    let mut options = options(&identity);
    options.max_connections = 2;
    let server = Running::start(folder.path(), RepositoryOptions::default(), options);
    for begun in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(begun).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut told = Vec::new();
        drop(stream.read_to_end(&mut told));
        assert!(!told.starts_with(b"HTTP"), "{told:?}");
    }
    ask(server.address, "one", &[]).unwrap();
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let repository = Arc::new(Repository::open(folder.path(), RepositoryOptions::default()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (chain, key, wrong) in
        [("one.crt", "two.key", "two.key"), ("one.key", "one.key", "one.key"), ("x", "one.key", "x")]
    {
        let mut options = options(&Identity { chain: data(chain), key: data(key) });
        options.http.set_port(0);
        match runtime.block_on(Server::bind(repository.clone(), options)).err() {
            Some(ServerError::Identity { file, what }) => assert!(file.ends_with(wrong) && !what.is_empty(), "{what}"),
            other => panic!("{chain} {key}: {other:?}"),
        }
    }
}

#[test]
fn who_does_not_greet_does_not_keep_a_server_that_ends() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let identity = place(elsewhere.path());
    put("one", &identity);
    let mut patient = options(&identity);
    patient.head_time = Duration::from_secs(60);
    patient.drain = Duration::from_secs(60);
    let mut server = Running::start(folder.path(), RepositoryOptions::default(), patient);
    let silent = [&b""[..], b"\x16\x03\x01"].map(|begun| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(begun).unwrap();
        stream
    });
    // Both were taken when another that came later has its answer.
    ask(server.address, "one", &[]).unwrap();
    let start = Instant::now();
    server.join();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    drop(silent);
}
