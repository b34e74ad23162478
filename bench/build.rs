//! Generates tonic's stock servers of the contract, which the examples run beside kvrpc-server.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../proto");
    println!("cargo:rerun-if-changed=../proto");
    let files = ["chat.proto", "codec.proto"].map(|file| root.join("kvrpc/v1").join(file));
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).open_files(files)?;
    tonic_prost_build::configure()
        .build_client(false)
        .generate_default_stubs(true)
        .extern_path(".kvrpc.v1", "::kvrpc::pb::v1")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
