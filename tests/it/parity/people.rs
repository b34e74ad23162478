//! One directory: users of one protocol exist in every other, with the role that any protocol gave.

use kvrpc::model::Method;
use kvrpc::pb::v1;

use super::at::{At, LISTENERS};
use super::plan::{Ask, Outcome};
use super::upgrade;
use crate::grpc::raw::Raw;
use crate::harness::Server;
use crate::listeners::client::{manager, server};

async fn every_listener() -> Server {
    server(&["text", "pickle", "ws-pickle", "ws-text"], "").await
}

/// Returns owners, one for each protocol, with the protocol's name as the value of `protocol`.
async fn owners(server: &Server) -> Vec<(String, At)> {
    let mut owners = Vec::new();
    for protocol in LISTENERS {
        let (name, mut at) = At::enter(server, protocol, &format!("owner-{protocol}")).await;
        let put = Ask::Put { key: "listener".to_owned(), value: (*protocol).to_owned() };
        assert_eq!(at.ask(&put).await, Some(Outcome::Done));
        owners.push((name, at));
    }
    owners
}

/// Returns the outcomes of reading each owner's value.
async fn read(reader: &mut At, owners: &[(String, At)]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (name, _) in owners {
        let ask = Ask::GetOther { user: name.clone(), key: "listener".to_owned() };
        outcomes.push(reader.ask(&ask).await.unwrap());
    }
    outcomes
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Guest,
    Manager,
}

/// Gives a role over one of the two protocols that can.
async fn give(role: Role, name: &str, adam: &Raw, giver: &mut At) {
    match (role, giver) {
        (Role::Manager, At::Grpc(_)) => upgrade(adam, name).await,
        (Role::Guest, At::Grpc(_)) => {
            let request = v1::DowngradeRequest { user: name.to_owned(), end_sessions: false };
            let _: v1::DowngradeResponse =
                adam.call(Method::Downgrade.path(), &request).await.unwrap();
        }
        (Role::Manager, At::Text(client)) => {
            assert_eq!(
                client.ask(format!("upgrade {name}\n")).await,
                format!("{name} (manager)\n")
            );
        }
        (Role::Guest, At::Text(client)) => {
            assert_eq!(
                client.ask(format!("downgrade {name}\n")).await,
                format!("{name} (guest)\n")
            );
        }
        _ => panic!("a listener that gives no roles"),
    }
}

#[tokio::test]
async fn a_user_of_any_listener_is_seen_by_a_manager_at_any_and_a_role_given_at_one_holds_at_all() {
    let server = every_listener().await;
    let adam = manager(&server).await;
    let (_, mut at_text) = At::enter(&server, "text", "").await;
    assert_eq!(at_text.ask(&Ask::Auth { password: "bill" }).await, Some(Outcome::Authenticated));
    let owners = owners(&server).await;
    let values: Vec<_> =
        LISTENERS.iter().map(|protocol| Outcome::Value((*protocol).to_owned())).collect();
    let denied = vec![Outcome::Denied; LISTENERS.len()];
    for giver in [&mut At::Grpc(adam.clone()), &mut at_text] {
        for protocol in LISTENERS {
            let (name, mut reader) = At::enter(&server, protocol, "reader").await;
            assert_eq!(read(&mut reader, &owners).await, denied, "{protocol}");
            give(Role::Manager, &name, &adam, giver).await;
            assert_eq!(read(&mut reader, &owners).await, values, "{protocol}");
            give(Role::Guest, &name, &adam, giver).await;
            assert_eq!(read(&mut reader, &owners).await, denied, "{protocol}");
            leave(reader, &adam, &name).await;
        }
    }
}

/// Waits until the name is free again.
async fn leave(reader: At, adam: &Raw, name: &str) {
    if let At::Grpc(raw) = &reader {
        let _: v1::SignOutResponse =
            raw.call(Method::SignOut.path(), &v1::SignOutRequest {}).await.unwrap();
    }
    drop(reader);
    crate::harness::eventually("the name is free", || async {
        let listed: v1::ListUsersResponse =
            adam.call(Method::ListUsers.path(), &v1::ListUsersRequest::default()).await.unwrap();
        listed.users.iter().all(|user| user.name != name)
    })
    .await;
}
