//! Roles: given, kept and taken, and the owner's list of accesses.

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;

use super::people::{People, Who, accounts, auth, sign_in};
use super::raw::Raw;
use super::sessions::{get, put, sign_out, who_am_i};
use crate::harness::Server;

const MANAGER: i32 = v1::Role::Manager as i32;
const GUEST: i32 = v1::Role::Guest as i32;

async fn get_other(client: &Raw, user: &str, key: &str) -> Result<(), Reason> {
    let request = v1::GetOtherRequest { user: user.to_owned(), key: key.to_owned() };
    let got: Result<v1::GetOtherResponse, _> = client.call(Method::GetOther.path(), &request).await;
    got.map(|_| ()).map_err(|failure| failure.reason.unwrap())
}

async fn put_other(client: &Raw, user: &str) -> Result<(), Reason> {
    let data = Some(v1::put_other_request::Data::Value("written".to_owned()));
    let request = v1::PutOtherRequest {
        user: user.to_owned(),
        key: "other's".to_owned(),
        data,
        ..Default::default()
    };
    let got: Result<v1::PutOtherResponse, _> = client.call(Method::PutOther.path(), &request).await;
    got.map(|_| ()).map_err(|failure| failure.reason.unwrap())
}

async fn upgrade(client: &Raw, user: &str) -> Result<v1::User, Reason> {
    let request = v1::UpgradeRequest { user: user.to_owned() };
    let got: Result<v1::UpgradeResponse, _> = client.call(Method::Upgrade.path(), &request).await;
    got.map(|response| response.user.unwrap()).map_err(|failure| failure.reason.unwrap())
}

async fn downgrade(client: &Raw, user: &str, end_sessions: bool) -> Result<v1::User, Reason> {
    let request = v1::DowngradeRequest { user: user.to_owned(), end_sessions };
    let got: Result<v1::DowngradeResponse, _> =
        client.call(Method::Downgrade.path(), &request).await;
    got.map(|response| response.user.unwrap()).map_err(|failure| failure.reason.unwrap())
}

async fn accesses(client: &Raw) -> Vec<v1::Access> {
    let got: v1::ListAccessesResponse = client
        .call(Method::ListAccesses.path(), &v1::ListAccessesRequest::default())
        .await
        .unwrap();
    got.accesses
}

#[tokio::test]
async fn a_password_in_a_session_gives_the_role_and_keeps_name_store_and_token() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    put(guest, "city", "Kolkata").await;
    let with_role = auth(guest, "adam", "bill").await.unwrap();
    assert_eq!(with_role.authorization, guest.authorization);
    let me = who_am_i(guest).await.unwrap().user.unwrap();
    assert_eq!((me.name.as_str(), me.role), ("guest", MANAGER));
    assert_eq!(get(guest, "city").await.unwrap(), "Kolkata");
    get_other(guest, "other", "city").await.unwrap_err();
    // Auth never lowers a role: bob is a guest.
    auth(guest, "bob", "bob's").await.unwrap();
    assert_eq!(who_am_i(guest).await.unwrap().user.unwrap().role, MANAGER);
    // The account's role holds as long as the account has it.
    downgrade(people.client(Who::Manager), "adam", false).await.unwrap();
    assert_eq!(who_am_i(guest).await.unwrap().user.unwrap().role, GUEST);
    assert_eq!(get_other(guest, "other", "city").await, Err(Reason::ManagerRequired));
}

#[tokio::test]
async fn a_role_that_is_taken_back_is_gone_with_the_reply() {
    let people = People::start().await;
    let (guest, adam) = (people.client(Who::Guest), people.client(Who::Manager));
    assert_eq!(upgrade(adam, "GUEST").await.unwrap().role, MANAGER);
    assert_eq!(get_other(guest, "other", "city").await, Err(Reason::KeyNotFound));
    put_other(guest, "other").await.unwrap();
    put_other(guest, "adam").await.unwrap();
    assert_eq!(downgrade(adam, "guest", false).await.unwrap().role, GUEST);
    assert_eq!(get_other(guest, "other", "city").await, Err(Reason::ManagerRequired));
    // A role from a password given in the session is revoked too.
    auth(guest, "adam", "bill").await.unwrap();
    downgrade(adam, "guest", false).await.unwrap();
    assert_eq!(get_other(guest, "other", "city").await, Err(Reason::ManagerRequired));
    downgrade(adam, "guest", true).await.unwrap();
    assert_eq!(who_am_i(guest).await.unwrap_err(), Reason::SessionExpired);
}

