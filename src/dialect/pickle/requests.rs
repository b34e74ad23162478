//! The requests in a pickle.

use super::BadPickle;
use super::graph::{Field, Graph, Id, PickleNode};
use super::machine::Pickled;
use crate::dialect::commands;
use crate::model::request::Upgrade;
use crate::model::{Command, Error, Result, Value};

/// A request, and its outcome if it is known without running a command.
pub(super) enum PickleRequest {
    Run(Command),
    Illegal,
    Refuse(Error),
}

/// Returns the requests of a pickled list or tuple.
pub(super) fn read(pickle: &Pickled) -> std::result::Result<Vec<PickleRequest>, BadPickle> {
    match pickle.graph.node(pickle.root) {
        Some(PickleNode::Sequence { items, .. }) => {
            Ok(items.iter().map(|id| request(&pickle.graph, *id)).collect())
        }
        Some(PickleNode::Inert | PickleNode::Text(_) | PickleNode::Dict { .. }) | None => {
            Err(BadPickle::Malformed)
        }
    }
}

fn request(graph: &Graph, id: Id) -> PickleRequest {
    match command(graph, id) {
        Some(Ok(command)) => PickleRequest::Run(command),
        Some(Err(error)) => PickleRequest::Refuse(error),
        None => PickleRequest::Illegal,
    }
}

fn command(graph: &Graph, id: Id) -> Option<Result<Command>> {
    let Some(PickleNode::Dict { fields, .. }) = graph.node(id) else { return None };
    let field = |field: Field| graph.text((*fields.get(field as usize)?)?);
    let text = |name: Field| field(name).map(|(text, _)| text);
    let method = text(Field::Method)?;
    let is = |name: &str| method.eq_ignore_ascii_case(name);
    Some(if is("get") {
        commands::get(text(Field::Key)?)
    } else if is("put") {
        commands::put(text(Field::Key)?, Value::stored(field(Field::Value)?.1.clone(), true))
    } else if is("getother") {
        commands::get_other(text(Field::Username)?, text(Field::Key)?)
    } else if is("upgrade") {
        Ok(Upgrade { user: None }.into())
    } else {
        return None;
    })
}
