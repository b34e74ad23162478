//! Single operations, at the edges.

use kvrpc::model::{Error, MAX_BATCH_OPERATIONS, Outcome, Reason, Result, UnixMillis};
use kvrpc::store::{StoreLimits, Usage};

use super::{
    Engine, NO_LIMITS, START, Step, Tested, batch, delete, entry_bytes, for_each_engine, get,
    get_text, key, list, ms, put, reason, removal, revision, text, write, write_if, write_until,
};

fn a_condition_holds_or_says_why_not<E: Engine>() {
    let (engine, _) = E::make(NO_LIMITS);
    for (name, there, if_revision, holds) in [
        ("no such key, as asked", false, 0, Ok(())),
        ("no such key", false, 1, Err("if_revision is 1, but there is no such key")),
        ("the key's revision", true, 2, Ok(())),
        ("an older revision", true, 1, Err("if_revision is 1, but the key has revision 2")),
        ("a later revision", true, 3, Err("if_revision is 3, but the key has revision 2")),
        (
            "a key that must not be there",
            true,
            0,
            Err("if_revision is 0 (no such key), but the key has revision 2"),
        ),
    ] {
        for deletes in [false, true] {
            let store = engine.open();
            put(&store, write("other", "")).unwrap();
            if there {
                put(&store, write("k", "old")).unwrap();
            }
            let before = revision(&store);
            let done = if deletes {
                let mut delete_it = removal("k");
                delete_it.if_revision = Some(if_revision);
                delete(&store, delete_it).map(|(deleted, _)| assert_eq!(deleted, there, "{name}"))
            } else {
                put(&store, write_if("k", "new", if_revision)).map(|_| ())
            };
            match (done, holds) {
                (Ok(()), Ok(())) => {
                    assert_eq!(revision(&store), before + u64::from(there || !deletes), "{name}");
                    assert_eq!(
                        get_text(&store, "k").as_deref(),
                        (!deletes).then_some("new"),
                        "{name}"
                    );
                }
                (Err(error), Err(message)) => {
                    assert_eq!(
                        (error.reason(), error.message()),
                        (Reason::RevisionMismatch, message),
                        "{name}"
                    );
                    assert_eq!(error.field(), Some("if_revision"), "{name}");
                    assert_eq!(revision(&store), before, "{name}");
                    assert_eq!(get_text(&store, "k").as_deref(), there.then_some("old"), "{name}");
                }
                (done, _) => panic!("{name}, delete: {deletes}: {done:?}"),
            }
        }
    }
}

fn a_key_goes_at_its_time<E: Engine>() {
    let (engine, clock) = E::make(NO_LIMITS);
    let store = engine.open();
    assert_eq!(put(&store, write_until("k", "v", START + 10)).unwrap(), 1);
    clock.advance(ms(9));
    assert_eq!(
        get(&store, "k").and_then(|entry| entry.expire_time),
        Some(UnixMillis::new(START + 10))
    );
    clock.advance(ms(1));
    assert_eq!(get(&store, "k"), None, "at the time itself it is gone");
    assert_eq!(revision(&store), 2, "an expiry is a change");
    assert_eq!(list(&store, "", 10, 1_000).concat(), [], "in listings too");
    assert_eq!(reason(put(&store, write_if("k", "v", 1))), Reason::RevisionMismatch);
    assert_eq!(put(&store, write_if("k", "v", 0)).unwrap(), 3, "as if it had never been there");
    assert_eq!(get(&store, "k").and_then(|entry| entry.expire_time), None);

    put(&store, write_until("k", "v", clock.now().as_u64() + 5)).unwrap();
    put(&store, write("k", "w")).unwrap();
    clock.advance(ms(10));
    assert_eq!(
        get_text(&store, "k").as_deref(),
        Some("w"),
        "a put without expiry clears the old one"
    );
}

