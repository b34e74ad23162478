//! The last events of a feed.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::{Capacity, Event, Next};

pub(super) struct Ring<T> {
    /// Without holes: the last one has the place `last`.
    events: VecDeque<(Arc<Event<T>>, usize)>,
    last: u64,
    bytes: usize,
    capacity: Capacity,
}

impl<T> Ring<T> {
    pub(super) fn new(last: u64, capacity: Capacity) -> Self {
        Self { events: VecDeque::new(), last, bytes: 0, capacity }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, body: T, bytes: usize) -> u64 {
        self.last += 1;
        self.bytes += bytes;
        self.events.push_back((Arc::new(Event { sequence: self.last, body, encoded: OnceLock::new() }), bytes));
        while self.events.len() > 1 && (self.events.len() > self.capacity.events || self.bytes > self.capacity.bytes) {
            if let Some((_, gone)) = self.events.pop_front() {
                self.bytes -= gone;
            }
        }
        self.last
    }

    /// The event at `sequence`, a gap up to the first that is kept, or `None` if it is yet to come.
    pub(super) fn get(&self, sequence: u64) -> Option<Next<T>> {
        if sequence > self.last {
            return None;
        }
        let first = self.last + 1 - self.events.len() as u64;
        if sequence < first {
            return Some(Next::Gap { from: sequence, to: first });
        }
        let (event, _) = self.events.get(usize::try_from(sequence - first).ok()?)?;
        Some(Next::Event(Arc::clone(event)))
    }
}
