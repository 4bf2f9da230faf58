//! What can be read of the ledger besides single records: walks, exports, summaries and past balances, each
//! held against what the ledger says itself, on every kind of database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "this is code of tests"
)]

mod broken;
mod exports;
mod ledger;
mod past;
mod reversed;
mod summaries;
mod walks;
