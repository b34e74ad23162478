//! Parity: the same commands have the same outcomes over every protocol, and leave the same users,
//! roles and stores.

mod at;
mod people;
mod plan;

use std::collections::{BTreeMap, BTreeSet};

use kvrpc::model::Method;
use kvrpc::pb::v1;
use prost::Message as _;

use crate::grpc::people::{auth, sign_in};
use crate::grpc::raw::Raw;
use crate::harness::Server;
use crate::listeners::client::{manager, server};
use at::{At, LISTENERS};
use plan::{ACCOUNT, Ask, NOBODY, Outcome, Plan, Step, USERS};

const STEPS: usize = 120;
/// Fixed seeds. A random one is used too; a failure names it, and it can be added here to run
/// again.
const SEEDS: &[u64] = &[1, 2];
const LIMITS: &str = "[limits]\nauth-failure-burst = 10000\n";

/// All users' entries (value and revision by key) and roles, in the order of the plan's users, the
/// account last.
type State = Vec<(String, BTreeMap<String, (String, u64)>)>;

/// A user of a protocol, and a gRPC session with the same role for commands that the protocol
/// lacks.
struct User {
    name: String,
    at: At,
    stand_in: At,
}

impl User {
    async fn enter(server: &Server, protocol: &str, index: usize) -> Self {
        let stand_in =
            At::Grpc(sign_in(&Raw::new(server.channel()), &format!("stand-in {index}")).await);
        let (name, at) = At::enter(server, protocol, &format!("user{index}")).await;
        Self { name, at, stand_in }
    }

    /// Returns the outcome of a command; both roles stay equal.
    async fn ask(&mut self, ask: &Ask<String>, adam: &Raw) -> Outcome {
        let Some(outcome) = self.at.ask(ask).await else {
            let outcome = self.stand_in.ask(ask).await.unwrap();
            if outcome == Outcome::Authenticated {
                upgrade(adam, &self.name).await;
            }
            return outcome;
        };
        if matches!(ask, Ask::Upgrade | Ask::Auth { .. }) {
            assert_eq!(
                self.stand_in.ask(ask).await.as_ref(),
                Some(&outcome),
                "{} and its stand-in: {ask:?}",
                self.name
            );
        }
        outcome
    }
}

async fn upgrade(manager: &Raw, user: &str) {
    let request = v1::UpgradeRequest { user: user.to_owned() };
    let _: v1::UpgradeResponse = manager.call(Method::Upgrade.path(), &request).await.unwrap();
}

/// Runs a plan with all its users over one protocol.
async fn run(plan: &Plan, protocol: &str, policy: &str) -> (Vec<Outcome>, State) {
    let dialects: &[&str] = if protocol == "grpc" { &[] } else { &[protocol] };
    let server = server(dialects, &format!("upgrade-policy = {policy:?}\n{LIMITS}")).await;
    let adam = manager(&server).await;
    let bob = auth(&Raw::new(server.channel()), ACCOUNT, "bob's").await.unwrap();
    At::Grpc(bob)
        .ask(&Ask::Put { key: "city".to_owned(), value: "Pune".to_owned() })
        .await
        .unwrap();
    let mut users = Vec::new();
    for index in 0..USERS {
        users.push(User::enter(&server, protocol, index).await);
    }
    let mut names: Vec<_> = users.iter().map(|user| user.name.clone()).collect();
    names.extend([ACCOUNT, NOBODY].map(str::to_owned));
    let mut outcomes = Vec::new();
    for Step { user, ask } in &plan.steps {
        outcomes.push(users[*user].ask(&ask.with_names(&names), &adam).await);
    }
    names.pop();
    let state = state(&adam, &names).await;
    (outcomes, state)
}

async fn state(adam: &Raw, names: &[String]) -> State {
    let listed: v1::ListUsersResponse =
        adam.call(Method::ListUsers.path(), &v1::ListUsersRequest::default()).await.unwrap();
    let mut state = State::new();
    for name in names {
        let user = listed.users.iter().find(|user| &user.name == name).unwrap();
        let scan = v1::ScanRequest { user: name.clone(), ..Default::default() };
        let mut store = BTreeMap::new();
        for message in adam.bytes(Method::Scan.path(), scan.encode_to_vec()).await.unwrap() {
            for entry in v1::ScanResponse::decode(message).unwrap().entries {
                let Some(v1::entry::Data::Value(value)) = entry.data else {
                    panic!("{:?}", entry.data)
                };
                store.insert(entry.key, (value, entry.revision));
            }
        }
        state.push((user.role().as_str_name().to_owned(), store));
    }
    state
}

#[tokio::test]
async fn every_listener_does_the_same() {
    let mut kinds = BTreeSet::new();
    for seed in SEEDS.iter().copied().chain([rand::random()]) {
        let plan = Plan::new(seed, STEPS);
        for policy in ["managers", "open"] {
            let (wanted, left) = run(&plan, "grpc", policy).await;
            if SEEDS.contains(&seed) {
                kinds.extend(wanted.iter().map(|outcome| (policy, outcome.kind())));
            }
            for protocol in LISTENERS.iter().filter(|protocol| **protocol != "grpc") {
                let (got, state) = run(&plan, protocol, policy).await;
                for (number, step) in plan.steps.iter().enumerate() {
                    let at = format!(
                        "seed {seed}, policy {policy}, step {number}, {step:?}: {protocol} and gRPC"
                    );
                    assert_eq!(got[number], wanted[number], "{at}");
                }
                assert_eq!(
                    state, left,
                    "seed {seed}, policy {policy}: what {protocol} and gRPC left"
                );
            }
        }
    }
    // The fixed plans cover every possible outcome.
    let missing: Vec<_> = ["managers", "open"]
        .into_iter()
        .flat_map(|policy| Outcome::KINDS.iter().map(move |kind| (policy, *kind)))
        .filter(|kind| !kinds.contains(kind))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
