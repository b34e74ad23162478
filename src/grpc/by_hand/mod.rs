//! The RPCs that are more than one command: the streams, and Auth.
//!
//! Chat, Subscribe and Watch never end by themselves, and many of them follow the same events: each
//! event is encoded once, by the first stream that sends it, and the same bytes go to all.

mod auth;
mod events;
mod guard;
mod pipeline;
mod room;
mod scan;
mod watch;

pub(super) use auth::auth;
pub(super) use pipeline::{PipelineStream, pipeline};
pub(super) use room::{ChatStream, SubscribeStream, chat, subscribe};
pub(super) use scan::{ScanStream, scan};
pub(super) use watch::{WatchStream, watch};
