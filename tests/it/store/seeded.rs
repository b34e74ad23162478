//! The checkers find every seeded bug.

use super::buggy::{Bug, BuggyEngine, switch};
use super::checks;

/// Rounds of all checks in which a bug must show; those that need a race usually show in the first
/// few.
const ROUNDS: u64 = 300;

#[test]
fn every_seeded_bug_is_caught() {
    let caught_by = |bug| {
        switch(Some(bug));
        let caught = (0..ROUNDS).find_map(|seed| {
            let found = checks::all::<BuggyEngine>()
                .iter()
                .find_map(|(name, check)| check(seed).err().map(|violation| (*name, violation)));
            found.map(|(name, violation)| (seed, name, violation))
        });
        switch(None);
        caught
    };
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match caught_by(bug) {
            Some((round, name, violation)) => {
                eprintln!("{bug:?}, round {round}: \"{name}\" is broken: {violation:.200}")
            }
            None => missed.push(bug),
        }
    }
    eprintln!("caught {} of {}", Bug::ALL.len() - missed.len(), Bug::ALL.len());
    assert_eq!(missed, [], "not caught");
    for (name, check) in checks::all::<BuggyEngine>() {
        assert_eq!(check(0), Ok(()), "{name}, with every bug switched off again");
    }
}
