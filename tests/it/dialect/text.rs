//! `text`: the wording of the original server, and the commands that were added since.

use kvrpc::model::UpgradePolicy;

use super::peer::{Feed, Heard, stream};

use Feed::{Bytes, End, Quiet};

fn heard(feeds: &[Feed<'_>]) -> Heard {
    stream("text", UpgradePolicy::Managers, feeds)
}

/// Returns the lines that answer a line.
fn lines(line: &str) -> Vec<String> {
    let heard = heard(&[Bytes(line.as_bytes())]);
    assert!(!heard.closed, "{line} closes");
    let whole =
        |write: &Vec<u8>| String::from_utf8_lossy(write.strip_suffix(b"\n").unwrap()).into_owned();
    heard.writes.iter().map(whole).collect()
}

#[test]
fn the_originals_session() {
    let exchange = [
        ("get city", "<blank>"),
        ("put city Kolkata", "Successfully set city as Kolkata"),
        ("get city", "Kolkata"),
        ("bad command", "Illegal command"),
        ("manage anuran get city", "Access denied"),
        ("manage nobody get city", "Access denied"),
        ("manage anuran put city Mumbai", "Access denied"),
        ("auth adam wrong", "Authentication failure"),
        ("auth eve bill", "Authentication failure"),
        ("auth adam bill", "Authentication success"),
        ("manage 48106 get city", "Kolkata"),
        ("manage anuran get city", "Kolkata"),
        ("manage anuran get x", "<blank>"),
        ("manage anuran put city Mumbai", "Successfully set city as Mumbai"),
        ("manage anuran get city", "Mumbai"),
        ("manage 9 get city", "No such client"),
        ("manage 9 put city x", "No such client"),
    ];
    let bare: Vec<_> =
        exchange.iter().flat_map(|(line, _)| [Bytes(line.as_bytes()), Quiet]).collect();
    let want: Vec<_> = exchange.iter().map(|(_, reply)| reply.as_bytes().to_vec()).collect();
    assert_eq!(heard(&bare).writes, want);

    let ended: String = exchange.iter().map(|(line, _)| format!("{line}\r\n")).collect();
    let want: Vec<_> =
        exchange.iter().map(|(_, reply)| format!("{reply}\n").into_bytes()).collect();
    assert_eq!(heard(&[Bytes(ended.as_bytes())]).writes, want);
}

#[test]
fn lines_are_whole_or_nothing() {
    for (line, want) in [
        ("put city Kolkata get city\n", "Successfully set city as Kolkata\nKolkata"),
        (" get \t a  get blob2 \n", "<blank>\n<blank>"),
        ("\n", "Illegal command"),
        ("get\n", "Illegal command"),
        ("GET city\n", "Illegal command"),
        ("put city New Delhi\n", "Illegal command"),
        ("put a b get\n", "Illegal command"),
        ("put a b --colour red\n", "Illegal command"),
        ("manage anuran delete a\n", "Illegal command"),
        ("auth adam\n", "Illegal command"),
        ("export\n", "Illegal command"),
        ("get 'a'\n", "<blank>"),
        (
            "put a b --ttl 5\n",
            "Error: `put`: --ttl: `5` lacks its unit; write 5ms, 5s, 5m, 5h or 5d",
        ),
        ("put full x\n", "Error: no: QUOTA_EXCEEDED"),
        ("delete a\n", "Error: no: DRAINING"),
        ("calc 1 / 0\n", "Error: Division by zero"),
    ] {
        assert_eq!(lines(line), [want], "{line}");
    }
    // Nothing of an invalid line was run.
    assert_eq!(lines("put city New Delhi\nget city\n"), ["Illegal command", "<blank>"]);
    assert_eq!(heard(&[Bytes(b"put a b put c\n")]).actions, Vec::<String>::new());
    let long = format!("get {}\n", "k".repeat(1_025));
    assert_eq!(lines(&long), ["Error: key has 1025 bytes; at most 1,024 are allowed"]);
}

#[test]
fn later_commands_print_as_the_command_line_does() {
    for (line, want) in [
        ("whoami\n", "48106 (guest)"),
        ("auth adam bill upgrade\n", "Authentication success\n48106 (manager)"),
        ("upgrade\n", "Error: no: UPGRADE_NOT_ALLOWED"),
        ("getother anuran city\n", "Error: no: MANAGER_REQUIRED"),
        (
            "auth adam bill getother anuran city getother anuran x\n",
            "Authentication success\nKolkata\n<blank>",
        ),
        (
            "auth adam bill getother nobody city\n",
            "Authentication success\nError: no: USER_NOT_FOUND",
        ),
        ("auth adam bill putother anuran a b\n", "Authentication success\nSuccessfully set a as b"),
        ("encode comm\n", "01100011 01101111 01101101 01101101"),
        ("decode 01100011 01101111 now\n", "co\n2026-11-21 23:59:59"),
        ("calc 12 + 13\n", "25.0"),
        (
            "help get whoami\n",
            "get KEY: print a key's value, <blank> if there is no such key\n48106 (guest)",
        ),
        (
            "whoami help get\n",
            "48106 (guest)\nget KEY: print a key's value, <blank> if there is no such key",
        ),
        ("keys\n", "blob\nk0\nk1\nk2\nk3\nk4"),
        ("keys zzz whoami\n", "\n48106 (guest)"),
        ("scan\n", "blob  <blob of 2 bytes>\nk0  0\nk1  1\nk2  2\nk3  3\nk4  4"),
        ("scan --keys-only\n", "blob\nk0\nk1\nk2\nk3\nk4"),
        ("users\n", "USER    ROLE\n48106   guest\nanuran  guest"),
        (
            "accesses\n",
            "USER  ROLE     ACCOUNT  PROTOCOL  METHOD    KEY   COUNT  FIRST                 LAST\n\
             eve   manager  adam     grpc      GetOther  city  2      1970-01-01T00:00:01Z  \
             1970-01-01T00:01:00Z",
        ),
    ] {
        let put = "put k3 3 put k1 1 put k0 0 put k2 2 put k4 4\n";
        let got = lines(&format!("{put}{line}"));
        assert_eq!(got.last().map(String::as_str), Some(want), "{line}");
    }
    let info = lines("info\n").remove(0);
    for row in [
        "store_engine              memory",
        "max_key_bytes             1024",
        "min_ttl                   1ms",
        "max_ttl                   3650d",
        "guest_idle_timeout        30m",
        "chat_messages_per_second  200",
        "listener                  text on 127.0.0.1:5555, TLS",
    ] {
        assert!(info.lines().any(|line| line == row), "{row:?} is not in\n{info}");
    }
}

#[test]
fn values_are_written_raw_and_empty_replies_are_none() {
    for (name, feeds, want) in [
        ("bytes", vec![Bytes(b"get blob"), Quiet], &b"a\xff"[..]),
        ("bytes, by a line", vec![Bytes(b"get blob get x\n")], b"a\xff\n<blank>\n"),
        ("nothing to list", vec![Bytes(b"keys zzz\n")], b"\n"),
        ("nothing to list, bare", vec![Bytes(b"keys zzz"), End], b"\n"),
    ] {
        assert_eq!(heard(&feeds).writes, [want], "{name}");
    }
}

#[test]
fn http_closes_and_nothing_runs() {
    for (name, request) in [
        (
            "a page's form",
            &b"POST / HTTP/1.1\r\nHost: 127.0.0.1:5555\r\n\r\nput a b\nput c d\n"[..],
        ),
        ("a path with commands", b"GET /put HTTP/1.1\nput a b\n"),
        ("a method of a page's choice", b"put a HTTP/1.1\r\n\r\n"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("no UTF-8", b"GET /\xff HTTP/1.0\r\nput a b\n"),
        ("its end alone", b" HTTP/1.1\r\nput a b\r\n"),
    ] {
        let whole = heard(&[Bytes(request)]);
        assert_eq!(whole, Heard { closed: true, ..Heard::default() }, "{name}");
        let bytes: Vec<_> = request.iter().map(|byte| Bytes(std::slice::from_ref(byte))).collect();
        assert_eq!(heard(&bytes), whole, "{name}, byte by byte");
    }
    assert_eq!(lines("put a HTTP/x.y\n"), ["Successfully set a as HTTP/x.y"]);
}

#[test]
fn a_first_line_that_is_no_text_closes_and_nothing_runs() {
    for (name, bytes) in [
        ("a TLS ClientHello", &b"\x16\x03\x01\x02\x00\x01\x00\nput a b\n"[..]),
        ("one that ends in its first bytes", b"\x16\nput a b\n"),
        ("a NUL", b"put a\0b\nput a b\n"),
        ("no UTF-8", b"put a \xff\nput a b\n"),
        ("bare", b"\x16\x03\x01"),
    ] {
        let whole = heard(&[Bytes(bytes), Quiet, Bytes(b"put a b\n")]);
        assert_eq!(whole, Heard { closed: true, ..Heard::default() }, "{name}");
    }
    let later = heard(&[Bytes(b"get a\nget \xff\nget a\n")]);
    let refused = b"Error: the message is not UTF-8; only text is allowed\n";
    assert_eq!((later.writes.len(), later.closed), (3, false), "after a line of text");
    assert_eq!(later.writes[1], refused);
}

#[test]
fn replies_have_a_limit() {
    let value = "v".repeat(60_000);
    let line = format!("put a {value}\n{}put b c\n", "get a ".repeat(1_000));
    let heard = heard(&[Bytes(line.as_bytes())]);
    let reply = String::from_utf8(heard.writes[1].clone()).unwrap();
    let parts: Vec<_> = reply.lines().collect();
    let n_whole = (4 << 20) / 60_001;
    assert_eq!((parts.len(), parts[1_000]), (1_001, "Successfully set b as c"));
    // Further reads were not run: there were a put, the gets that fit, the one that did not, and a
    // put.
    assert_eq!(heard.actions.len(), 1 + n_whole + 1 + 1);
    assert!(parts[..n_whole].iter().all(|part| *part == value));
    assert!(
        parts[n_whole..1_000]
            .iter()
            .all(|part| *part == "Error: the reply is over 4 MiB; ask for fewer keys at a time")
    );
    let many = "Error: the reply is over 4 MiB; ask for fewer keys at a time";
    assert_eq!(lines("keys endless\n"), [many]);
    let long = vec![b'x'; 65_537];
    let heard = super::text::heard(&[Bytes(b"whoami\n"), Bytes(&long)]);
    let want = b"Error: the message is over 64 KiB (65,536 bytes); no longer one is allowed\n";
    assert_eq!((heard.writes[1].as_slice(), heard.closed), (&want[..], true));
}
