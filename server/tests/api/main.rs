//! The REST interface over a real listener, on every kind of database. One module per resource; the contract's rules
//! are tested where a client would meet them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "this is code of tests"
)]

#[path = "../raw/mod.rs"]
mod raw;

mod accounting;
mod admin;
mod audit;
mod auth;
mod auth_keys;
mod authorization;
mod balance;
mod batch;
mod concurrency;
mod customers;
mod events;
mod groups;
mod holds;
mod idempotency;
mod ids;
mod instances;
mod isolation;
mod keys;
mod lists;
mod mirror;
mod neighbours;
mod people;
mod pricing;
mod problems;
mod quota;
mod refresh;
mod retention;
mod reversals;
mod sign_in;
mod site;
mod throttle;
mod unready;
mod usage;
mod usage_reads;
mod usage_stats;
mod usage_writer;
mod users_admin;
mod values;
mod vectors;
