//! A command's way to the node that has its slot, and what is made of the answer.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use redis::{Cmd, ServerError, ServerErrorKind, Value};

use super::commits::Pending;
use super::failure::{self, Failure};
use super::library;
use super::node::Node;
use super::store::Inner;
use super::topology::Topology;
use crate::model::{Error, Operations, Result};

/// How often a command is sent on to another node before it is given up.
const MAX_REDIRECTIONS: u32 = 5;
/// How often it is sent again after a wait.
const MAX_RETRIES: usize = 6;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it may be sent again.
    Reads,
    /// It writes, and does no more when it is sent again.
    WritesOnce,
    /// It writes, and would do so again.
    Writes,
    /// It writes what nobody has to wait for: as `WritesOnce`, at the node alone.
    WritesLocally,
}

/// What is sent.
#[derive(Clone, Copy)]
enum Request<'a> {
    Command(&'a Cmd),
    /// A put without an expiry or a request id.
    Put(&'a Arc<Inner>, &'a Arc<Operations>),
}

/// The way to the nodes.
pub(super) struct Link {
    pub(super) topology: Arc<Topology>,
    /// How many replicas a write waits for.
    pub(super) replicas: u32,
}

/// Where a command goes next.
enum Next {
    Done(Value),
    /// To this node, at once.
    To(Arc<Node>, bool),
    /// Again, after a wait: nothing was done.
    Again(Error),
    Failed(Error),
}

impl Link {
    /// Runs the command at the node that has the slot, and gives what it answered.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`, `INTERNAL`: nothing was done. `OUTCOME_UNKNOWN`: nobody
    /// knows, or too few replicas have it.
    pub(super) async fn run(&self, slot: u16, command: &Cmd, effect: Effect) -> Result<Value> {
        self.send_until_done(slot, Request::Command(command), effect).await
    }

    /// The same of a put that may go out with others of its store.
    ///
    /// # Errors
    /// As `run`.
    pub(super) async fn put(&self, store: &Arc<Inner>, put: &Arc<Operations>) -> Result<Value> {
        self.send_until_done(store.slot, Request::Put(store, put), Effect::Writes).await
    }

    async fn send_until_done(
        &self,
        slot: u16,
        request: Request<'_>,
        effect: Effect,
    ) -> Result<Value> {
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(400))
            .with_max_times(MAX_RETRIES)
            .with_jitter()
            .build();
        let (mut redirections, mut target, mut asking) = (0, self.topology.of(slot), false);
        // Whether an earlier try may have done it.
        let mut may_be_done = false;
        loop {
            let sent = match &target {
                Some(node) => self.send(node, request, asking, effect).await,
                None => Err(Failure::NotSent("no node is known to have the slot".to_owned())),
            };
            let next = match sent {
                Ok((Value::ServerError(error), _)) => {
                    self.redirect(slot, target.as_ref(), &error).await
                }
                Ok((value, acknowledged)) => self.promised(value, acknowledged, effect),
                Err(Failure::Lost(why)) => {
                    self.topology.doubt();
                    match effect {
                        Effect::Reads => Next::Again(failure::unavailable(why)),
                        Effect::WritesOnce | Effect::WritesLocally => {
                            may_be_done = true;
                            Next::Again(failure::unknown(why))
                        }
                        Effect::Writes => Next::Failed(failure::unknown(why)),
                    }
                }
                Err(Failure::NotSent(why)) => {
                    self.topology.doubt();
                    Next::Again(failure::unavailable(why))
                }
                // It may take seconds until it is back, or another has its slots: too long to wait
                // for, for all who ask.
                Err(dead @ Failure::Dead) => {
                    let error = failure::unavailable(dead.into_text());
                    if may_be_done { Next::Again(error) } else { Next::Failed(error) }
                }
            };
            let error = match next {
                Next::Done(value) => return Ok(value),
                Next::Failed(error) => return Err(error),
                Next::To(node, ask) if redirections < MAX_REDIRECTIONS => {
                    redirections += 1;
                    (target, asking) = (Some(node), ask);
                    continue;
                }
                Next::To(..) => {
                    failure::unavailable("the cluster sends it from node to node".to_owned())
                }
                Next::Again(error) => error,
            };
            let Some(wait) = waits.next() else {
                return Err(if may_be_done {
                    failure::unknown(format!("{error:?}"))
                } else {
                    error
                });
            };
            tokio::time::sleep(wait).await;
            (target, asking) = (self.topology.of(slot), false);
        }
    }

    async fn send(
        &self,
        node: &Node,
        request: Request<'_>,
        asking: bool,
        effect: Effect,
    ) -> std::result::Result<(Value, i64), Failure> {
        match (request, effect) {
            (Request::Put(store, put), _) => {
                let (store, put) = (Arc::clone(store), Arc::clone(put));
                node.commit(Pending::Put { store, put }, asking).await
            }
            (Request::Command(command), Effect::WritesOnce | Effect::Writes)
                if self.replicas > 0 =>
            {
                node.commit(Pending::Command(command.clone()), asking).await
            }
            (Request::Command(command), _) => Ok((node.ask(command, asking).await?, i64::MAX)),
        }
    }

    /// What was done counts only if enough replicas have it; what was refused needs none.
    fn promised(&self, value: Value, acknowledged: i64, effect: Effect) -> Next {
        let held = effect == Effect::Reads || acknowledged >= i64::from(self.replicas);
        if held || is_refusal(&value) {
            return Next::Done(value);
        }
        Next::Failed(failure::not_replicated(acknowledged, self.replicas))
    }

    /// What to do about an error of the engine. None of these was done.
    async fn redirect(&self, slot: u16, node: Option<&Arc<Node>>, error: &ServerError) -> Next {
        let address =
            || error.details().and_then(|details| details.split_ascii_whitespace().nth(1));
        let to = |node: Option<Arc<Node>>, ask| match node {
            Some(node) => Next::To(node, ask),
            None => Next::Failed(failure::unavailable(format!("redirected to nowhere: {error}"))),
        };
        match error.kind() {
            Some(ServerErrorKind::Moved) => to(
                address().and_then(|address| self.topology.moved(slot, &here(address, node))),
                false,
            ),
            Some(ServerErrorKind::Ask) => {
                to(address().and_then(|address| self.topology.at(&here(address, node))), true)
            }
            Some(
                ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly,
            ) => {
                self.topology.doubt();
                Next::Again(failure::answered(error))
            }
            _ if error
                .details()
                .is_some_and(|details| details.starts_with("Function not found")) =>
            {
                let Some(node) = node else { return Next::Failed(failure::answered(error)) };
                match node.ask(&library::load(), false).await {
                    Ok(Value::ServerError(error)) => Next::Failed(failure::answered(&error)),
                    Ok(_) => Next::To(Arc::clone(node), false),
                    Err(failure) => Next::Again(failure::unavailable(failure.into_text())),
                }
            }
            Some(_) | None => Next::Failed(failure::answered(error)),
        }
    }
}

/// A redirection without a host is to another port of the node that gave it.
fn here(address: &str, node: Option<&Arc<Node>>) -> String {
    match (address.strip_prefix(':'), node.and_then(|node| node.address.rsplit_once(':'))) {
        (Some(port), Some((host, _))) => format!("{host}:{port}"),
        _ => address.to_owned(),
    }
}

/// Whether nothing has changed: a function refused, or gave nothing.
fn is_refusal(value: &Value) -> bool {
    match value {
        Value::Nil => true,
        Value::Array(parts) => {
            matches!(parts.first(), Some(Value::BulkString(first)) if first == b"!")
        }
        _ => false,
    }
}
