//! A dialect on bare TCP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::room::told;
use super::share::Pace;
use super::{Member, SocketLimits, close, run};
use crate::dialect::codec::{Decoded, Input, Next, PIECE_BYTES, QUIET, StreamCodec};
use crate::listen::Connection;

/// The most that is read at a time.
const READ_BYTES: usize = 8 << 10;

/// How the work on what has come ended.
enum After {
    /// More must come; a pause may complete a request if `quiet`.
    Wait { quiet: bool },
    /// The client is told nothing more.
    Drop,
    /// The client has got its last reply.
    Close,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    connection: Connection,
    codec: Box<dyn StreamCodec>,
    member: Member,
    limits: Arc<SocketLimits>,
    pace: Pace,
) {
    let now = Instant::now();
    let mut talk = Talk {
        connection,
        codec,
        member,
        pace,
        input: BytesMut::new(),
        last_request: now,
        last_read: now,
    };
    let (door, peer) = (talk.member.door(), talk.member.peer());
    match talk.run(limits.idle).await {
        // The session is over before the client can see that the connection is.
        Ok(After::Close) => {
            let Talk { connection, member, .. } = talk;
            drop(member);
            close(connection.stream).await;
        }
        Ok(After::Drop | After::Wait { .. }) => {}
        Err(error) => tracing::debug!(door, %peer, %error, "the connection failed"),
    }
}

struct Talk {
    connection: Connection,
    codec: Box<dyn StreamCodec>,
    member: Member,
    pace: Pace,
    /// Empty, it owns no memory: an idle connection holds no buffer.
    input: BytesMut,
    last_request: Instant,
    last_read: Instant,
}

impl Talk {
    async fn run(&mut self, idle: Option<Duration>) -> io::Result<After> {
        let mut event = Input::Bytes;
        loop {
            let quiet = match self.work(event).await? {
                After::Wait { .. } if event == Input::End => return Ok(After::Close),
                // A pause that completed nothing completes nothing when it goes on.
                After::Wait { quiet } => quiet && event == Input::Bytes,
                end @ (After::Drop | After::Close) => return Ok(end),
            };
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            let end = idle.map(|idle| self.last_request + idle);
            let over = self.member.end_of_session();
            event = tokio::select! {
                biased;
                () = self.connection.draining.cancelled() => return Ok(After::Close),
                () = over => return Ok(After::Close),
                read = read(&self.connection.stream, &mut self.input, &mut self.pace) => match read? {
                    0 => Input::End,
                    _ => Input::Bytes,
                },
                // From the last byte on: what others say in the room is no reason to wait longer.
                () = sleep_until(self.last_read + QUIET), if quiet => Input::Quiet,
                next = self.member.next_event() => {
                    let mut out = BytesMut::new();
                    self.codec.event(told(&next), &mut out);
                    self.write(&out).await?;
                    continue;
                }
                () = until(end) => {
                    tracing::debug!(door = self.member.door(), peer = %self.member.peer(), "closed: no request for too long");
                    return Ok(After::Close);
                }
            };
            if event == Input::Bytes {
                self.last_read = Instant::now();
                self.connection.permit.spoke();
            }
        }
    }

    /// Answers every request that is complete.
    async fn work(&mut self, event: Input) -> io::Result<After> {
        loop {
            self.pace.before(self.input.len()).await?;
            match self.codec.decode(&mut self.input, event) {
                Decoded::Pending { quiet } => return Ok(After::Wait { quiet }),
                Decoded::Close => return Ok(After::Drop),
                Decoded::Request => {}
            }
            let next = self.answer().await?;
            self.last_request = Instant::now();
            if next == Next::Close
                || self.member.is_over()
                || self.connection.draining.is_cancelled()
            {
                return Ok(After::Close);
            }
            // Many requests in one segment leave the thread to others in between.
            self.pace.end().await?;
        }
    }

    async fn answer(&mut self) -> io::Result<Next> {
        let mut out = BytesMut::new();
        while let Some(action) = self.codec.next(&mut out) {
            let before = out.len();
            let answer = run(&mut self.member, action, &mut self.pace).await;
            self.codec.answer(answer, &mut out);
            self.pace.step(out.len().saturating_sub(before)).await?;
            if out.len() >= PIECE_BYTES {
                // Who does not read what it asked for gets no more made.
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
        let share = self.pace.share();
        share.send(out.len(), &mut self.pace, self.connection.stream.write_all(out)).await
    }
}

/// Reads what has come; 0 is the end. Takes memory only when there is something, and rests when
/// there is nothing.
async fn read(stream: &TcpStream, input: &mut BytesMut, pace: &mut Pace) -> io::Result<usize> {
    loop {
        match stream.readable().now_or_never() {
            Some(ready) => ready?,
            None => {
                pace.rest();
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

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
