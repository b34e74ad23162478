//! The doors of the older protocols: bound, and put before the service.

use std::sync::Arc;

use tokio::sync::watch;

use super::compose::socket_limits;
use super::config::{Compat, Config};
use super::task::Task;
use crate::dialect::{Dialect, Transport};
use crate::listen::socket::{Share, SocketDoor, serve_datagrams};
use crate::listen::{BindError, Bound, BoundDatagrams, Gate, Opening, bind, bind_datagrams};
use crate::service::Service;

/// A dialect and its listeners.
pub(super) type Streams = (&'static Dialect, Vec<Bound>);
/// A dialect and one of its sockets.
pub(super) type Datagrams = (&'static Dialect, BoundDatagrams);

/// All that was bound.
#[derive(Default)]
pub(super) struct Sockets {
    /// One row a dialect, however many addresses it has: they are one door.
    pub(super) streams: Vec<Streams>,
    pub(super) datagrams: Vec<Datagrams>,
}

/// Binds every door.
///
/// # Errors
/// An address that cannot be listened on, if somebody named it. The default door's is a warning.
pub(super) fn bind_all(compat: &Compat) -> Result<Sockets, BindError> {
    let mut sockets = Sockets::default();
    for door in &compat.listeners {
        match sockets.bind(door.dialect, &door.address) {
            Err(error) if compat.by_default => {
                tracing::warn!(
                    "the default door is not open: {error}; --compat names another, --no-compat none"
                );
            }
            bound => bound?,
        }
    }
    Ok(sockets)
}

impl Sockets {
    fn bind(
        &mut self,
        dialect: &'static Dialect,
        address: &crate::listen::Address,
    ) -> Result<(), BindError> {
        let setting = format!("--compat {}", dialect.name);
        if matches!(dialect.transport, Transport::Udp(_)) {
            let bound = bind_datagrams(&setting, address)?;
            self.datagrams.extend(bound.into_iter().map(|bound| (dialect, bound)));
            return Ok(());
        }
        let bound = bind(&setting, address)?;
        match self.streams.iter_mut().find(|(known, _)| known.name == dialect.name) {
            Some((_, all)) => all.extend(bound),
            None => self.streams.push((dialect, bound)),
        }
        Ok(())
    }
}

/// The doors of connections, each with its gate.
pub(super) fn openings<'a>(
    config: &'a Config,
    service: &'a Arc<Service>,
    streams: Vec<Streams>,
    gates: Vec<Arc<Gate>>,
) -> impl Iterator<Item = Opening> + 'a {
    let share = Share::new(config.threads);
    streams.into_iter().zip(gates).map(move |((dialect, bound), gate)| {
        let limits = socket_limits(config, dialect);
        let door = SocketDoor::new(Arc::clone(service), dialect, limits, Arc::clone(&share));
        Opening { bound, door: Arc::new(door), gate }
    })
}

/// The work of a door of datagrams, from the start of serving to the first sign of the stop.
pub(super) fn task(
    (dialect, bound): Datagrams,
    service: &Arc<Service>,
    mut ready: watch::Receiver<bool>,
) -> Task {
    let service = Arc::clone(service);
    Task::once(async move {
        let stopping = async {
            // An error means that whoever knew is gone, and the server with it.
            if ready.wait_for(|ready| *ready).await.is_ok() {
                let _ = ready.wait_for(|ready| !ready).await;
            }
        };
        tokio::select! {
            () = stopping => {}
            ended = serve_datagrams(bound, service, dialect) => {
                tracing::error!(door = dialect.name, error = ?ended.err(), "the door of datagrams ended");
            }
        }
    })
}
