//! Every input that the fuzz targets of fuzz/ have kept is tried again: what once broke a promise stays fixed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

/// Tries all inputs of a target; there must be some.
fn replay(target: &str, try_one: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let inputs: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in &inputs {
        try_one(input);
        // And cut short, and with its bytes in another order, which must do no harm either.
        try_one(&input[..input.len() / 2]);
        try_one(&input.iter().rev().copied().collect::<Vec<_>>());
    }
}

#[test]
fn the_corpus_of_decimals_keeps_its_promises() {
    replay("decimals", fuzz::decimals);
}

#[test]
fn the_corpus_of_cursors_keeps_its_promises() {
    replay("cursors", fuzz::cursors);
}

#[test]
fn the_corpus_of_pricing_data_keeps_its_promises() {
    replay("pricing_data", fuzz::pricing_data);
}

#[test]
fn the_corpus_of_batches_keeps_its_promises() {
    replay("ndjson", fuzz::batches);
}
