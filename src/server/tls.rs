//! TLS: the certificate, its key and the clients' roots from files, read again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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

/// How often the files are looked at. A change counts once it has been the same for two looks:
/// certificate and key are two files, and neither is written in one step.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is wrong with the files.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("{}: cannot be read: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// A file has nothing of what is looked for in it.
    #[error("{}: has no {wanted} in it", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// What is looked for.
        wanted: &'static str,
    },
    /// The key is another certificate's.
    #[error("{}: is not the key of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// A certificate or key that cannot be used.
    #[error("{}: cannot be used: {error}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: String,
    },
}

/// Loads the files, if TLS is wanted, for the doors and for [`Reloading`], which keeps them fresh.
pub(super) fn start(files: Option<&TlsFiles>) -> Result<Option<(SharedTls, Reloading)>, TlsError> {
    let Some(files) = files else { return Ok(None) };
    // Looked at before they are read: a change in between is seen as one.
    let stamp = stamp(files);
    let current = Arc::new(ArcSwap::from_pointee(load(files)?));
    let reloading = Reloading { files: files.clone(), current: Arc::clone(&current), stamp };
    Ok(Some((current, reloading)))
}

/// What connections are encrypted with, made of the files as they are now.
///
/// # Errors
/// What is wrong, with the file's name.
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

/// When each file was written last, and how long it is.
type Stamp = Vec<Option<(SystemTime, u64)>>;

fn stamp(files: &TlsFiles) -> Stamp {
    let all = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
    let of = |file: &PathBuf| {
        fs::metadata(file).ok().and_then(|data| Some((data.modified().ok()?, data.len())))
    };
    all.into_iter().flatten().map(of).collect()
}

/// Keeps what the doors use as fresh as the files. Files that are no good change nothing but the
/// log.
pub(super) struct Reloading {
    files: TlsFiles,
    current: SharedTls,
    stamp: Stamp,
}

impl Reloading {
    pub(super) fn into_task(self) -> Task {
        Task::once(self.run())
    }

    async fn run(mut self) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                tracing::warn!(%error, "SIGHUP will not reload the certificate; a change of its file will");
                None
            }
        };
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.stamp.clone();
        loop {
            let asked = tokio::select! {
                _ = looks.tick() => false,
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
                tracing::info!(cert = %self.files.cert.display(), "the certificate was loaded again");
            }
            Ok(Err(error)) => tracing::error!("{error}; the certificate from before stays in use"),
            Err(error) => {
                tracing::error!(%error, "loading the certificate panicked; the one from before stays in use")
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
