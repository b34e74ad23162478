//! The command line; all of it is in the library.

use kvrpc::client::{Exit, main as run};

fn main() -> Exit {
    run(std::env::args_os())
}
