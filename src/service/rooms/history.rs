//! The memory that the histories of all rooms take at this server.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::ChatEvent;
use crate::store::feed::Weight;

/// Size that an event counts for, beside its text and its user's name.
const EVENT_BYTES: usize = 160;
/// Minimum share of a room, however many rooms there are, in bytes: more than the largest event.
const MIN_SHARE: u64 = 16 << 10;

/// Returns what an event counts for in its room's history. Only messages count towards the number
/// of messages.
pub(super) fn weight(event: &ChatEvent) -> Weight {
    let text = match event {
        ChatEvent::Message { text, .. } => text.len(),
        ChatEvent::Joined(_) | ChatEvent::Left(_) => 0,
    };
    // The encoded event, once there is one, contains text and name a second time.
    let bytes = EVENT_BYTES + 2 * (text + event.participant().user.name.len());
    Weight { counts: is_message(event), bytes }
}

pub(super) const fn is_message(event: &ChatEvent) -> bool {
    matches!(event, ChatEvent::Message { .. })
}

/// The rooms at this server, and the memory of their histories.
pub(super) struct HistoryBudget {
    /// Maximum size of all histories together, in bytes.
    limit: u64,
    rooms: AtomicU64,
    used: AtomicU64,
}

impl HistoryBudget {
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit, rooms: AtomicU64::new(0), used: AtomicU64::new(0) }
    }

    /// Returns the number of rooms.
    pub(super) fn rooms(&self) -> u64 {
        self.rooms.load(Ordering::Relaxed)
    }

    /// Sets the number of rooms.
    pub(super) fn set_rooms(&self, rooms: usize) {
        self.rooms.store(rooms as u64, Ordering::Relaxed);
    }

    /// Returns the size of all histories, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the size to which each room trims its history while the limit is exceeded, in bytes.
    pub(super) fn share(&self) -> usize {
        let share = self.limit / self.rooms().max(1);
        usize::try_from(share.max(MIN_SHARE)).unwrap_or(usize::MAX)
    }

    /// Replaces what a room was charged before. Returns true if the limit is exceeded.
    pub(super) fn charge(&self, charged: &AtomicU64, bytes: u64) -> bool {
        let change = bytes.wrapping_sub(charged.swap(bytes, Ordering::Relaxed));
        self.used.fetch_add(change, Ordering::Relaxed).wrapping_add(change) > self.limit
    }
}
