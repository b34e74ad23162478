//! Protocols on bare TCP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::fair::WorkBudget;
use super::room::to_chat_event;
use super::{SocketLimits, SocketSession, close, run};
use crate::dialect::codec::{AfterReply, Decoded, Input, PIECE_BYTES, QUIET, StreamCodec};
use crate::listen::AcceptedConnection;

/// Maximum number of bytes per read.
const READ_BYTES: usize = 8 << 10;

/// Result of working on the input.
enum WorkEnd {
    /// More input is needed; a pause may complete a request if `quiet`.
    Wait { quiet: bool },
    /// Close without a further reply.
    Drop,
    /// Close after the last reply, which was sent.
    Close,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    connection: AcceptedConnection,
    codec: Box<dyn StreamCodec>,
    session: SocketSession,
    limits: Arc<SocketLimits>,
    budget: WorkBudget,
) {
    let now = Instant::now();
    let mut client = StreamConnection {
        connection,
        codec,
        session,
        budget,
        input: BytesMut::new(),
        last_request: now,
        last_read: now,
    };
    let (protocol, peer) = (client.session.protocol(), client.session.peer());
    match client.run(limits.idle).await {
        // The session ends before the client can see that the connection has ended.
        Ok(WorkEnd::Close) => {
            let StreamConnection { connection, session, .. } = client;
            drop(session);
            close(connection.stream).await;
        }
        Ok(WorkEnd::Drop | WorkEnd::Wait { .. }) => {}
        Err(error) => tracing::debug!(protocol, %peer, %error, "the connection failed"),
    }
}

struct StreamConnection {
    connection: AcceptedConnection,
    codec: Box<dyn StreamCodec>,
    session: SocketSession,
    budget: WorkBudget,
    /// Without memory when empty: an idle connection holds no buffer.
    input: BytesMut,
    last_request: Instant,
    last_read: Instant,
}

impl StreamConnection {
    async fn run(&mut self, idle: Option<Duration>) -> io::Result<WorkEnd> {
        let mut event = Input::Bytes;
        loop {
            let quiet = match self.work(event).await? {
                WorkEnd::Wait { .. } if event == Input::End => return Ok(WorkEnd::Close),
                // A pause that completed no request completes none by lasting longer.
                WorkEnd::Wait { quiet } => quiet && event == Input::Bytes,
                end @ (WorkEnd::Drop | WorkEnd::Close) => return Ok(end),
            };
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            if quiet {
                acknowledge(&self.connection.stream);
            }
            let end = idle.map(|idle| self.last_request + idle);
            let over = self.session.end_of_session();
            event = tokio::select! {
                biased;
                () = self.connection.draining.cancelled() => return Ok(WorkEnd::Close),
                () = over => return Ok(WorkEnd::Close),
                read = read(&self.connection.stream, &mut self.input, &mut self.budget) => {
                    if read? == 0 { Input::End } else { Input::Bytes }
                }
                // Counted from the last byte, so that events in the room do not extend the wait.
                () = sleep_until(self.last_read + QUIET), if quiet => Input::Quiet,
                next = self.session.next_event() => {
                    let mut out = BytesMut::new();
                    self.codec.event(to_chat_event(&next), &mut out);
                    self.write(&out).await?;
                    continue;
                }
                () = sleep_until_some(end) => {
                    let (protocol, peer) = (self.session.protocol(), self.session.peer());
                    tracing::debug!(protocol, %peer, "closed: no request for too long");
                    return Ok(WorkEnd::Close);
                }
            };
            if event == Input::Bytes {
                self.last_read = Instant::now();
                self.connection.permit.mark_active();
            }
        }
    }

    /// Answers all complete requests.
    async fn work(&mut self, event: Input) -> io::Result<WorkEnd> {
        loop {
            self.budget.before_decode(self.input.len()).await?;
            match self.codec.decode(&mut self.input, event) {
                Decoded::Pending { quiet } => return Ok(WorkEnd::Wait { quiet }),
                Decoded::Close => return Ok(WorkEnd::Drop),
                Decoded::Request => {}
            }
            let next = self.answer().await?;
            self.last_request = Instant::now();
            if next == AfterReply::Close
                || self.session.is_over()
                || self.connection.draining.is_cancelled()
            {
                return Ok(WorkEnd::Close);
            }
            // Lets other connections run between the many requests of one segment.
            self.budget.end_request().await?;
        }
    }

    async fn answer(&mut self) -> io::Result<AfterReply> {
        let mut out = BytesMut::new();
        while let Some(action) = self.codec.next(&mut out) {
            let before = out.len();
            let answer = run(&mut self.session, action, &mut self.budget).await;
            self.codec.answer(answer, &mut out);
            self.budget.step(out.len().saturating_sub(before)).await?;
            if out.len() >= PIECE_BYTES {
                // Waits for the client: no more of the reply is produced for one that does not
                // read.
                self.write(&out).await?;
                out.clear();
            }
        }
        let next = self.codec.finish(&mut out);
        self.write(&out).await?;
        Ok(next)
    }

    async fn write(&mut self, out: &[u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let scheduler = self.budget.scheduler();
        scheduler.send(out.len(), &mut self.budget, self.connection.stream.write_all(out)).await
    }
}

/// Reads available bytes; 0 is the end of input. The buffer is allocated only when there are bytes
/// to read.
async fn read(
    stream: &TcpStream,
    input: &mut BytesMut,
    budget: &mut WorkBudget,
) -> io::Result<usize> {
    loop {
        match stream.readable().now_or_never() {
            Some(ready) => ready?,
            None => {
                budget.reset();
                stream.readable().await?;
            }
        }
        input.reserve(READ_BYTES);
        match stream.try_read_buf(input) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Acknowledges at once what was read. A client with Nagle's algorithm holds back the rest of a
/// line until then, and the system would wait for a reply to send the acknowledgement with.
#[cfg(target_os = "linux")]
fn acknowledge(stream: &TcpStream) {
    // Without it, the acknowledgement comes later.
    let _ = socket2::SockRef::from(stream).set_tcp_quickack(true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge(_: &TcpStream) {}

async fn sleep_until_some(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
