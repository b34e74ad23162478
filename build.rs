//! Generates from `proto/`, without protoc: messages and client stubs, the descriptor set for
//! reflection, the server traits, and the tables of RPCs that the server goes by.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use prost_reflect::{DescriptorPool, MethodDescriptor};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The messages that have a codec of their own, and the type that has it (see `src/pb/codec.rs`).
///
/// Batches are read without the generated structs between; events are encoded once for all streams.
const OWN_TYPES: [(&str, &str); 7] = [
    ("BatchRequest", "crate::pb::BatchCall"),
    ("BatchResponse", "crate::pb::BatchAnswer"),
    ("PipelineRequest", "crate::pb::PipelineCall"),
    ("PipelineResponse", "crate::pb::Framed"),
    ("ChatResponse", "crate::pb::Framed"),
    ("SubscribeResponse", "crate::pb::Framed"),
    ("WatchResponse", "crate::pb::Framed"),
];

/// Unary RPCs that do more than run the command of their name; streams are all written by hand.
const BY_HAND: [&str; 1] = ["Auth"];

fn main() -> Result<()> {
    let root = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("kvrpc/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::result::Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new([root])?;
    // Reflection serves the comments too.
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .bytes(".")
        .build_server(false)
        .compile_fds(compiler.file_descriptor_set())?;

    let rpcs = rpcs(&compiler.descriptor_pool())?;
    server_traits(&rpcs, &out)?;
    fs::write(out.join("methods.rs"), methods(&rpcs)?)?;
    fs::write(out.join("services.rs"), services(&rpcs)?)?;
    Ok(())
}

/// An RPC of the contract.
struct Rpc {
    service: String,
    package: String,
    name: String,
    /// The method's name in Rust.
    function: String,
    request: String,
    response: String,
    client_streams: bool,
    server_streams: bool,
    /// The variant of `Permission` that its option names.
    permission: String,
}

fn rpcs(pool: &DescriptorPool) -> Result<Vec<Rpc>> {
    let services = pool.services().filter(|service| service.package_name() == "kvrpc.v1");
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|method| rpc(pool, &method)).collect()
}

