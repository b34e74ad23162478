//! The table of RPCs: who may call each. What is not in it is denied.

use crate::model::Command;

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, with or without a session.
    Open,
    /// Everybody; a token, if there is one, must open a session.
    OptionalSession,
    /// Whoever has a session.
    Session,
    /// Whoever has a session, for itself; for another, a manager.
    OwnOrManager,
    /// Managers.
    Manager,
    /// Managers; for itself, everybody under the policy `open`.
    Promotion,
}

/// How an RPC answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With one message, within the server's call timeout.
    Unary,
    /// With a stream, for as long as the client wants.
    Stream,
}

macro_rules! methods {
    ($($service:literal { $($name:ident $access:ident $answer:ident,)+ })+) => {
        /// An RPC of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each is the RPC of its name")]
        pub enum Method { $($($name,)+)+ }

        impl Method {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)+)+];

            /// The RPC's name, as `Get`.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)+)+ }
            }

            /// The path of its calls, as `/kvrpc.v1.KeyValueService/Get`.
            pub const fn path(self) -> &'static str {
                match self { $($(Self::$name => concat!("/kvrpc.v1.", $service, "/", stringify!($name)),)+)+ }
            }

            /// The full name of its service, as `kvrpc.v1.KeyValueService`.
            pub const fn service(self) -> &'static str {
                match self { $($(Self::$name => concat!("kvrpc.v1.", $service),)+)+ }
            }

            /// Who may call it.
            pub const fn access(self) -> Access {
                match self { $($(Self::$name => Access::$access,)+)+ }
            }

            /// How it answers.
            pub const fn answer(self) -> Answer {
                match self { $($(Self::$name => Answer::$answer,)+)+ }
            }

            /// The RPC with this path.
            pub fn find(path: &str) -> Option<Self> {
                match path {
                    $($(concat!("/kvrpc.v1.", $service, "/", stringify!($name)) => Some(Self::$name),)+)+
                    _ => None,
                }
            }
        }
    };
}

methods! {
    "KeyValueService" {
        Get Session Unary,
        Put Session Unary,
        Delete Session Unary,
        GetOther OwnOrManager Unary,
        PutOther OwnOrManager Unary,
        ListKeys OwnOrManager Unary,
        Scan OwnOrManager Stream,
        Batch Session Unary,
        Pipeline Session Stream,
        Watch OwnOrManager Stream,
    }
    "AuthService" {
        SignIn Open Unary,
        Auth OptionalSession Unary,
        Upgrade Promotion Unary,
        Downgrade Manager Unary,
        WhoAmI Session Unary,
        SignOut Session Unary,
        ListUsers Manager Unary,
        ListAccesses Session Unary,
    }
    "ChatService" {
        Chat Session Stream,
        Subscribe Session Stream,
        Send Session Unary,
        ListMembers Session Unary,
        ListRooms Session Unary,
    }
    "ServerService" {
        GetServerInfo Open Unary,
    }
    "CodecService" {
        Encode Open Unary,
        Decode Open Unary,
    }
    "ClockService" {
        Now Open Unary,
    }
    "CalculatorService" {
        Calculate Open Unary,
    }
}

impl Method {
    /// The RPC that a command is.
    pub const fn of(command: &Command) -> Self {
        match command {
            Command::Get { .. } => Self::Get,
            Command::Put { .. } => Self::Put,
            Command::Delete { .. } => Self::Delete,
            Command::GetOther { .. } => Self::GetOther,
            Command::PutOther { .. } => Self::PutOther,
            Command::ListKeys { .. } => Self::ListKeys,
            Command::Scan { .. } => Self::Scan,
            Command::Batch { .. } => Self::Batch,
            Command::SignIn { .. } => Self::SignIn,
            Command::Auth { .. } => Self::Auth,
            Command::Upgrade { .. } => Self::Upgrade,
            Command::Downgrade { .. } => Self::Downgrade,
            Command::WhoAmI => Self::WhoAmI,
            Command::SignOut => Self::SignOut,
            Command::ListUsers { .. } => Self::ListUsers,
            Command::ListAccesses { .. } => Self::ListAccesses,
            Command::Send { .. } => Self::Send,
            Command::ListMembers { .. } => Self::ListMembers,
            Command::ListRooms { .. } => Self::ListRooms,
            Command::GetServerInfo => Self::GetServerInfo,
            Command::Encode { .. } => Self::Encode,
            Command::Decode { .. } => Self::Decode,
            Command::Now => Self::Now,
            Command::Calculate { .. } => Self::Calculate,
        }
    }
}