fn a_put_whose_time_has_passed_leaves_no_key<E: Engine>() {
    let (engine, _) = E::make(StoreLimits { max_keys_per_user: 1, ..NO_LIMITS });
    let store = engine.open();
    assert_eq!(put(&store, write_until("k", "v", START)).unwrap(), 1, "it is a write");
    put(&store, write("k", "v")).unwrap();
    assert_eq!(put(&store, write_until("k", "v", START - 1)).unwrap(), 3, "of one revision");
    assert_eq!((get(&store, "k"), store.usage()), (None, Usage::default()));
    put(&store, write("one", "")).unwrap();
    assert_eq!(put(&store, write_until("two", "", START)).unwrap(), 5, "which no quota refuses");
    assert_eq!(reason(put(&store, write_if("one", "", 7))), Reason::RevisionMismatch);
    assert_eq!(get_text(&store, "one").as_deref(), Some(""));
}

fn expired_keys_in_heaps_are_gone_at_once<E: Engine>() {
    let (engine, clock) = E::make(StoreLimits { max_keys_per_user: 10_000, ..NO_LIMITS });
    let store = engine.open();
    for number in 0..10_000 {
        put(&store, write_until(&format!("key {number}"), "v", START + 1 + number)).unwrap();
    }
    clock.advance(ms(10_000));
    // The last of the expired keys: each operation removes a few of the oldest, and the one that it
    // asks for.
    assert_eq!(get(&store, "key 9999"), None);
    assert_eq!(reason(put(&store, write_if("key 9998", "v", 9_999))), Reason::RevisionMismatch);
    let mut condition = removal("key 9997");
    condition.if_revision = Some(9_998);
    assert_eq!(reason(delete(&store, condition)), Reason::RevisionMismatch);
    assert!(!delete(&store, removal("key 9996")).unwrap().0);
    let read = batch(
        &store,
        vec![Step::Get { key: key("key 9995") }, Step::Put(write_if("key 9994", "v", 0))],
    );
    assert_eq!(read.unwrap().outcomes.first(), Some(&Outcome::Get(None)));
    let listed: Vec<_> = list(&store, "", 1_000, usize::MAX).concat();
    assert_eq!(listed.len(), 1, "only the new key");
    assert!(store.usage().keys > 5_000, "most of them are still to be taken out");
}

fn what_expired_does_not_stand_in_the_way_of_a_write<E: Engine>() {
    for (name, limits) in [
        ("keys", StoreLimits { max_keys_per_user: 3_000, ..NO_LIMITS }),
        ("bytes", StoreLimits { max_bytes_per_user: 300_000, ..NO_LIMITS }),
        ("bytes in all", StoreLimits { max_bytes_total: 300_000, ..NO_LIMITS }),
    ] {
        if limits.max_bytes_total < u64::MAX && !E::COUNTS_ALL {
            continue;
        }
        let (engine, clock) = E::make(limits);
        let store = engine.open();
        let until = START + 1;
        for number in 0..3_000 {
            put(&store, write_until(&format!("key {number}"), &"v".repeat(20), until)).unwrap();
        }
        let large = "v".repeat(250_000);
        if limits.max_keys_per_user == u64::MAX {
            assert!(put(&store, write("large", &large)).is_err(), "{name}");
        }
        clock.advance(ms(1));
        // 2,700 of the expired keys count as much: many more than an operation usually removes.
        batch(&store, vec![Step::Put(write("small", "")), Step::Put(write("large", &large))])
            .unwrap();
        assert_eq!(get_text(&store, "large"), Some(large), "{name}");
    }
}

