//! The router: sends a command to the node of its slot, follows redirections, and retries what is
//! known not to have been done.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use redis::{Cmd, ServerError, ServerErrorKind, Value};

use super::failure::{self, NodeFailure};
use super::group_commit::PendingWrite;
use super::library;
use super::node::RedisNode;
use super::store::RedisStoreInner;
use super::topology::Topology;
use crate::model::{Error, Operations, Result};

/// Maximum number of redirections of a command.
const MAX_REDIRECTIONS: u32 = 5;
/// Maximum number of retries of a command after a wait.
const MAX_RETRIES: usize = 6;

/// Effect of a command, which decides whether it may be sent again after it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// None: it may be sent again.
    Reads,
    /// A write that changes nothing more when it is repeated.
    WritesOnce,
    /// A write that would be done again when it is repeated.
    Writes,
    /// As `WritesOnce`, but without waiting for replicas.
    WritesLocally,
}

/// Command or put that is to be sent.
#[derive(Clone, Copy)]
enum RoutedRequest<'a> {
    Command(&'a Cmd),
    /// A put without an expiry or a request id.
    Put(&'a Arc<RedisStoreInner>, &'a Arc<Operations>),
}

/// Router of commands to nodes.
pub(super) struct Router {
    pub(super) topology: Arc<Topology>,
    /// Number of replicas that a write waits for.
    pub(super) replicas: u32,
}

/// Next step of a command after an answer.
enum NextStep {
    Done(Value),
    /// Sent at once to this node; with `ASKING` if true.
    To(Arc<RedisNode>, bool),
    /// Retried after a wait; the error if there are no more retries.
    Again(Error),
    Failed(Error),
}

impl Router {
    /// Runs the command at the node of the slot and returns the answer.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`, `INTERNAL`: nothing was done. `OUTCOME_UNKNOWN`: it may
    /// have been done, or too few replicas have it.
    pub(super) async fn run(&self, slot: u16, command: &Cmd, effect: Effect) -> Result<Value> {
        self.send_until_done(slot, RoutedRequest::Command(command), effect).await
    }

