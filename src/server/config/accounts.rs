//! The accounts: `[users.NAME]`, in the configuration file only.

use std::collections::{BTreeMap, BTreeSet};

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;

use super::AccountConfig;
use super::file::FileValue;
use super::parse::quoted;
use super::sources::{ConfigError, Sources};
use crate::model::{Role, UserName};

/// Maximum memory of a password's check, in KiB. Two passwords are checked at a time.
const MAX_MEMORY_KIB: u32 = 256 << 10;
/// Maximum number of passes over that memory.
const MAX_PASSES: u32 = 10;
/// Maximum parallelism of a password's check.
const MAX_LANES: u32 = 16;

/// An account of which not all keys have been read.
#[derive(Default)]
struct Draft {
    place: String,
    password: Option<String>,
    role: Role,
}

/// Removes the accounts from the sources, and records their errors.
pub(super) fn read(sources: &mut Sources) -> Vec<AccountConfig> {
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    for (entry, place) in sources.take_table("users") {
        let (name, key) = match entry.path.as_slice() {
            [_, name, key] => (name, key.as_str()),
            [_, name] if entry.value == FileValue::Other("a table") => (name, ""),
            _ => {
                sources.report(ConfigError::new(
                    place,
                    "an account is a table: [users.NAME] with `password` and `role`",
                ));
                continue;
            }
        };
        let draft = drafts
            .entry(name.clone())
            .or_insert_with(|| Draft { place: place.clone(), ..Draft::default() });
        let error = match (key, entry.value) {
            ("", _) => None,
            ("password", FileValue::Text(hash)) => {
                let error = check_hash(&hash).err();
                draft.password = Some(hash);
                error
            }
            ("role", FileValue::Text(role)) if role == "manager" => {
                draft.role = Role::Manager;
                None
            }
            ("role", FileValue::Text(role)) if role == "guest" => None,
            ("role", _) => Some("must be \"manager\" or \"guest\"".to_owned()),
            ("password", other) => {
                Some(format!("must be a string, an Argon2id hash, and is {}", other.kind()))
            }
            _ => Some("there is no such key; an account has `password` and `role`".to_owned()),
        };
        if let Some(rule) = error {
            sources.report(ConfigError::new(place, rule));
        }
    }
    finish(sources, drafts)
}

fn finish(sources: &mut Sources, drafts: BTreeMap<String, Draft>) -> Vec<AccountConfig> {
    let mut taken = BTreeSet::new();
    let mut accounts = Vec::with_capacity(drafts.len());
    for (name, Draft { place, password, role }) in drafts {
        let rule = match UserName::new(name.as_str()) {
            Err(error) => Some(error.message().to_owned()),
            Ok(user) if user.names_socket() => {
                Some("whole numbers and ip:port name socket clients; no account may".to_owned())
            }
            Ok(user) if !taken.insert(user.folded().to_owned()) => {
                Some("another account's name is equal to it".to_owned())
            }
            Ok(_) if password.is_none() => {
                Some("`password` is missing; make one with `kvrpc-server hash-password`".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(rule) = rule {
            sources.report(ConfigError::new(place, rule));
            continue;
        }
        let table = format!("users.{}", quoted(&name));
        let from = place.rsplit_once(": ").map_or_else(String::new, |(place, _)| place.to_owned());
        sources.record_as(format!("{table}.password"), "\"$argon2id$…\"".to_owned(), from.clone());
        sources.record_as(format!("{table}.role"), quoted(role.as_str()), from);
        accounts.push(AccountConfig { name, password_hash: password.unwrap_or_default(), role });
    }
    accounts
}

/// Checks a password's hash.
///
/// # Errors
/// The rule that it breaks. The text is not repeated: it may be a password in plain text.
fn check_hash(text: &str) -> Result<(), String> {
    let hash = PasswordHash::new(text).ok().filter(|hash| hash.algorithm.as_str() == "argon2id");
    let hash = hash.ok_or("is no Argon2id hash; make one with `kvrpc-server hash-password`")?;
    let params =
        Params::try_from(&hash).map_err(|error| format!("is a bad Argon2id hash: {error}"))?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("is only half an Argon2id hash: salt or hash is missing".to_owned());
    }
    if params.m_cost() > MAX_MEMORY_KIB
        || params.t_cost() > MAX_PASSES
        || params.p_cost() > MAX_LANES
    {
        return Err(format!(
            "costs too much to check: at most m={MAX_MEMORY_KIB}, t={MAX_PASSES} and \
             p={MAX_LANES} are allowed"
        ));
    }
    Ok(())
}
