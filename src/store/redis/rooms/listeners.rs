//! Invalidation listeners: who is notified when a room's events change.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::RoomKeys;
use crate::store::redis::RedisEngine;
use crate::store::redis::change_follower::Invalidation;

/// The listeners at this server, by the keys of the rooms' events.
#[derive(Default)]
pub(in crate::store::redis) struct RoomListeners(Mutex<HashMap<String, Weak<Notify>>>);

impl RoomListeners {
    /// Notifies the listeners that a connection's invalidation message concerns.
    pub(in crate::store::redis) fn notify(&self, changed: &Invalidation) {
        let listeners = self.0.lock();
        let notify = |listener: &Weak<Notify>| {
            if let Some(listener) = listener.upgrade() {
                listener.notify_one();
            }
        };
        match changed {
            Invalidation::Keys(keys) => {
                keys.iter().filter_map(|key| listeners.get(key)).for_each(notify);
            }
            Invalidation::Anything => listeners.values().for_each(notify),
            Invalidation::Nothing => {}
        }
    }
}

/// Notified when a room's events have changed since this server last read them. A room has at most
/// one listener at a time.
pub struct RoomListener {
    listeners: Arc<RoomListeners>,
    key: String,
    /// Notified once for any number of changes.
    pub changed: Arc<Notify>,
}

impl Drop for RoomListener {
    fn drop(&mut self) {
        let mut listeners = self.listeners.0.lock();
        // A later listener may have taken the place of this one.
        if listeners
            .get(&self.key)
            .is_some_and(|current| std::ptr::eq(current.as_ptr(), Arc::as_ptr(&self.changed)))
        {
            listeners.remove(&self.key);
        }
    }
}

impl RedisEngine {
    /// Registers a listener for a room's events.
    pub fn listen(&self, room: &RoomKeys) -> RoomListener {
        let changed = Arc::new(Notify::new());
        let listeners = Arc::clone(&self.0.room_listeners);
        listeners.0.lock().insert(room.events.clone(), Arc::downgrade(&changed));
        RoomListener { listeners, key: room.events.clone(), changed }
    }
}