    /// Runs a put without an expiry or a request id, which may share a command with other puts of
    /// its store.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) async fn put(
        &self,
        store: &Arc<RedisStoreInner>,
        put: &Arc<Operations>,
    ) -> Result<Value> {
        self.send_until_done(store.slot, RoutedRequest::Put(store, put), Effect::Writes).await
    }

    async fn send_until_done(
        &self,
        slot: u16,
        request: RoutedRequest<'_>,
        effect: Effect,
    ) -> Result<Value> {
        let mut waits = back_off();
        let (mut redirections, mut target, mut asking) = (0, self.topology.of(slot), false);
        // True if an earlier try may have been done.
        let mut may_be_done = false;
        loop {
            let sent = match &target {
                Some(node) => self.send(node, request, asking, effect).await,
                None => Err(NodeFailure::NotSent("no node is known to have the slot".to_owned())),
            };
            let next = match sent {
                Ok((Value::ServerError(error), _)) => {
                    self.redirect(slot, target.as_ref(), &error).await
                }
                Ok((value, acknowledged)) => self.check_durability(value, acknowledged, effect),
                Err(failure) => self.after_failure(failure, effect, &mut may_be_done),
            };
            let error = match next {
                NextStep::Done(value) => return Ok(value),
                NextStep::Failed(error) => return Err(error),
                NextStep::To(node, ask) if redirections < MAX_REDIRECTIONS => {
                    redirections += 1;
                    (target, asking) = (Some(node), ask);
                    continue;
                }
                NextStep::To(..) => {
                    failure::unavailable("the cluster sends it from node to node".to_owned())
                }
                NextStep::Again(error) => error,
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

    /// Returns the next step after a node gave no answer. Sets `may_be_done` if the command may
    /// have been done but can be sent again.
    fn after_failure(
        &self,
        failure: NodeFailure,
        effect: Effect,
        may_be_done: &mut bool,
    ) -> NextStep {
        match failure {
            NodeFailure::Lost(why) => {
                self.topology.mark_stale();
                match effect {
                    Effect::Reads => NextStep::Again(failure::unavailable(why)),
                    Effect::WritesOnce | Effect::WritesLocally => {
                        *may_be_done = true;
                        NextStep::Again(failure::unknown(why))
                    }
                    Effect::Writes => NextStep::Failed(failure::unknown(why)),
                }
            }
            NodeFailure::NotSent(why) => {
                self.topology.mark_stale();
                NextStep::Again(failure::unavailable(why))
            }
            // It may take seconds until the node is back or another has its slots: too long for
            // every caller to wait.
            dead @ NodeFailure::Dead => {
                let error = failure::unavailable(dead.into_text());
                if *may_be_done { NextStep::Again(error) } else { NextStep::Failed(error) }
            }
        }
    }

    async fn send(
        &self,
        node: &RedisNode,
        request: RoutedRequest<'_>,
        asking: bool,
        effect: Effect,
    ) -> std::result::Result<(Value, i64), NodeFailure> {
        match (request, effect) {
            (RoutedRequest::Put(store, put), _) => {
                let (store, put) = (Arc::clone(store), Arc::clone(put));
                node.commit(PendingWrite::Put { store, put }, asking).await
            }
            (RoutedRequest::Command(command), Effect::WritesOnce | Effect::Writes)
                if self.replicas > 0 =>
            {
                node.commit(PendingWrite::Command(command.clone()), asking).await
            }
            (RoutedRequest::Command(command), _) => {
                Ok((node.ask(command, asking).await?, i64::MAX))
            }
        }
    }

    /// Checks that enough replicas have a write. A refusal changed nothing and needs none.
    fn check_durability(&self, value: Value, acknowledged: i64, effect: Effect) -> NextStep {
        let held = effect == Effect::Reads || acknowledged >= i64::from(self.replicas);
        if held || is_refusal(&value) {
            return NextStep::Done(value);
        }
        NextStep::Failed(failure::not_replicated(acknowledged, self.replicas))
    }

    /// Returns the next step after an error that Redis answered: the command was not done.
    async fn redirect(
        &self,
        slot: u16,
        node: Option<&Arc<RedisNode>>,
        error: &ServerError,
    ) -> NextStep {
        let address =
            || error.details().and_then(|details| details.split_ascii_whitespace().nth(1));
        let to = |node: Option<Arc<RedisNode>>, ask| match node {
            Some(node) => NextStep::To(node, ask),
            None => {
                NextStep::Failed(failure::unavailable(format!("redirected to nowhere: {error}")))
            }
        };
        match error.kind() {
            Some(ServerErrorKind::Moved) => to(
                address().and_then(|address| self.topology.moved(slot, &with_host(address, node))),
                false,
            ),
            Some(ServerErrorKind::Ask) => {
                to(address().and_then(|address| self.topology.at(&with_host(address, node))), true)
            }
            Some(
                ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly,
            ) => {
                self.topology.mark_stale();
                NextStep::Again(failure::answered(error))
            }
            _ if error
                .details()
                .is_some_and(|details| details.starts_with("Function not found")) =>
            {
                let Some(node) = node else { return NextStep::Failed(failure::answered(error)) };
                match node.ask(&library::load(), false).await {
                    Ok(Value::ServerError(error)) => NextStep::Failed(failure::answered(&error)),
                    Ok(_) => NextStep::To(Arc::clone(node), false),
                    Err(failure) => NextStep::Again(failure::unavailable(failure.into_text())),
                }
            }
            Some(_) | None => NextStep::Failed(failure::answered(error)),
        }
    }
}

/// Waits between the tries of a command.
fn back_off() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_millis(400))
        .with_max_times(MAX_RETRIES)
        .with_jitter()
        .build()
}

/// Completes a redirection without a host, which means the host of the node that gave it.
fn with_host(address: &str, node: Option<&Arc<RedisNode>>) -> String {
    match (address.strip_prefix(':'), node.and_then(|node| node.address.rsplit_once(':'))) {
        (Some(port), Some((host, _))) => format!("{host}:{port}"),
        _ => address.to_owned(),
    }
}

/// Returns true if nothing has changed: a function refused, or returned nothing.
fn is_refusal(value: &Value) -> bool {
    match value {
        Value::Nil => true,
        Value::Array(parts) => {
            matches!(parts.first(), Some(Value::BulkString(first)) if first == b"!")
        }
        _ => false,
    }
}
