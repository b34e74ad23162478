//! The table of limits. A new limit is one row here, the code that enforces it and, if
//! GetServerInfo reports it, one field of `kvrpc.v1.Limits`.

use std::time::Duration;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Upper bound of the large sizes: more than any machine has, and far from where sums overflow.
pub(super) const PIB: u64 = 1 << 50;

/// Calls the macro `$callback` with the whole table.
///
/// A row of `fixed` is a constant:
/// `NAME: Unit<type> = value, field FIELD;`.
/// A row of `settings` is a field of [`Limits`] and can be set in the configuration file:
/// `name: Unit<type> = default, allowed range, key "KEY", field FIELD, by_default "TEXT";`.
///
/// `Unit` is a variant of [`Unit`]. `FIELD` is the field of `kvrpc.v1.Limits` that reports the
/// limit; a limit without one is not part of GetServerInfo. `TEXT` stands in the documentation in
/// place of a default that depends on the machine.
macro_rules! limits_table {
    ($callback:ident) => {
        $callback! {
fixed {
    /// Maximum length of a key, in bytes of UTF-8.
    MAX_KEY_BYTES: Bytes<usize> = 1 << 10, field max_key_bytes;
    /// Maximum size of a value.
    MAX_VALUE_BYTES: Bytes<usize> = 1 << 20, field max_value_bytes;
    /// Minimum time to live.
    MIN_TTL: Duration<Duration> = MILLISECOND, field min_ttl;
    /// Maximum time to live: ten years of 365 days.
    MAX_TTL: Duration<Duration> = Duration::from_secs(10 * 365 * 86_400), field max_ttl;
    /// Maximum length of a user's or a room's name, in characters.
    MAX_NAME_CHARACTERS: Count<usize> = 64, field max_name_characters;
    /// Maximum number of operations in a batch.
    MAX_BATCH_OPERATIONS: Count<usize> = 1_000, field max_batch_operations;
    /// Maximum size of a gRPC message, and of a batch's keys and values together.
    MAX_MESSAGE_BYTES: Bytes<usize> = 4 << 20, field max_message_bytes;
    /// Maximum number of rows in a page; a request for more gets this many.
    MAX_PAGE_SIZE: Count<u32> = 1_000, field max_page_size;
    /// Number of rows in a page if the request names none.
    DEFAULT_PAGE_SIZE: Count<u32> = 100;
    /// Bytes that each key counts in quotas beside its own and its value's.
    ENTRY_OVERHEAD_BYTES: Bytes<u32> = 64, field entry_overhead_bytes;
    /// Maximum length of a request id.
    MAX_REQUEST_ID_BYTES: Bytes<usize> = 64;
    /// Time for which a request id is remembered.
    REQUEST_ID_WINDOW: Duration<Duration> = Duration::from_secs(5 * 60), field request_id_window;
    /// Maximum number of request ids remembered for a user.
    MAX_REQUEST_IDS: Count<usize> = 10_000, field max_request_ids;
    /// Maximum size of the replies remembered for a user's request ids; the oldest go first.
    MAX_REMEMBERED_BYTES: Bytes<u64> = 16 << 20;
    /// Maximum number of changes of a store kept for watches.
    MAX_KEPT_CHANGES: Count<usize> = 10_000, field max_kept_changes;
    /// Maximum size of the changes of a store kept for watches.
    MAX_KEPT_CHANGE_BYTES: Bytes<usize> = 1 << 20, field max_kept_change_bytes;
    /// Time for which a store keeps its changes after its last listing or watch.
    CHANGES_KEPT_FOR: Duration<Duration> = Duration::from_secs(5 * 60);
    /// Maximum size of the changes kept by all stores of a server; a store over it keeps none.
    MAX_CHANGE_BYTES: Bytes<u64> = 256 << 20;
    /// Maximum length of a chat message's text, in bytes of UTF-8.
    MAX_TEXT_BYTES: Bytes<usize> = 4 << 10, field max_text_bytes;
    /// Maximum length of a chat message's `client_message_id`.
    MAX_MESSAGE_ID_BYTES: Bytes<usize> = 64;
    /// Maximum length of a password.
    MAX_PASSWORD_BYTES: Bytes<usize> = 1 << 10;
    /// Maximum number of passwords that wait to be checked.
    MAX_WAITING_PASSWORDS: Count<usize> = 64;
    /// Maximum length of an expression to calculate.
    MAX_EXPRESSION_BYTES: Bytes<usize> = 256;
    /// Maximum length of a text to encode, in bytes of UTF-8.
    MAX_ENCODE_BYTES: Bytes<usize> = 64 << 10;
    /// Maximum length of bits to decode: those of the longest text, nine characters a byte.
    MAX_DECODE_BYTES: Bytes<usize> = 9 * MAX_ENCODE_BYTES;
}
settings {
    /// Maximum number of connections of a protocol, at all its listeners; a quarter of them from
    /// one source beyond loopback.
    connections: Count<u32> = 10_000, 1..=1_000_000, key "connections";
    /// Deadline of a connection's first bytes, from the end of its handshakes.
    first_bytes: Duration<Duration> = 3 * SECOND, 10 * MILLISECOND..=HOUR, key "first-bytes";
    /// Deadline of the TLS handshake, of an HTTP/1 request's header, and of the next request.
    handshake: Duration<Duration> = 5 * SECOND, 10 * MILLISECOND..=HOUR, key "handshake";
    /// Silence of an HTTP/2 client after which it is sent a PING.
    keepalive_interval: Duration<Duration> = 20 * SECOND, 10 * MILLISECOND..=HOUR,
        key "keepalive-interval";
    /// Deadline of the answer to that PING.
    keepalive_timeout: Duration<Duration> = 10 * SECOND, 10 * MILLISECOND..=HOUR,
        key "keepalive-timeout";
    /// Maximum number of HTTP/2 streams open at once on a connection.
    streams: Count<u32> = 128, 1..=10_000, key "streams";
    // HTTP/2 counts each header 32 bytes longer than it is: below 1 KiB no gRPC request fits. An
    // HTTP/1 header has to fit that connection's buffer.
    /// Maximum size of a request's headers.
    header_bytes: Bytes<u32> = 8 << 10, 1 << 10..=32 << 10, key "header-bytes";
    /// Age (± 10 %) at which a connection is told to close.
    connection_age: Duration<Duration> = 30 * MINUTE, 10 * MILLISECOND..=YEAR,
        key "connection-age";
    /// Time from then until its streams without an end are ended; after `grace` it is cut.
    closing_notice: Duration<Duration> = 10 * SECOND, 10 * MILLISECOND..=HOUR,
        key "closing-notice";
    /// Maximum number of keys in a user's store.
    keys_per_user: Count<u64> = 1_000_000, 1..=u64::MAX >> 1, key "keys-per-user",
        field max_keys_per_user;
    /// Maximum size of a user's store: its keys, its values and `entry_overhead_bytes` a key.
    bytes_per_user: Bytes<u64> = 256 << 20, 1..=PIB, key "bytes-per-user",
        field max_bytes_per_user;
    /// Maximum size of all stores together, counted in the same way.
    store_bytes: Bytes<u64> = 1 << 30, 1..=PIB, key "store-bytes", field max_bytes_total,
        by_default "80 % of the memory";
    /// Maximum number of sessions at a time.
    sessions: Count<u64> = 100_000, 1..=100_000_000, key "sessions", field max_sessions;
    /// Maximum rate of sign-ins from one source, and as many at once.
    sign_ins_per_second: PerSecond<u32> = 100, 1..=1_000_000, key "sign-ins-per-second";
    /// Number of wrong passwords for one user from one source accepted at once.
    auth_failure_burst: Count<u32> = 10, 1..=1_000_000, key "auth-failure-burst";
    /// Time after which one more wrong password is accepted.
    auth_failure_interval: Duration<Duration> = 6 * SECOND, MILLISECOND..=DAY,
        key "auth-failure-interval";
    /// Time after which a guest's unused session ends.
    guest_idle: Duration<Duration> = 30 * MINUTE, MILLISECOND..=YEAR, key "guest-idle",
        field guest_idle_timeout;
    /// Time after which an account's session ends.
    account_session: Duration<Duration> = 12 * HOUR, MILLISECOND..=YEAR, key "account-session",
        field account_session_age;
    /// Deadline of a unary call; a client's own may be shorter.
    call_timeout: Duration<Duration> = 10 * SECOND, MILLISECOND..=HOUR, key "call-timeout",
        field call_timeout;
    /// Interval of the heartbeats of a stream.
    heartbeat: Duration<Duration> = 15 * SECOND, 10 * MILLISECOND..=HOUR, key "heartbeat",
        field heartbeat_interval;
    /// Maximum rate of a user's chat messages.
    chat_messages_per_second: PerSecond<u32> = 200, 1..=1_000_000,
        key "chat-messages-per-second", field chat_messages_per_second;
    /// Maximum number of a user's chat messages at once, after a rest.
    chat_burst: Count<u32> = 1_000, 1..=1_000_000, key "chat-burst", field chat_burst;
    /// Maximum number of rooms at a time.
    rooms: Count<u32> = 10_000, 1..=1_000_000, key "rooms", field max_rooms;
    /// Maximum number of rooms that a user is in, and of open rooms that it created.
    rooms_per_user: Count<u32> = 64, 1..=1_000_000, key "rooms-per-user",
        field max_rooms_per_user;
    /// Maximum number of members of a room.
    members_per_room: Count<u32> = 10_000, 1..=1_000_000, key "members-per-room",
        field max_members_per_room;
    /// Maximum number of messages that a room keeps.
    room_history: Count<u32> = 1_000, 1..=1_000_000, key "room-history",
        field max_room_history;
    /// Maximum size of the messages and events that a room keeps.
    room_history_bytes: Bytes<u64> = 1 << 20, 1..=1 << 30, key "room-history-bytes",
        field max_room_history_bytes;
    /// Maximum size of the messages and events that all rooms keep together.
    history_bytes: Bytes<u64> = 256 << 20, 1..=PIB, key "history-bytes",
        field max_history_bytes_total;
    /// Time for which a room stays after its last member and its last message.
    room_idle: Duration<Duration> = 10 * MINUTE, MILLISECOND..=YEAR, key "room-idle";
}
        }
    };
}
pub(crate) use limits_table;
