//! Random commands, and their possible outcomes over any protocol.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Number of users; after them come an account that is not a manager, and a name that does not
/// exist.
pub(super) const USERS: usize = 3;
pub(super) const ACCOUNT: &str = "bob";
pub(super) const NOBODY: &str = "nobody";

const KEYS: &[&str] = &["city", "role", "get", "\u{995}\u{9b2}", "a.b:c/d"];

/// A command; `U` is the type of user names.
#[derive(Clone, Debug)]
pub(super) enum Ask<U> {
    Get { key: String },
    Put { key: String, value: String },
    GetOther { user: U, key: String },
    PutOther { user: U, key: String, value: String },
    Upgrade,
    Auth { password: &'static str },
}

impl Ask<usize> {
    pub(super) fn with_names(&self, names: &[String]) -> Ask<String> {
        match self.clone() {
            Self::Get { key } => Ask::Get { key },
            Self::Put { key, value } => Ask::Put { key, value },
            Self::GetOther { user, key } => Ask::GetOther { user: names[user].clone(), key },
            Self::PutOther { user, key, value } => {
                Ask::PutOther { user: names[user].clone(), key, value }
            }
            Self::Upgrade => Ask::Upgrade,
            Self::Auth { password } => Ask::Auth { password },
        }
    }
}

/// Outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Value(String),
    Done,
    NoKey,
    NoUser,
    Denied,
    Upgraded,
    Authenticated,
    BadCredentials,
    /// An error for which no protocol has its own wording, by its sentence.
    Refused(String),
}

impl Outcome {
    pub(super) const KINDS: &[&str] = &[
        "value",
        "done",
        "no key",
        "no user",
        "denied",
        "upgraded",
        "authenticated",
        "bad credentials",
        "refused",
    ];

    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Value(_) => "value",
            Self::Done => "done",
            Self::NoKey => "no key",
            Self::NoUser => "no user",
            Self::Denied => "denied",
            Self::Upgraded => "upgraded",
            Self::Authenticated => "authenticated",
            Self::BadCredentials => "bad credentials",
            Self::Refused(_) => "refused",
        }
    }
}

/// A command of one of the users.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) user: usize,
    pub(super) ask: Ask<usize>,
}

pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// Roles change late and rarely, so that most commands come before or between the changes.
    pub(super) fn new(seed: u64, steps: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let steps = (0..steps).map(|number| {
            let user = random.random_range(0..USERS);
            Step { user, ask: ask(&mut random, user, number, steps) }
        });
        Self { steps: steps.collect() }
    }
}

fn ask(random: &mut StdRng, user: usize, number: usize, steps: usize) -> Ask<usize> {
    let key = match random.random_range(0..20) {
        0 => "k".repeat(1_025),
        _ => (*KEYS.choose(random).unwrap()).to_owned(),
    };
    let value = format!("v{number}");
    let whom = random.random_range(0..USERS + 2);
    // A put to another user is never to the user itself: where the protocol lacks the command, a
    // substitute user sends it.
    let other = if whom == user { USERS } else { whom };
    match random.random_range(0..40) {
        0..10 => Ask::Put { key, value },
        10..18 => Ask::Get { key },
        18..28 => Ask::GetOther { user: whom, key },
        28..35 => Ask::PutOther { user: other, key, value },
        35..37 => Ask::Upgrade,
        _ => Ask::Auth {
            password: if number * 4 < steps || random.random_bool(0.5) { "wrong" } else { "bill" },
        },
    }
}
