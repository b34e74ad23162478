//! Parsed commands.

use std::path::PathBuf;

use super::Spec;
use crate::model::{
    Command, Expiry, Key, MAX_PAGE_SIZE, Page, Prefix, RequestId, Result, RoomName, UserName,
    Value, request,
};

/// A command with its words checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the command of its name; the table tells what it does")]
pub enum Call {
    Get {
        key: Key,
    },
    Put(PutCall),
    Delete {
        key: Key,
        if_revision: Option<u64>,
        request_id: Option<RequestId>,
    },
    GetOther {
        user: UserName,
        key: Key,
    },
    PutOther {
        user: UserName,
        put: PutCall,
    },
    Keys {
        prefix: Prefix,
        user: Option<UserName>,
    },
    Scan {
        prefix: Prefix,
        user: Option<UserName>,
        keys_only: bool,
    },
    /// The password is present only in the `text` protocol.
    Auth {
        user: String,
        password: Option<String>,
    },
    Upgrade {
        user: Option<UserName>,
    },
    Downgrade {
        user: UserName,
        end_sessions: bool,
    },
    WhoAmI,
    Users,
    Accesses,
    Token,
    SignOut,
    Encode {
        text: String,
    },
    Decode {
        bits: String,
    },
    Now,
    Calc {
        expression: String,
    },
    Info,
    Watch {
        prefix: Prefix,
        user: Option<UserName>,
    },
    Chat {
        room: RoomName,
    },
    Rooms,
    Members {
        room: RoomName,
    },
    Export {
        prefix: Prefix,
        user: Option<UserName>,
    },
    Import {
        source: InputSource,
    },
    Doctor,
    Completions {
        shell: Shell,
    },
    Man,
    Help {
        command: Option<&'static Spec>,
    },
}

/// A write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutCall {
    /// Key to write.
    pub key: Key,
    /// Source of the value.
    pub value: InputSource,
    /// Expiry of the key; `None` keeps it until it is deleted.
    pub expiry: Option<Expiry>,
    /// Revision that the key must have; 0 means that it must not exist.
    pub if_revision: Option<u64>,
    /// Id that makes a retry safe.
    pub request_id: Option<RequestId>,
}

/// Source of a value, or of a file to read. In the `text` protocol it is always `Text`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says it")]
pub enum InputSource {
    Text(String),
    Stdin,
    File(PathBuf),
}

/// A shell for which completions can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the shell of its name")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Call {
    /// Returns the command of the model; for a listing, the request for its first page. Returns
    /// `None` for the help and for calls that only the command line can run.
    ///
    /// # Errors
    /// `INVALID_VALUE` for a value over 1 MiB.
    pub fn command(self) -> Result<Option<Command>> {
        let page = || Page { size: MAX_PAGE_SIZE, token: String::new() };
        Ok(Some(match self {
            Self::Get { key } => request::Get { key }.into(),
            Self::Put(call) => match call.put()? {
                Some(put) => put.into(),
                None => return Ok(None),
            },
            Self::Delete { key, if_revision, request_id } => {
                request::Delete { key, if_revision, request_id }.into()
            }
            Self::GetOther { user, key } => request::GetOther { user, key }.into(),
            Self::PutOther { user, put: call } => match call.put()? {
                Some(put) => request::PutOther { user, put }.into(),
                None => return Ok(None),
            },
            Self::Keys { prefix, user } => request::ListKeys { user, prefix, page: page() }.into(),
            Self::Scan { prefix, user, keys_only } => {
                let page_token = String::new();
                request::Scan { user, prefix, keys_only, page_token, cursor: None }.into()
            }
            Self::Auth { user, password: Some(password) } => {
                request::Auth { user, password }.into()
            }
            Self::Upgrade { user } => request::Upgrade { user }.into(),
            Self::Downgrade { user, end_sessions } => {
                request::Downgrade { user, end_sessions }.into()
            }
            Self::WhoAmI => request::WhoAmI.into(),
            Self::Users => request::ListUsers { page: page() }.into(),
            Self::Accesses => request::ListAccesses { page: page() }.into(),
            Self::Encode { text } => request::Encode { text }.into(),
            Self::Decode { bits } => request::Decode { bits }.into(),
            Self::Now => request::Now.into(),
            Self::Calc { expression } => request::Calculate { expression }.into(),
            Self::Info => request::GetServerInfo.into(),
            Self::SignOut => request::SignOut.into(),
            Self::Auth { password: None, .. }
            | Self::Token
            | Self::Watch { .. }
            | Self::Chat { .. }
            | Self::Rooms
            | Self::Members { .. }
            | Self::Export { .. }
            | Self::Import { .. }
            | Self::Doctor
            | Self::Completions { .. }
            | Self::Man
            | Self::Help { .. } => return Ok(None),
        }))
    }
}

impl PutCall {
    fn put(self) -> Result<Option<request::Put>> {
        let InputSource::Text(text) = self.value else { return Ok(None) };
        Ok(Some(request::Put {
            key: self.key,
            value: Value::text(text)?,
            expiry: self.expiry,
            if_revision: self.if_revision,
            request_id: self.request_id,
        }))
    }
}

impl Shell {
    /// All shells.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// Returns the shell's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}
