//! The socket layer that every door shares: binding, one accept loop with back-off, a cap of
//! connections, the threads that serve them, and the order in which all of it stops.
//!
//! A connection's way: `bind` → `accept` (one loop a listener) → `gate` (is there room, and who
//! makes some) → `workers` (a thread per core, dealt to in turn) → a [`Door`]. Nothing here knows a
//! protocol but `http`, which the gRPC door and the admin pages share, and `socket`, the doors of
//! the older protocols.

mod accept;
mod address;
mod bind;
mod closing;
mod descriptors;
mod door;
mod gate;
pub mod http;
mod listening;
pub mod socket;
mod unsent;
mod workers;

pub use address::Address;
pub use bind::{BindError, Bound, BoundDatagrams, bind, bind_datagrams};
pub use closing::Closing;
pub use descriptors::connections_within;
pub use door::{ConnInfo, Connection, Door};
pub use gate::{Gate, Permit, Refusal, Stats};
pub use listening::{Drained, Listening, Opening};
pub use workers::Beside;
