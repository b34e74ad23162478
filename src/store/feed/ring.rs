//! Ring buffer of a feed's last events.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::{Capacity, Event, FeedItem, Weight};

pub(super) struct Ring<T> {
    /// Without holes: the last one has the sequence `last`.
    events: VecDeque<(Arc<Event<T>>, Weight)>,
    last: u64,
    counted: usize,
    bytes: usize,
    capacity: Capacity,
}

/// Events that are no longer kept.
pub(super) type Evicted<T> = Vec<Arc<Event<T>>>;

impl<T> Ring<T> {
    pub(super) fn new(last: u64, capacity: Capacity) -> Self {
        Self { events: VecDeque::new(), last, counted: 0, bytes: 0, capacity }
    }

    pub(super) fn first(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, body: T, weight: Weight) -> (u64, Evicted<T>) {
        self.last += 1;
        self.counted += usize::from(weight.counts);
        self.bytes += weight.bytes;
        self.events.push_back((
            Arc::new(Event { sequence: self.last, body, encoded: OnceLock::new() }),
            weight,
        ));
        (self.last, self.pop(self.capacity, 1))
    }

    /// Empties the ring and continues after `last`, unless it is further already.
    pub(super) fn skip_to(&mut self, last: u64) -> Evicted<T> {
        if last <= self.last {
            return Vec::new();
        }
        self.last = last;
        (self.counted, self.bytes) = (0, 0);
        self.events.drain(..).map(|(event, _)| event).collect()
    }

    pub(super) fn trim(&mut self, bytes: usize) -> Evicted<T> {
        self.pop(Capacity { bytes, ..self.capacity }, 0)
    }

    /// Drops the oldest events until the rest fits, or only `least` are left.
    fn pop(&mut self, capacity: Capacity, least: usize) -> Evicted<T> {
        let mut evicted = Vec::new();
        while self.events.len() > least
            && (self.counted > capacity.events || self.bytes > capacity.bytes)
        {
            let Some((event, weight)) = self.events.pop_front() else { break };
            self.counted -= usize::from(weight.counts);
            self.bytes -= weight.bytes;
            evicted.push(event);
        }
        evicted
    }

    /// Returns the event at `sequence`, a gap up to the first that is kept, or `None` if it is yet
    /// to come.
    pub(super) fn get(&self, sequence: u64) -> Option<FeedItem<T>> {
        if sequence > self.last {
            return None;
        }
        let first = self.first();
        if sequence < first {
            return Some(FeedItem::Gap { from: sequence, to: first });
        }
        let (event, _) = self.events.get(usize::try_from(sequence - first).ok()?)?;
        Some(FeedItem::Event(Arc::clone(event)))
    }
}
