//! A smoke run of the fuzz targets on stable: every reader gets its seeds, and thousands of changed
//! copies of them. The changes are the same each time; a failure prints the bytes.

#[path = "../../../fuzz/src/readers.rs"]
mod readers;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Changed copies of each reader's seeds, together.
const COPIES: usize = 4_000;
/// Most bytes of a copy.
const BYTES_MAX: usize = 8_192;

/// Numbers that look random and are the same every time (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap()
    }
}

fn seeds_of(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// One to four changes: a bit, a byte, a cut, a piece twice, a piece of another seed.
fn changed(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            1 if !bytes.is_empty() => {
                const SHARP: [u8; 8] = [0, 1, 0x7f, 0x80, 0x84, 0xff, b'\n', b'/'];
                bytes[at] = SHARP[dice.below(SHARP.len())];
            }
            2 => bytes.truncate(at),
            3 => {
                let end = (at + dice.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + dice.below(200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                let other = &seeds[dice.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.below(other.len())..]);
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn feed(name: &str, read: fn(&[u8]), bytes: &[u8]) {
    // The panic itself says what went wrong; this says with what.
    if catch_unwind(AssertUnwindSafe(|| read(bytes))).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("reader {name} panicked on {hex}");
    }
}

#[test]
fn no_reader_panics_on_its_seeds_or_on_changed_copies_of_them() {
    for (name, read) in readers::READERS {
        let seeds = seeds_of(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| feed(name, *read, seed));
        feed(name, *read, b"");
        let mut dice = Dice(0x7e27_5e00);
        for _ in 0..COPIES {
            feed(name, *read, &changed(&seeds, &mut dice));
        }
    }
}

#[test]
fn every_target_is_a_reader() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(targets)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    names.sort();
    let known: Vec<&str> = readers::READERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
}
