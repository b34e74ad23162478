//! Server information in the form in which the command line prints it.

use super::listing::aligned;
use crate::model::ServerInfo;

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
    ]
    .map(|(name, value)| vec![name.to_owned(), value])
    .into();
    let limits = info.limits.reported();
    rows.extend(limits.into_iter().map(|(name, amount)| vec![name.to_owned(), amount.to_string()]));
    rows.extend(info.listeners.iter().map(|listener| {
        let tls = if listener.tls { ", TLS" } else { "" };
        vec!["listener".to_owned(), format!("{} on {}{tls}", listener.protocol, listener.address)]
    }));
    aligned(&[], rows)
}
