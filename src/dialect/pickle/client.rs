//! The client's side: a pickled list of one request, and the strings of a pickled reply.

use bytes::BytesMut;

use super::graph::Node;
use super::machine::{Machine, Pickled};
use super::write;
use crate::dialect::codec::MAX_REPLY_BYTES;

/// A reply's strings come to [`MAX_REPLY_BYTES`] and what an error for each of the rest takes.
const MOST: usize = 2 * MAX_REPLY_BYTES;

/// One request as the list that the dialect wants.
pub fn request(fields: &[(&str, &str)]) -> BytesMut {
    let mut out = BytesMut::new();
    write::begin_list(&mut out);
    write::dict(fields, &mut out);
    write::end_list(&mut out);
    out
}

/// Reads replies off a stream.
pub struct Replies(Machine);

impl Default for Replies {
    /// A reader at the start of a stream.
    fn default() -> Self {
        Self(Machine::up_to(MOST))
    }
}

impl Replies {
    /// The strings of the next whole reply; `None`: more must come.
    ///
    /// # Errors
    /// Why it is no pickled list of strings.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Vec<String>>, String> {
        match self.0.run(input) {
            Ok(Some(pickle)) => {
                strings(&pickle).map(Some).ok_or_else(|| "it is no list of strings".to_owned())
            }
            Ok(None) => Ok(None),
            Err(bad) => Err(format!("its pickle is refused: {bad}")),
        }
    }
}

fn strings(pickle: &Pickled) -> Option<Vec<String>> {
    let Some(Node::Sequence { items, .. }) = pickle.graph.node(pickle.root) else { return None };
    items.iter().map(|id| pickle.graph.text(*id).map(|(text, _)| text.to_owned())).collect()
}
