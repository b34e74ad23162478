//! Names that imitate others.

use kvrpc::model::{Method, Reason};
use kvrpc::pb::v1;

use super::people::accounts;
use super::raw::{Failure, Raw};
use crate::harness::Server;

async fn sign_in(client: &Raw, user: &str) -> Result<v1::SignInResponse, Failure> {
    client.call(Method::SignIn.path(), &v1::SignInRequest { user: user.to_owned() }).await
}

#[tokio::test]
async fn a_name_with_blanks_or_invisible_characters_that_imitate_is_refused() {
    let server = Server::start().await;
    let client = Raw::new(server.channel());
    for (name, why) in [
        (" ", "blank at an end"),
        ("eve ", "blank at an end"),
        (" eve", "blank at an end"),
        ("eve\u{a0}", "blank at an end"),
        ("\u{3000}eve", "blank at an end"),
        ("a  b", "two blanks"),
        ("a \u{2003}b", "two blanks"),
        ("eve: hi", "behind a colon"),
        ("eve\u{ff1a} hi", "behind a colon"),
        ("eve\u{2236} hi", "behind a colon"),
        ("adam (manager)", "a role in parentheses"),
        ("adam\u{ff08}Manager\u{ff09}", "a role in parentheses"),
        ("eve (guest)", "a role in parentheses"),
        ("eve\u{2800}", "nobody sees"),
        ("e\u{200b}ve", "nobody sees"),
        ("e\u{200d}ve", "nobody sees"),
        ("\u{e0041}eve", "nobody sees"),
        ("e\u{ad}ve", "nobody sees"),
        ("\u{3164}", "nobody sees"),
    ] {
        let refused = sign_in(&client, name).await.unwrap_err();
        assert_eq!(refused.reason, Some(Reason::InvalidName), "{name:?}");
        assert!(refused.message.contains(why), "{name:?}: {}", refused.message);
    }
    for name in ["eve b", "eve:b", "কলকাতা", "👩\u{200d}💻", "می\u{200c}خواهم", "❤\u{fe0f}", "¨a"]
    {
        sign_in(&client, name).await.unwrap();
    }
}

#[tokio::test]
async fn a_guests_name_that_looks_like_an_accounts_is_refused() {
    let server = Server::builder().toml(&accounts()).start().await;
    let client = Raw::new(server.channel());
    for name in [
        "\u{430}dam",
        "\u{410}D\u{410}M",
        "a\u{335}dam",
        "b\u{3bf}b",
        "adarn",
        "\u{1d4ea}d\u{251}m",
    ] {
        let refused = sign_in(&client, name).await.unwrap_err();
        let reason = refused.reason.unwrap();
        assert!(
            reason == Reason::InvalidName
                && refused.message.contains("looks like that of the account"),
            "{name:?}: {reason:?} {}",
            refused.message
        );
    }
    assert_eq!(sign_in(&client, "ADAM").await.unwrap_err().reason, Some(Reason::NameInUse));
    for name in ["adams", "ada", "Адам", "bobby"] {
        sign_in(&client, name).await.unwrap();
    }
}
