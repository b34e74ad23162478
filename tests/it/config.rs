//! The program's configuration: variables, exit codes, and the two subcommands.

use crate::harness::ServerProcess;

/// Returns the lines of `check-config` for a key.
fn line(stdout: &str, key: &str) -> String {
    let line = stdout.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "\ngrace = '3s'\n").unwrap();
    let name = file.path().to_str().unwrap();
    for (arguments, variables, wanted) in [
        (&[][..], &[][..], "grace = \"10s\" # default".to_owned()),
        (&["--config", name], &[], format!("grace = \"3s\" # {name}:2")),
        (&[], &[("KVRPC_CONFIG", name)], format!("grace = \"3s\" # {name}:2")),
        (&["--config", name], &[("KVRPC_GRACE", "2s")], "grace = \"2s\" # KVRPC_GRACE".to_owned()),
        (
            &["--config", name, "--grace", "1s"],
            &[("KVRPC_GRACE", "2s")],
            "grace = \"1s\" # --grace".to_owned(),
        ),
    ] {
        let arguments = [&["check-config"], arguments].concat();
        let finished = ServerProcess::run(&arguments, variables, "");
        assert_eq!(
            (finished.code, line(&finished.stdout, "grace")),
            (Some(0), wanted),
            "{arguments:?} {variables:?}"
        );
    }
}

#[test]
fn every_flag_has_a_variable() {
    let help = ServerProcess::run(&["--help"], &[], "").stdout;
    let flags: Vec<_> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|flag| flag.trim_end_matches(|c: char| !c.is_ascii_lowercase()))
        .map(|flag| flag.split('[').next().unwrap())
        .filter(|flag| !["help", "version", "role"].contains(flag))
        .collect();
    assert!(flags.contains(&"upgrade-policy") && flags.contains(&"insecure"), "{flags:?}");
    for flag in flags {
        let variable = format!("[env: KVRPC_{}=]", flag.to_ascii_uppercase().replace('-', "_"));
        let unwrapped = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(&variable), "--{flag} has no {variable}");
    }
}

#[test]
fn mistakes_end_with_code_2_and_name_what_is_wrong() {
    let missing = "/does/not/exist.toml";
    for (arguments, variables, wanted) in [
        (&["--grace", "5"][..], &[][..], "error: --grace \"5\": must be a number with its unit"),
        (&[], &[("KVRPC_GRACE", "5")], "error: KVRPC_GRACE \"5\": must be"),
        (
            &[],
            &[("KVRPC_LISTEN", "0.0.0.0:1")],
            "error: KVRPC_LISTEN 0.0.0.0:1: is beyond loopback",
        ),
        (
            &["--config", missing],
            &[],
            "error: --config /does/not/exist.toml: cannot be read: No such file",
        ),
        (&["--no-such-flag"], &[], "--no-such-flag"),
        (&["no-such-command"], &[], "no-such-command"),
        (&["check-config", "--store", "disk"], &[], "error: --store \"disk\": must be memory"),
        (
            &["check-config", "--tls-cert", missing, "--tls-key", missing],
            &[],
            "error: /does/not/exist.toml: cannot be read",
        ),
    ] {
        let finished = ServerProcess::run(arguments, variables, "");
        assert!(
            finished.code == Some(2) && finished.stderr.contains(wanted),
            "{arguments:?} {variables:?}: {finished:?}"
        );
        assert_eq!(finished.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_hashed_password_is_an_account_of_the_file() {
    let hashed = ServerProcess::run(
        &["hash-password", "adam", "--role", "manager", "--base64"],
        &[],
        "YmlsbA==\n",
    );
    assert_eq!(hashed.code, Some(0), "{hashed:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &hashed.stdout).unwrap();
    let checked =
        ServerProcess::run(&["check-config", "--config", file.path().to_str().unwrap()], &[], "");
    assert!(checked.code == Some(0) && checked.stdout.contains("[users.\"adam\"]"), "{checked:?}");
    assert_eq!(
        line(&checked.stdout, "role"),
        format!("role = \"manager\" # {}:2", file.path().display())
    );

    for (name, stdin, wanted) in
        [("adam", "", "empty"), ("48106", "bill\n", "socket clients"), ("", "bill\n", "empty")]
    {
        let finished = ServerProcess::run(&["hash-password", name], &[], stdin);
        assert!(
            finished.code == Some(2) && finished.stderr.contains(wanted),
            "{name:?}: {finished:?}"
        );
    }
}
