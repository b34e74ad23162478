//! Sessions: begin, life and end, and the data that ends with them.

use std::time::{Duration, Instant};

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Endpoint;

use super::people::{People, Who, accounts, auth, hash, sign_in};
use super::raw::Raw;
use crate::harness::{Server, eventually, within};

pub(super) async fn put(client: &Raw, key: &str, value: &str) -> v1::PutResponse {
    let data = Some(v1::put_request::Data::Value(value.to_owned()));
    let request = v1::PutRequest { key: key.to_owned(), data, ..Default::default() };
    client.call(Method::Put.path(), &request).await.unwrap()
}

pub(super) async fn get(client: &Raw, key: &str) -> Result<String, Reason> {
    let request = v1::GetRequest { key: key.to_owned() };
    let got: Result<v1::GetResponse, _> = client.call(Method::Get.path(), &request).await;
    match got.map_err(|failure| failure.reason.unwrap())?.data {
        Some(v1::get_response::Data::Value(text)) => Ok(text),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn who_am_i(client: &Raw) -> Result<v1::WhoAmIResponse, Reason> {
    client
        .call(Method::WhoAmI.path(), &v1::WhoAmIRequest {})
        .await
        .map_err(|failure| failure.reason.unwrap())
}

pub(super) async fn sign_out(client: &Raw) {
    let _: v1::SignOutResponse =
        client.call(Method::SignOut.path(), &v1::SignOutRequest {}).await.unwrap();
}

fn millis(time: Option<prost_types::Timestamp>) -> i64 {
    let time = time.unwrap();
    time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000
}

#[tokio::test]
async fn a_freed_name_taken_again_never_sees_the_old_store() {
    let server = Server::start().await;
    let nobody = Raw::new(server.channel());
    let first = sign_in(&nobody, "anuran").await;
    put(&first, "city", "Kolkata").await;
    sign_out(&first).await;
    assert_eq!(get(&first, "city").await, Err(Reason::SessionExpired));
    let second = sign_in(&nobody, "anuran").await;
    assert_eq!(get(&second, "city").await, Err(Reason::KeyNotFound));
}

#[tokio::test]
async fn a_guest_session_slides_with_use_and_ends_when_idle() {
    let server = Server::builder().toml("[limits]\nguest-idle = \"400ms\"").start().await;
    let nobody = Raw::new(server.channel());
    let idle = sign_in(&nobody, "idle").await;
    put(&idle, "city", "Kolkata").await;
    let used = sign_in(&nobody, "used").await;
    let first = who_am_i(&used).await.unwrap();
    // The used session outlives the unused one, whose name is then free.
    eventually("the idle name is free", || async {
        who_am_i(&used).await.unwrap();
        let request = v1::SignInRequest { user: "idle".to_owned() };
        nobody.call::<_, v1::SignInResponse>(Method::SignIn.path(), &request).await.is_ok()
    })
    .await;
    assert_eq!(get(&idle, "city").await, Err(Reason::SessionExpired));
    let later = who_am_i(&used).await.unwrap();
    assert!(millis(later.session_expire_time) > millis(first.session_expire_time));
}

#[tokio::test]
async fn an_account_session_ends_at_its_age_and_its_store_stays() {
    let config = format!("[limits]\naccount-session = \"500ms\"\n{}", accounts());
    let server = Server::builder().toml(&config).start().await;
    let nobody = Raw::new(server.channel());
    let adam = auth(&nobody, "adam", "bill").await.unwrap();
    put(&adam, "city", "Kolkata").await;
    eventually("the session ends, used or not", || async {
        who_am_i(&adam).await == Err(Reason::SessionExpired)
    })
    .await;
    let again = auth(&nobody, "adam", "bill").await.unwrap();
    assert_eq!(get(&again, "city").await.unwrap(), "Kolkata");
}

#[tokio::test]
async fn sessions_are_counted_and_given_back() {
    let server = Server::builder().toml("[limits]\nsessions = 2").start().await;
    let nobody = Raw::new(server.channel());
    let first = sign_in(&nobody, "first").await;
    sign_in(&nobody, "second").await;
    let third = v1::SignInRequest { user: "third".to_owned() };
    let full =
        nobody.call::<_, v1::SignInResponse>(Method::SignIn.path(), &third).await.unwrap_err();
    assert_eq!((full.code, full.reason), (Code::ResourceExhausted, Some(Reason::ServerFull)));
    sign_out(&first).await;
    // The refused name was not kept.
    sign_in(&nobody, "third").await;
}

#[tokio::test]
async fn too_many_sign_ins_a_second_wait() {
    let server = Server::builder().toml("[limits]\nsign-ins-per-second = 3").start().await;
    let nobody = Raw::new(server.channel());
    let mut refused = None;
    for number in 0..20 {
        let request = v1::SignInRequest { user: format!("user {number}") };
        match nobody.bytes(Method::SignIn.path(), prost::Message::encode_to_vec(&request)).await {
            Ok(_) => {}
            Err(status) => refused = Some(status),
        }
    }
    let refused = refused.expect("20 sign-ins took less than some seconds");
    let wait =
        tonic_types::StatusExt::get_details_retry_info(&refused).unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_in_the_same_words_and_time() {
    // Slow enough to be measured, fast enough for a test.
    let config = "[limits]\nauth-failure-burst = 1000\n";
    let accounts = format!(
        "{config}[users.adam]\npassword = {:?}\nrole = \"manager\"\n",
        hash("bill", 8 * 1_024)
    );
    let server = Server::builder().toml(&accounts).start().await;
    let nobody = Raw::new(server.channel());
    let mut times: [Vec<Duration>; 2] = Default::default();
    let mut words = Vec::new();
    for _ in 0..15 {
        for (user, times) in ["adam", "nobody"].into_iter().zip(&mut times) {
            let started = Instant::now();
            words.push(auth(&nobody, user, "wrong").await.err().unwrap());
            times.push(started.elapsed());
        }
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
    // The minimum of each: other load on the machine only adds to it.
    let [known, unknown] = times.map(|times| times.into_iter().min().unwrap().as_secs_f64());
    // Without the decoy, an unknown user is answered about forty times faster; a busy machine makes
    // a difference of a factor of three.
    assert!((0.125..8.0).contains(&(known / unknown)), "known {known}, unknown {unknown}");
}

#[tokio::test]
async fn wrong_passwords_are_counted_by_user_and_source_and_a_right_one_forgives() {
    let config =
        format!("[limits]\nauth-failure-burst = 3\nauth-failure-interval = \"1h\"\n{}", accounts());
    let server = Server::builder().toml(&config).start().await;
    let nobody = Raw::new(server.channel());
    let reason =
        |result: Result<Raw, super::raw::Failure>| result.err().and_then(|failure| failure.reason);
    for _ in 0..2 {
        assert_eq!(reason(auth(&nobody, "adam", "wrong").await), Some(Reason::BadCredentials));
    }
    auth(&nobody, "adam", "bill").await.unwrap();
    for _ in 0..3 {
        assert_eq!(reason(auth(&nobody, "ADAM", "wrong").await), Some(Reason::BadCredentials));
    }
    assert_eq!(
        reason(auth(&nobody, "adam", "bill").await),
        Some(Reason::RateLimited),
        "also the right one"
    );
    auth(&nobody, "bob", "bob's").await.unwrap();
}

#[tokio::test]
async fn a_token_of_another_server_opens_nothing() {
    let (one, other) = (Server::start().await, Server::start().await);
    let token = sign_in(&Raw::new(one.channel()), "anuran").await;
    let stranger = Raw { channel: other.channel(), authorization: token.authorization };
    assert_eq!(who_am_i(&stranger).await.unwrap_err(), Reason::SessionExpired);
}

#[tokio::test]
async fn the_scheme_of_the_token_is_bearer_in_any_case() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    let token = guest.authorization.clone().unwrap().split_off("Bearer ".len());
    for (header, want) in [
        (format!("bearer {token}"), true),
        (format!("BEARER  {token}"), true),
        (token.clone(), false),
        (format!("Basic {token}"), false),
        ("Bearer".to_owned(), false),
        (format!("Bearer {token}="), false),
    ] {
        let client = Raw { channel: guest.channel.clone(), authorization: Some(header.clone()) };
        let got = who_am_i(&client).await;
        assert_eq!(got.is_ok(), want, "{header}: {got:?}");
        assert!(want || got == Err(Reason::SessionRequired), "{header}: {got:?}");
    }
}

/// Returns a client that calls from this address of the loopback network.
fn from(server: &Server, address: &str) -> Raw {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc())).unwrap();
    Raw::new(endpoint.local_address(Some(address.parse().unwrap())).connect_lazy())
}

/// A flood of passwords took all places, and each refused check counted as a wrong password.
#[tokio::test]
async fn the_right_password_passes_while_others_flood() {
    let server = Server::builder().toml(&accounts()).start().await;
    let flood = from(&server, "127.0.0.2");
    let stop = CancellationToken::new();
    let flooding: Vec<_> = (0..72)
        .map(|of| {
            let (flood, stop) = (flood.clone(), stop.clone());
            tokio::spawn(async move {
                let mut refused = 0;
                for turn in 0.. {
                    if stop.is_cancelled() {
                        break;
                    }
                    let tried = auth(&flood, &format!("user {of} {turn}"), "none").await;
                    refused += u32::from(tried.err().unwrap().reason == Some(Reason::RateLimited));
                }
                refused
            })
        })
        .collect();
    let adam = from(&server, "127.0.0.1");
    for _ in 0..20 {
        auth(&adam, "adam", "bill").await.unwrap();
    }
    // From the address of the flood itself, a place may be missing; no wrong password is counted.
    for _ in 0..30 {
        if let Err(failure) = auth(&flood, "adam", "bill").await {
            assert!(failure.message.contains("are being checked"), "{failure:?}");
        }
    }
    stop.cancel();
    let mut refused = 0;
    for task in flooding {
        refused += within("the flood ends", task).await.unwrap();
    }
    assert!(refused > 0, "no flood");
}
