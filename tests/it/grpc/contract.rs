//! The table of RPCs against the descriptors, and the contract's comments against the reasons.

use std::collections::BTreeMap;

use kvrpc::model::{Method, Permission, Reason};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// Returns each RPC of the contract by its path: whether it streams, and its comment.
pub(crate) fn described() -> BTreeMap<String, (bool, String)> {
    let set = FileDescriptorSet::decode(kvrpc::pb::DESCRIPTORS).unwrap();
    set.file.iter().filter(|file| file.package() == "kvrpc.v1").flat_map(of_file).collect()
}

fn of_file(file: &FileDescriptorProto) -> Vec<(String, (bool, String))> {
    let comments: BTreeMap<_, _> = file
        .source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .map(|location| (location.path.clone(), location.leading_comments().to_owned()))
        .collect();
    let mut found = Vec::new();
    for (service_index, service) in file.service.iter().enumerate() {
        for (index, method) in service.method.iter().enumerate() {
            let path = format!("/kvrpc.v1.{}/{}", service.name(), method.name());
            // service = 6 of FileDescriptorProto, method = 2 of ServiceDescriptorProto
            // (google/protobuf/descriptor.proto).
            let place = [6, service_index as i32, 2, index as i32];
            let comment = comments.get(&place[..]).cloned().unwrap_or_default();
            found.push((path, (method.server_streaming(), comment)));
        }
    }
    found
}

/// Returns the reasons that an RPC's comment names.
pub(crate) fn documented(comment: &str) -> Vec<Reason> {
    let words = comment.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    words.filter_map(Reason::parse).collect()
}

#[test]
fn every_rpc_of_the_contract_is_in_the_table_of_access_and_none_else() {
    let described = described();
    for (path, (streams, _)) in &described {
        let method = Method::find(path).unwrap_or_else(|| panic!("{path} is not in the table"));
        assert_eq!(method.path(), path);
        assert_eq!(method.streams(), *streams, "{path}");
    }
    assert_eq!(described.len(), Method::ALL.len());
}

#[test]
fn open_rpcs_are_those_of_the_design() {
    let mut open: Vec<_> = Method::ALL
        .iter()
        .filter(|method| method.permission() == Permission::Open)
        .map(|m| m.name())
        .collect();
    open.sort_unstable();
    assert_eq!(open, ["Calculate", "Decode", "Encode", "GetServerInfo", "Now", "SignIn"]);
}

#[test]
fn every_comment_of_a_call_names_reasons_that_exist() {
    for (path, (_, comment)) in described() {
        // Reasons stand in parentheses after a code; other words in capitals are codes.
        for group in comment.split('(').skip(1).filter_map(|rest| rest.split(')').next()) {
            for word in group.split([',', ';', ' ']).filter(|word| {
                word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            }) {
                assert!(Reason::parse(word).is_some(), "{path} names {word}");
            }
        }
    }
}
