//! A small service in place of the real one.

use std::collections::BTreeMap;
use std::time::Duration;

use kvrpc::dialect::codec::{Action, ActionResult};
use kvrpc::model::request::{Auth, GetOther, ListKeys, ListUsers, PutOther, Scan, Upgrade};
use kvrpc::model::{
    Access, Calculated, Command, Durability, Entry, EntryPage, Error, Identity, Key, KeyPage,
    Limits, ListedEntry, ListenerInfo, Listing, Position, Reason, Reply, Result, Role, ServerInfo,
    SessionInfo, Time, UnixMillis, UpgradePolicy, User, UserName, Value, Written, calculate,
    decode_bits, encode_bits,
};

type Store = BTreeMap<String, Value>;

/// Runs actions as the service would. The user `anuran` exists and has a `city`; the name `taken`
/// is in use; every user has a `blob`; a `put` to `full` is over the quota; posting `flood` is over
/// the rate; the password of `adam` is `bill`.
pub struct Peer {
    pub actions: Vec<String>,
    stores: BTreeMap<String, Store>,
    me: String,
    role: Role,
    policy: UpgradePolicy,
}

impl Peer {
    pub fn new(me: &str, policy: UpgradePolicy) -> Self {
        let mut peer = Self {
            actions: Vec::new(),
            stores: BTreeMap::new(),
            me: String::new(),
            role: Role::Guest,
            policy,
        };
        for user in ["anuran", me] {
            peer.enter(user);
        }
        peer.store("anuran").insert("city".to_owned(), Value::text("Kolkata").unwrap());
        peer
    }

    fn enter(&mut self, user: &str) {
        user.clone_into(&mut self.me);
        self.store(user).insert("blob".to_owned(), Value::blob(vec![b'a', 0xff]).unwrap());
    }

    fn store(&mut self, user: &str) -> &mut Store {
        self.stores.entry(user.to_owned()).or_default()
    }

    pub fn run(&mut self, action: Action) -> ActionResult {
        self.actions.push(match &action {
            Action::Run(command) => format!("{command:?}"),
            Action::SignIn(_) | Action::Join(_) | Action::Post(_) | Action::Log(_) => {
                format!("{action:?}")
            }
        });
        match action {
            Action::Run(command) => self.command(command).map(Some),
            Action::SignIn(name) | Action::Join(name) => self.sign_in(&name),
            Action::Post(text) if text == "flood" => {
                Err(error(Reason::RateLimited).retry_after(Duration::from_secs(1)))
            }
            Action::Post(_) | Action::Log(_) => Ok(None),
        }
    }

    fn sign_in(&mut self, name: &UserName) -> ActionResult {
        match name.as_str() {
            "taken" => Err(error(Reason::NameInUse)),
            "late" => Err(error(Reason::ServerFull)),
            name => {
                self.enter(name);
                Ok(None)
            }
        }
    }

    fn user(&self) -> User {
        User { name: self.me.clone(), role: self.role }
    }

