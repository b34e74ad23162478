//! Followers, alone and many.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use super::*;

const SMALL: Capacity = Capacity { events: 3, bytes: 100 };

const fn bytes(bytes: usize) -> Weight {
    Weight { counts: true, bytes }
}

async fn next(follower: &mut Follower<u32>) -> FeedItem<u32> {
    tokio::time::timeout(Duration::from_secs(5), poll_fn(|context| follower.poll_next(context)))
        .await
        .unwrap()
}

fn bodies(follower: &mut Follower<u32>) -> Vec<String> {
    let show = |next| match next {
        FeedItem::Event(event) => format!("{}={}", event.sequence, event.body),
        FeedItem::Gap { from, to } => format!("gap {from}..{to}"),
    };
    std::iter::from_fn(|| follower.try_next()).map(show).collect()
}

#[test]
fn a_follower_gets_what_is_kept_and_is_told_of_what_is_not() {
    let feed = Feed::new(10, SMALL);
    let mut early = feed.follow(10);
    for body in 1..=5 {
        feed.publish(body, bytes(1));
    }
    assert_eq!(bodies(&mut early), ["gap 11..13", "13=3", "14=4", "15=5"]);
    assert_eq!(bodies(&mut feed.follow(13)), ["14=4", "15=5"]);
    assert!(bodies(&mut feed.follow(99)).is_empty());
    feed.publish(6, bytes(1_000));
    assert_eq!(bodies(&mut early), ["16=6"], "the latest stays, however large");
    assert_eq!(feed.bytes(), 1_000);
}

#[test]
fn events_that_do_not_count_take_bytes_alone_and_a_trim_leaves_a_gap() {
    let feed = Feed::new(0, SMALL);
    for body in 1..=20 {
        feed.publish(body, Weight { counts: body % 5 == 0, bytes: 1 });
    }
    assert_eq!(feed.first(), 6, "of the four that count, three stay, with those between them");
    let mut follower = feed.follow(18);
    feed.trim(1);
    assert_eq!((feed.first(), feed.bytes()), (20, 1));
    assert_eq!(bodies(&mut follower), ["gap 19..20", "20=20"]);
    feed.trim(0);
    assert_eq!((feed.first(), feed.last(), feed.bytes()), (21, 20, 0));
    assert_eq!(bodies(&mut feed.follow(4)), ["gap 5..21"]);
    feed.publish(21, bytes(1));
    assert_eq!(bodies(&mut feed.follow(20)), ["21=21"]);
}

#[test]
fn an_event_is_encoded_once() {
    let feed = Feed::new(0, SMALL);
    feed.publish(7, bytes(1));
    let mut encodings = 0;
    for _ in 0..2 {
        let Some(FeedItem::Event(event)) = feed.follow(0).try_next() else { panic!("no event") };
        event.encoded(|event| {
            encodings += 1;
            Bytes::from(event.body.to_string())
        });
    }
    assert_eq!(encodings, 1);
}

#[tokio::test]
async fn who_waits_is_woken_and_who_leaves_is_forgotten() {
    let feed = Feed::new(0, SMALL);
    let (mut waits, mut leaves) = (feed.follow(0), feed.follow(0));
    let leaving = tokio::spawn(async move { next(&mut leaves).await });
    let waiting = tokio::spawn(async move {
        next(&mut waits).await;
        waits
    });
    while feed.followers() < 2 {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    let _ = leaving.await;
    assert_eq!(feed.followers(), 1);
    feed.publish(1, bytes(1));
    drop(waiting.await.unwrap());
    assert_eq!(feed.followers(), 0);
}

/// Publishers on their own threads, followers on two served threads: nobody misses or doubles an
/// event, or sleeps on one.
#[test]
fn followers_on_many_threads_get_every_event_once() {
    const EVENTS: u32 = 2_000;
    let feed = Feed::new(0, Capacity { events: 10_000, bytes: usize::MAX });
    let followers: Vec<_> = (0..2)
        .map(|_| {
            let feed = Arc::clone(&feed);
            std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let serving = tokio::spawn(ThreadWaker::serve());
                    tokio::task::yield_now().await;
                    let tasks: Vec<_> = (0..10)
                        .map(|_| tokio::spawn(follow_all(feed.follow(0), 2 * EVENTS)))
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                    serving.abort();
                });
            })
        })
        .collect();
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let feed = Arc::clone(&feed);
            std::thread::spawn(move || {
                (0..EVENTS).for_each(|body| _ = feed.publish(body, bytes(1)))
            })
        })
        .collect();
    publishers.into_iter().chain(followers).for_each(|thread| thread.join().unwrap());
    assert_eq!(feed.followers(), 0);
}

async fn follow_all(mut follower: Follower<u32>, events: u32) {
    for sequence in 1..=u64::from(events) {
        match next(&mut follower).await {
            FeedItem::Event(event) => assert_eq!(event.sequence, sequence),
            FeedItem::Gap { from, to } => panic!("gap {from}..{to}"),
        }
    }
}
