//! The operator on a real API server with real controllers; the kubelet is played.

mod bench;
mod kubelet;
mod operator;

mod conditions;
mod convergence;
mod decoding;
mod leadership;
mod ownership;
mod rights;
