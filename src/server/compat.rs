//! The listeners of the legacy protocols, and their connection to the service.

use std::sync::Arc;

use super::compose::socket_limits;
use super::config::{Compat, Config};
use super::task::Task;
use crate::dialect::{Dialect, Transport};
use crate::listen::socket::{FairScheduler, SocketHandler, serve_datagrams};
use crate::listen::{
    BindError, Bound, BoundDatagrams, ConnectionLimiter, Endpoint, bind, bind_datagrams,
};
use crate::service::Service;

/// A protocol and its listeners.
pub(super) type Streams = (&'static Dialect, Vec<Bound>);
/// A protocol and one of its UDP sockets.
pub(super) type Datagrams = (&'static Dialect, BoundDatagrams);

/// All bound sockets.
#[derive(Default)]
pub(super) struct Sockets {
    /// One row per protocol, whatever its number of addresses: they share a handler and a limiter.
    pub(super) streams: Vec<Streams>,
    pub(super) datagrams: Vec<Datagrams>,
}

/// Binds the addresses of all legacy protocols.
///
/// # Errors
/// An address that cannot be listened on, if it was configured. For the default address this is
/// only a warning.
pub(super) fn bind_all(compat: &Compat) -> Result<Sockets, BindError> {
    let mut sockets = Sockets::default();
    for listener in &compat.listeners {
        match sockets.bind(listener.dialect, &listener.address) {
            Err(error) if compat.by_default => {
                tracing::warn!(
                    "the default listener is not open: {error}; \
                     --compat names another, --no-compat none"
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

/// Returns the endpoints of the protocols that have connections, each with its handler and
/// limiter.
pub(super) fn endpoints<'a>(
    config: &'a Config,
    service: &'a Arc<Service>,
    streams: Vec<Streams>,
    limiters: Vec<Arc<ConnectionLimiter>>,
) -> impl Iterator<Item = Endpoint> + 'a {
    let scheduler = FairScheduler::new(config.threads);
    streams.into_iter().zip(limiters).map(move |((dialect, bound), limiter)| {
        let limits = socket_limits(config, dialect);
        let handler =
            SocketHandler::new(Arc::clone(service), dialect, limits, Arc::clone(&scheduler));
        Endpoint { bound, handler: Arc::new(handler), limiter }
    })
}

/// Returns the task that serves a UDP socket, to be stopped with the accept loops.
pub(super) fn task((dialect, bound): Datagrams, service: &Arc<Service>) -> Task {
    let service = Arc::clone(service);
    Task::kept(dialect.name, move || {
        let (bound, service) = (bound.try_clone(), Arc::clone(&service));
        async move { serve_datagrams(bound?, service, dialect).await }
    })
}
