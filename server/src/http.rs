//! REST over HTTP: the endpoints, what is read from a request and written to an answer.
//! The rules are not here: a handler makes one call of [`crate::env::ServerEnv`].

mod accept;
pub mod admin;
mod answer_body;
mod answer_log;
mod body;
mod call;
mod endpoints;
mod export;
mod metrics;
pub mod openapi;
mod origin;
mod params;
mod pattern;
pub mod problem;
mod request_id;
mod respond;
mod router;
mod routes;
mod schema;
mod service;
mod tag;
mod trace;

/// How the bookings of one request are told apart, for a check from outside such as the fuzz targets of fuzz/.
pub mod batch {
    pub use super::endpoints::{BatchForm, MAX_ITEMS, batch_items, fingerprint};
}

pub use answer_body::{AnswerBody, BrokenOff};
pub use sageapi_runtime::listener;
pub use service::{Api, ApiService};
