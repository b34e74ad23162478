//! Request ids: retries get the first answer, for a limited time.

use kvrpc::model::Reason;
use kvrpc::store::{Store, StoreLimits, Usage};

use super::{
    Engine, NO_LIMITS, Step, Tested, delete, delete_once, entry_bytes, for_each_engine, key, ms,
    once, put, put_once, reason, removal, revision, write, write_if,
};

fn a_request_id_gets_its_first_answer_for_five_minutes<E: Engine>() {
    let (engine, clock) = E::make(NO_LIMITS);
    let (caller, target) = (engine.open(), engine.open());
    let first = put_once(&target, write("k", "1"), once(&caller, "put", 1)).unwrap();
    let removed = delete_once(&target, removal("k"), once(&caller, "delete", 2)).unwrap();
    let get_it = || [Step::Put(write("b", "x")), Step::Get { key: key("b") }].into_iter().collect();
    let ran = E::Own::now(target.batch(get_it(), once(&caller, "batch", 3))).unwrap();
    delete(&target, removal("b")).unwrap();

    assert_eq!((first.revision, removed.deleted, removed.revision, ran.revision), (1, true, 2, 3));
    for wait in [0, 299_999] {
        clock.advance(ms(wait));
        assert_eq!(put_once(&target, write("k", "1"), once(&caller, "put", 1)).unwrap(), first);
        assert_eq!(
            delete_once(&target, removal("k"), once(&caller, "delete", 2)).unwrap(),
            removed
        );
        assert_eq!(E::Own::now(target.batch(get_it(), once(&caller, "batch", 3))).unwrap(), ran);
        assert_eq!(revision(&target), 4);
    }
    for (name, result) in [
        (
            "another payload",
            put_once(&target, write("k", "2"), once(&caller, "put", 9)).map(|_| ()),
        ),
        (
            "another kind of write",
            delete_once(&target, removal("k"), once(&caller, "put", 1)).map(|_| ()),
        ),
    ] {
        let error = result.unwrap_err();
        assert_eq!(
            (error.reason(), error.field()),
            (Reason::RequestIdReused, Some("request_id")),
            "{name}"
        );
    }
    assert_eq!(
        put_once(&target, write("k", "1"), once(&target, "put", 9)).unwrap().revision,
        5,
        "another caller's id"
    );
    clock.advance(ms(1));
    assert_eq!(
        put_once(&target, write("k", "1"), once(&caller, "put", 9)).unwrap().revision,
        6,
        "after five minutes"
    );
}

fn failures_are_not_remembered<E: Engine>() {
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    let try_it = || put_once(&store, write_if("k", "v", 1), once(&store, "id", 0));
    assert_eq!(reason(try_it()), Reason::RevisionMismatch);
    assert_eq!(store.usage(), Usage::default());
    put(&store, write("k", "")).unwrap();
    assert_eq!(try_it().unwrap().revision, 2);
}

fn ids_are_kept_by_number_and_by_size_the_latest_longest<E: Engine>() {
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    for number in 0..=10_000 {
        put_once(&store, write("k", ""), once(&store, &format!("id {number}"), 0)).unwrap();
    }
    put_once(&store, write("k", ""), once(&store, "id 1", 0)).unwrap();
    assert_eq!(revision(&store), 10_001, "id 1 is among the last 10,000");
    put_once(&store, write("k", ""), once(&store, "id 0", 0)).unwrap();
    assert_eq!(revision(&store), 10_002, "id 0 is not");

    put(&store, write("large", &"v".repeat(1 << 20))).unwrap();
    let store_of_reader = engine.open();
    for number in 0..10 {
        let gets = std::iter::repeat_n(Step::Get { key: key("large") }, 3).collect();
        E::Own::now(store.batch(gets, once(&store_of_reader, &format!("read {number}"), 0)))
            .unwrap();
        assert!(store_of_reader.usage().request_id_bytes <= 16 << 20);
    }
    assert!(store_of_reader.usage().request_id_bytes > 15 << 20, "five answers of 3 MiB fit");
}

fn an_answer_that_cannot_be_remembered_is_not_given<E: Engine>() {
    if !E::COUNTS_ALL {
        return;
    }
    let unit = entry_bytes("k", "v");
    let (engine, _) = E::make(StoreLimits { max_bytes_total: unit, ..NO_LIMITS });
    let store = engine.open();
    assert_eq!(
        reason(put_once(&store, write("k", "v"), once(&store, "id", 0))),
        Reason::ServerFull
    );
    assert_eq!(
        (store.usage(), engine.usage(), revision(&store)),
        (Usage::default(), Usage::default(), 0)
    );
    put(&store, write("k", "v")).unwrap();
}

for_each_engine! {
    a_request_id_gets_its_first_answer_for_five_minutes
    failures_are_not_remembered
    ids_are_kept_by_number_and_by_size_the_latest_longest
    an_answer_that_cannot_be_remembered_is_not_given
}
