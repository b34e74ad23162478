//! The pickle machine: runs opcodes as they come, until STOP.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};

use super::BadPickle;
use super::graph::{Graph, Id, MAX_DEPTH, Node};
use super::opcode::{Op, Parsed, parse};
use crate::dialect::codec::MAX_MESSAGE_BYTES;

/// The most values in a pickle, every mention of one counted.
const MAX_VALUES: usize = 10_000;

/// A finished pickle.
#[derive(Debug)]
pub(in crate::dialect) struct Pickled {
    pub(super) graph: Graph,
    pub(super) root: Id,
}

/// One pickle in the making.
pub(super) struct Machine {
    // The longest pickle, in bytes.
    most: usize,
    graph: Graph,
    stack: Vec<Id>,
    // Where on the stack each open mark stands.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    values: usize,
    // Bytes of this pickle that are done.
    done: usize,
    // Bytes that the next opcode needs at least; all but the last of them were looked at.
    need: usize,
}

/// Decodes bytes that are one pickle, no more and no less.
pub(in crate::dialect) fn decode_whole(bytes: &[u8]) -> Result<Pickled, BadPickle> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(BadPickle::TooLong);
    }
    let mut input = BytesMut::from(bytes);
    match Machine::default().run(&mut input)? {
        Some(pickle) if input.is_empty() => Ok(pickle),
        _ => Err(BadPickle::Malformed),
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::up_to(MAX_MESSAGE_BYTES)
    }
}

impl Machine {
    /// A machine for pickles of at most so many bytes.
    pub(super) fn up_to(most: usize) -> Self {
        Self {
            most,
            graph: Graph::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            values: 0,
            done: 0,
            need: 0,
        }
    }

    /// Takes opcodes off the input; at STOP it gives the pickle and is ready for the next.
    ///
    /// # Errors
    /// As soon as the bytes cannot be the beginning of a pickle that is allowed. The machine is of
    /// no use afterwards.
    pub(super) fn run(&mut self, input: &mut BytesMut) -> Result<Option<Pickled>, BadPickle> {
        let mut at = 0;
        let finished = loop {
            let room = self.most.saturating_sub(self.done);
            let rest = input.get(at..).unwrap_or_default();
            if rest.len() < self.need {
                break None;
            }
            let rest = rest.get(..room).unwrap_or(rest);
            let (op, length) = match parse(rest, self.need.saturating_sub(1))? {
                Parsed::Need(bytes) if bytes > room => return Err(BadPickle::TooLong),
                Parsed::Need(bytes) => {
                    self.need = bytes;
                    break None;
                }
                Parsed::Op(op, length) => (op, length),
            };
            (at, self.done, self.need) = (at + length, self.done + length, 0);
            if let Some(root) = self.execute(op)? {
                break Some(root);
            }
        };
        input.advance(at);
        let Some(root) = finished else { return Ok(None) };
        let graph = std::mem::replace(self, Self::up_to(self.most)).graph;
        graph.check_depth(root)?;
        Ok(Some(Pickled { graph, root }))
    }

    /// Whether a pickle has begun.
    pub(super) fn is_busy(&self) -> bool {
        self.done > 0
    }

    fn execute(&mut self, op: Op<'_>) -> Result<Option<Id>, BadPickle> {
        match op {
            Op::Nothing => {}
            Op::Mark if self.marks.len() == MAX_DEPTH => return Err(BadPickle::TooDeep),
            Op::Mark => self.marks.push(self.stack.len()),
            Op::Stop => return self.stop().map(Some),
            Op::Pop => {
                // As in Python, a mark on top is what goes.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            Op::PopMark => drop(self.pop_to_mark()?),
            Op::Text(text) => {
                self.push_node(Node::Text(Bytes::copy_from_slice(text.as_bytes())))?
            }
            Op::Inert => self.push_node(Node::Inert)?,
            Op::Get(index) => {
                let id = *self.memo.get(&index).ok_or(BadPickle::Malformed)?;
                self.push(id)?;
            }
            Op::Put(index) => self.memoize(index)?,
            Op::Memoize => {
                self.memoize(u32::try_from(self.memo.len()).map_err(|_| BadPickle::TooMany)?)?
            }
            Op::EmptyDict => self.push_dict(&[])?,
            Op::Dict => {
                let pairs = self.pop_to_mark()?;
                self.push_dict(&pairs)?;
            }
            Op::SetItem => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.graph.set_items(self.top()?, &[key, value])?;
            }
            Op::SetItems => {
                let pairs = self.pop_to_mark()?;
                self.graph.set_items(self.top()?, &pairs)?;
            }
            Op::EmptyList => self.push_node(Node::Sequence { items: Vec::new(), grows: true })?,
            Op::List => {
                let items = self.pop_to_mark()?;
                self.push_node(Node::Sequence { items, grows: true })?;
            }
            Op::Append => {
                let item = self.pop()?;
                self.graph.append(self.top()?, &[item])?;
            }
            Op::Appends => {
                let items = self.pop_to_mark()?;
                self.graph.append(self.top()?, &items)?;
            }
            Op::Tuple => {
                let items = self.pop_to_mark()?;
                self.push_node(Node::Sequence { items, grows: false })?;
            }
            Op::TupleOf(count) => {
                let first =
                    self.stack.len().checked_sub(count).filter(|first| *first >= self.floor());
                let items = self.stack.split_off(first.ok_or(BadPickle::Malformed)?);
                self.push_node(Node::Sequence { items, grows: false })?;
            }
        }
        Ok(None)
    }

    fn stop(&mut self) -> Result<Id, BadPickle> {
        match (self.stack.as_slice(), self.marks.as_slice()) {
            ([root], []) => Ok(*root),
            _ => Err(BadPickle::Malformed),
        }
    }

    fn push_dict(&mut self, pairs: &[Id]) -> Result<(), BadPickle> {
        self.push_node(Node::Dict { fields: [None; 4], held: Vec::new() })?;
        self.graph.set_items(self.top()?, pairs)
    }

    fn push_node(&mut self, node: Node) -> Result<(), BadPickle> {
        let id = self.graph.add(node);
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Result<(), BadPickle> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(BadPickle::TooMany);
        }
        self.stack.push(id);
        Ok(())
    }

    /// Below this the stack belongs to what stands before the latest mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, BadPickle> {
        self.stack.get(self.floor()..).and_then(<[Id]>::last).copied().ok_or(BadPickle::Malformed)
    }

    fn pop(&mut self) -> Result<Id, BadPickle> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, BadPickle> {
        let mark = self.marks.pop().ok_or(BadPickle::Malformed)?;
        Ok(self.stack.split_off(mark))
    }

    fn memoize(&mut self, index: u32) -> Result<(), BadPickle> {
        let top = self.top()?;
        self.memo.insert(index, top);
        if self.memo.len() > MAX_VALUES { Err(BadPickle::TooMany) } else { Ok(()) }
    }
}
