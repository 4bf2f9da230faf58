//! A simulated Sage platform for SageAPI's tests and demonstration.
//!
//! It makes any number of users, price lists, models, interfaces and balances from a seed, serves them as the pull
//! feed, changes them on command, sends signed events, and can be told to misbehave. [`Sim::start`] runs it inside a
//! test; the binary runs it as a process, with the same commands on a control port.

mod auth;
mod changes;
mod clock;
mod control;
mod cursor;
mod entity;
pub mod event;
pub mod fault;
mod fault_body;
mod feed;
mod listener;
mod page;
mod platform;
mod sim;
pub mod world;

pub use changes::Columns;
pub use clock::{Now, system_now};
pub use entity::Entity;
pub use platform::{CommandError, Control, Done, EntityState, Rows, StateReport};
pub use sim::{DEMO_KEY, DEMO_SECRET, Options, RunningSim, Sim, StartError};
