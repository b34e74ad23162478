//! The ids that make a retry safe.

use super::limits::MAX_REQUEST_ID_BYTES;
use super::{Error, Reason, Result};

/// A request id: 1 to 64 bytes, chosen by the client, the same for a call and its retries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Checks an id; an empty one is none.
    ///
    /// # Errors
    /// `INVALID_REQUEST_ID` for one over 64 bytes.
    pub fn new(text: String) -> Result<Option<Self>> {
        match text.len() {
            0 => Ok(None),
            1..=MAX_REQUEST_ID_BYTES => Ok(Some(Self(text))),
            len => Err(Error::new(
                Reason::InvalidRequestId,
                format!("request_id has {len} bytes; at most {MAX_REQUEST_ID_BYTES} are allowed"),
            )
            .in_field("request_id")),
        }
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
