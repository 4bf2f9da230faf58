//! A real Kubernetes for tests, without a registry and without a cluster at hand.
//!
//! [`ControlPlane`] is etcd, kube-apiserver and kube-controller-manager on loopback, for any user,
//! ready in seconds: what tests of the operator run on. One serves a whole test run:
//!
//! ```no_run
//! let plane = sageapi_test_cluster::ControlPlane::shared();
//! let namespace = plane.namespace("conditions").unwrap();
//! let kubeconfig = plane.kubeconfig();
//! # let _ = (namespace.name(), kubeconfig);
//! ```

mod audit;
mod certificates;
pub mod commands;
mod components;
mod control_plane;
mod error;
pub mod image;
mod kubeconfig;
pub mod node;
mod offspring;
mod paths;
mod tools;

pub use audit::Request;
pub use control_plane::{AUDIT_LOG_VARIABLE, ControlPlane, KUBECONFIG_VARIABLE, Namespace};
pub use error::{Error, Result};
pub use node::Node;
pub use tools::{ASSETS_VARIABLE, FOLDER_VARIABLE, KUBERNETES, Tool, Tools};
