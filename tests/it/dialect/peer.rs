//! A service of a few lines, and doors without sockets: what the tests and the fuzz targets drive
//! the codecs with.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use kvrpc::dialect::codec::{
    Action, Answer, Decoded, Input, MAX_REPLY_BYTES, Message, Next, Payload, StreamCodec,
};
use kvrpc::dialect::{Transport, find};
use kvrpc::model::{
    Access, Command, DoorInfo, Durability, Entry, Error, Key, ListedEntry, Position, Reason, Reply,
    Result, Role, ServerInfo, SessionInfo, UnixMillis, UpgradePolicy, User, UserName, Value,
    calculate, decode_bits, encode_bits,
};

type Store = BTreeMap<String, Value>;

/// Answers actions as the service would: `anuran` is there and has a `city`; the name `taken` is in
/// use; everyone has a `blob`; a `put` to `full` is over the quota; posting `flood` is over the
/// rate; `adam`'s password is `bill`.
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

    pub fn run(&mut self, action: Action) -> Answer {
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

    fn sign_in(&mut self, name: &UserName) -> Answer {
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
            Command::Get { key } => self.get(&me, &key),
            Command::Put { put, .. } => self.put(&me, &put.key, put.value),
            Command::GetOther { user, key } => {
                self.other(&user).and_then(|user| self.get(&user, &key))
            }
            Command::PutOther { user, put, .. } => {
                self.other(&user).and_then(|user| self.put(&user, &put.key, put.value))
            }
            Command::Upgrade { user: None }
                if self.role == Role::Guest && self.policy == UpgradePolicy::Managers =>
            {
                Err(error(Reason::UpgradeNotAllowed))
            }
            Command::Upgrade { user: None } => {
                self.role = Role::Manager;
                Ok(Reply::User(self.user()))
            }
            Command::Auth { user, password } if user == "adam" && password == "bill" => {
                self.role = Role::Manager;
                Ok(Reply::Session(SessionInfo {
                    token: String::new(),
                    user: self.user(),
                    expire_time: None,
                }))
            }
            Command::Auth { .. } => Err(error(Reason::BadCredentials)),
            Command::WhoAmI => Ok(Reply::WhoAmI {
                user: self.user(),
                expire_time: None,
                upgrade_policy: self.policy,
            }),
            Command::ListKeys { prefix, page, .. } if prefix.as_str() == "endless" => {
                Ok(Reply::Keys {
                    keys: vec![Key::new("k".repeat(1_000))?; 1_000],
                    next_page_token: page.token + ".",
                    position: POSITION,
                })
            }
            // Pages of two, backwards, since no order of pages is promised.
            Command::ListKeys { prefix, page, .. } => {
                let keys =
                    self.store(&me).keys().rev().filter(|key| key.starts_with(prefix.as_str()));
                let keys: Vec<_> = keys.map(|key| Key::new(key.as_str())).collect::<Result<_>>()?;
                let (keys, next_page_token) = after(&page.token, &keys);
                Ok(Reply::Keys { keys, next_page_token, position: POSITION })
            }
            Command::Scan { keys_only, cursor, .. } => {
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
                Ok(Reply::Entries {
                    entries,
                    cursor: Some(cursor).filter(|cursor| !cursor.is_empty()),
                    position: POSITION,
                })
            }
            Command::ListUsers { page } => {
                let users: Vec<_> = self
                    .stores
                    .keys()
                    .map(|name| User { name: name.clone(), role: Role::Guest })
                    .collect();
                let (users, next_page_token) = after(&page.token, &users);
                Ok(Reply::Users { users, next_page_token })
            }
            Command::ListAccesses { .. } => Ok(Reply::Accesses {
                accesses: vec![Access {
                    user: User { name: "eve".to_owned(), role: Role::Manager },
                    account: "adam".to_owned(),
                    door: "grpc".into(),
                    method: "GetOther",
                    key: "city".to_owned(),
                    count: 2,
                    first_time: UnixMillis::new(1_999),
                    last_time: UnixMillis::new(60_000),
                }],
                next_page_token: String::new(),
            }),
            Command::GetServerInfo => Ok(Reply::ServerInfo(Box::new(server_info()))),
            Command::Encode { text } => Ok(Reply::Encoded { bits: encode_bits(&text) }),
            Command::Decode { bits } => Ok(Reply::Decoded { text: decode_bits(&bits)? }),
            Command::Calculate { expression } => {
                calculate(&expression).map(|(result, text)| Reply::Calculated { result, text })
            }
            Command::Now => Ok(Reply::Now {
                seconds: 0,
                nanos: 0,
                date: "2026-11-21".to_owned(),
                time_of_day: "23:59:59".to_owned(),
            }),
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

    fn get(&mut self, user: &str, key: &Key) -> Result<Reply> {
        let value = self
            .store(user)
            .get(key.as_str())
            .cloned()
            .ok_or_else(|| error(Reason::KeyNotFound))?;
        Ok(Reply::Entry(Entry { value, revision: 1, expire_time: None }))
    }

    fn put(&mut self, user: &str, key: &Key, value: Value) -> Result<Reply> {
        if key.as_str() == "full" {
            return Err(error(Reason::QuotaExceeded));
        }
        self.store(user).insert(key.as_str().to_owned(), value);
        Ok(Reply::Put { revision: 1, durability: Durability::Local })
    }
}

const POSITION: Position = Position { epoch: 1, sequence: 1 };

/// The next two, and the token for what comes then.
fn after<T: Clone>(token: &str, all: &[T]) -> (Vec<T>, String) {
    let start = token.parse().unwrap_or(0);
    let end = (start + 2).min(all.len());
    (all[start..end].to_vec(), if end < all.len() { end.to_string() } else { String::new() })
}

fn server_info() -> ServerInfo {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    ServerInfo {
        store_engine: "memory",
        durability: Durability::Local,
        upgrade_policy: UpgradePolicy::Managers,
        max_keys_per_user: 1_000_000,
        max_bytes_per_user: 256 << 20,
        entry_overhead_bytes: 64,
        max_bytes_total: 1 << 30,
        max_sessions: 100_000,
        guest_idle_timeout: minutes(30),
        account_session_age: minutes(720),
        call_timeout: Duration::from_secs(10),
        request_id_window: minutes(5),
        max_request_ids: 10_000,
        chat_messages_per_second: 200,
        chat_burst: 1_000,
        max_rooms: 10_000,
        max_rooms_per_user: 64,
        max_members_per_room: 10_000,
        max_room_history: 1_000,
        max_room_history_bytes: 1 << 20,
        max_history_bytes_total: 256 << 20,
        max_kept_changes: 10_000,
        max_kept_change_bytes: 1 << 20,
        heartbeat_interval: Duration::from_secs(15),
        doors: vec![DoorInfo { dialect: "text", address: "127.0.0.1:5555".to_owned(), tls: true }],
    }
}

fn error(reason: Reason) -> Error {
    Error::new(reason, format!("no: {}", reason.as_str()))
}

/// What comes from a client.
#[derive(Clone, Copy, Debug)]
pub enum Feed<'a> {
    Bytes(&'a [u8]),
    Quiet,
    End,
}

/// What a client got: one write for each request that was answered, and whether the door closed.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    pub actions: Vec<String>,
    pub writes: Vec<Vec<u8>>,
    pub closed: bool,
}

