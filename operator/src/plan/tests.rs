//! The planner against a cluster of plain data: steps are followed as the API server would, and tests play the
//! controllers and the kubelet.

mod database;
mod migration;
mod refusals;
mod rules;
mod situations;
mod withdrawn;
mod world;