fn rpc(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Rpc> {
    let option = pool.get_extension_by_name("kvrpc.v1.permission").ok_or("no method option")?;
    let options = method.options();
    let number = options.get_extension(&option).as_enum_number().unwrap_or_default();
    let values = pool.get_enum_by_name("kvrpc.v1.Permission").ok_or("no enum Permission")?;
    let value = values.get_value(number).ok_or("an unknown permission")?;
    if number == 0 {
        return Err(format!("{} has no `option (permission)`", method.full_name()).into());
    }
    let permission = value.name().trim_start_matches("PERMISSION_").split('_').map(capitalized);
    Ok(Rpc {
        service: method.parent_service().name().to_owned(),
        package: method.parent_service().package_name().to_owned(),
        name: method.name().to_owned(),
        function: snake(method.name()),
        request: method.input().name().to_owned(),
        response: method.output().name().to_owned(),
        client_streams: method.is_client_streaming(),
        server_streams: method.is_server_streaming(),
        permission: permission.collect(),
    })
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_owned() + &rest.to_lowercase()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The Rust type of a message.
fn own_or_generated(message: &str) -> String {
    let own = OWN_TYPES.iter().find(|(name, _)| *name == message);
    own.map_or_else(|| format!("crate::pb::v1::{message}"), |(_, path)| (*path).to_owned())
}

/// The RPCs of each service.
fn by_service(rpcs: &[Rpc]) -> impl Iterator<Item = &[Rpc]> {
    rpcs.chunk_by(|one, next| one.service == next.service)
}

/// Has tonic-build generate a trait for each service, with the types of [`OWN_TYPES`].
fn server_traits(rpcs: &[Rpc], out: &Path) -> Result<()> {
    let mut all = String::new();
    for rpcs in by_service(rpcs) {
        let [first, ..] = rpcs else { continue };
        let mut service =
            tonic_build::manual::Service::builder().name(&first.service).package(&first.package);
        for rpc in rpcs {
            let mut method = tonic_build::manual::Method::builder()
                .name(&rpc.function)
                .route_name(&rpc.name)
                .input_type(own_or_generated(&rpc.request))
                .output_type(own_or_generated(&rpc.response))
                .codec_path("crate::pb::Codec");
            if rpc.client_streams {
                method = method.client_streaming();
            }
            if rpc.server_streams {
                method = method.server_streaming();
            }
            service = service.method(method.build());
        }
        tonic_build::manual::Builder::new()
            .build_client(false)
            .out_dir(out)
            .compile(&[service.build()]);
        writeln!(
            all,
            "include!(concat!(env!(\"OUT_DIR\"), \"/{}.{}.rs\"));",
            first.package, first.service
        )?;
    }
    fs::write(out.join("server_traits.rs"), all)?;
    Ok(())
}

/// The table of RPCs, for `src/model/method.rs`.
fn methods(rpcs: &[Rpc]) -> Result<String> {
    let mut enumerators = String::new();
    let mut rows = String::new();
    let mut paths = String::new();
    for rpc in rpcs {
        let Rpc { service, package, name, permission, .. } = rpc;
        let streams = rpc.client_streams || rpc.server_streams;
        writeln!(enumerators, "    /// `{package}.{service}.{name}`.\n    {name},")?;
        writeln!(
            rows,
            "    Row {{ name: \"{name}\", path: \"/{package}.{service}/{name}\", \
             service: \"{package}.{service}\", permission: Permission::{permission}, \
             streams: {streams} }},"
        )?;
        writeln!(paths, "            \"/{package}.{service}/{name}\" => Some(Self::{name}),")?;
    }
    let all: String = rpcs.iter().map(|rpc| format!("Self::{}, ", rpc.name)).collect();
    // Scan is a stream of steps, each of which is a command.
    let commands: String = rpcs
        .iter()
        .filter(|rpc| !rpc.client_streams && (!rpc.server_streams || rpc.name == "Scan"))
        .map(|rpc| format!("{} ", rpc.name))
        .collect();
    let count = rpcs.len();
    Ok(format!(
        "/// An RPC of the contract.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n\
         pub enum Method {{\n{enumerators}}}\n\n\
         const ROWS: [Row; {count}] = [\n{rows}];\n\n\
         impl Method {{\n\
         \x20   /// All RPCs of the contract.\n\
         \x20   pub const ALL: &'static [Self; {count}] = &[{all}];\n\n\
         \x20   /// Returns the RPC with this path, as `/kvrpc.v1.KeyValueService/Get`.\n\
         \x20   pub fn find(path: &str) -> Option<Self> {{\n\
         \x20       match path {{\n{paths}            _ => None,\n        }}\n    }}\n}}\n\n\
         /// Calls a macro with the names of all RPCs that are commands.\n\
         macro_rules! for_each_command {{\n    ($call:ident) => {{ $call! {{ \
         {commands} }} }};\n}}\n"
    ))
}

/// The implementations of the server traits for a call, and the dispatch to them, for
/// `src/grpc/services.rs`.
fn services(rpcs: &[Rpc]) -> Result<String> {
    let mut text = String::new();
    for rpcs in by_service(rpcs) {
        let [first, ..] = rpcs else { continue };
        let (service, module) = (&first.service, snake(&first.service));
        writeln!(text, "#[tonic::async_trait]\nimpl {module}_server::{service} for Arc<Call> {{")?;
        for rpc in rpcs {
            writeln!(text, "{}", implementation(rpc))?;
        }
        writeln!(text, "}}\n")?;
    }
    let (mut inline, mut generated) = (String::new(), String::new());
    for Rpc { name, function, service, client_streams, server_streams, .. } in rpcs {
        let module = snake(service);
        let glue = match (client_streams, server_streams) {
            (false, false) => "unary",
            (false, true) => "server_streaming",
            (true, _) => "streaming",
        };
        writeln!(
            inline,
            "Method::{name} => guarded(Arc::clone(&call), glue::{glue}(request, MAX_REQUEST_BYTES, \
             move |request| async move {{ \
             {module}_server::{service}::{function}(&call, request).await }})),"
        )?;
        writeln!(
            generated,
            "Method::{name} => guarded(Arc::clone(&call), by_tonic(\
             {module}_server::{service}Server::new(call)\
             .max_decoding_message_size(MAX_REQUEST_BYTES), request)),"
        )?;
    }
    for (condition, arms) in
        [("not(feature = \"generated-glue\")", inline), ("feature = \"generated-glue\"", generated)]
    {
        writeln!(
            text,
            "/// Has the method of the call's RPC answer it.\n\
             #[cfg({condition})]\n\
             pub(super) fn dispatch<B: RequestBody>(call: Arc<Call>, request: http::Request<B>) \
             -> Handling {{\nmatch call.method {{\n{arms}}}\n}}\n"
        )?;
    }
    Ok(text)
}

/// The method of a server trait: a command to run, or a function written by hand.
fn implementation(rpc: &Rpc) -> String {
    let Rpc { name, function, .. } = rpc;
    let message = |name: &str| own_or_generated(name);
    let (request, response) = (message(&rpc.request), message(&rpc.response));
    let request = if rpc.client_streams { format!("Streaming<{request}>") } else { request };
    let (stream, response, body) = if rpc.server_streams {
        (
            format!("type {name}Stream = by_hand::{name}Stream;\n"),
            format!("Self::{name}Stream"),
            format!("by_hand::{function}(self, request).await"),
        )
    } else if BY_HAND.contains(&name.as_str()) {
        (String::new(), response, format!("by_hand::{function}(self, request).await"))
    } else {
        let body = format!("self.unary::<request::{name}, _, _>(request).await");
        (String::new(), response, body)
    };
    format!(
        "{stream}async fn {function}(&self, request: Request<{request}>) \
         -> Result<Response<{response}>, Status> {{ {body} }}"
    )
}
