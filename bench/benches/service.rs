//! Time of the service for a command: finding a session by its token, authorising, executing. No
//! listener, no socket.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;

use kvrpc::model::request::{Batch, Get, GetOther, Put, SignIn, Upgrade};
use kvrpc::model::{Key, Limits, Method, Operation, Request, UpgradePolicy, UserName, Value};
use kvrpc::service::{Caller, Handle, Options, Service};
use kvrpc::store::{Clock, Engine, MemoryEngine};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn nobody() -> Caller {
    Caller { session: None, protocol: "grpc", source: IpAddr::from([127, 0, 0, 1]) }
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn key() -> Key {
    Key::new("key:000000000001").unwrap()
}

fn put() -> Put {
    Put {
        key: key(),
        value: Value::text("v".repeat(100)).unwrap(),
        expiry: None,
        if_revision: None,
        request_id: None,
    }
}

fn run<R: Request>(service: &Service, caller: &Caller, request: R) -> kvrpc::model::Result<R::Reply>
where
    Service: Handle<R>,
{
    service.execute(caller, request).now_or_never().unwrap()
}

/// A guest, and the token of its session.
fn guest(service: &Service, user: &str) -> (Caller, String) {
    let token = run(service, &nobody(), SignIn { user: name(user) }).unwrap().token;
    let session = service.authenticate(Method::Get, Some(&token)).unwrap();
    (Caller { session, ..nobody() }, token)
}

fn commands(criterion: &mut Criterion) {
    let (limits, clock) = (Limits::default(), Clock::system());
    let engine = Engine::Memory(MemoryEngine::new(clock.clone(), (&limits).into()));
    let service = Arc::new(
        Service::new(Options {
            accounts: Vec::new(),
            upgrade_policy: UpgradePolicy::Open,
            limits,
            clock,
            engine,
        })
        .unwrap(),
    );
    let (guest, token) = guest_with_a_key(&service, "guest");
    let (manager, _) = guest_with_a_key(&service, "manager");
    run(&service, &manager, Upgrade { user: None }).unwrap();
    let other = || GetOther { user: name("guest"), key: key() };
    assert!(run(&service, &manager, other()).is_ok());
    let denied = || GetOther { user: name("manager"), key: key() };
    assert!(run(&service, &guest, denied()).is_err());

    let mut group = criterion.benchmark_group("authorise");
    group.bench_function("a session by its token", |bencher| {
        bencher.iter(|| service.authenticate(Method::Get, Some(black_box(&token))));
    });
    group.bench_function("a guest is denied another's store", |bencher| {
        bencher.iter(|| run(&service, &guest, denied()));
    });
    group.bench_function("a manager reads another's store", |bencher| {
        bencher.iter(|| run(&service, &manager, other()));
    });
    group.finish();

    let mut group = criterion.benchmark_group("execute");
    group.bench_function("get", |bencher| {
        bencher.iter(|| run(&service, &guest, Get { key: key() }))
    });
    group.bench_function("put", |bencher| {
        bencher.iter(|| run(&service, &guest, put()));
    });
    group.throughput(Throughput::Elements(128));
    group.bench_function("batch of 128 gets", |bencher| {
        bencher.iter(|| {
            let operations = (0..128).map(|_| Operation::Get { key: key() }).collect();
            run(&service, &guest, Batch { operations, request_id: None })
        });
    });
    group.finish();
}

fn guest_with_a_key(service: &Service, user: &str) -> (Caller, String) {
    let (caller, token) = guest(service, user);
    run(service, &caller, put()).unwrap();
    (caller, token)
}

criterion_group!(benches, commands);
criterion_main!(benches);
