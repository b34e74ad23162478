//! The client side: pickled lists of one request, and the strings of a pickled reply.

use bytes::BytesMut;

use super::graph::PickleNode;
use super::machine::{Machine, Pickled};
use super::write;
use crate::dialect::codec::MAX_REPLY_BYTES;

/// Maximum size of a reply in bytes: [`MAX_REPLY_BYTES`] of strings, and as much again for the
/// error of each remaining request.
const MOST: usize = 2 * MAX_REPLY_BYTES;

/// Returns a pickled list of one request.
pub fn request(fields: &[(&str, &str)]) -> BytesMut {
    let mut out = BytesMut::new();
    write::begin_list(&mut out);
    write::dict(fields, &mut out);
    write::end_list(&mut out);
    out
}

/// Decoder of replies on a stream.
pub struct Replies(Machine);

impl Default for Replies {
    /// A reader at the start of a stream.
    fn default() -> Self {
        Self(Machine::up_to(MOST))
    }
}

impl Replies {
    /// Takes the next complete reply off the input and returns its strings, or `None` if the reply
    /// is incomplete.
    ///
    /// # Errors
    /// A sentence, if the reply is not a pickled list of strings.
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
    let Some(PickleNode::Sequence { items, .. }) = pickle.graph.node(pickle.root) else {
        return None;
    };
    items.iter().map(|id| pickle.graph.text(*id).map(|(text, _)| text.to_owned())).collect()
}
