//! Administration: what the platform's and the customers' administrators see and change.

pub mod audit;
pub mod customers;
pub mod groups;
pub mod keys;
pub mod members;
pub mod sessions;
pub mod users;
