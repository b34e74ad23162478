//! The races of `checks`, many times over.

use super::checks;

#[test]
fn races_leave_nothing_to_complain_of() {
    for (name, check) in checks::ALL {
        for seed in 0..40 {
            if let Err(violation) = check(seed) {
                panic!("{name}, seed {seed}: {violation}");
            }
        }
    }
}
