//! The commands, as people and jobs run them: results on standard output, exit codes, and what a server sees of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

mod cli {
    mod absent;
    mod configuration;
    mod customers;
    mod failures;
    mod keys;
    mod migrations;
    mod mirror;
    mod people;
    mod pipes;
    mod progress;
    mod secrets;
    mod seed;
    mod sign;
    mod usage;
    mod verify;
}
