//! The table of limits beside everything made from it: the contract, the configuration, both
//! `info`s and the page in the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use kvrpc::model::Method;
use kvrpc::model::{Amount, Limit, Limits, Unit};
use kvrpc::pb::{self, v1};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::task::spawn_blocking;

use crate::cli::Cli;
use crate::grpc::raw::Raw;
use crate::harness::Server;

/// The fields of `kvrpc.v1.Limits`, from the descriptors.
fn fields() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
    let files = set.file.iter().filter(|file| file.package() == "kvrpc.v1");
    let mut messages = files.flat_map(|file| &file.message_type);
    let limits = messages.find(|message| message.name() == "Limits").unwrap();
    limits.field.iter().map(|field| field.name().to_owned()).collect()
}

/// The file that sets every limit to something other than its default, and the values by the
/// limits' keys.
fn every_limit_set() -> (String, BTreeMap<&'static str, Amount>) {
    let mut file = "[limits]\n".to_owned();
    let mut values = BTreeMap::new();
    for (index, limit) in (1..).zip(Limits::table()) {
        let Some(setting) = &limit.setting else { continue };
        let key = setting.key.strip_prefix("limits.").unwrap();
        let value = match (limit.default, limit.unit) {
            (Amount::Number(number), Unit::Bytes) => {
                writeln!(file, "{key} = \"{}B\"", number + index).unwrap();
                Amount::Number(number + index)
            }
            (Amount::Number(number), _) => {
                writeln!(file, "{key} = {}", number + index).unwrap();
                Amount::Number(number + index)
            }
            (Amount::Duration(duration), _) => {
                let duration = duration + Duration::from_secs(index);
                writeln!(file, "{key} = \"{}s\"", duration.as_secs()).unwrap();
                Amount::Duration(duration)
            }
        };
        values.insert(setting.key, value);
    }
    (file, values)
}

#[test]
fn the_rows_are_sound() {
    let (mut keys, mut names) = (BTreeSet::new(), BTreeSet::new());
    for limit in Limits::table() {
        let name = limit.name;
        assert!(names.insert(name), "{name} has two rows");
        let (first, last) = (limit.text.chars().next().unwrap(), limit.text.chars().last());
        assert!(first.is_uppercase() && last == Some('.'), "{name}: {:?}", limit.text);
        let timed = matches!(limit.default, Amount::Duration(_));
        assert_eq!(timed, limit.unit == Unit::Duration, "{name}: type and unit");
        if let Some(setting) = limit.setting {
            assert!(keys.insert(setting.key), "{} sets two limits", setting.key);
            assert_eq!(setting.key, format!("limits.{}", name.replace('_', "-")));
            assert!(setting.range.contains(&limit.default), "{name}: the default is not allowed");
        }
    }
}

#[test]
fn every_key_sets_its_own_limit_and_check_config_lists_it() {
    let (file, values) = every_limit_set();
    let config = Server::builder().toml(&file).config();
    let mut read = BTreeMap::new();
    config.service.limits.map(|limit, value| {
        read.insert(limit.setting.as_ref().unwrap().key, value);
        value
    });
    assert_eq!(read, values);
    for (key, _) in values {
        let key = key.strip_prefix("limits.").unwrap();
        let start = format!("{key} = ");
        assert!(config.effective.lines().any(|line| line.starts_with(&start)), "{key}");
    }
}

