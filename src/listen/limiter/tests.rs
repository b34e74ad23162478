//! Admission and eviction of connections.

use tokio::sync::oneshot::error::TryRecvError;

use super::*;

fn peer(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), 4000)
}

#[test]
fn a_quarter_is_the_share_of_a_source() {
    for (name, first, second, shared) in [
        ("an IPv4 address is a source", "192.0.2.1", "192.0.2.1", true),
        ("its neighbour is another", "192.0.2.1", "192.0.2.2", false),
        ("the same by an IPv6 socket is the same", "192.0.2.1", "::ffff:192.0.2.1", true),
        ("an IPv6 /64 is a source", "2001:db8::1", "2001:db8::ffff:1", true),
        ("the next /64 is another", "2001:db8::1", "2001:db8:0:1::1", false),
        ("loopback has no share", "127.0.0.1", "127.0.0.1", false),
        ("IPv6 loopback has none either", "::1", "::1", false),
    ] {
        let limiter = ConnectionLimiter::new("test", 4);
        let held = limiter.admit(peer(first)).unwrap();
        let refused = limiter.admit(peer(second)).err();
        assert_eq!(refused, shared.then_some(AdmissionError::Source), "{name}");
        drop(held);
        assert!(limiter.admit(peer(second)).is_ok(), "{name}: a place that was given back is free");
    }
}

#[test]
fn the_longest_silent_goes_first_and_those_that_spoke_stay() {
    let limiter = ConnectionLimiter::new("test", 3);
    let [mut spoke, mut silent, mut later] =
        [(); 3].map(|()| limiter.admit(peer("127.0.0.1")).unwrap());
    spoke.mark_active();
    let mut newcomer = limiter.admit(peer("127.0.0.1")).unwrap();
    let told = |permit: &mut Permit| permit.evicted().unwrap().try_recv();
    let (safe, not_yet) = (Err(TryRecvError::Closed), Err(TryRecvError::Empty));
    let all = [&mut spoke, &mut silent, &mut later, &mut newcomer].map(told);
    assert_eq!(all, [safe, Ok(()), not_yet.clone(), not_yet]);
    assert_eq!(limiter.stats(), Stats { open: 4, admitted: 4, refused: 0, evicted: 1 });

    later.mark_active();
    newcomer.mark_active();
    drop(silent);
    assert_eq!(limiter.admit(peer("127.0.0.1")).err(), Some(AdmissionError::Full));
    drop(spoke);
    let next = limiter.admit(peer("127.0.0.1")).unwrap();
    assert_eq!(limiter.stats(), Stats { open: 3, admitted: 5, refused: 1, evicted: 1 });
    drop((later, newcomer, next));
    let state = limiter.state.lock();
    assert!(
        state.open == 0
            && state.leaving.is_empty()
            && state.silent.is_empty()
            && state.by_source.is_empty()
    );
}

#[test]
fn those_told_to_go_are_bounded() {
    let limiter = ConnectionLimiter::new("test", 1);
    let mut held = vec![limiter.admit(peer("::1")).unwrap()];
    held.extend((0..MAX_LEAVING).map(|_| limiter.admit(peer("::1")).unwrap()));
    assert_eq!(limiter.admit(peer("::1")).err(), Some(AdmissionError::Full));
    held.remove(0);
    assert!(limiter.admit(peer("::1")).is_ok());
}
