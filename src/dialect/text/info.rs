//! Server information in the form in which the command line prints it.

use std::time::Duration;

use super::listing::aligned;
use crate::model::{
    MAX_BATCH_OPERATIONS, MAX_KEY_BYTES, MAX_MESSAGE_BYTES, MAX_NAME_CHARACTERS, MAX_PAGE_SIZE,
    MAX_TTL, MAX_VALUE_BYTES, MIN_TTL, ServerInfo,
};

/// Returns one line per field: its name and value.
pub(super) fn print(info: &ServerInfo) -> String {
    let durability = match info.durability {
        crate::model::Durability::Local => "local",
        crate::model::Durability::Replicated => "replicated",
        crate::model::Durability::Fsynced => "fsynced",
    };
    let mut rows: Vec<Vec<String>> = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("store_engine", info.store_engine.to_owned()),
        ("durability", durability.to_owned()),
        ("upgrade_policy", info.upgrade_policy.as_str().to_owned()),
        ("max_key_bytes", MAX_KEY_BYTES.to_string()),
        ("max_value_bytes", MAX_VALUE_BYTES.to_string()),
        ("min_ttl", for_people(MIN_TTL)),
        ("max_ttl", for_people(MAX_TTL)),
        ("max_name_characters", MAX_NAME_CHARACTERS.to_string()),
        ("max_batch_operations", MAX_BATCH_OPERATIONS.to_string()),
        ("max_message_bytes", MAX_MESSAGE_BYTES.to_string()),
        ("max_page_size", MAX_PAGE_SIZE.to_string()),
        ("max_keys_per_user", info.max_keys_per_user.to_string()),
        ("max_bytes_per_user", info.max_bytes_per_user.to_string()),
        ("entry_overhead_bytes", info.entry_overhead_bytes.to_string()),
        ("max_bytes_total", info.max_bytes_total.to_string()),
        ("max_sessions", info.max_sessions.to_string()),
        ("guest_idle_timeout", for_people(info.guest_idle_timeout)),
        ("account_session_age", for_people(info.account_session_age)),
        ("call_timeout", for_people(info.call_timeout)),
        ("request_id_window", for_people(info.request_id_window)),
        ("max_request_ids", info.max_request_ids.to_string()),
    ]
    .map(|(name, value)| vec![name.to_owned(), value])
    .into();
    rows.extend(info.doors.iter().map(|door| {
        let tls = if door.tls { ", TLS" } else { "" };
        vec!["door".to_owned(), format!("{} on {}{tls}", door.dialect, door.address)]
    }));
    aligned(&[], rows)
}

/// A duration in the largest unit that tells it exactly.
fn for_people(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(size, _)| millis > 0 && millis.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", millis / size),
        None => format!("{millis}ms"),
    }
}
