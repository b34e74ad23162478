//! Allowed and refused settings; all mistakes are reported in one run.

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;

const HASH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21l$AyjyVP0F3fGdWLVtuGmWRe5yQl7zvdcHJj0yPtR1Z0Q";

/// Checks flags and a file; the file's name in the mistakes becomes `FILE`.
fn check(flags: &[&str], toml: &str) -> Result<Config, Vec<String>> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let name = file.path().display().to_string();
    let arguments = [&["kvrpc-server", "--config", &name], flags].concat();
    let Ok(Invocation::Serve(raw)) = invocation(arguments) else {
        panic!("{flags:?} is no command line")
    };
    raw.check().map_err(|wrong| {
        wrong.iter().map(|wrong| wrong.to_string().replace(&name, "FILE")).collect()
    })
}

#[test]
fn a_mistake_names_place_value_and_rule() {
    for (flags, toml, wanted) in [
        (
            &["--grace", "5"][..],
            "",
            "--grace \"5\": must be a number with its unit, as in 500ms, 10s, 30m or 12h, \
             from 0s to 1h",
        ),
        (&["--grace=-5s"], "", r#"--grace "-5s": must be a number with its unit"#),
        (&["--grace", "2h"], "", "from 0s to 1h"),
        (&["--threads", "0"], "", r#"--threads "0": must be a whole number from 1 to 1024"#),
        (&["--listen", "127.0.0.1"], "", r#"--listen "127.0.0.1": needs a port"#),
        (&["--listen", ""], "", "--listen \"\": needs a port"),
        (
            &["--store", "disk"],
            "",
            r#"--store "disk": must be memory, redis://HOST:PORT or redis-cluster://"#,
        ),
        (
            &["--store", "redsi://127.0.0.1"],
            "",
            r#"--store "redsi://127.0.0.1": has an unknown scheme"#,
        ),
        (
            &["--store", "redis://u:secret@h:x"],
            "",
            r#"--store "redis://…@h:x": is no address of Redis"#,
        ),
        (&["--store", "redis://h:1,i:2"], "", "names several nodes, and is no redis-cluster://"),
        (&["--store", "redis-cluster://h:1/2"], "", "a cluster has only one"),
        (
            &["--store", "redis://h", "--durability", "sure"],
            "",
            r#"--durability "sure": must be local, replicated:N"#,
        ),
        (
            &["--store", "redis://h", "--durability", "replicated:0"],
            "",
            "must be replicated:N with N from 1 to 16",
        ),
        (&["--durability", "fsynced"], "", "--durability: needs --store redis://"),
        (&["--upgrade-policy", "all"], "", r#"--upgrade-policy "all": must be managers or open"#),
        (&["--log", "xml"], "", r#"--log "xml": must be text or json"#),
        (
            &["--log-level", "kvrpc=loud"],
            "",
            r#"--log-level "kvrpc=loud": must be a level, or a filter"#,
        ),
        (&["--insecure=maybe"], "", r#"--insecure "maybe": must be true or false"#),
        (
            &["--allow-origin", "example.org"],
            "",
            r#"--allow-origin "example.org": must be scheme://host"#,
        ),
        (&["--allow-origin", "https://a.example/"], "", "without a path"),
        (&["--allow-origin", "*"], "", "must be scheme://host"),
        (&["--allow-header", "two words"], "", "must be the name of a header"),
        (&["--allow-host", "kvrpc.example:1"], "", "must be a host name without scheme and port"),
        (&["--tls-cert", "c.pem"], "", "--tls-cert: needs --tls-key beside it"),
        (&[], "tls-key = 'k.pem'", "FILE:1: tls-key: needs --tls-cert beside it"),
        (&["--tls-client-ca", "c.pem"], "", "--tls-client-ca: needs --tls-cert and --tls-key"),
        (
            &["--listen", "0.0.0.0:1"],
            "",
            "--listen 0.0.0.0:1: is beyond loopback, and there is no TLS: give --tls-cert and \
             --tls-key, or --insecure",
        ),
        (&[], "listen = 'eth0:1'", "FILE:1: listen eth0:1: is beyond loopback"),
        (&[], "listen = []", "FILE:1: listen: needs at least one `host:port`"),
        (
            &[],
            "\ngrace = 10",
            "FILE:2: grace: must be a string, a number with its unit, as in 500ms, 10s, 30m or \
             12h, from 0s to 1h, and is a whole number",
        ),
        (
            &[],
            "insecure = 'true'",
            "FILE:1: insecure: must be true or false, without quotes, and is a string",
        ),
        (&[], "grace = ['1s']", "and is a list"),
        (&[], "listen = [1]", "FILE:1: listen: must be a string"),
        (
            &[],
            "[limits]\nsessions = '9'",
            "FILE:2: limits.sessions: must be a whole number, from 1 to 100000000, and is a string",
        ),
        (
            &[],
            "[limits]\nsessions = -1",
            r#"FILE:2: limits.sessions "-1": must be a whole number from 1"#,
        ),
        (&[], "[limits]\nsessions = 99999999999999999999", "FILE:2: limits.sessions"),
        (&[], "[limits]\nsessions = 1.5", "and is a fraction"),
        (
            &[],
            "[limits]\nbytes-per-user = '5'",
            r#"FILE:2: limits.bytes-per-user "5": must be a number of bytes with its unit"#,
        ),
        (&[], "[limits]\nbytes-per-user = '99999TiB'", "from 1B to 1024TiB"),
        (&[], "[limits]\nheader-bytes = '1MiB'", "from 1KiB to 32KiB"),
        (&[], "\n\ngrase = '1s'", "FILE:3: grase: there is no such key"),
        (
            &[],
            "upgrade_policy = 'open'",
            "FILE:1: upgrade_policy: there is no such key; is `upgrade-policy` meant?",
        ),
        (
            &[],
            "[limits]\nsession = 1",
            "FILE:2: limits.session: there is no such key; is `limits.sessions` meant?",
        ),
        (&[], "[limit]", "FILE:1: limit: there is no such key"),
        (&[], "config = 'other.toml'", "FILE:1: config: there is no such key"),
        (&[], "grace = ", "FILE:1: "),
        (&[], "grace = '1s'\ngrace = '2s'", "FILE:2: duplicate key"),
    ] {
        let wrong = check(flags, toml).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].contains(wanted), "{flags:?} {toml:?}: {wrong:#?}");
    }
}

#[test]
fn an_account_is_checked_and_its_password_never_shown() {
    let with = |hash: &str| format!("password = '{hash}'");
    for (name, line, wanted) in [
        (
            "adam",
            with("bill"),
            "FILE:2: users.adam.password: is no Argon2id hash; make one with `kvrpc-server \
             hash-password`",
        ),
        ("adam", with(&HASH.replace("argon2id", "argon2i")), "is no Argon2id hash"),
        ("adam", with("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21l"), "only half"),
        ("adam", with(&HASH.replace("m=8", "m=9999999")), "costs too much"),
        ("adam", with(&HASH.replace("t=1", "t=11")), "costs too much"),
        ("adam", "role = 'guest'".to_owned(), "FILE:2: users.adam.role: `password` is missing"),
        (
            "adam",
            format!("{}\nrole = 'admin'", with(HASH)),
            "FILE:3: users.adam.role: must be \"manager\" or \"guest\"",
        ),
        (
            "adam",
            format!("{}\nrule = 'guest'", with(HASH)),
            "FILE:3: users.adam.rule: there is no such key",
        ),
        ("adam", "password = 5".to_owned(), "and is a whole number"),
        ("adam", String::new(), "`password` is missing"),
        ("48106", with(HASH), "socket clients"),
        ("'127.0.0.1:80'", with(HASH), "socket clients"),
        ("\"a\\u0007\"", with(HASH), "U+0007"),
        (
            "adam",
            format!("{}\n[users.ADAM]\n{}", with(HASH), with(HASH)),
            "another account's name is equal to it",
        ),
    ] {
        let wrong = check(&[], &format!("[users.{name}]\n{line}")).unwrap_err().join("\n");
        assert!(
            wrong.contains(wanted) && !wrong.contains("bill") && !wrong.contains("$argon"),
            "{name} {line}: {wrong}"
        );
    }
    let config = check(
        &[],
        &format!(
            "[users.'a.dam']\npassword = '{HASH}'\nrole = 'manager'\n\
             [users.eve]\npassword = '{HASH}'"
        ),
    )
    .unwrap();
    let accounts: Vec<_> = config
        .service
        .accounts
        .iter()
        .map(|a| (a.name.as_str(), a.password_hash.as_str(), a.role))
        .collect();
    assert_eq!(accounts, [("a.dam", HASH, Role::Manager), ("eve", HASH, Role::Guest)]);
    assert!(!config.effective.contains(HASH) && !format!("{config:?}").contains(HASH));
}

#[test]
fn all_mistakes_are_told_in_one_run() {
    let toml =
        "store = 'disk'\ncolour = 'red'\n[limits]\nsessions = 0\n[users.adam]\npassword = 'bill'\n";
    let wrong =
        check(&["--grace", "5", "--listen", "nowhere", "--tls-cert", "c.pem"], toml).unwrap_err();
    for part in [
        "--grace",
        "--listen",
        "--tls-cert",
        "FILE:1: store",
        "FILE:2: colour",
        "FILE:4: limits.sessions",
        "FILE:6: users.adam",
    ] {
        assert!(wrong.iter().any(|wrong| wrong.starts_with(part)), "{part} is not in {wrong:#?}");
    }
    assert_eq!(wrong.len(), 7, "{wrong:#?}");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let config =
        check(&["--grace", "1s"], "grace = '2s'\nstore = 'memory'\n[limits]\nguest-idle = '90s'")
            .unwrap();
    assert_eq!(config.grace, Duration::from_secs(1));
    assert_eq!(
        config.service.limits,
        Limits { guest_idle: Duration::from_secs(90), ..limits::defaults() }
    );
    assert_eq!(config.http.first_bytes, Duration::from_secs(3));
}

#[test]
fn what_is_in_effect_is_a_file_that_says_the_same() {
    let first = check(
        &["--listen", "[::1]:0,localhost:0", "--log-level", "warn,kvrpc=debug"],
        "[limits]\nstore-bytes = '1500MB'",
    )
    .unwrap();
    let second = check(&[], &first.effective).unwrap();
    let settings = |config: &Config| -> Vec<String> {
        config
            .effective
            .lines()
            .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
            .collect()
    };
    assert_eq!(settings(&first), settings(&second));
    assert_eq!(first.service.limits.store_bytes, 1_500_000_000);
    assert_eq!((first.listen.len(), second.listen.len()), (2, 2));
}

#[test]
fn what_is_allowed_and_risky_is_warned_of() {
    for (flags, part) in [
        (&["--listen", "0.0.0.0:1", "--insecure"][..], "without TLS"),
        (&["--admin-listen", "0.0.0.0:1"], "--admin-listen 0.0.0.0:1 is beyond loopback"),
        (&["--upgrade-policy", "open"], "the upgrade policy is open"),
    ] {
        let warnings = check(flags, "").unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(part), "{flags:?}: {warnings:?}");
    }
    assert_eq!(check(&[], "").unwrap().warnings, Vec::<String>::new());
}