#[tokio::test]
async fn every_field_of_the_contract_is_set_and_both_infos_print_it() {
    let (file, values) = every_limit_set();
    let server = Server::builder().toml(&file).flag("--compat", "text=127.0.0.1:0").start().await;
    let value =
        |limit: &Limit| limit.setting.as_ref().map_or(limit.default, |setting| values[setting.key]);
    let wanted: BTreeMap<String, Amount> = Limits::table()
        .iter()
        .filter_map(|limit| Some((limit.field?.to_owned(), value(limit))))
        .collect();
    assert_eq!(wanted.keys().cloned().collect::<BTreeSet<_>>(), fields());

    let info: v1::GetServerInfoResponse = Raw::new(server.channel())
        .call(Method::GetServerInfo.path(), &v1::GetServerInfoRequest::default())
        .await
        .unwrap();
    let got: BTreeMap<String, Amount> = pb::reported_limits(&info.limits.unwrap())
        .into_iter()
        .map(|(name, amount)| (name.to_owned(), amount.unwrap()))
        .collect();
    assert_eq!(got, wanted, "GetServerInfo");

    let over_grpc = Cli::at(server.grpc().to_string(), "anuran");
    let over_text = Cli::at(server.addresses.of("text").unwrap().to_string(), "eve");
    let (json, people, text) = spawn_blocking(move || {
        let run = |cli: &Cli, line| cli.run(line).ok();
        (
            run(&over_grpc, "-o json info"),
            run(&over_grpc, "info"),
            run(&over_text, "--via text info"),
        )
    })
    .await
    .unwrap();
    for (name, printed) in [("kvrpc-cli info", people), ("info of the text protocol", text)] {
        let rows: BTreeMap<&str, &str> = printed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        for (field, amount) in &wanted {
            assert_eq!(rows.get(field.as_str()), Some(&amount.to_string().as_str()), "{name}");
        }
    }
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let json: BTreeMap<String, String> = json["limits"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let wanted: BTreeMap<String, String> =
        wanted.into_iter().map(|(name, amount)| (name, amount.to_string())).collect();
    assert_eq!(json, wanted, "kvrpc-cli -o json info");
}

/// A value in words: counts with separators, sizes and durations as the configuration takes them.
fn shown(amount: Amount, unit: Unit) -> String {
    match (amount, unit) {
        (Amount::Duration(duration), _) => {
            let millis = duration.as_millis();
            let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
            let (size, name) =
                units.into_iter().find(|(size, _)| millis.is_multiple_of(*size)).unwrap();
            format!("{}{name}", millis / size)
        }
        (Amount::Number(number), Unit::Bytes) => {
            let units = [(50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")];
            let (bits, name) =
                units.into_iter().find(|(bits, _)| number.trailing_zeros() >= *bits).unwrap();
            format!("{}{name}", number >> bits)
        }
        (Amount::Number(number), _) => {
            let digits = number.to_string();
            let groups: Vec<_> =
                digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
    }
}

/// The beginning of `docs/limits.md`.
const HEAD: &str = "\
# Limits

An argument beyond its limit is answered with INVALID_ARGUMENT,
an amount beyond its limit with RESOURCE_EXHAUSTED; the [reason](errors.md) says more.
`GetServerInfo`, `kvrpc-cli info` and the text protocol's `info` report the limits in force,
as far as they have a field in `kvrpc.v1.Limits`.

This page is generated from `src/model/limits/table.rs` by `cargo test --test it limit_table`.

## Settings

These are keys of the table `[limits]` of the [configuration file](configuration.md):

```toml
[limits]
sessions = 500_000
bytes-per-user = \"512MiB\"
guest-idle = \"1h\"
```

`kvrpc-server check-config` prints the value in effect of each and its origin.

";

/// `docs/limits.md` as the table has it.
fn page() -> String {
    let mut page = HEAD.to_owned();
    let (settings, fixed): (Vec<_>, Vec<_>) =
        Limits::table().into_iter().partition(|limit| limit.setting.is_some());
    for limit in settings {
        let setting = limit.setting.as_ref().unwrap();
        let shown = |amount| shown(amount, limit.unit);
        let key = setting.key.strip_prefix("limits.").unwrap();
        let default = limit.by_default.map_or_else(|| shown(limit.default), str::to_owned);
        let (least, most) = (shown(*setting.range.start()), shown(*setting.range.end()));
        let field = limit.field.map_or(String::new(), |field| format!("; reported as `{field}`"));
        writeln!(page, "- `{key}`: {default} by default, {least} to {most} allowed{field}.")
            .unwrap();
        writeln!(page, "  {}", limit.text).unwrap();
    }
    page.push_str("\n## Fixed limits\n\n| value | meaning | reported as |\n|---|---|---|\n");
    for limit in fixed {
        let value = shown(limit.default, limit.unit);
        let field = limit.field.map_or(String::new(), |field| format!("`{field}`"));
        writeln!(page, "| {value} | {} | {field} |", limit.text).unwrap();
    }
    page
}

#[test]
fn the_page_in_the_documentation_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md");
    let (page, before) = (page(), std::fs::read_to_string(path).unwrap_or_default());
    if page != before {
        std::fs::write(path, page).unwrap();
        panic!("docs/limits.md was not up to date, and has been written anew: commit it");
    }
}
