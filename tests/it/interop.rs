//! Real clients: grpcurl over reflection, and Python with stubs generated from `proto/`.

use std::process::Command;

use crate::grpc::people::{accounts, sign_in};
use crate::grpc::raw::Raw;
use crate::harness::Server;

/// Runs a program to its end; returns its output, or its error output as an error.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr) + &text(output.stdout))
    }
}

#[tokio::test]
#[ignore = "needs grpcurl"]
async fn grpcurl_lists_describes_and_calls_over_reflection() {
    let server = Server::start().await;
    let address = server.grpc().to_string();
    let anuran = sign_in(&Raw::new(server.channel()), "anuran").await;
    let token = format!("authorization: {}", anuran.authorization.unwrap());

    let listed = run("grpcurl", &["-plaintext", &address, "list"]).unwrap();
    for service in ["kvrpc.v1.KeyValueService", "kvrpc.v1.AuthService", "grpc.health.v1.Health"] {
        assert!(listed.contains(service), "{listed}");
    }
    let described =
        run("grpcurl", &["-plaintext", &address, "describe", "kvrpc.v1.KeyValueService.Get"])
            .unwrap();
    assert!(
        described.contains("rpc Get ( .kvrpc.v1.GetRequest ) returns ( .kvrpc.v1.GetResponse )"),
        "{described}"
    );
    assert!(described.contains("KEY_NOT_FOUND"), "the comments come along: {described}");

    let call = |method: &str, data: &str| {
        run(
            "grpcurl",
            &[
                "-plaintext",
                "-H",
                &token,
                "-d",
                data,
                &address,
                &format!("kvrpc.v1.KeyValueService/{method}"),
            ],
        )
    };
    call("Put", r#"{"key":"city","value":"Kolkata"}"#).unwrap();
    assert_eq!(
        call("Get", r#"{"key":"city"}"#).unwrap(),
        "{\n  \"value\": \"Kolkata\",\n  \"revision\": \"1\"\n}\n"
    );
    let missing = call("Get", r#"{"key":"no such"}"#).unwrap_err();
    assert!(missing.contains("NotFound") && missing.contains("KEY_NOT_FOUND"), "{missing}");
    let health = run("grpcurl", &["-plaintext", &address, "grpc.health.v1.Health/Check"]).unwrap();
    assert!(health.contains("SERVING"), "{health}");
}

#[tokio::test]
#[ignore = "needs Python with grpcio-tools, grpcio-reflection and googleapis-common-protos"]
async fn a_python_client_with_generated_stubs_has_a_session() {
    let server = Server::builder().toml(&accounts()).start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/client.py");
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let address = server.grpc().to_string();
    // The client blocks; the server has threads of its own.
    assert_eq!(run("python3", &[script, &address, proto]).unwrap(), "ok\n");
}
