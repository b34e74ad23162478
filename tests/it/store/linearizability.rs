//! The races of `checks`, many times over.

use super::{Engine, checks, for_each_engine};

fn races_leave_nothing_to_complain_of<E: Engine>() {
    for (name, check) in checks::all::<E>() {
        for seed in 0..E::ROUNDS {
            if let Err(violation) = check(seed) {
                panic!("{name}, seed {seed}: {violation}");
            }
        }
    }
}

for_each_engine! {
    races_leave_nothing_to_complain_of
}
