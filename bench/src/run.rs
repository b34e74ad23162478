//! One run of the program: sign-in, load, sign-out, report.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::args::{Mode, Options};
use crate::caller::Caller;
use crate::client::Client;
use crate::drive::{Measured, Run};
use crate::failure::{Failure, Result};
use crate::load::Load;
use crate::users::User;
use crate::{chat, grpc, legacy, plot, report};

/// Maximum number of concurrent sign-ins and sign-outs.
const AT_ONCE: usize = 32;
/// Maximum length of a password, as in the contract.
const MAX_PASSWORD_BYTES: u64 = 1_024;

/// Runs the load, and prints the result.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let client = Arc::new(Client::new(options)?);
    let password = match &options.password_file {
        Some(path) if options.manager => Some(password(path)?),
        Some(_) | None => None,
    };
    let measured = measure(&client, options, password.as_deref()).await?;
    if let Some(path) = &options.plot {
        plot::latency(path, options.mode.as_str(), &measured.latency)?;
    }
    let text = report::print(options, &measured);
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write the output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The first line of a file, or of the standard input.
fn password(path: &Path) -> Result<String> {
    let cannot = |error: io::Error| {
        Failure::usage(format!("--password-file: cannot read {}: {error}", path.display()))
    };
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(cannot)?)
    };
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_PASSWORD_BYTES + 2));
    reader.read_line(&mut line).map_err(cannot)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(Failure::usage(
            "--password-file: the first line must be the password, 1 to 1,024 bytes",
        ));
    }
    Ok(password.to_owned())
}

/// Runs one load, from the sign-in to the sign-out.
async fn measure(
    client: &Arc<Client>,
    options: &Options,
    password: Option<&str>,
) -> Result<Measured> {
    let owner = if options.other { Some(User::guest(client).await?) } else { None };
    let load = Arc::new(Load::new(options, owner.as_ref().map(|owner| owner.name.clone())));
    let run = Run::new(options)?;
    let done = match options.mode {
        Mode::Unary | Mode::Batch | Mode::Pipeline => {
            over_grpc(client, options, &load, run, password, owner.as_ref()).await
        }
        Mode::Text | Mode::Pickle | Mode::WsText => {
            over_legacy(client, options, &load, run, password, owner.as_ref()).await
        }
        Mode::Chat => in_a_room(client, options, run).await,
    };
    let ended = match owner {
        Some(owner) => owner.end(client, 0).await,
        None => Ok(()),
    };
    done.and_then(|measured| ended.map(|()| measured))
}

async fn over_grpc(
    client: &Arc<Client>,
    options: &Options,
    load: &Arc<Load>,
    run: Run,
    password: Option<&str>,
    owner: Option<&User>,
) -> Result<Measured> {
    let users = match (password, &options.user) {
        (Some(password), Some(name)) => vec![User::account(client, name, password).await?],
        _ => each((0..options.users).map(|_| User::guest(client))).await?,
    };
    let done = async {
        match owner {
            Some(owner) => owner.fill(client, load).await?,
            None => each(users.iter().map(|user| user.fill(client, load))).await.map(drop)?,
        }
        let callers = grpc::callers(client, options, load, &users).await?;
        run.drive(callers.into_iter().map(|caller| Caller::Grpc(Box::new(caller))).collect()).await
    };
    let done = done.await;
    // The keys of the load are deleted even after a failure.
    let keys = if owner.is_some() { 0 } else { options.keys };
    let ended = each(users.into_iter().map(|user| user.end(client, keys))).await;
    done.and_then(|measured| ended.map(|_| measured))
}

async fn over_legacy(
    client: &Arc<Client>,
    options: &Options,
    load: &Arc<Load>,
    run: Run,
    password: Option<&str>,
    owner: Option<&User>,
) -> Result<Measured> {
    if let Some(owner) = owner {
        owner.fill(client, load).await?;
    }
    run.drive(legacy::callers(client, options, load, password).await?).await
}

async fn in_a_room(client: &Arc<Client>, options: &Options, run: Run) -> Result<Measured> {
    let mut users = Vec::new();
    let done = match chat::callers(client, options, &run, &mut users).await {
        Ok(callers) => run.drive(callers).await,
        Err(failure) => Err(failure),
    };
    for user in users {
        user.end(client, 0).await?;
    }
    done
}

/// Runs all futures, [`AT_ONCE`] at a time.
pub(crate) async fn each<T>(
    work: impl Iterator<Item = impl Future<Output = Result<T>>>,
) -> Result<Vec<T>> {
    futures_util::stream::iter(work).buffer_unordered(AT_ONCE).try_collect().await
}
