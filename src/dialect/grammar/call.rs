//! What a parsed command asks for.

use std::path::PathBuf;

use super::Spec;
use crate::model::{
    Command, Delete, Expiry, Key, MAX_PAGE_SIZE, Page, Prefix, Put, RequestId, Result, RoomName,
    UserName, Value,
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
    /// The password is there only at the door.
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
        source: Source,
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
    /// What to write to.
    pub key: Key,
    /// Where the value is.
    pub value: Source,
    /// When the key goes.
    pub expiry: Option<Expiry>,
    /// The revision that the key must have; 0: there must be none.
    pub if_revision: Option<u64>,
    /// The id that makes a retry safe.
    pub request_id: Option<RequestId>,
}

/// Where a value, or a file to read, is. At the door it is always the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says it")]
pub enum Source {
    Text(String),
    Stdin,
    File(PathBuf),
}

/// A shell that completions are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the shell of its name")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Call {
    /// The command of the vocabulary that this is, a listing's first page; `None` for what only a
    /// command line can do, and for the help.
    ///
    /// # Errors
    /// `INVALID_VALUE` for a value over 1 MiB.
    pub fn command(self) -> Result<Option<Command>> {
        let page = || Page { size: MAX_PAGE_SIZE, token: String::new() };
        Ok(Some(match self {
            Self::Get { key } => Command::Get { key },
            Self::Put(call) => match call.put()? {
                Some((put, request_id)) => Command::Put { put, request_id },
                None => return Ok(None),
            },
            Self::Delete { key, if_revision, request_id } => {
                Command::Delete { delete: Delete { key, if_revision }, request_id }
            }
            Self::GetOther { user, key } => Command::GetOther { user, key },
            Self::PutOther { user, put: call } => match call.put()? {
                Some((put, request_id)) => Command::PutOther { user, put, request_id },
                None => return Ok(None),
            },
            Self::Keys { prefix, user } => Command::ListKeys { user, prefix, page: page() },
            Self::Scan { prefix, user, keys_only } => {
                Command::Scan { user, prefix, keys_only, cursor: None }
            }
            Self::Auth { user, password: Some(password) } => Command::Auth { user, password },
            Self::Upgrade { user } => Command::Upgrade { user },
            Self::Downgrade { user, end_sessions } => Command::Downgrade { user, end_sessions },
            Self::WhoAmI => Command::WhoAmI,
            Self::Users => Command::ListUsers { page: page() },
            Self::Accesses => Command::ListAccesses { page: page() },
            Self::Encode { text } => Command::Encode { text },
            Self::Decode { bits } => Command::Decode { bits },
            Self::Now => Command::Now,
            Self::Calc { expression } => Command::Calculate { expression },
            Self::Info => Command::GetServerInfo,
            Self::SignOut => Command::SignOut,
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
    fn put(self) -> Result<Option<(Put, Option<RequestId>)>> {
        let Source::Text(text) = self.value else { return Ok(None) };
        let put = Put {
            key: self.key,
            value: Value::text(text)?,
            expiry: self.expiry,
            if_revision: self.if_revision,
        };
        Ok(Some((put, self.request_id)))
    }
}

impl Shell {
    /// Every shell.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// The shell's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}
