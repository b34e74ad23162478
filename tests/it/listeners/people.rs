//! One directory: a user of one protocol is known in all others.

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;

use super::client::{OldClient, get_other, manager, server, value};
use crate::harness::eventually;

#[tokio::test]
async fn a_manager_over_grpc_reads_the_store_of_a_text_client_which_learns_of_it() {
    let server = server(&["text"], "").await;
    let adam = manager(&server).await;
    let mut client = OldClient::connect(&server, "text").await;
    assert_eq!(client.ask("put city Kolkata").await, "Successfully set city as Kolkata");
    let name = client.port().to_string();
    assert_eq!(value(get_other(&adam, &name, "city").await.unwrap()), "Kolkata");
    let users: v1::ListUsersResponse =
        adam.call(Method::ListUsers.path(), &v1::ListUsersRequest::default()).await.unwrap();
    assert!(users.users.iter().any(|user| user.name == name), "{users:?}");
    let accesses = client.ask("accesses").await;
    assert!(accesses.contains("adam") && accesses.contains("city"), "{accesses}");
    // Name and store end with the connection.
    drop(client);
    eventually("the name is free", || async {
        get_other(&adam, &name, "city")
            .await
            .is_err_and(|failure| failure.reason == Some(Reason::UserNotFound))
    })
    .await;
}

#[tokio::test]
async fn what_a_text_client_reads_is_on_record_under_its_listener() {
    let server = server(&["text"], "").await;
    let adam = manager(&server).await;
    let put = v1::PutRequest {
        key: "plan".to_owned(),
        data: Some(v1::put_request::Data::Value("secret".to_owned())),
        ..Default::default()
    };
    let _: v1::PutResponse = adam.call(Method::Put.path(), &put).await.unwrap();
    let mut client = OldClient::connect(&server, "text").await;
    client.ask("auth adam bill").await;
    assert_eq!(client.ask("getother adam plan").await, "secret");
    let log: v1::ListAccessesResponse =
        adam.call(Method::ListAccesses.path(), &v1::ListAccessesRequest::default()).await.unwrap();
    let access = &log.accesses[0];
    let user = access.user.as_ref().unwrap();
    assert_eq!((user.name.clone(), access.protocol.as_str()), (client.port().to_string(), "text"));
}

#[tokio::test]
async fn a_role_given_or_taken_at_one_listener_holds_at_another() {
    let server = server(&["text"], "").await;
    let adam = manager(&server).await;
    let mut owner = OldClient::connect(&server, "text").await;
    owner.ask("put city Kolkata").await;
    let mut client = OldClient::connect(&server, "text").await;
    let read = format!("manage {} get city", owner.port());
    let name = client.port().to_string();
    assert_eq!(client.ask(&read).await, "Access denied");
    let upgrade = v1::UpgradeRequest { user: name.clone() };
    let _: v1::UpgradeResponse = adam.call(Method::Upgrade.path(), &upgrade).await.unwrap();
    assert_eq!(client.ask(&read).await, "Kolkata");
    let downgrade = v1::DowngradeRequest { user: name.clone(), end_sessions: false };
    let _: v1::DowngradeResponse = adam.call(Method::Downgrade.path(), &downgrade).await.unwrap();
    assert_eq!(client.ask(&read).await, "Access denied");
    let downgrade = v1::DowngradeRequest { user: name, end_sessions: true };
    let _: v1::DowngradeResponse = adam.call(Method::Downgrade.path(), &downgrade).await.unwrap();
    assert_eq!(
        client.receive().await,
        b"",
        "nothing can come of the connection any more: closed, asked or not"
    );
}
