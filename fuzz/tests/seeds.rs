//! The seeds of every target, replayed without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sesame_fuzz::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_target_accepts_one_of_its_seeds_and_refuses_another() {
    for target in TARGETS {
        let folder = corpus().join(target.name);
        let seeds = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut verdicts = BTreeSet::new();
        for seed in seeds {
            let bytes = fs::read(seed.unwrap().path()).unwrap();
            assert!(bytes.len() <= target.max_len, "a seed of {} is {} bytes long", target.name, bytes.len());
            verdicts.insert((target.parse)(&bytes));
        }
        assert_eq!(verdicts, BTreeSet::from([false, true]), "{}", target.name);
    }
}

#[test]
fn every_folder_of_seeds_has_its_target() {
    for folder in fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(sesame_fuzz::target(&name).is_some(), "{name}");
    }
}
