//! The requests in a pickle.

use super::BadPickle;
use super::graph::{Field, Graph, Id, Node};
use super::machine::Pickled;
use crate::dialect::words;
use crate::model::request::Upgrade;
use crate::model::{Command, Error, Result, Value};

/// What to do about one request.
pub(super) enum Ask {
    Run(Command),
    Illegal,
    Refuse(Error),
}

/// Reads a list or tuple of requests.
pub(super) fn read(pickle: &Pickled) -> std::result::Result<Vec<Ask>, BadPickle> {
    match pickle.graph.node(pickle.root) {
        Some(Node::Sequence { items, .. }) => {
            Ok(items.iter().map(|id| ask(&pickle.graph, *id)).collect())
        }
        Some(Node::Inert | Node::Text(_) | Node::Dict { .. }) | None => Err(BadPickle::Malformed),
    }
}

fn ask(graph: &Graph, id: Id) -> Ask {
    match command(graph, id) {
        Some(Ok(command)) => Ask::Run(command),
        Some(Err(error)) => Ask::Refuse(error),
        None => Ask::Illegal,
    }
}

fn command(graph: &Graph, id: Id) -> Option<Result<Command>> {
    let Some(Node::Dict { fields, .. }) = graph.node(id) else { return None };
    let field = |field: Field| graph.text((*fields.get(field as usize)?)?);
    let text = |name: Field| field(name).map(|(text, _)| text);
    let method = text(Field::Method)?;
    let is = |name: &str| method.eq_ignore_ascii_case(name);
    Some(if is("get") {
        words::get(text(Field::Key)?)
    } else if is("put") {
        words::put(text(Field::Key)?, Value::stored(field(Field::Value)?.1.clone(), true))
    } else if is("getother") {
        words::get_other(text(Field::Username)?, text(Field::Key)?)
    } else if is("upgrade") {
        Ok(Upgrade { user: None }.into())
    } else {
        return None;
    })
}
