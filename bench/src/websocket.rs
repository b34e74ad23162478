//! A WebSocket whose text messages are answered in order.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::caller::wrong;
use crate::failure::Result;
use crate::legacy::lost;

/// An open WebSocket.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Upgrades a connection.
    pub(crate) async fn open(stream: TcpStream, address: &str) -> Result<Self> {
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream)
            .await
            .map_err(lost)?;
        Ok(Self(socket))
    }

    /// Sends the messages in one write, and reads an answer to each.
    pub(crate) async fn ask(&mut self, messages: &[String], want: &[String]) -> Result<()> {
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