    fn command(&mut self, command: Command) -> Result<Reply> {
        let me = self.me.clone();
        #[allow(clippy::wildcard_enum_match_arm, reason = "what no dialect needs of this peer")]
        match command {
            Command::Get(request) => self.get(&me, &request.key).map(Reply::Get),
            Command::Put(put) => self.put(&me, &put.key, put.value).map(Reply::Put),
            Command::GetOther(GetOther { user, key }) => {
                self.other(&user).and_then(|user| self.get(&user, &key)).map(Reply::GetOther)
            }
            Command::PutOther(PutOther { user, put }) => {
                let user = self.other(&user)?;
                self.put(&user, &put.key, put.value).map(Reply::PutOther)
            }
            Command::Upgrade(Upgrade { user: None })
                if self.role == Role::Guest && self.policy == UpgradePolicy::Managers =>
            {
                Err(error(Reason::UpgradeNotAllowed))
            }
            Command::Upgrade(Upgrade { user: None }) => {
                self.role = Role::Manager;
                Ok(Reply::Upgrade(self.user()))
            }
            Command::Auth(Auth { user, password }) if user == "adam" && password == "bill" => {
                self.role = Role::Manager;
                Ok(Reply::Auth(SessionInfo {
                    token: String::new(),
                    user: self.user(),
                    expire_time: None,
                }))
            }
            Command::Auth(_) => Err(error(Reason::BadCredentials)),
            Command::WhoAmI(_) => Ok(Reply::WhoAmI(Identity {
                user: self.user(),
                expire_time: None,
                upgrade_policy: self.policy,
            })),
            Command::ListKeys(ListKeys { prefix, page, .. }) if prefix.as_str() == "endless" => {
                Ok(Reply::ListKeys(KeyPage {
                    keys: vec![Key::new("k".repeat(1_000))?; 1_000],
                    next_page_token: page.token + ".",
                    position: POSITION,
                }))
            }
            // Pages of two in reverse order, since the order of pages is not specified.
            Command::ListKeys(ListKeys { prefix, page, .. }) => {
                let keys =
                    self.store(&me).keys().rev().filter(|key| key.starts_with(prefix.as_str()));
                let keys: Vec<_> = keys.map(|key| Key::new(key.as_str())).collect::<Result<_>>()?;
                let (keys, next_page_token) = after(&page.token, &keys);
                Ok(Reply::ListKeys(KeyPage { keys, next_page_token, position: POSITION }))
            }
            Command::Scan(Scan { keys_only, cursor, .. }) => {
                let row = |(key, value): (&String, &Value)| {
                    Ok(ListedEntry {
                        key: Key::new(key.as_str())?,
                        value: (!keys_only).then(|| value.clone()),
                        revision: 1,
                        expire_time: None,
                    })
                };
                let entries: Vec<_> = self.store(&me).iter().map(row).collect::<Result<_>>()?;
                let (entries, cursor) = after(&cursor.unwrap_or_default(), &entries);
                Ok(Reply::Scan(EntryPage {
                    entries,
                    cursor: Some(cursor).filter(|cursor| !cursor.is_empty()),
                    position: POSITION,
                }))
            }
            Command::ListUsers(ListUsers { page }) => {
                let users: Vec<_> = self
                    .stores
                    .keys()
                    .map(|name| User { name: name.clone(), role: Role::Guest })
                    .collect();
                let (rows, next_page_token) = after(&page.token, &users);
                Ok(Reply::ListUsers(Listing { rows, next_page_token }))
            }
            Command::ListAccesses(_) => Ok(Reply::ListAccesses(Listing {
                rows: vec![Access {
                    user: User { name: "eve".to_owned(), role: Role::Manager },
                    account: "adam".to_owned(),
                    protocol: "grpc".into(),
                    method: "GetOther",
                    key: "city".to_owned(),
                    count: 2,
                    first_time: UnixMillis::new(1_999),
                    last_time: UnixMillis::new(60_000),
                }],
                next_page_token: String::new(),
            })),
            Command::GetServerInfo(_) => Ok(Reply::GetServerInfo(Box::new(server_info()))),
            Command::Encode(request) => Ok(Reply::Encode(encode_bits(&request.text))),
            Command::Decode(request) => decode_bits(&request.bits).map(Reply::Decode),
            Command::Calculate(request) => calculate(&request.expression)
                .map(|(result, text)| Reply::Calculate(Calculated { result, text })),
            Command::Now(_) => Ok(Reply::Now(Time {
                seconds: 0,
                nanos: 0,
                date: "2026-11-21".to_owned(),
                time_of_day: "23:59:59".to_owned(),
            })),
            _ => Err(error(Reason::Draining)),
        }
    }

    fn other(&self, user: &UserName) -> Result<String> {
        let user = user.as_str();
        match (user == self.me, self.role, self.stores.contains_key(user)) {
            (true, ..) | (_, Role::Manager, true) => Ok(user.to_owned()),
            (_, Role::Guest, _) => Err(error(Reason::ManagerRequired)),
            (_, Role::Manager, false) => Err(error(Reason::UserNotFound)),
        }
    }

    fn get(&mut self, user: &str, key: &Key) -> Result<Entry> {
        let value = self
            .store(user)
            .get(key.as_str())
            .cloned()
            .ok_or_else(|| error(Reason::KeyNotFound))?;
        Ok(Entry { value, revision: 1, expire_time: None })
    }

    fn put(&mut self, user: &str, key: &Key, value: Value) -> Result<Written> {
        if key.as_str() == "full" {
            return Err(error(Reason::QuotaExceeded));
        }
        self.store(user).insert(key.as_str().to_owned(), value);
        Ok(Written { revision: 1, durability: Durability::Local })
    }
}

const POSITION: Position = Position { epoch: 1, sequence: 1 };

/// Returns the next two items, and the token of the page after them.
fn after<T: Clone>(token: &str, all: &[T]) -> (Vec<T>, String) {
    let start = token.parse().unwrap_or(0);
    let end = (start + 2).min(all.len());
    (all[start..end].to_vec(), if end < all.len() { end.to_string() } else { String::new() })
}

fn server_info() -> ServerInfo {
    ServerInfo {
        store_engine: "memory",
        durability: Durability::Local,
        upgrade_policy: UpgradePolicy::Managers,
        limits: Limits::default(),
        listeners: vec![ListenerInfo {
            protocol: "text",
            address: "127.0.0.1:5555".to_owned(),
            tls: true,
        }],
    }
}

fn error(reason: Reason) -> Error {
    Error::new(reason, format!("no: {}", reason.as_str()))
}
