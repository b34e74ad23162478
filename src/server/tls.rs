//! TLS configuration from certificate, key and client CA files, which are reloaded when they
//! change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::config::TlsFiles;
use super::task::Task;
use crate::listen::http::SharedTls;

/// Interval at which the files are checked. A change counts once two checks have seen the same
/// files: certificate and key are two files, and neither is written in one step.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Error in the TLS files.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that cannot be read, or is not PEM.
    #[error("{}: cannot be read: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Cause of the error.
        error: pem::Error,
    },
    /// A file without the wanted item.
    #[error("{}: has no {wanted} in it", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The wanted item: `certificate` or `private key`.
        wanted: &'static str,
    },
    /// A key that does not belong to the certificate.
    #[error("{}: is not the key of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// File of the key.
        key: PathBuf,
        /// File of the certificate.
        cert: PathBuf,
    },
    /// A certificate or key that cannot be used.
    #[error("{}: cannot be used: {error}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Cause of the error.
        error: String,
    },
}

/// Loads the files, if TLS is configured. The returned [`CertificateReloader`] keeps the
/// configuration up to date.
pub(super) fn start(
    files: Option<&TlsFiles>,
) -> Result<Option<(SharedTls, CertificateReloader)>, TlsError> {
    let Some(files) = files else { return Ok(None) };
    // Taken before the files are read, so that a change in between is noticed.
    let stamp = stamp(files);
    let current = Arc::new(ArcSwap::from_pointee(load(files)?));
    let reloader =
        CertificateReloader { files: files.clone(), current: Arc::clone(&current), stamp };
    Ok(Some((current, reloader)))
}

/// Returns the TLS configuration made from the files' current content.
///
/// # Errors
/// The error, with the name of the file.
pub fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.cert)?;
    let key = private_key(&files.key)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.cert, error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(file)? {
                roots.add(root).map_err(|error| unusable(file, error))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(file, error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        if error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            TlsError::Mismatch { key: files.key.clone(), cert: files.cert.clone() }
        } else if matches!(error, rustls::Error::InvalidCertificate(_)) {
            unusable(&files.cert, error)
        } else {
            unusable(&files.key, error)
        }
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        let file = file.to_owned();
        if matches!(error, pem::Error::NoItemsFound) {
            TlsError::Missing { file, wanted: "private key" }
        } else {
            TlsError::Unreadable { file, error }
        }
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { file: file.to_owned(), error };
    let all: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if all.is_empty() {
        Err(TlsError::Missing { file: file.to_owned(), wanted: "certificate" })
    } else {
        Ok(all)
    }
}

fn unusable(file: &Path, error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable { file: file.to_owned(), error: error.to_string() }
}

/// Modification time and length of each file; `None` for one that cannot be examined.
type Stamp = Vec<Option<(SystemTime, u64)>>;

fn stamp(files: &TlsFiles) -> Stamp {
    let all = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
    let of = |file: &PathBuf| {
        fs::metadata(file).ok().and_then(|data| Some((data.modified().ok()?, data.len())))
    };
    all.into_iter().flatten().map(of).collect()
}

/// Replaces the configuration when the files change. Unusable files are logged, and the previous
/// configuration stays in use.
#[derive(Clone)]
pub(super) struct CertificateReloader {
    files: TlsFiles,
    current: SharedTls,
    stamp: Stamp,
}

impl CertificateReloader {
    pub(super) fn into_task(self) -> Task {
        Task::kept("certificates", move || self.clone().run())
    }

    async fn run(mut self) -> io::Result<()> {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "SIGHUP will not reload the certificate; a change of its file will"
                );
                None
            }
        };
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.stamp.clone();
        loop {
            let asked = tokio::select! {
                _ = checks.tick() => false,
                () = hangup(&mut hangups) => true,
            };
            let files = self.files.clone();
            let Ok(now) = spawn_blocking(move || stamp(&files)).await else { continue };
            let settled = now == before;
            before.clone_from(&now);
            if asked || (settled && now != self.stamp) {
                self.stamp = now;
                self.reload().await;
            }
        }
    }

    async fn reload(&self) {
        let files = self.files.clone();
        match spawn_blocking(move || load(&files)).await {
            Ok(Ok(config)) => {
                self.current.store(Arc::new(config));
                let cert = self.files.cert.display();
                tracing::info!(%cert, "the certificate was loaded again");
            }
            Ok(Err(error)) => tracing::error!("{error}; the certificate from before stays in use"),
            Err(error) => {
                tracing::error!(
                    %error,
                    "loading the certificate panicked; the one from before stays in use"
                )
            }
        }
    }
}

async fn hangup(hangups: &mut Option<Signal>) {
    let received = match hangups {
        Some(hangups) => hangups.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending().await
    }
}
