//! grpc.health.v1 for each service, and reflection v1 and v1alpha.

use std::error::Error;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::model::Method;
use crate::pb;

/// The health of all services.
pub struct Health {
    reporter: HealthReporter,
    draining: CancellationToken,
}

/// The services beside the contract's own, which need no session.
pub(super) fn routes(
    draining: CancellationToken,
) -> Result<(Routes, Health), Box<dyn Error + Send + Sync>> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // With it, grpcurl shows the details of errors as text.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // Python's reflection client still asks for v1alpha.
    let routes = Routes::new(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((routes.prepare(), Health { reporter, draining }))
}

impl Health {
    /// Says SERVING while `ready` and the stores' engine answers, NOT_SERVING otherwise. New calls
    /// are refused once `closed` is cancelled. It ends when one of the others has no sender any
    /// more.
    ///
    /// # Errors
    /// None; the type is that of a task.
    pub async fn follow(
        self: Arc<Self>,
        mut ready: watch::Receiver<bool>,
        closed: CancellationToken,
        mut engine: Option<watch::Receiver<bool>>,
    ) -> io::Result<()> {
        loop {
            let serving = *ready.borrow_and_update();
            let answers = engine.as_mut().is_none_or(|engine| *engine.borrow_and_update());
            let status =
                if serving && answers { ServingStatus::Serving } else { ServingStatus::NotServing };
            say(&self.reporter, status).await;
            let engine_changed = async {
                match &mut engine {
                    Some(engine) => engine.changed().await,
                    None => std::future::pending().await,
                }
            };
            let changed = tokio::select! {
                changed = ready.changed() => changed,
                changed = engine_changed => changed,
                () = closed.cancelled(), if !self.draining.is_cancelled() => {
                    self.draining.cancel();
                    Ok(())
                }
            };
            if changed.is_err() {
                return Ok(());
            }
        }
    }
}

/// For the server as a whole, which has the empty name, and for each service.
async fn say(reporter: &HealthReporter, status: ServingStatus) {
    reporter.set_service_status("", status).await;
    let mut services: Vec<_> = Method::ALL.iter().map(|method| method.service()).collect();
    services.dedup();
    for service in services {
        reporter.set_service_status(service, status).await;
    }
}
