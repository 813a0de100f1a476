//! The certificate of our own listener: read, held against its key, and read again when it is renewed.
//!
//! Nobody has to tell us of a renewal: the files are read again now and then. A pair that cannot be used, such as one that is
//! half written, changes nothing: the one before goes on. What a certificate says of its holder is none of our business.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use pointsman_actors::time::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage};

use crate::files::write_whole;

/// Where a certificate and its key are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why a pair cannot be used.
#[derive(Debug, Error)]
pub enum Unusable {
    /// A file cannot be read.
    #[error("`{}` cannot be read: {error}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is none in the file.
    #[error("no certificate stands in `{}`; it must be PEM, with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// What stands there is none.
    #[error("the certificate in `{}` is damaged: {reason}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is none in the file. What stands there is not said: it may be a part of one.
    #[error("no private key stands in `{}`; it must be PEM and not encrypted, with -----BEGIN PRIVATE KEY-----", .0.display())]
    NoKey(PathBuf),
    /// A key of a kind that cannot be used.
    #[error("the private key in `{}` is of a kind that cannot be used; make one of RSA, ECDSA (P-256, P-384) or Ed25519", .0.display())]
    WrongKey(PathBuf),
    /// They are not a pair.
    #[error("the private key in `{}` is not that of the certificate in `{}`", .0.key.display(), .0.certificate.display())]
    NoPair(Files),
}

/// What came of reading the files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// They are as they were.
    Same,
    /// A new pair is used from now on.
    Renewed,
}

/// The certificate that new connections are shown.
pub struct Certificate {
    files: Files,
    current: RwLock<Pair>,
    /// What was last tried in vain, so that it is told once.
    rejected: Mutex<Option<[u8; 32]>>,
    published: OnceLock<PathBuf>,
}

#[derive(Clone)]
struct Pair {
    key: Arc<CertifiedKey>,
    /// Of both files, to see whether they have changed.
    hash: [u8; 32],
    expires: Option<Timestamp>,
}

/// Before a certificate's end by so much somebody should know. Whoever renews by himself does it 30 days before (ACME clients).
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Certificate {
    /// Reads a pair.
    pub fn read(files: Files) -> Result<Arc<Self>, Unusable> {
        let current = RwLock::new(Pair::read(&files)?);
        Ok(Arc::new(Self { files, current, rejected: Mutex::default(), published: OnceLock::new() }))
    }

    /// What a listener needs: TLS 1.2 and 1.3, and HTTP/1.1 over it. HTTP/2 is not offered: actix bounds neither the requests that one
    /// connection may have at once (RFC 9113, section 5.1.2, `SETTINGS_MAX_CONCURRENT_STREAMS`) nor the time that they take.
    pub fn config(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Reads the files again; from now on new connections are shown what stands there, if it can be used.
    pub fn renew(&self) -> Result<Renewal, Unusable> {
        let pair = Pair::read(&self.files)?;
        if pair.hash == self.pair().hash {
            return Ok(Renewal::Same);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
        self.say_what_is_shown();
        Ok(Renewal::Renewed)
    }

    /// Looks whether it was renewed, and logs what came of that; of a pair that cannot be used once.
    pub fn look(&self) {
        match self.renew() {
            Ok(Renewal::Same) => {
                self.set_rejected(None);
            }
            Ok(Renewal::Renewed) => {
                self.set_rejected(None);
                let until = self.expires().map(|end| end.to_string());
                tracing::info!(certificate = %self.files.certificate.display(), until, "the certificate was renewed");
            }
            Err(unusable) => {
                let tried = hash_of(&self.files).unwrap_or_default();
                if self.set_rejected(Some(tried)) != Some(tried) {
                    tracing::warn!("the certificate was not renewed, the one before goes on: {unusable}");
                }
            }
        }
    }

    /// When it ends; nothing when that cannot be read.
    pub fn expires(&self) -> Option<Timestamp> {
        self.pair().expires
    }

    /// What is to be said of one that ends soon.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let end = self.expires().filter(|end| *end <= now.plus(SOON))?;
        let file = self.files.certificate.display();
        Some(match end <= now {
            true => format!("the certificate in `{file}` has ended at {end}; senders refuse it"),
            false => format!("the certificate in `{file}` ends at {end}; renew it"),
        })
    }

    /// From now on this file says which certificate is shown, so that commands on this machine know the server by it.
    pub fn publish(&self, file: PathBuf) -> std::io::Result<()> {
        write_whole(&file, &self.fingerprint())?;
        let _ = self.published.set(file);
        Ok(())
    }

    /// SHA-256 of the certificate that is shown, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        self.pair().key.end_entity_cert().map(fingerprint).unwrap_or_default()
    }

    fn say_what_is_shown(&self) {
        let Some(file) = self.published.get() else { return };
        if let Err(error) = write_whole(file, &self.fingerprint()) {
            tracing::warn!(file = %file.display(), %error, "commands on this machine will not know the server");
        }
    }

    fn set_rejected(&self, tried: Option<[u8; 32]>) -> Option<[u8; 32]> {
        std::mem::replace(&mut self.rejected.lock().unwrap_or_else(PoisonError::into_inner), tried)
    }

    fn pair(&self) -> Pair {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// SHA-256 of a certificate, in hexadecimal.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(certificate))
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair().key)
    }
}

impl Pair {
    fn read(files: &Files) -> Result<Self, Unusable> {
        let (certificate, key) = (bytes_of(&files.certificate)?, bytes_of(&files.key)?);
        let damaged = |reason: String| Unusable::Damaged { file: files.certificate.clone(), reason };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
        let chain = chain.map_err(|error| damaged(error.to_string()))?;
        let Some(own) = chain.first() else { return Err(Unusable::NoCertificate(files.certificate.clone())) };
        let expires = end_of(own).map_err(|error| damaged(error.to_string()))?;
        let hash = hash(&certificate, &key);
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| Unusable::NoKey(files.key.clone()))?;
        let key = ring::sign::any_supported_type(&key).map_err(|_| Unusable::WrongKey(files.key.clone()))?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| Unusable::NoPair(files.clone()))?;
        Ok(Self { key: Arc::new(key), hash, expires })
    }
}

fn bytes_of(file: &Path) -> Result<Vec<u8>, Unusable> {
    std::fs::read(file).map_err(|error| Unusable::Unreadable { file: file.to_owned(), error })
}

fn hash_of(files: &Files) -> Option<[u8; 32]> {
    Some(hash(&std::fs::read(&files.certificate).ok()?, &std::fs::read(&files.key).ok()?))
}

fn hash(certificate: &[u8], key: &[u8]) -> [u8; 32] {
    let lengths = (certificate.len() as u64).to_be_bytes();
    Sha256::new().chain_update(lengths).chain_update(certificate).chain_update(key).finalize().into()
}

/// When a certificate ends: it is held to the end of time, where its own end is the first thing that is wrong with it.
fn end_of(certificate: &CertificateDer<'_>) -> Result<Option<Timestamp>, webpki::Error> {
    let certificate = EndEntityCert::try_from(certificate)?;
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let verified =
        certificate.verify_for_usage(&[], &[], &[], end_of_time, KeyUsage::server_auth(), None, None).map(|_| ());
    let Err(webpki::Error::CertExpired { not_after, .. }) = verified else { return Ok(None) };
    Ok(i64::try_from(not_after.as_secs()).ok().map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000))))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