pub fn stream_codec(name: &str) -> Box<dyn StreamCodec> {
    match find(name).unwrap().transport {
        Transport::Tcp(open) => open(),
        Transport::WebSocket(_) | Transport::Udp(_) => panic!("{name} is no stream"),
    }
}

/// A TCP door.
pub fn stream(name: &str, policy: UpgradePolicy, feeds: &[Feed<'_>]) -> Heard {
    heard(name, policy, feeds, false)
}

/// A TCP door that sends what is there of a reply before it has the rest.
pub fn stream_in_pieces(name: &str, policy: UpgradePolicy, feeds: &[Feed<'_>]) -> Heard {
    heard(name, policy, feeds, true)
}

fn heard(name: &str, policy: UpgradePolicy, feeds: &[Feed<'_>], in_pieces: bool) -> Heard {
    let (mut codec, mut peer, mut heard) =
        (stream_codec(name), Peer::new("48106", policy), Heard::default());
    let mut input = BytesMut::new();
    for feed in feeds {
        let event = match feed {
            Feed::Bytes(bytes) => {
                input.extend_from_slice(bytes);
                Input::Bytes
            }
            Feed::Quiet => Input::Quiet,
            Feed::End => Input::End,
        };
        heard.closed =
            drain(codec.as_mut(), &mut peer, &mut input, event, &mut heard.writes, in_pieces);
        if heard.closed {
            break;
        }
    }
    heard.actions = peer.actions;
    heard
}

fn drain(
    codec: &mut dyn StreamCodec,
    peer: &mut Peer,
    input: &mut BytesMut,
    event: Input,
    writes: &mut Vec<Vec<u8>>,
    in_pieces: bool,
) -> bool {
    loop {
        match codec.decode(input, event) {
            Decoded::Pending { .. } => return event == Input::End,
            Decoded::Close => return true,
            Decoded::Request => {}
        }
        let (mut out, mut reply) = (BytesMut::new(), Vec::new());
        while let Some(action) = codec.next(&mut out) {
            codec.answer(peer.run(action), &mut out);
            if in_pieces {
                reply.extend_from_slice(&out.split());
            }
        }
        let next = codec.finish(&mut out);
        reply.extend_from_slice(&out);
        assert!(reply.len() < 2 * MAX_REPLY_BYTES, "a reply of {} bytes", reply.len());
        if !reply.is_empty() {
            writes.push(reply);
        }
        if next == Next::Close {
            return true;
        }
    }
}

/// A WebSocket door; messages that are UTF-8 come as text, unless `binary`.
pub fn messages(
    name: &str,
    policy: UpgradePolicy,
    messages: &[Payload<'_>],
) -> (Heard, Vec<Message>) {
    let Transport::WebSocket(open) = find(name).unwrap().transport else {
        panic!("{name} is no WebSocket dialect")
    };
    let (mut codec, mut peer, mut heard, mut replies) =
        (open(), Peer::new("nobody", policy), Heard::default(), Vec::new());
    for message in messages {
        assert_eq!(codec.decode(*message), Decoded::Request);
        while let Some(action) = codec.next() {
            codec.answer(peer.run(action));
        }
        let (reply, next) = codec.finish();
        replies.extend(reply);
        heard.closed = next == Next::Close;
        if heard.closed {
            break;
        }
    }
    heard.actions = peer.actions;
    (heard, replies)
}

/// A UDP door.
pub fn datagram(name: &str, datagram: &[u8], source_port: u16) -> Option<String> {
    let Transport::Udp(open) = find(name).unwrap().transport else {
        panic!("{name} is no UDP dialect")
    };
    let (mut codec, mut peer) = (open(), Peer::new("nobody", UpgradePolicy::Managers));
    if codec.decode(datagram, source_port) == Decoded::Close {
        return None;
    }
    while let Some(action) = codec.next() {
        codec.answer(peer.run(action));
    }
    codec.finish()
}

/// Any bytes at all, to any dialect: the first says how they are cut. This is the entry of the fuzz
/// targets.
pub fn any(name: &str, data: &[u8]) {
    let (cut, data) = data.split_first().map_or((0, data), |(cut, data)| (usize::from(*cut), data));
    match find(name).unwrap().transport {
        Transport::Tcp(_) => {
            let mut feeds = Vec::new();
            for piece in data.chunks(cut.max(1)) {
                feeds.push(Feed::Bytes(piece));
                if cut > 127 {
                    feeds.push(Feed::Quiet);
                }
            }
            feeds.push(Feed::End);
            assert!(stream(name, UpgradePolicy::Open, &feeds).closed);
        }
        Transport::WebSocket(_) => {
            let mut payloads = vec![Payload::Text("fuzz")];
            for piece in data.split(|byte| usize::from(*byte) == cut) {
                payloads.push(match std::str::from_utf8(piece) {
                    Ok(text) if cut % 2 == 0 => Payload::Text(text),
                    _ => Payload::Binary(piece),
                });
            }
            messages(name, UpgradePolicy::Open, &payloads[usize::from(cut > 127)..]);
        }
        Transport::Udp(_) => {
            if let Some(reply) = datagram(name, data, 40_000) {
                assert!(reply.len() <= data.len() + 1);
            }
        }
    }
}