fn quotas_hold_to_the_byte_and_say_what_they_are<E: Engine>() {
    let unit = entry_bytes("k0", "123456");
    for (name, limits, want) in [
        (
            "keys",
            StoreLimits { max_keys_per_user: 2, ..NO_LIMITS },
            (Reason::QuotaExceeded, "the store has 2 keys, and 2 are allowed"),
        ),
        (
            "bytes",
            StoreLimits { max_bytes_per_user: 3 * unit - 1, ..NO_LIMITS },
            (
                Reason::QuotaExceeded,
                "the key needs 72 bytes, with which the store would have 216; 215 are allowed",
            ),
        ),
        (
            "bytes in all",
            StoreLimits { max_bytes_total: 3 * unit - 1, ..NO_LIMITS },
            (
                Reason::ServerFull,
                "all stores together would have more than the 215 bytes allowed; 72 more were \
                 needed",
            ),
        ),
    ] {
        if limits.max_bytes_total < u64::MAX && !E::COUNTS_ALL {
            continue;
        }
        let (engine, _) = E::make(limits);
        let store = engine.open();
        put(&store, write("k0", "123456")).unwrap();
        put(&store, write("k1", "123456")).unwrap();
        let full = Usage { keys: 2, bytes: 2 * unit, request_id_bytes: 0 };
        let refused = |result: Result<u64>| {
            let error: Error = result.unwrap_err();
            assert_eq!((error.reason(), error.message()), want, "{name}");
            assert_eq!(
                (store.usage(), engine.usage(), revision(&store)),
                (full, full, 2),
                "{name}"
            );
        };
        refused(put(&store, write("k2", "123456")));
        refused(put(&store, write("k2", "123456")));
        assert_eq!(
            put(&store, write("k1", "654321")).unwrap(),
            3,
            "{name}: an overwrite of the same size fits"
        );
        delete(&store, removal("k0")).unwrap();
        put(&store, write("k2", "123456")).unwrap();
        assert_eq!((store.usage(), engine.usage()), (full, full), "{name}");
    }
}

fn a_batch_is_all_or_nothing<E: Engine>() {
    let (engine, _) = E::make(StoreLimits { max_keys_per_user: 4, ..NO_LIMITS });
    let store = engine.open();
    put(&store, write_until("old", "old value", START + 5)).unwrap();
    put(&store, write("gone", "g")).unwrap();
    let before = (store.usage(), engine.usage(), revision(&store), list(&store, "", 10, 1_000));
    let steps = |last: Step| {
        vec![
            Step::Put(write("old", "new")),
            Step::Put(write("new", "1")),
            Step::Put(write("new", "22")),
            Step::Delete(removal("gone")),
            Step::Delete(removal("new")),
            Step::Put(write_until("gone", "again", START + 9)),
            last,
        ]
    };
    let unit = |number: usize| Step::Put(write(&format!("unit {number}"), ""));
    for (name, last, want) in [
        ("condition", vec![Step::Put(write_if("old", "", 9))], (6, Reason::RevisionMismatch)),
        ("quota", (0..4).map(unit).collect(), (8, Reason::QuotaExceeded)),
    ] {
        let mut all = steps(Step::Get { key: key("old") });
        all.pop();
        all.extend(last);
        let error = batch(&store, all).unwrap_err();
        assert_eq!(error.reason(), want.1, "{name}");
        assert!(error.message().starts_with(&format!("operation {}: ", want.0)), "{name}: {error}");
        assert_eq!(
            (store.usage(), engine.usage(), revision(&store), list(&store, "", 10, 1_000)),
            before,
            "{name}"
        );
    }

    let done = batch(&store, steps(Step::Get { key: key("old") })).unwrap();
    let outcomes = [
        Outcome::Put { revision: 3 },
        Outcome::Put { revision: 4 },
        Outcome::Put { revision: 5 },
        Outcome::Delete { deleted: true },
        Outcome::Delete { deleted: true },
        Outcome::Put { revision: 8 },
        Outcome::Get(get(&store, "old")),
    ];
    assert_eq!((done.outcomes.as_slice(), done.revision), (outcomes.as_slice(), 8));
    assert_eq!(get_text(&store, "old").as_deref(), Some("new"));
}

fn a_failed_batch_leaves_expiries_as_they_were<E: Engine>() {
    let (engine, clock) = E::make(NO_LIMITS);
    let store = engine.open();
    put(&store, write_until("k", "v", START + 5)).unwrap();
    put(&store, write("stays", "v")).unwrap();
    let steps = vec![
        Step::Put(write("k", "for ever")),
        Step::Put(write_until("stays", "not for ever", START + 2)),
        Step::Delete(removal("k")),
        Step::Put(write_if("k", "", 1)),
    ];
    assert_eq!(reason(batch(&store, steps)), Reason::RevisionMismatch);
    clock.advance(ms(4));
    assert_eq!(
        (get_text(&store, "k").as_deref(), get_text(&store, "stays").as_deref()),
        (Some("v"), Some("v"))
    );
    clock.advance(ms(1));
    assert_eq!((get_text(&store, "k"), get_text(&store, "stays").as_deref()), (None, Some("v")));
}

