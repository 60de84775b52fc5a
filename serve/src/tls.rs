//! TLS: who the server says it is.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::server::ServerError;

/// A certificate and its key, in files of the form PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and behind it those that vouch for it.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What changes when the files do.
type Stamp = [Option<SystemTime>; 2];

impl Identity {
    fn stamp(&self) -> Stamp {
        let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        [changed(&self.chain), changed(&self.key)]
    }

    fn read(&self) -> Result<Arc<ServerConfig>, ServerError> {
        let wrong = |file: &Path, e: &dyn Display| ServerError::Identity { file: file.into(), what: e.to_string() };
        let chain = CertificateDer::pem_file_iter(&self.chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|e| wrong(&self.chain, &e))?;
        if chain.is_empty() {
            return Err(wrong(&self.chain, &"expected a certificate in the form PEM"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| wrong(&self.key, &e))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(|e| wrong(&self.chain, &e))?;
        let config = config.with_no_client_auth().with_single_cert(chain, key);
        let mut config = config.map_err(|e| wrong(&self.key, &e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The identity that new connections are shown.
pub(crate) struct Shown {
    files: Identity,
    current: RwLock<(Stamp, Arc<ServerConfig>)>,
}

impl Shown {
    pub fn new(files: Identity) -> Result<Shown, ServerError> {
        let current = RwLock::new((files.stamp(), files.read()?));
        Ok(Shown { files, current })
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1.clone().into()
    }

    /// Takes what the files hold now, if they have changed. What is no certificate with its key changes nothing.
    pub fn refresh(&self) {
        let stamp = self.files.stamp();
        if self.current.read().unwrap_or_else(PoisonError::into_inner).0 == stamp {
            return;
        }
        let read = self.files.read();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.0 = stamp;
        match read {
            Ok(config) => current.1 = config,
            Err(e) => tracing::warn!("the certificate is the one before: {e}"),
        }
    }
}

/// The error of a connection whose client did not greet in time.
pub(crate) fn late<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no greeting of TLS")
}
