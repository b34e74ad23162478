//! Sessions: opened automatically, kept, renewed, passed on, ended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{ADAM, Cli};
use crate::harness::Server;

impl Cli {
    fn cached(&self) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(self.home.path().join(".cache/kvrpc")) else {
            return Vec::new();
        };
        files.map(|file| file.unwrap().path()).collect()
    }

    fn token(&self) -> String {
        self.run("token").ok().trim_end().to_owned()
    }
}

#[tokio::test]
async fn a_session_is_kept_privately_and_used_again() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    // Commands without a need for a session open none.
    cli.run("now info calc 1 + 1").ok();
    assert_eq!(cli.cached(), Vec::<PathBuf>::new());
    let token = cli.token();
    assert_eq!(token.len(), 43);
    assert_eq!(cli.token(), token);
    let files = cli.cached();
    assert_eq!(files.len(), 1);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&files[0]), mode(files[0].parent().unwrap())), (0o600, 0o700));

    cli.run("put city Kolkata signout").ok();
    assert_eq!(cli.cached(), Vec::<PathBuf>::new());
    assert_ne!(cli.token(), token);
    // The store was removed with the session.
    assert_eq!(cli.run("get city").text(), "<blank>\n");
}

#[tokio::test]
async fn a_session_that_ended_is_opened_anew_once() {
    let server = Server::start().await;
    let (cli, other) = (Cli::new(&server, "anuran"), Cli::new(&server, "other"));
    let token = cli.token();
    other.run_with_variable("signout", "KVRPC_TOKEN", &token).ok();
    assert_eq!(cli.run("put city Kolkata get city").ok(), "Kolkata\n");
    assert_ne!(cli.token(), token);

    other.run_with_variable("signout", "KVRPC_TOKEN", &cli.token()).ok();
    assert!(cli.run("export").ok().is_empty(), "a stream opens one too");

    other.run_with_variable("signout", "KVRPC_TOKEN", &cli.token()).ok();
    let error = cli.run("--no-sign-in get city").error(4);
    assert!(!error.is_empty() && cli.cached().is_empty(), "{error}");
    cli.run("--no-sign-in get city").error(4);
}

#[tokio::test]
async fn a_token_may_be_given() {
    let server = Server::start().await;
    let (cli, other) = (Cli::new(&server, "anuran"), Cli::new(&server, "other"));
    let token = cli.token();
    assert_eq!(other.run_with_variable("whoami", "KVRPC_TOKEN", &token).ok(), "anuran (guest)\n");
    assert_eq!(other.run_with_variable("token", "KVRPC_TOKEN", &token).ok().trim_end(), token);
    let error = other.run_with_variable("whoami", "KVRPC_TOKEN", "nonsense").error(4);
    assert_eq!(error, "the token in KVRPC_TOKEN opens no session; unset it, or set a live one");
    assert_eq!(other.cached(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_name_in_use_names_the_next_step() {
    let server = Server::start().await;
    let (first, second) = (Cli::new(&server, "anuran"), Cli::new(&server, "Anuran"));
    first.run("put k v").ok();
    let error = second.run("put k v").error(6);
    assert!(
        error.starts_with("the name `Anuran` is in use; take another with --user NAME"),
        "{error}"
    );
    second.run("--user rwitick put k v").ok();
}

#[tokio::test]
async fn roles_come_from_accounts_and_managers() {
    let server = Server::builder().toml(ADAM).start().await;
    let (anuran, rwitick) = (Cli::new(&server, "anuran"), Cli::new(&server, "rwitick"));
    anuran.run("put city Kolkata").ok();
    for (line, deed) in [
        ("getother anuran city", "read another user's store"),
        ("getother nobody city", "read another user's store"),
        ("keys --user anuran", "read another user's store"),
        ("export --user anuran", "read another user's store"),
        ("putother anuran city Mumbai", "write another user's store"),
        ("users", "list the users"),
        ("upgrade anuran", "make another user a manager"),
        ("downgrade anuran", "make a manager a guest"),
    ] {
        let want = format!("only a manager may {deed} (ask one for `kvrpc-cli upgrade rwitick`)");
        assert_eq!(rwitick.run(line).error(5), want, "{line}");
    }
    let want = "only a manager may make you one (ask one for `kvrpc-cli upgrade rwitick`)";
    assert_eq!(rwitick.run("upgrade").error(5), want);

    rwitick.write("wrong", "bell\n");
    rwitick.write("right", "bill\n");
    assert_eq!(rwitick.run("--password-file wrong auth adam").error(4), "wrong user or password");
    let error = rwitick.run("auth adam").error(2);
    assert!(error.contains("--password-file"), "{error}");
    let token = rwitick.token();
    let line = "--password-file right auth adam getother anuran city";
    assert_eq!(rwitick.run(line).ok(), "rwitick (manager)\nKolkata\n");
    assert_eq!(rwitick.token(), token, "the session keeps its token");
    assert_eq!(rwitick.run("getother nobody city").error(3), "there is no user \"nobody\"");
    let users = rwitick.run("users").ok();
    assert_eq!(
        users.lines().collect::<Vec<_>>(),
        ["USER     ROLE", "adam     manager", "anuran   guest", "rwitick  manager"]
    );

    assert_eq!(rwitick.run("upgrade anuran").ok(), "anuran (manager)\n");
    assert_eq!(anuran.run("whoami").ok(), "anuran (manager)\n");
    let accesses = anuran.run("-o jsonl accesses").ok();
    let access: serde_json::Value = serde_json::from_str(&accesses).unwrap();
    assert_eq!(
        (&access["method"], &access["key"], &access["account"]),
        (&"GetOther".into(), &"city".into(), &"adam".into())
    );
    assert_eq!(rwitick.run("downgrade anuran --end-sessions").ok(), "anuran (guest)\n");
    assert_eq!(anuran.run("get city").text(), "<blank>\n");
}

#[tokio::test]
async fn an_account_has_sessions_of_its_own() {
    let server = Server::builder().toml(ADAM).start().await;
    let cli = Cli::new(&server, "adam");
    let error = cli.run("get k").error(6);
    assert!(error.ends_with("sign in with `kvrpc-cli --user adam auth adam`"), "{error}");
    assert_eq!(
        cli.run_with_input("--password-file - auth adam put k v", b"bill\n").ok(),
        "adam (manager)\n"
    );
    assert_eq!(cli.run("get k").ok(), "v\n");
    // Signing in again after the session has ended.
    Cli::new(&server, "other").run_with_variable("signout", "KVRPC_TOKEN", &cli.token()).ok();
    assert_eq!(
        cli.run_with_input("--password-file - auth adam get k", b"bill").ok(),
        "adam (manager)\nv\n"
    );
}
