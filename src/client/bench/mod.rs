//! `bench`: a load on a server, every answer checked, and how long the answers took.
//!
//! A `lane` is one caller that waits for its answers: a gRPC connection has one for each request in
//! flight, a socket door's has one. `drive` gives the lanes their turns, closed loop or at a fixed
//! rate, and keeps the times; `load` makes the keys, the values and the mix; `people` opens and
//! ends the sessions. All lanes run on one thread, so a client takes one core at most. Absent on
//! purpose: a run that goes on after a wrong answer.

mod chat;
mod compare;
mod cpu;
mod door;
mod drive;
mod grpc;
mod lane;
mod load;
mod people;
mod pickle;
mod pipeline;
mod plot;
mod report;
mod websocket;

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::failure::{Failure, Result};
use super::input::Input;
use super::output::Output;
use super::session::Session;
use crate::dialect::grammar::{BenchCall, BenchMode};
use lane::Lane;
use load::Load;
use people::Person;

/// How many sign-ins, and sign-outs, are on their way.
const AT_ONCE: usize = 32;

/// Runs the load, and prints what came of it.
pub(super) async fn run(
    session: &Session,
    output: &mut Output,
    call: BenchCall,
    input: Input,
) -> Result<()> {
    let password = match input {
        Input::Password(password) => Some(password),
        Input::Nothing | Input::Value(_) => None,
    };
    if call.mode == BenchMode::Compare {
        return compare::run(session, output, &call, password.as_deref()).await;
    }
    let measured = measure(session, &call, password.as_deref()).await?;
    if let Some(path) = &call.plot {
        plot::latency(path, &[(call.mode.as_str(), &measured.latency)])?;
    }
    Ok(output.result(&report::row(&call, &measured))?)
}

/// One load, from the sign-in to the sign-out.
async fn measure(
    session: &Session,
    call: &BenchCall,
    password: Option<&str>,
) -> Result<drive::Measured> {
    let owner = if call.other { Some(Person::guest(session).await?) } else { None };
    let load = Arc::new(Load::new(call, owner.as_ref().map(|owner| owner.name.clone())));
    let run = drive::Run::new(call, session.settings.timeout)?;
    let done = match call.mode {
        BenchMode::Unary | BenchMode::Batch | BenchMode::Pipeline => {
            over_grpc(session, call, &load, run, password, owner.as_ref()).await
        }
        BenchMode::Text | BenchMode::Pickle | BenchMode::WsText => {
            at_door(session, call, &load, run, password, owner.as_ref()).await
        }
        BenchMode::Chat => {
            let mut people = Vec::new();
            let done = match chat::lanes(session, call, &run, &mut people).await {
                Ok(lanes) => run.drive(lanes).await,
                Err(failure) => Err(failure),
            };
            for person in people {
                person.end(session, 0).await?;
            }
            done
        }
        BenchMode::Compare => Err(Failure::usage("a comparison is no single load")),
    };
    if let Some(owner) = owner {
        let ended = owner.end(session, 0).await;
        return done.and_then(|measured| ended.map(|()| measured));
    }
    done
}

async fn over_grpc(
    session: &Session,
    call: &BenchCall,
    load: &Arc<Load>,
    run: drive::Run,
    password: Option<&str>,
    owner: Option<&Person>,
) -> Result<drive::Measured> {
    let callers = match password {
        None => each((0..call.users).map(|_| Person::guest(session))).await?,
        Some(_) => vec![Person::caller(session, password).await?],
    };
    let done = async {
        match owner {
            Some(owner) => owner.fill(session, load).await?,
            None => {
                each(callers.iter().map(|caller| caller.fill(session, load))).await.map(drop)?
            }
        }
        let lanes = grpc::lanes(session, call, load, &callers).await?;
        run.drive(lanes.into_iter().map(|lane| Lane::Grpc(Box::new(lane))).collect()).await
    };
    let done = done.await;
    // What the load wrote goes, whatever came of it.
    let keys = if owner.is_some() { 0 } else { call.keys };
    let ended = each(callers.into_iter().map(|caller| caller.end(session, keys))).await;
    done.and_then(|measured| ended.map(|_| measured))
}

/// Does all of it, some at a time.
async fn each<T>(work: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    futures_util::stream::iter(work).buffer_unordered(AT_ONCE).try_collect().await
}

async fn at_door(
    session: &Session,
    call: &BenchCall,
    load: &Arc<Load>,
    run: drive::Run,
    password: Option<&str>,
    owner: Option<&Person>,
) -> Result<drive::Measured> {
    if let Some(owner) = owner {
        owner.fill(session, load).await?;
    }
    run.drive(door::lanes(session, call, load, password).await?).await
}
