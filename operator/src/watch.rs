//! What is known about the cluster: caches filled by watches, on every replica, and which resources to reconcile when
//! something changes.
//!
//! One object that cannot be decoded stops nothing: custom resources are decoded one by one, and all else is
//! Kubernetes' own.

mod cache;
mod caches;
mod feed;
mod key;
mod references;
mod scope;
mod sink;
mod triggers;
mod watches;

pub use self::caches::{Caches, ChildCaches, Decoded};
pub use self::key::Key;
pub use self::references::References;
pub use self::scope::{Scope, SecretsAccess};
pub use self::triggers::Triggers;
pub use self::watches::{WatchMetrics, Watches};
