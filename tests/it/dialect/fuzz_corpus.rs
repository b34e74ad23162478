//! The seeds of the fuzz targets, run through the targets' entry.

use std::fs;
use std::path::Path;

use kvrpc::dialect::ALL;

use super::peer;

#[test]
fn every_seed_of_every_dialect_runs() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for dialect in ALL {
        let seeds: Vec<_> = fs::read_dir(fuzz.join("corpus").join(dialect.name)).unwrap().collect();
        assert!(!seeds.is_empty(), "{} has no seeds", dialect.name);
        for seed in seeds {
            peer::any(dialect.name, &fs::read(seed.unwrap().path()).unwrap());
        }
        let target =
            fs::read_to_string(fuzz.join("fuzz_targets").join(format!("{}.rs", dialect.name)))
                .unwrap();
        assert!(target.contains(&format!("\"{}\"", dialect.name)), "{target}");
    }
}
