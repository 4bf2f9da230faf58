//! The operator on a real API server with real controllers; the kubelet is simulated.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

mod bench;
mod kubelet;
mod operator;

mod conditions;
mod convergence;
mod decoding;
mod definition;
mod drift;
mod leadership;
mod ownership;
mod rights;
