//! TLS of both doors: the certificate, read from files and read again when they change.
//!
//! Connections that are open keep the certificate they began with. Files that cannot be read leave
//! the old one in use and a warning in the log: a renewal that goes wrong must not close the doors.

mod self_signed;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

pub use self_signed::self_sign;

/// How soon a changed certificate is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Largest file of certificates or of a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where certificate and key lie, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`{path}` cannot be read: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("`{0}` holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    #[error("`{0}` holds no private key in PEM form")]
    NoKey(PathBuf),
    #[error("certificate and key do not fit: {0}")]
    Unfit(rustls::Error),
    #[error("a certificate cannot be made: {0}")]
    NotSigned(&'static str),
}

/// What accepts connections under a certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.certificate.files).finish()
    }
}

impl Tls {
    pub fn read(files: Files) -> Result<Tls, TlsError> {
        let stamp = files.stamp();
        let current = RwLock::new((Arc::new(files.load()?), stamp));
        let certificate = Arc::new(Certificate { files, current });
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unfit)?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// The handshake; its patience is the caller's business.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    /// SHA-256 of the certificate in use, in the form in which browsers show it.
    pub fn fingerprint(&self) -> String {
        let current = self.certificate.current();
        let digest = Sha256::digest(current.cert.first().map_or(&[][..], |cert| cert.as_ref()));
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    /// Looks at the files until it is told to stop.
    pub async fn watch(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => self.look_again(),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads the files again if they changed.
    pub fn look_again(&self) {
        match self.certificate.reload() {
            Ok(true) => {
                tracing::info!(fingerprint = %self.fingerprint(), "a new certificate is in use");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the new certificate cannot be used; the old one stays");
            }
        }
    }
}

/// When files were changed, and how long they are.
type Stamp = [Option<(i64, i64, u64)>; 2];

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.cert, &self.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.len()))
        })
    }

    fn load(&self) -> Result<CertifiedKey, TlsError> {
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate(self.cert.clone()))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(self.cert.clone()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(self.key.clone()))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(TlsError::Unfit)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let trouble = |source| TlsError::File { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(trouble)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(trouble(io::Error::other("it is larger than 1 MiB")));
    }
    std::fs::read(path).map_err(trouble)
}

/// The certificate in use.
#[derive(Debug)]
struct Certificate {
    files: Files,
    current: RwLock<(Arc<CertifiedKey>, Stamp)>,
}

impl Certificate {
    fn current(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Whether there is a new one.
    fn reload(&self) -> Result<bool, TlsError> {
        let stamp = self.files.stamp();
        if self.current.read().unwrap_or_else(PoisonError::into_inner).1 == stamp {
            return Ok(false);
        }
        let fresh = Arc::new(self.files.load()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (fresh, stamp);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Time;

    #[test]
    fn changed_files_are_read_again_and_broken_ones_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let now = Time(1_800_000_000_000);
        let files = self_sign(dir.path(), &["tide.example".to_owned()], &[], now).unwrap();
        let tls = Tls::read(files.clone()).unwrap();
        let first = tls.fingerprint();
        assert_eq!(first.len(), 32 * 3 - 1);
        tls.look_again();
        assert_eq!(tls.fingerprint(), first);
        std::fs::write(&files.cert, "nothing").unwrap();
        tls.look_again();
        assert_eq!(tls.fingerprint(), first);
        std::fs::remove_file(&files.cert).unwrap();
        self_sign(dir.path(), &[], &[], now).unwrap();
        tls.look_again();
        assert_ne!(tls.fingerprint(), first);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let now = Time(1_800_000_000_000);
        let good = self_sign(&dir.path().join("a"), &[], &[], now).unwrap();
        let other = self_sign(&dir.path().join("b"), &[], &[], now).unwrap();
        let said = |cert: &Path, key: &Path| {
            Tls::read(Files { cert: cert.to_owned(), key: key.to_owned() }).unwrap_err().to_string()
        };
        assert!(said(&dir.path().join("none"), &good.key).contains("cannot be read"));
        assert!(said(&good.key, &good.key).contains("no certificate"));
        assert!(said(&good.cert, &good.cert).contains("no private key"));
        assert!(said(&good.cert, &other.key).contains("do not fit"));
    }
}
