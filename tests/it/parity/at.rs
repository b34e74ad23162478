//! A user of a protocol: sends commands in the protocol's words and converts its answers to
//! outcomes.

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use tokio_tungstenite::tungstenite::Message;

use super::plan::{Ask, Outcome};
use crate::grpc::people::{auth, sign_in};
use crate::grpc::raw::{Failure, Raw};
use crate::harness::Server;
use crate::listeners::client::{OldClient, pickled, unpickled};
use crate::listeners::websocket::{Socket, ask as ask_socket, open};

pub(super) const LISTENERS: &[&str] = &["grpc", "text", "pickle", "ws-pickle", "ws-text"];

pub(super) enum At {
    Grpc(Raw),
    Text(OldClient),
    Pickle(OldClient),
    WsPickle(Socket),
    WsText(Socket),
}

impl At {
    /// Returns a new user with its name, which a client of `text` cannot choose.
    pub(super) async fn enter(server: &Server, protocol: &str, name: &str) -> (String, Self) {
        let at = match protocol {
            "grpc" => Self::Grpc(sign_in(&Raw::new(server.channel()), name).await),
            "text" => {
                let client = OldClient::connect(server, protocol).await;
                return (client.port().to_string(), Self::Text(client));
            }
            "pickle" => {
                let mut client = OldClient::connect(server, protocol).await;
                client.send(name).await;
                client.send(pickled(&[])).await;
                assert_eq!(unpickled(&client.receive().await), [""; 0]);
                Self::Pickle(client)
            }
            "ws-pickle" => {
                let mut socket = open(server, protocol, None).await.unwrap();
                futures_util::SinkExt::send(&mut socket, name.into()).await.unwrap();
                let answer = ask_socket(&mut socket, pickled(&[])).await;
                assert_eq!(unpickled(&answer.into_data()), [""; 0]);
                Self::WsPickle(socket)
            }
            "ws-text" => {
                let mut socket = open(server, protocol, None).await.unwrap();
                assert_eq!(ask_socket(&mut socket, name).await, "success".into());
                Self::WsText(socket)
            }
            other => panic!("no listener {other}"),
        };
        (name.to_owned(), at)
    }

    /// Returns the outcome of a command, or `None` if the protocol lacks it.
    pub(super) async fn ask(&mut self, ask: &Ask<String>) -> Option<Outcome> {
        Some(match self {
            Self::Grpc(raw) => grpc(raw, ask).await.unwrap_or_else(failed),
            Self::Text(client) => {
                let reply = client.ask(in_text(ask) + "\n").await;
                of_text(ask, reply.strip_suffix('\n').unwrap())
            }
            Self::Pickle(client) => {
                client.send(in_pickle(ask)?).await;
                of_pickle(ask, &client.receive().await)
            }
            Self::WsPickle(socket) => {
                of_pickle(ask, &ask_socket(socket, in_pickle(ask)?).await.into_data())
            }
            Self::WsText(socket) => of_ws_text(ask, &ask_socket(socket, in_ws_text(ask)?).await),
        })
    }
}

async fn grpc(raw: &Raw, ask: &Ask<String>) -> Result<Outcome, Failure> {
    let outcome = match ask.clone() {
        Ask::Get { key } => {
            let got: v1::GetResponse =
                raw.call(Method::Get.path(), &v1::GetRequest { key }).await?;
            let Some(v1::get_response::Data::Value(value)) = got.data else { panic!("{got:?}") };
            Outcome::Value(value)
        }
        Ask::GetOther { user, key } => {
            let got: v1::GetOtherResponse =
                raw.call(Method::GetOther.path(), &v1::GetOtherRequest { user, key }).await?;
            let Some(v1::get_other_response::Data::Value(value)) = got.data else {
                panic!("{got:?}")
            };
            Outcome::Value(value)
        }
        Ask::Put { key, value } => {
            let data = Some(v1::put_request::Data::Value(value));
            let request = v1::PutRequest { key, data, ..Default::default() };
            raw.call::<_, v1::PutResponse>(Method::Put.path(), &request).await?;
            Outcome::Done
        }
        Ask::PutOther { user, key, value } => {
            let data = Some(v1::put_other_request::Data::Value(value));
            let request = v1::PutOtherRequest { user, key, data, ..Default::default() };
            raw.call::<_, v1::PutOtherResponse>(Method::PutOther.path(), &request).await?;
            Outcome::Done
        }
        Ask::Upgrade => {
            let request = v1::UpgradeRequest::default();
            raw.call::<_, v1::UpgradeResponse>(Method::Upgrade.path(), &request).await?;
            Outcome::Upgraded
        }
        Ask::Auth { password } => {
            auth(raw, "adam", password).await?;
            Outcome::Authenticated
        }
    };
    Ok(outcome)
}

fn failed(failure: Failure) -> Outcome {
    match failure.reason {
        Some(Reason::KeyNotFound) => Outcome::NoKey,
        Some(Reason::UserNotFound) => Outcome::NoUser,
        Some(Reason::ManagerRequired | Reason::UpgradeNotAllowed) => Outcome::Denied,
        Some(Reason::BadCredentials) => Outcome::BadCredentials,
        _ => Outcome::Refused(failure.message),
    }
}

