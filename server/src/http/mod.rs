//! REST over HTTP: the table of routes, what is read from a request and written to an answer.
//! The rules are not here: a handler makes one call of [`crate::env::ServerEnv`].

mod accept;
pub mod admin;
mod answer_body;
mod answer_log;
mod body;
mod call;
mod docs;
mod export;
#[doc(hidden)]
pub mod fuzz;
mod handlers;
pub mod openapi;
mod origin;
mod params;
pub mod problem;
mod request_id;
mod respond;
mod router;
mod routes;
mod service;
mod tags;
mod trace;
mod wire;

pub use answer_body::{AnswerBody, BrokenOff};
pub use sageapi_runtime::listener;
pub use service::{Api, ApiService};
