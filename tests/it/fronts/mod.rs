//! Several servers on one engine: each of them answers for every user.

mod clocks;
mod costs;
mod rooms;
mod rooms_faults;
mod sessions;
mod trips;

use std::time::{Duration, Instant};

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use rustix::process::Signal;

use crate::grpc::people::{accounts, auth, sign_in};
use crate::grpc::raw::{Failure, Raw};
use crate::harness::{RedisProcess, Server, eventually, exchange};
use crate::listeners::client::OldClient;
use crate::watch::Watch;

/// Maximum delay until an end or a change of role holds at all servers.
const EVERYWHERE: Duration = Duration::from_secs(5);

struct Fronts {
    redis: RedisProcess,
    servers: Vec<Server>,
}

impl Fronts {
    async fn start(count: usize, config: &str) -> Self {
        Self::on(RedisProcess::start(&[]), count, config).await
    }

    async fn on(redis: RedisProcess, count: usize, config: &str) -> Self {
        let mut fronts = Self { redis, servers: Vec::new() };
        for _ in 0..count {
            fronts.add(config).await;
        }
        fronts
    }

    async fn add(&mut self, config: &str) {
        let builder = Server::builder()
            .flag("--store", self.redis.url())
            .flag("--compat", "text=127.0.0.1:0");
        self.servers.push(builder.toml(&format!("{config}{}", accounts())).start().await);
    }

    fn nobody(&self, at: usize) -> Raw {
        Raw::new(self.servers[at].channel())
    }

    /// Returns the same client at another server.
    fn at(&self, client: &Raw, at: usize) -> Raw {
        Raw { channel: self.servers[at].channel(), authorization: client.authorization.clone() }
    }
}

/// Returns how often the engine ran a command.
fn calls(fronts: &Fronts, command: &str) -> u64 {
    let stats = fronts.redis.cli(&["INFO", "commandstats"]);
    let row = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    row.and_then(|row| row.split_once("calls=")?.1.split_once(',')?.0.parse().ok()).unwrap_or(0)
}

async fn put(client: &Raw, key: &str, value: &str) -> Result<v1::PutResponse, Failure> {
    let data = Some(v1::put_request::Data::Value(value.to_owned()));
    client
        .call(
            Method::Put.path(),
            &v1::PutRequest { key: key.to_owned(), data, ..Default::default() },
        )
        .await
}

async fn get(client: &Raw, key: &str) -> Result<String, Failure> {
    let request = v1::GetRequest { key: key.to_owned() };
    let response: v1::GetResponse = client.call(Method::Get.path(), &request).await?;
    match response.data {
        Some(v1::get_response::Data::Value(value)) => Ok(value),
        other => panic!("{other:?}"),
    }
}

async fn get_other(client: &Raw, user: &str, key: &str) -> Result<v1::GetOtherResponse, Failure> {
    let request = v1::GetOtherRequest { user: user.to_owned(), key: key.to_owned() };
    client.call(Method::GetOther.path(), &request).await
}

async fn users(client: &Raw) -> Vec<(String, i32)> {
    let listed: v1::ListUsersResponse =
        client.call(Method::ListUsers.path(), &v1::ListUsersRequest::default()).await.unwrap();
    listed.users.into_iter().map(|user| (user.name, user.role)).collect()
}

