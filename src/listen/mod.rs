//! stub
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;
/// x
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// x
    pub peer: SocketAddr,
    /// x
    pub closing: CancellationToken,
}
