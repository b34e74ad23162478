//! Tests of the slab against a map of its expected content.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// MapSlot of this length, told from others by its revision.
fn slot(len: usize, number: u64) -> OwnedSlot<'static> {
    let mut bytes = vec![0; len];
    bytes.get_mut(3..11).unwrap().copy_from_slice(&number.to_le_bytes());
    OwnedSlot::new(bytes)
}

/// Checks the slots; that for each length at most one chunk has used and free slots; and that these
/// chunks are the open ones.
fn check(slab: &Slab, model: &BTreeMap<u16, (u64, usize)>) {
    assert_eq!(slab.len(), model.len());
    assert_eq!(slab.iter().count(), model.len());
    for (&at, &(number, len)) in model {
        let slot = slab.get(at).unwrap();
        assert_eq!((slot.revision(), slot.bytes().len()), (number, len), "at {at}");
    }
    let list = |first: u16| {
        let mut ids = Vec::new();
        let mut id = first;
        while let Some(chunk) = slab.chunks.get(usize::from(id)) {
            ids.push(id);
            assert!(ids.len() <= slab.chunks.len(), "a list ends");
            id = chunk.next;
        }
        assert_eq!(id, NO_CHUNK, "a list has only chunks that are there");
        ids.sort_unstable();
        ids
    };
    let ids = |is_in: &dyn Fn(&Chunk) -> bool| -> Vec<u16> {
        let chunks = slab.chunks.iter().enumerate().filter(|(_, chunk)| is_in(chunk));
        chunks.map(|(id, _)| u16::try_from(id).unwrap()).collect()
    };
    let open = list(slab.open);
    assert_eq!(open, ids(&|chunk| chunk.used() > 0 && chunk.used() < slots(chunk.slot_len())));
    assert_eq!(list(slab.empty), ids(&|chunk| chunk.used() == 0));
    let mut lens: Vec<_> =
        open.iter().map(|id| slab.chunks.get(usize::from(*id)).unwrap().slot_len).collect();
    lens.sort_unstable();
    lens.dedup();
    assert_eq!(lens.len(), open.len(), "one open chunk for each length");
}

fn lens() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![16, 32, 128, 512, 700, 3_000])
}

proptest! {
    #[test]
    fn a_slab_holds_what_was_put_in_and_not_taken_out(
        steps in prop::collection::vec((any::<u16>(), lens()), 1..400),
        // Number of steps out of 8 that add a slot.
        growth in 2_u16..7,
    ) {
        let mut slab = Slab::default();
        let mut model = BTreeMap::new();
        for (number, (choice, len)) in (0..).zip(steps) {
            if choice % 8 < growth || model.is_empty() {
                let at = slab.push(slot(len, number)).unwrap();
                prop_assert_eq!(model.insert(at, (number, len)), None, "the position was free");
            } else {
                let at = *model.keys().nth(usize::from(choice / 8) % model.len()).unwrap();
                let (taken, moved_from) = slab.take(at).unwrap();
                let expected = model.remove(&at).unwrap();
                let slot = taken.as_ref();
                prop_assert_eq!((slot.revision(), slot.bytes().len()), expected);
                if let Some(moved_from) = moved_from {
                    let moved = model.remove(&moved_from).unwrap();
                    model.insert(at, moved);
                }
            }
            check(&slab, &model);
        }
        let mut left: Vec<_> = model.values().copied().collect();
        slab.empty_into(|slot| {
            let slot = (slot.as_ref().revision(), slot.as_ref().bytes().len());
            left.retain(|of_model| *of_model != slot);
        });
        prop_assert_eq!(left, Vec::new());
    }
}

#[test]
fn a_slab_has_room_until_its_chunks_are_used_up() {
    let mut slab = Slab::default();
    for number in 0..MAX_CHUNKS {
        assert!(slab.has_room());
        assert!(slab.push(slot(600, number as u64)).is_some());
    }
    assert!(!slab.has_room());
    assert_eq!(slab.push(slot(600, 0)), None);
    assert_eq!(slab.len(), MAX_CHUNKS);
    assert!(slab.take(16).is_some());
    assert!(slab.has_room());
    assert_eq!(slab.push(slot(16, 0)), Some(16));
}
