//! REST over HTTP: the listener, the endpoints, what is read from a request and written to an answer.
//! The rules are not here: a handler makes one call of [`crate::env::ServerEnv`].

mod accept;
pub mod admin;
mod answer_body;
mod answer_log;
mod body;
mod call;
mod endpoints;
#[doc(hidden)]
pub mod fuzz;
pub mod limits;
pub mod listener;
pub mod openapi;
mod origin;
mod params;
pub mod problem;
mod request_id;
mod respond;
mod router;
mod routes;
mod schema;
mod service;
mod trace;

pub use answer_body::{AnswerBody, BrokenOff};
pub use service::{Api, ApiService};
