//! The socket layer: binding, an accept loop with back-off for each listener, connection limits,
//! the threads that serve connections, and the order in which everything stops.
//!
//! The path of a connection: `bind` → `accept` (one loop per listener) → `limiter` (admits or
//! refuses it, and may close an inactive one) → `workers` (one thread per core, used in turn) → a
//! [`ConnectionHandler`]. Only `http`, used for gRPC and the admin pages, and `socket`, used for
//! the legacy protocols, know protocols.

mod accept;
mod address;
mod bind;
mod client_stream;
mod closing;
mod descriptors;
mod handler;
pub mod http;
mod limiter;
mod listener_set;
pub mod socket;
mod supervisor;
mod unsent;
mod workers;

pub use address::Address;
pub use bind::{BindError, Bound, BoundDatagrams, bind, bind_datagrams};
pub use closing::{Cause, Closing};
pub use descriptors::connections_within;
pub use handler::{AcceptedConnection, ConnInfo, ConnectionHandler};
pub use limiter::{AdmissionError, ConnectionLimiter, Permit, Stats};
pub use listener_set::{Drained, Endpoint, ListenerSet};
pub use supervisor::{Failures, Restart, Run, Supervisor};
pub use workers::BackgroundTask;
