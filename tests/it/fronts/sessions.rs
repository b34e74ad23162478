//! Sessions at several servers: they live as long as was promised, and no longer.

use std::time::Instant;

use kvrpc::model::{Method, Reason};
use kvrpc::pb::v1;

use super::{EVERYWHERE, Fronts, calls, get, get_other, put, reason_of};
use crate::grpc::people::{auth, hash, sign_in};
use crate::grpc::raw::Raw;
use crate::harness::{Server, eventually};

async fn server_with(fronts: &Fronts, config: &str) -> Server {
    Server::builder().flag("--store", fronts.redis.url()).toml(config).start().await
}

async fn who_am_i(client: &Raw) -> Result<v1::WhoAmIResponse, crate::grpc::raw::Failure> {
    client.call(Method::WhoAmI.path(), &v1::WhoAmIRequest {}).await
}

/// A server that learnt of a session took it for kept as long as a new one, and did not extend it.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_guest_that_calls_rarely_keeps_its_session() {
    let fronts = Fronts::start(3, "[limits]\nguest-idle = \"6s\"\n").await;
    let client = sign_in(&fronts.nobody(0), "anuran").await;
    put(&client, "k", "v").await.unwrap();
    let session = fronts.redis.cli(&["KEYS", "kvrpc:{s:*}"]).trim().to_owned();
    assert!(session.starts_with("kvrpc:{s:") && session.lines().count() == 1, "{session:?}");
    let kept_for = || fronts.redis.cli(&["PTTL", &session]).trim().parse::<i64>().unwrap();
    // The engine keeps an unused session for ten seconds: each pause is half of that, and shorter
    // than the idle time.
    for server in [1, 2, 1] {
        eventually("the session was idle for some time", || async { kept_for() <= 5_000 }).await;
        assert_eq!(get(&fronts.at(&client, server), "k").await.unwrap(), "v");
        eventually("it is extended", || async { kept_for() > 5_000 }).await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_session_ends_with_its_account_or_its_password() {
    let fronts = Fronts::start(1, "").await;
    let adam = auth(&fronts.nobody(0), "adam", "bill").await.unwrap();
    let bob = auth(&fronts.nobody(0), "bob", "bob's").await.unwrap();
    let guest = sign_in(&fronts.nobody(0), "eve").await;
    let granted = auth(&guest, "adam", "bill").await.map(|_| guest.clone()).unwrap();
    let upgraded = who_am_i(&granted).await.unwrap();
    assert_eq!(upgraded.user.unwrap().role, v1::Role::Manager as i32);

    // The configuration of the next server lacks adam, and bob has another password.
    let changed = format!("[users.bob]\npassword = {:?}\nrole = \"guest\"\n", hash("new", 64));
    let restarted = Instant::now();
    let server = server_with(&fronts, &changed).await;
    for old in [&adam, &bob] {
        let there = Raw { channel: server.channel(), authorization: old.authorization.clone() };
        assert_eq!(reason_of(who_am_i(&there).await), Some(Reason::SessionExpired));
        eventually("it ends at the other server", || async {
            reason_of(who_am_i(old).await) == Some(Reason::SessionExpired)
        })
        .await;
    }
    assert!(restarted.elapsed() < EVERYWHERE, "{:?}", restarted.elapsed());
    let there = Raw { channel: server.channel(), authorization: guest.authorization.clone() };
    let guest_there = who_am_i(&there).await.unwrap().user.unwrap();
    assert_eq!(guest_there.role, v1::Role::Guest as i32, "the grant of an account that is gone");
    auth(&Raw::new(server.channel()), "bob", "new").await.unwrap();

    // One more start with the same configuration ends nothing.
    let bob = auth(&Raw::new(server.channel()), "bob", "new").await.unwrap();
    let again = server_with(&fronts, &changed).await;
    who_am_i(&Raw { channel: again.channel(), ..bob }).await.unwrap();
}

/// The sessions of a demoted account were closed one by one, within the time of one call.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_downgrade_ends_all_sessions_in_one_step() {
    let fronts = Fronts::start(2, "").await;
    let adam = auth(&fronts.nobody(0), "adam", "bill").await.unwrap();
    let mut sessions = Vec::new();
    for at in 0..20 {
        sessions.push(auth(&fronts.nobody(at % 2), "bob", "bob's").await.unwrap());
    }
    let before = calls(&fronts, "unlink");
    let downgrade = v1::DowngradeRequest { user: "bob".to_owned(), end_sessions: true };
    let _: v1::DowngradeResponse = adam.call(Method::Downgrade.path(), &downgrade).await.unwrap();
    assert_eq!(calls(&fronts, "unlink"), before, "no session is closed by a command of its own");
    for session in &sessions {
        eventually("it ends", || async {
            reason_of(get_other(session, "adam", "k").await) == Some(Reason::SessionExpired)
        })
        .await;
    }
    let bob = auth(&fronts.nobody(1), "bob", "bob's").await.unwrap();
    who_am_i(&bob).await.unwrap();
}
