//! A WebSocket on which text messages are asked and answered in order.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::door::lost;
use super::lane::wrong;
use crate::client::failure::Result;

/// An open WebSocket.
pub(super) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(super) async fn open(stream: TcpStream, address: &str) -> Result<Self> {
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream)
            .await
            .map_err(lost)?;
        Ok(Self(socket))
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &str) -> Result<()> {
        self.0.send(Message::text(message)).await.map_err(lost)
    }

    /// Sends the messages in one write, and reads an answer to each.
    pub(super) async fn ask(&mut self, messages: &[String], want: &[String]) -> Result<()> {
        for message in messages {
            self.0.feed(Message::text(message.as_str())).await.map_err(lost)?;
        }
        self.0.flush().await.map_err(lost)?;
        for want in want {
            let got = loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => break text.as_bytes().to_vec(),
                    Some(Ok(Message::Binary(bytes))) => break bytes.to_vec(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(_))) | None => break Vec::new(),
                    Some(Err(error)) => return Err(lost(error)),
                }
            };
            if got != want.as_bytes() {
                return Err(wrong("ws-text", &got, want.as_bytes()));
            }
        }
        Ok(())
    }
}