fn reason<T: std::fmt::Debug>(result: Result<T, Failure>) -> Option<Reason> {
    result.unwrap_err().reason
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_user_goes_from_server_to_server() {
    let mut fronts = Fronts::start(3, "").await;
    let here = sign_in(&fronts.nobody(0), "anuran").await;
    let (there, third) = (fronts.at(&here, 1), fronts.at(&here, 2));
    let mut watch = Watch::own(&third, "", None).await;
    put(&here, "city", "Kolkata").await.unwrap();
    assert_eq!(get(&there, "city").await.unwrap(), "Kolkata");
    put(&there, "city", "Delhi").await.unwrap();
    assert_eq!(watch.see(3).await.last().unwrap(), "2 city=Delhi");

    let taken = v1::SignInRequest { user: "Anuran".to_owned() };
    let again: Result<v1::SignInResponse, _> =
        fronts.nobody(1).call(Method::SignIn.path(), &taken).await;
    assert_eq!(reason(again), Some(Reason::NameInUse));
    drop(fronts.servers.remove(0));
    assert_eq!(
        get(&there, "city").await.unwrap(),
        "Delhi",
        "the server where it signed in has gone"
    );
    put(&third, "city", "Mumbai").await.unwrap();
    assert_eq!(watch.see(1).await, ["3 city=Mumbai"]);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn an_end_and_a_change_of_role_hold_everywhere_within_five_seconds() {
    let fronts = Fronts::start(2, "").await;
    let adam = auth(&fronts.nobody(0), "adam", "bill").await.unwrap();
    let eve = sign_in(&fronts.nobody(0), "eve").await;
    let rwitick = sign_in(&fronts.nobody(1), "rwitick").await;
    put(&eve, "k", "v").await.unwrap();
    let elsewhere = fronts.at(&rwitick, 0);
    assert_eq!(reason(get_other(&rwitick, "eve", "k").await), Some(Reason::ManagerRequired));

    let promoted = Instant::now();
    let upgrade = v1::UpgradeRequest { user: "rwitick".to_owned() };
    let _: v1::UpgradeResponse = adam.call(Method::Upgrade.path(), &upgrade).await.unwrap();
    eventually("the other server knows the role", || async {
        get_other(&rwitick, "eve", "k").await.is_ok()
    })
    .await;
    assert!(promoted.elapsed() < EVERYWHERE, "{:?}", promoted.elapsed());
    get_other(&elsewhere, "eve", "k").await.unwrap();
    assert_eq!(
        users(&fronts.at(&adam, 1)).await,
        [("adam", 2), ("bob", 1), ("eve", 1), ("rwitick", 2)].map(|(n, r)| (n.to_owned(), r))
    );

    // Accesses to a store are listed for its owner, whatever server they were made at.
    let listed: v1::ListAccessesResponse = fronts
        .at(&eve, 1)
        .call(Method::ListAccesses.path(), &v1::ListAccessesRequest::default())
        .await
        .unwrap();
    let [access] = &listed.accesses[..] else { panic!("{listed:?}") };
    assert_eq!(
        (access.user.clone().unwrap().name, access.method.as_str(), access.key.as_str()),
        ("rwitick".to_owned(), "GetOther", "k")
    );
    assert!(access.count >= 2 && access.protocol == "grpc");

    let lowered = Instant::now();
    let downgrade = v1::DowngradeRequest { user: "rwitick".to_owned(), ..Default::default() };
    let _: v1::DowngradeResponse = adam.call(Method::Downgrade.path(), &downgrade).await.unwrap();
    eventually("the other server knows the role", || async {
        get_other(&rwitick, "eve", "k").await.is_err()
    })
    .await;
    assert!(lowered.elapsed() < EVERYWHERE, "{:?}", lowered.elapsed());

    let there = fronts.at(&eve, 1);
    get(&there, "k").await.unwrap();
    let mut watch = Watch::own(&there, "", None).await;
    let ended = Instant::now();
    let _: v1::SignOutResponse =
        eve.call(Method::SignOut.path(), &v1::SignOutRequest {}).await.unwrap();
    assert_eq!(reason(get(&eve, "k").await), Some(Reason::SessionExpired));
    eventually("the other server knows the end", || async {
        reason_of(get(&there, "k").await) == Some(Reason::SessionExpired)
    })
    .await;
    while watch.try_next().await.is_ok() {}
    assert!(ended.elapsed() < EVERYWHERE, "{:?}", ended.elapsed());
    assert_eq!(reason(get_other(&adam, "eve", "k").await), Some(Reason::UserNotFound));
    let eve = sign_in(&fronts.nobody(1), "eve").await;
    assert_eq!(
        reason(get(&eve, "k").await),
        Some(Reason::KeyNotFound),
        "a freed name never sees the old store"
    );
}

fn reason_of<T>(result: Result<T, Failure>) -> Option<Reason> {
    result.err().and_then(|failure| failure.reason)
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_one_server_began_another_ends() {
    let fronts = Fronts::start(2, "").await;
    let here = sign_in(&fronts.nobody(0), "anuran").await;
    let there = fronts.at(&here, 1);
    for number in 0..25 {
        put(&here, &format!("key {number:02}"), "v").await.unwrap();
    }
    let mut request = v1::ListKeysRequest { page_size: 10, ..Default::default() };
    let mut keys = Vec::new();
    for client in [&here, &there, &here] {
        let page: v1::ListKeysResponse =
            client.call(Method::ListKeys.path(), &request).await.unwrap();
        keys.extend(page.keys);
        request.page_token = page.next_page_token;
    }
    assert_eq!((keys.len(), request.page_token.as_str()), (25, ""));

    let data = Some(v1::put_request::Data::Value("once".to_owned()));
    let put = v1::PutRequest {
        key: "once".to_owned(),
        data,
        request_id: "id".to_owned(),
        ..Default::default()
    };
    let first: v1::PutResponse = here.call(Method::Put.path(), &put).await.unwrap();
    let again: v1::PutResponse = there.call(Method::Put.path(), &put).await.unwrap();
    assert_eq!((first.revision, again.revision), (26, 26));
    let account = auth(&here, "adam", "bill").await.unwrap();
    drop(account);
    eventually("the password's role goes along", || async {
        get_other(&there, "bob", "none")
            .await
            .is_err_and(|failure| failure.reason == Some(Reason::KeyNotFound))
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_guest_outlives_its_server_and_a_socket_its_lease() {
    let mut fronts = Fronts::start(2, "[limits]\nguest-idle = \"3s\"\n").await;
    let here = sign_in(&fronts.nobody(0), "anuran").await;
    put(&here, "k", "v").await.unwrap();
    let socket = OldClient::connect(&fronts.servers[0], "text").await;
    let port = socket.port().to_string();
    let adam = auth(&fronts.nobody(1), "adam", "bill").await.unwrap();
    let has = |users: Vec<(String, i32)>, name: &str| users.iter().any(|(user, _)| user == name);
    eventually("the socket's guest is there", || async { has(users(&adam).await, &port) }).await;
    drop(fronts.servers.remove(0));
    let there = fronts.at(&here, 0);
    // Used, it lives longer than it would unused.
    let used = Instant::now();
    while used.elapsed() < Duration::from_secs(5) {
        assert_eq!(get(&there, "k").await.unwrap(), "v");
        tokio::task::yield_now().await;
    }
    eventually("the socket's guest goes with its lease", || async {
        !has(users(&adam).await, &port)
    })
    .await;
    eventually("nobody uses the other, and it goes", || async {
        !has(users(&adam).await, "anuran")
    })
    .await;
    assert_eq!(reason(get(&there, "k").await), Some(Reason::SessionExpired));
    eventually("nothing of it is left", || async {
        let keys = fronts.redis.cli(&["KEYS", "kvrpc:*"]);
        keys.lines().filter(|key| key.ends_with(":entries")).count() == 2
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn readiness_follows_the_engine() {
    let mut fronts = Fronts::start(1, "").await;
    let admin = fronts.servers[0].admin();
    let ready = || async {
        let answer = exchange(
            admin,
            b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )
        .await;
        answer.starts_with("HTTP/1.1 200")
    };
    eventually("it is ready", ready).await;
    fronts.redis.signal(Signal::KILL);
    eventually("it is not, without its engine", || async { !ready().await }).await;
    fronts.redis.revive();
    eventually("it is again, by itself", ready).await;
}
