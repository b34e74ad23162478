//! The operations: keys, values, and the mix of reads and writes. An operation follows from its
//! number, so that every answer is known.

use crate::args::Options;

/// The operations of a load.
pub(crate) struct Load {
    keys: u64,
    writes: u64,
    pub(crate) batch: usize,
    pub(crate) value: String,
    /// Owner of the store that is read, if it is another user's.
    pub(crate) owner: Option<String>,
}

/// One operation.
pub(crate) struct Operation {
    pub(crate) key: String,
    pub(crate) write: bool,
}

impl Load {
    pub(crate) fn new(options: &Options, owner: Option<String>) -> Self {
        let writes = if owner.is_some() { 0 } else { options.writes };
        let value = (b'a'..=b'z').cycle().take(options.value_size).map(char::from).collect();
        Self { keys: options.keys, writes, batch: options.batch(), value, owner }
    }

    /// The name of a key.
    pub(crate) fn key(number: u64) -> String {
        format!("bench:{number:010}")
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys
    }

    /// The operations of a request.
    pub(crate) fn operations(&self, request: u64) -> impl Iterator<Item = Operation> {
        let first = request.wrapping_mul(self.batch as u64);
        (first..first.wrapping_add(self.batch as u64)).map(|number| {
            let mixed = mix(number);
            Operation {
                key: Self::key(mixed % self.keys),
                write: (mixed >> 40) % 100 < self.writes,
            }
        })
    }
}

/// Pseudo-random number (splitmix64), so that neither keys nor writes form a pattern.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_what_was_asked_for() {
        for (writes, want) in
            [(0, 0..1), (10, 900..1_100), (50, 4_700..5_300), (100, 10_000..10_001)]
        {
            let load = Load { keys: 7, writes, batch: 10, value: String::new(), owner: None };
            let all: Vec<Operation> =
                (0..1_000).flat_map(|request| load.operations(request)).collect();
            assert_eq!(all.len(), 10_000);
            assert!(
                want.contains(&all.iter().filter(|operation| operation.write).count()),
                "{writes}"
            );
            for key in 0..7 {
                let count = all.iter().filter(|operation| operation.key == Load::key(key)).count();
                assert!((1_200..1_700).contains(&count), "key {key} came {count} times");
            }
        }
    }
}
