//! The values of a pickle: nodes in one vector that refer to each other by index. Neither walking
//! nor dropping them recurses, even if nodes refer to each other in a cycle.

use bytes::Bytes;

use super::BadPickle;

/// Maximum nesting depth of containers.
pub(super) const MAX_DEPTH: usize = 8;

/// Index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

/// Fields of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of its name")]
pub(super) enum Field {
    Method,
    Key,
    Value,
    Username,
}

/// A value of a pickle.
#[derive(Debug)]
pub(super) enum PickleNode {
    /// A value that has no meaning in a request.
    Inert,
    /// UTF-8 text. Shared, because a memo can refer to one string thousands of times.
    Text(Bytes),
    /// A list, which can grow, or a tuple, which cannot.
    Sequence { items: Vec<Id>, grows: bool },
    /// A dict: the request fields by name, and all keys and values for the depth check.
    Dict { fields: [Option<Id>; 4], held: Vec<Id> },
}

/// All nodes of a pickle.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<PickleNode>,
}

impl Graph {
    pub(super) fn add(&mut self, node: PickleNode) -> Id {
        self.nodes.push(node);
        Id(self.nodes.len() - 1)
    }

    pub(super) fn node(&self, id: Id) -> Option<&PickleNode> {
        self.nodes.get(id.0)
    }

    /// Returns the text of a node.
    pub(super) fn text(&self, id: Id) -> Option<(&str, &Bytes)> {
        match self.node(id) {
            Some(PickleNode::Text(bytes)) => Some((std::str::from_utf8(bytes).ok()?, bytes)),
            _ => None,
        }
    }

    /// Appends to a list.
    pub(super) fn append(&mut self, list: Id, added: &[Id]) -> Result<(), BadPickle> {
        match self.nodes.get_mut(list.0) {
            Some(PickleNode::Sequence { items, grows: true }) => items.extend_from_slice(added),
            _ => return Err(BadPickle::Malformed),
        }
        Ok(())
    }

    /// Sets items of a dict from alternating keys and values. The last of equal keys counts.
    pub(super) fn set_items(&mut self, dict: Id, pairs: &[Id]) -> Result<(), BadPickle> {
        let (pairs, rest) = pairs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(BadPickle::Malformed);
        }
        for [key, value] in pairs {
            let field = self.field(*key)?;
            let Some(PickleNode::Dict { fields, held }) = self.nodes.get_mut(dict.0) else {
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
            Some(PickleNode::Text(name)) => Ok(match name.as_ref() {
                b"method" => Some(Field::Method),
                b"key" => Some(Field::Key),
                b"value" => Some(Field::Value),
                b"username" => Some(Field::Username),
                _ => None,
            }),
            Some(PickleNode::Inert | PickleNode::Sequence { grows: false, .. }) => Ok(None),
            // Lists and dicts are not hashable in Python and cannot be keys.
            Some(PickleNode::Sequence { .. } | PickleNode::Dict { .. }) | None => {
                Err(BadPickle::Malformed)
            }
        }
    }

    fn held(&self, id: Id) -> &[Id] {
        match self.node(id) {
            Some(PickleNode::Sequence { items: held, .. } | PickleNode::Dict { held, .. }) => held,
            Some(PickleNode::Inert | PickleNode::Text(_)) | None => &[],
        }
    }

    fn is_container(&self, id: Id) -> bool {
        matches!(self.node(id), Some(PickleNode::Sequence { .. } | PickleNode::Dict { .. }))
    }

    /// Rejects containers nested more than [`MAX_DEPTH`] deep below `root`, which includes every
    /// container that holds itself.
    ///
    /// The search goes down level by level and visits each node once per level. That is linear;
    /// following every path would be exponential.
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
