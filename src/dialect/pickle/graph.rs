//! What a pickle builds: nodes in one vector, which refer to each other by index. So neither
//! walking nor dropping it recurses, whatever refers to whatever.

use bytes::Bytes;

use super::BadPickle;

/// The most containers in each other.
pub(super) const MAX_DEPTH: usize = 8;

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

/// The fields that requests have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of its name")]
pub(super) enum Field {
    Method,
    Key,
    Value,
    Username,
}

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    /// Nothing that a request has a use for.
    Inert,
    /// UTF-8. Shared, because a memo can name one string thousands of times.
    Text(Bytes),
    /// A list, which can still grow, or a tuple, which cannot.
    Sequence { items: Vec<Id>, grows: bool },
    /// A dict: the fields of requests by name, and all that it holds, for its depth.
    Dict { fields: [Option<Id>; 4], held: Vec<Id> },
}

/// All nodes of a pickle.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    pub(super) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        Id(self.nodes.len() - 1)
    }

    pub(super) fn node(&self, id: Id) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// The text that a node is.
    pub(super) fn text(&self, id: Id) -> Option<(&str, &Bytes)> {
        match self.node(id) {
            Some(Node::Text(bytes)) => Some((std::str::from_utf8(bytes).ok()?, bytes)),
            _ => None,
        }
    }

    /// Appends to a list.
    pub(super) fn append(&mut self, list: Id, added: &[Id]) -> Result<(), BadPickle> {
        match self.nodes.get_mut(list.0) {
            Some(Node::Sequence { items, grows: true }) => items.extend_from_slice(added),
            _ => return Err(BadPickle::Malformed),
        }
        Ok(())
    }

    /// Sets items of a dict: a key and its value, one pair after the other. Of equal keys the last
    /// counts.
    pub(super) fn set_items(&mut self, dict: Id, pairs: &[Id]) -> Result<(), BadPickle> {
        let (pairs, rest) = pairs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(BadPickle::Malformed);
        }
        for [key, value] in pairs {
            let field = self.field(*key)?;
            let Some(Node::Dict { fields, held }) = self.nodes.get_mut(dict.0) else {
                return Err(BadPickle::Malformed);
            };
            held.extend([*key, *value]);
            if let Some(slot) = field.and_then(|field| fields.get_mut(field as usize)) {
                *slot = Some(*value);
            }
        }
        Ok(())
    }

    fn field(&self, key: Id) -> Result<Option<Field>, BadPickle> {
        match self.node(key) {
            Some(Node::Text(name)) => Ok(match name.as_ref() {
                b"method" => Some(Field::Method),
                b"key" => Some(Field::Key),
                b"value" => Some(Field::Value),
                b"username" => Some(Field::Username),
                _ => None,
            }),
            Some(Node::Inert | Node::Sequence { grows: false, .. }) => Ok(None),
            // No list and no dict is a key in Python.
            Some(Node::Sequence { .. } | Node::Dict { .. }) | None => Err(BadPickle::Malformed),
        }
    }

    fn held(&self, id: Id) -> &[Id] {
        match self.node(id) {
            Some(Node::Sequence { items: held, .. } | Node::Dict { held, .. }) => held,
            Some(Node::Inert | Node::Text(_)) | None => &[],
        }
    }

    fn is_container(&self, id: Id) -> bool {
        matches!(self.node(id), Some(Node::Sequence { .. } | Node::Dict { .. }))
    }

    /// Refuses more than [`MAX_DEPTH`] containers in each other below `root`, and so every one that
    /// holds itself.
    ///
    /// Goes down by whole levels, each node once a level: linear, where following each path would
    /// be exponential.
    pub(super) fn check_depth(&self, root: Id) -> Result<(), BadPickle> {
        let mut level = vec![root];
        for _ in 0..MAX_DEPTH {
            let mut seen = vec![false; self.nodes.len()];
            let mut below = Vec::new();
            for id in
                level.iter().flat_map(|id| self.held(*id)).filter(|id| self.is_container(**id))
            {
                if let Some(seen) = seen.get_mut(id.0)
                    && !std::mem::replace(seen, true)
                {
                    below.push(*id);
                }
            }
            if below.is_empty() {
                return Ok(());
            }
            level = below;
        }
        Err(BadPickle::TooDeep)
    }
}