fn a_batch_never_knows_the_revision_of_what_it_wrote<E: Engine>() {
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    put(&store, write("k", "v")).unwrap();
    let guess = |steps: Vec<Step>| reason(batch(&store, steps));
    let after_put = vec![Step::Put(write("k", "1")), Step::Put(write_if("k", "2", 2))];
    assert_eq!(guess(after_put), Reason::RevisionMismatch, "2 is the revision, but a guess");
    assert_eq!(
        guess(vec![Step::Put(write("n", "")), Step::Put(write_if("n", "", 0))]),
        Reason::RevisionMismatch
    );
    let steps = vec![
        Step::Delete(removal("k")),
        Step::Put(write_if("k", "2", 0)),
        Step::Put(write_if("n", "", 0)),
    ];
    assert_eq!(batch(&store, steps).unwrap().revision, 4, "that there is no key is known");
}

fn a_batch_reads_no_more_than_a_reply_holds<E: Engine>() {
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    put(&store, write("large", &"v".repeat(1 << 20))).unwrap();
    let gets = |count| vec![Step::Get { key: key("large") }; count];
    assert_eq!(batch(&store, gets(3)).unwrap().outcomes.len(), 3);
    let mut steps = vec![Step::Put(write("new", ""))];
    steps.extend(gets(MAX_BATCH_OPERATIONS - 1));
    let error = batch(&store, steps).unwrap_err();
    assert_eq!((error.reason(), error.field()), (Reason::InvalidBatch, Some("operations[4]")));
    assert_eq!((get(&store, "new"), revision(&store)), (None, 1));
}

fn a_listing_keeps_to_its_rows_and_bytes<E: Engine>() {
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    for number in 0..3_000 {
        put(
            &store,
            write(&format!("{} {number}", if number % 100 == 0 { "rare" } else { "often" }), "123"),
        )
        .unwrap();
    }
    for (prefix, max_rows, max_bytes, rows) in [
        ("", 1, usize::MAX, 3_000),
        ("", 0, 0, 3_000),
        ("", 100, 64, 3_000),
        ("", 1_000, usize::MAX, 3_000),
        ("often", 999, 5_000, 2_970),
        ("rare", 7, usize::MAX, 30),
        ("rare 100", 7, usize::MAX, 2),
        ("none", 7, usize::MAX, 0),
    ] {
        let pages = list(&store, prefix, max_rows, max_bytes);
        for page in &pages {
            let bytes: usize = page.iter().map(|row| row.key.as_str().len() + 3).sum();
            assert!(
                page.len() <= max_rows.max(1) && (bytes <= max_bytes || page.len() == 1),
                "{prefix} {max_rows}"
            );
        }
        let listed: Vec<_> = pages.concat();
        assert!(
            listed
                .iter()
                .all(|row| row.key.as_str().starts_with(prefix) && row.value == Some(text("123")))
        );
        assert_eq!(listed.len(), rows, "{prefix} {max_rows} {max_bytes}");
        let everything = list(&store, prefix, 1_000_000, usize::MAX).concat();
        assert_eq!(listed, everything, "the order does not depend on the pages");
    }
}

for_each_engine! {
    a_condition_holds_or_says_why_not
    a_key_goes_at_its_time
    a_put_whose_time_has_passed_leaves_no_key
    expired_keys_in_heaps_are_gone_at_once
    what_expired_does_not_stand_in_the_way_of_a_write
    quotas_hold_to_the_byte_and_say_what_they_are
    a_batch_is_all_or_nothing
    a_failed_batch_leaves_expiries_as_they_were
    a_batch_never_knows_the_revision_of_what_it_wrote
    a_batch_reads_no_more_than_a_reply_holds
    a_listing_keeps_to_its_rows_and_bytes
}
