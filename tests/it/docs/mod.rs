//! The documentation: what its pages show is run, and what they list is compared with the programs.

mod markdown;
mod page;
mod reference;
mod session;
mod terminal;
mod width;

use session::Session;

/// The pages whose every command is run.
const RUN: [&str; 2] = ["README.md", "docs/getting-started.md"];

/// Runs both pages with the programs named here, beside those of this package.
fn run(programs: &[&str]) {
    for path in RUN {
        Session::new(path, programs).run();
    }
}

#[test]
fn every_command_prints_what_the_page_shows() {
    run(&[]);
}

#[test]
#[ignore = "needs grpcurl"]
fn every_command_of_grpcurl_prints_what_the_page_shows() {
    run(&["grpcurl"]);
}

#[test]
#[ignore = "needs Python with grpcio-tools"]
fn the_python_client_prints_what_the_page_shows() {
    run(&["python3"]);
}

#[test]
#[ignore = "needs nc, xxd and Python with websockets"]
fn the_sessions_of_legacy_clients_print_what_the_page_shows() {
    Session::new("docs/legacy-protocols.md", &["nc", "python3", "xxd"]).run();
}