fn in_text(ask: &Ask<String>) -> String {
    match ask {
        Ask::Get { key } => format!("get {key}"),
        Ask::Put { key, value } => format!("put {key} {value}"),
        Ask::GetOther { user, key } => format!("manage {user} get {key}"),
        Ask::PutOther { user, key, value } => format!("manage {user} put {key} {value}"),
        Ask::Upgrade => "upgrade".to_owned(),
        Ask::Auth { password } => format!("auth adam {password}"),
    }
}

fn of_text(ask: &Ask<String>, reply: &str) -> Outcome {
    match (ask, reply) {
        (
            Ask::Upgrade,
            "Error: this server lets only managers promote; ask one, or sign in with an account",
        ) => Outcome::Denied,
        (_, reply) if reply.starts_with("Error: ") => refused(reply),
        (Ask::Put { key, value } | Ask::PutOther { key, value, .. }, reply)
            if reply == format!("Successfully set {key} as {value}") =>
        {
            Outcome::Done
        }
        (Ask::Get { .. } | Ask::GetOther { .. }, "<blank>") => Outcome::NoKey,
        (Ask::GetOther { .. } | Ask::PutOther { .. }, "No such client") => Outcome::NoUser,
        (Ask::GetOther { .. } | Ask::PutOther { .. }, "Access denied") => Outcome::Denied,
        (Ask::Auth { .. }, "Authentication success") => Outcome::Authenticated,
        (Ask::Auth { .. }, "Authentication failure") => Outcome::BadCredentials,
        (Ask::Upgrade, reply) if reply.ends_with(" (manager)") => Outcome::Upgraded,
        (Ask::Get { .. } | Ask::GetOther { .. }, value) => Outcome::Value(value.to_owned()),
        other => panic!("{other:?}"),
    }
}

fn in_pickle(ask: &Ask<String>) -> Option<Vec<u8>> {
    Some(match ask {
        Ask::Get { key } => pickled(&[&[("method", "get"), ("key", key)]]),
        Ask::Put { key, value } => pickled(&[&[("method", "put"), ("key", key), ("value", value)]]),
        Ask::GetOther { user, key } => {
            pickled(&[&[("method", "getother"), ("username", user), ("key", key)]])
        }
        Ask::Upgrade => pickled(&[&[("method", "upgrade")]]),
        Ask::PutOther { .. } | Ask::Auth { .. } => return None,
    })
}

fn of_pickle(ask: &Ask<String>, reply: &[u8]) -> Outcome {
    let strings = unpickled(reply);
    let [words] = &strings[..] else { panic!("{strings:?}") };
    match (ask, words.as_str()) {
        (_, words) if words.starts_with("Error: ") => refused(words),
        (Ask::Put { .. }, "Successful") => Outcome::Done,
        (Ask::Get { .. } | Ask::GetOther { .. }, "Invalid key") => Outcome::NoKey,
        (Ask::GetOther { .. }, "Invalid username") => Outcome::NoUser,
        (Ask::GetOther { .. } | Ask::Upgrade, "Access Denied") => Outcome::Denied,
        (Ask::Upgrade, "mode change successfull") => Outcome::Upgraded,
        (Ask::Get { .. } | Ask::GetOther { .. }, value) => Outcome::Value(value.to_owned()),
        other => panic!("{other:?}"),
    }
}

fn in_ws_text(ask: &Ask<String>) -> Option<String> {
    Some(match ask {
        Ask::Get { key } => format!("get {key}"),
        Ask::Put { key, value } => format!("put {key} {value}"),
        Ask::GetOther { user, key } => format!("get {user} {key}"),
        Ask::Upgrade => "upgrade".to_owned(),
        Ask::PutOther { .. } | Ask::Auth { .. } => return None,
    })
}

fn of_ws_text(ask: &Ask<String>, answer: &Message) -> Outcome {
    let Message::Text(words) = answer else {
        assert_eq!(
            answer,
            &Message::binary(b"you are not allowed to access keys of other users".as_slice())
        );
        assert!(matches!(ask, Ask::GetOther { .. }), "{ask:?}");
        return Outcome::Denied;
    };
    match (ask, words.as_str()) {
        (_, words) if words.starts_with("error: ") => refused(words),
        (Ask::Put { .. }, "done") => Outcome::Done,
        (Ask::Get { .. } | Ask::GetOther { .. }, "key not found") => Outcome::NoKey,
        (Ask::GetOther { .. }, "user not found") => Outcome::NoUser,
        (Ask::Upgrade, "you are not allowed to upgrade") => Outcome::Denied,
        (Ask::Upgrade, "upgraded to manager" | "already a manager") => Outcome::Upgraded,
        (Ask::Get { .. } | Ask::GetOther { .. }, value) => Outcome::Value(value.to_owned()),
        other => panic!("{other:?}"),
    }
}

/// Removes the protocol's prefix from an error sentence.
fn refused(words: &str) -> Outcome {
    Outcome::Refused(words.split_once(": ").unwrap().1.to_owned())
}
