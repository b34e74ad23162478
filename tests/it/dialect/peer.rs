//! A small service and connection loops without sockets, with which the tests and the fuzz targets
//! drive the codecs.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use kvrpc::dialect::codec::{
    Action, ActionResult, AfterReply, Decoded, Input, MAX_REPLY_BYTES, Message, Payload,
    StreamCodec,
};
use kvrpc::dialect::{Transport, find};
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

/// Input from a client.
#[derive(Clone, Copy, Debug)]
pub enum Feed<'a> {
    Bytes(&'a [u8]),
    Quiet,
    End,
}

/// Output to a client: one write for each answered request, and whether the connection was closed.
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

/// Runs a TCP connection.
pub fn stream(name: &str, policy: UpgradePolicy, feeds: &[Feed<'_>]) -> Heard {
    heard(name, policy, feeds, false)
}

/// Runs a TCP connection that sends the available part of a reply before the rest is produced.
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
        if next == AfterReply::Close {
            return true;
        }
    }
}

/// Runs a WebSocket connection; UTF-8 messages are sent as text, unless `binary`.
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
        heard.closed = next == AfterReply::Close;
        if heard.closed {
            break;
        }
    }
    heard.actions = peer.actions;
    (heard, replies)
}

/// Runs a UDP exchange.
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

/// Feeds any bytes to any protocol; the first byte selects how they are cut. Entry of the fuzz
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
