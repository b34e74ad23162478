//! The pickle machine: executes opcodes as they arrive, until STOP.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};

use super::BadPickle;
use super::graph::{Graph, Id, MAX_DEPTH, PickleNode};
use super::opcode::{Op, OpcodeRead, parse};
use crate::dialect::codec::MAX_MESSAGE_BYTES;

/// Maximum number of values in a pickle, counting every reference to a memo.
const MAX_VALUES: usize = 10_000;

/// A complete pickle.
#[derive(Debug)]
pub(in crate::dialect) struct Pickled {
    pub(super) graph: Graph,
    pub(super) root: Id,
}

/// State of one pickle that is being read.
pub(super) struct Machine {
    // Maximum size of a pickle, in bytes.
    most: usize,
    graph: Graph,
    stack: Vec<Id>,
    // Stack positions of the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    values: usize,
    // Bytes of this pickle that have been executed.
    done: usize,
    // Minimum number of bytes for the next opcode; all but the last of them have been examined.
    need: usize,
}

/// Decodes bytes that are exactly one pickle.
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
    /// Creates a machine for pickles of at most `most` bytes.
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

    /// Takes opcodes off the input and executes them. At STOP it returns the pickle and is ready
    /// for the next; `None` means that more input is needed.
    ///
    /// # Errors
    /// An error as soon as the bytes cannot be the start of an allowed pickle. The machine cannot
    /// be used afterwards.
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
                OpcodeRead::Need(bytes) if bytes > room => return Err(BadPickle::TooLong),
                OpcodeRead::Need(bytes) => {
                    self.need = bytes;
                    break None;
                }
                OpcodeRead::Op(op, length) => (op, length),
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

    /// Returns true if a pickle has been started and is not complete.
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
                // As in Python, POP removes a mark that is on top.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            Op::PopMark => drop(self.pop_to_mark()?),
            Op::Text(text) => {
                self.push_node(PickleNode::Text(Bytes::copy_from_slice(text.as_bytes())))?
            }
            Op::Inert => self.push_node(PickleNode::Inert)?,
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
            Op::EmptyList => {
                self.push_node(PickleNode::Sequence { items: Vec::new(), grows: true })?
            }
            Op::List => {
                let items = self.pop_to_mark()?;
                self.push_node(PickleNode::Sequence { items, grows: true })?;
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
                self.push_node(PickleNode::Sequence { items, grows: false })?;
            }
            Op::TupleOf(count) => {
                let first =
                    self.stack.len().checked_sub(count).filter(|first| *first >= self.floor());
                let items = self.stack.split_off(first.ok_or(BadPickle::Malformed)?);
                self.push_node(PickleNode::Sequence { items, grows: false })?;
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
        self.push_node(PickleNode::Dict { fields: [None; 4], held: Vec::new() })?;
        self.graph.set_items(self.top()?, pairs)
    }

    fn push_node(&mut self, node: PickleNode) -> Result<(), BadPickle> {
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

    /// Returns the stack position of the latest mark: what is below it cannot be popped.
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