#[tokio::test]
async fn who_promotes_itself_reads_the_stores_of_guests_and_nothing_more() {
    let config = format!("upgrade-policy = \"open\"\n{}", accounts());
    let server = Server::builder().toml(&config).start().await;
    let nobody = Raw::new(server.channel());
    let (selfish, other) = (sign_in(&nobody, "selfish").await, sign_in(&nobody, "other").await);
    put(&other, "city", "Kolkata").await;
    assert_eq!(get_other(&selfish, "other", "city").await, Err(Reason::ManagerRequired));
    assert_eq!(upgrade(&selfish, "").await.unwrap().role, MANAGER);
    get_other(&selfish, "other", "city").await.unwrap();
    assert_eq!(get_other(&selfish, "nobody", "city").await, Err(Reason::UserNotFound));
    assert_eq!(get_other(&selfish, "adam", "city").await, Err(Reason::ManagerRequired));
    assert_eq!(put_other(&selfish, "other").await, Err(Reason::ManagerRequired));
    assert_eq!(upgrade(&selfish, "other").await, Err(Reason::ManagerRequired));
    assert_eq!(downgrade(&selfish, "selfish", false).await, Err(Reason::ManagerRequired));
    // With a password or a manager's decision it is a manager like any other.
    let adam = auth(&nobody, "adam", "bill").await.unwrap();
    upgrade(&adam, "selfish").await.unwrap();
    put_other(&selfish, "other").await.unwrap();
    get_other(&selfish, "adam", "city").await.unwrap_err();
}

#[tokio::test]
async fn the_owner_sees_who_used_its_store() {
    let people = People::start().await;
    let (guest, other, adam) =
        (people.client(Who::Guest), people.client(Who::Other), people.client(Who::Manager));
    put(other, "city", "Kolkata").await;
    for _ in 0..3 {
        get_other(adam, "other", "city").await.unwrap();
    }
    get_other(adam, "other", "no such").await.unwrap_err();
    auth(guest, "adam", "bill").await.unwrap();
    put_other(guest, "other").await.unwrap();
    let list = v1::ListKeysRequest {
        user: "other".to_owned(),
        prefix: "ci".to_owned(),
        ..Default::default()
    };
    let _: v1::ListKeysResponse = guest.call(Method::ListKeys.path(), &list).await.unwrap();
    // A user's own reads and denied ones are not listed.
    get_other(other, "other", "city").await.unwrap();
    assert_eq!(
        get_other(people.client(Who::Other), "adam", "city").await,
        Err(Reason::ManagerRequired)
    );

    let rows: Vec<_> = accesses(other)
        .await
        .into_iter()
        .map(|row| {
            (row.user.unwrap().name, row.account, row.protocol, row.method, row.key, row.count)
        })
        .collect();
    let row = |user: &str, account: &str, method: &str, key: &str, count| {
        (
            user.to_owned(),
            account.to_owned(),
            "grpc".to_owned(),
            method.to_owned(),
            key.to_owned(),
            count,
        )
    };
    assert_eq!(
        rows,
        [
            row("guest", "adam", "ListKeys", "ci", 1),
            row("guest", "adam", "PutOther", "other's", 1),
            row("adam", "", "GetOther", "no such", 1),
            row("adam", "", "GetOther", "city", 3),
        ]
    );
    assert!(accesses(adam).await.is_empty());
}

#[tokio::test]
async fn the_last_thousand_rows_of_accesses_stay() {
    let people = People::start().await;
    let (other, adam) = (people.client(Who::Other), people.client(Who::Manager));
    for number in 0..1_010 {
        get_other(adam, "other", &format!("key {number}")).await.unwrap_err();
    }
    let mut keys = Vec::new();
    let mut page = v1::ListAccessesRequest { page_size: 300, ..Default::default() };
    loop {
        let got: v1::ListAccessesResponse =
            other.call(Method::ListAccesses.path(), &page).await.unwrap();
        keys.extend(got.accesses.into_iter().map(|row| row.key));
        if got.next_page_token.is_empty() {
            break;
        }
        page.page_token = got.next_page_token;
    }
    let want: Vec<_> = (10..1_010).rev().map(|number| format!("key {number}")).collect();
    assert_eq!(keys, want);
}

#[tokio::test]
async fn users_are_listed_once_each_in_the_order_in_which_they_came() {
    let people = People::start().await;
    let adam = people.client(Who::Manager);
    let mut names = Vec::new();
    let mut page = v1::ListUsersRequest { page_size: 2, ..Default::default() };
    loop {
        let got: v1::ListUsersResponse = adam.call(Method::ListUsers.path(), &page).await.unwrap();
        names.extend(got.users.into_iter().map(|user| user.name));
        if names.len() == 2 {
            sign_out(people.client(Who::Other)).await;
        }
        if got.next_page_token.is_empty() {
            break;
        }
        page.page_token = got.next_page_token;
    }
    assert_eq!(names, ["adam", "bob", "guest"]);
}
