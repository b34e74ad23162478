//! `chat`: legacy clients and gRPC's Chat share one room.

use super::client::{OldClient, manager, server};
use crate::chat::talker::Talk;
use crate::grpc::people::sign_in;
use crate::grpc::raw::Raw;

#[tokio::test]
async fn old_clients_and_grpc_hear_each_other_in_the_lobby() {
    let server = server(&["chat"], "").await;
    let mut rwitick =
        Talk::join(&sign_in(&Raw::new(server.channel()), "rwitick").await, "", None).await;
    assert_eq!(rwitick.hear_all(2).await, ["lobby: rwitick", "+rwitick"]);
    rwitick.say("before anybody came", "1").await;
    assert_eq!(rwitick.hear_all(2).await, ["rwitick: before anybody came", "ack 1"]);

    // One client sends without a newline, the other with one: each is answered in its own form.
    // Neither gets history.
    let mut anuran = OldClient::connect(&server, "chat").await;
    anuran.send("anuran").await;
    assert_eq!(rwitick.hear().await, "+anuran");
    let mut amartya = OldClient::connect(&server, "chat").await;
    assert_eq!(amartya.ask("Anuran\n").await, "Name is already taken\n");
    assert_eq!(amartya.ask("rwitick\n").await, "Name is already taken\n");
    assert_eq!(amartya.ask("a\u{202e}b\n").await, "Invalid name\n");
    amartya.send("amartya\n").await;
    assert_eq!(anuran.receive().await, b"amartya has joined the chat.");
    assert_eq!(rwitick.hear().await, "+amartya");

    anuran.send("hello").await;
    assert_eq!(amartya.receive().await, b"anuran: hello\n");
    assert_eq!(rwitick.hear().await, "anuran: hello");
    rwitick.say("two\nlines", "2").await;
    assert_eq!(anuran.receive().await, br"rwitick: two\u{a}lines");
    assert_eq!(amartya.receive().await, b"rwitick: two\\u{a}lines\n");
    assert_eq!(rwitick.hear_all(2).await, ["rwitick: two\nlines", "ack 2"]);

    amartya.send("quit\n").await;
    assert_eq!(amartya.receive().await, b"");
    assert_eq!(anuran.receive().await, b"amartya has left the chat.");
    // A lost connection is reported like a closed one.
    drop(anuran);
    assert_eq!(rwitick.hear_all(2).await, ["-amartya", "-anuran"]);
}

/// A message must not be able to show as a line of another user, by terminal controls or line
/// separators.
#[tokio::test]
async fn what_another_user_wrote_controls_no_terminal() {
    let server = server(&["chat"], "").await;
    let mut mallory =
        Talk::join(&sign_in(&Raw::new(server.channel()), "mallory").await, "", None).await;
    mallory.hear_all(2).await;
    let mut client = OldClient::connect(&server, "chat").await;
    client.send("anuran\n").await;
    assert_eq!(mallory.hear().await, "+anuran");
    for (text, shown) in [
        ("hi\u{1b}[2K\u{1b}[1Grwitick: x", r"hi\u{1b}[2K\u{1b}[1Grwitick: x"),
        ("a\u{2028}b\u{85}c\u{b}d", r"a\u{2028}b\u{85}c\u{b}d"),
        ("\u{202e}txt", r"\u{202e}txt"),
        ("কলকাতা 👩\u{200d}💻", "কলকাতা 👩\u{200d}💻"),
    ] {
        mallory.say(text, text).await;
        let heard = String::from_utf8(client.receive().await).unwrap();
        assert_eq!(heard, format!("mallory: {shown}\n"));
    }
}

#[tokio::test]
async fn a_manager_ends_an_old_clients_session_while_it_only_listens() {
    use kvrpc::model::Method;
    use kvrpc::pb::v1;

    let server = server(&["chat"], "").await;
    let adam = manager(&server).await;
    let mut listener = Talk::join(&adam, "", None).await;
    assert_eq!(listener.hear_all(2).await, ["lobby: adam", "+adam"]);
    let mut other = OldClient::connect(&server, "chat").await;
    other.send("other\n").await;
    assert_eq!(listener.hear().await, "+other");
    let mut anuran = OldClient::connect(&server, "chat").await;
    anuran.send("anuran\n").await;
    assert_eq!(other.receive().await, b"anuran has joined the chat.\n");
    // The others are told shortly before its login is complete; its own first event shows that it
    // is.
    listener.say("hello", "1").await;
    assert_eq!(anuran.receive().await, b"adam: hello\n");
    assert_eq!(other.receive().await, b"adam: hello\n");
    let downgrade = v1::DowngradeRequest { user: "anuran".to_owned(), end_sessions: true };
    let _: v1::DowngradeResponse = adam.call(Method::Downgrade.path(), &downgrade).await.unwrap();
    assert_eq!(anuran.receive().await, b"", "closed");
    assert_eq!(other.receive().await, b"anuran has left the chat.\n");
}
