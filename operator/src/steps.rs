//! What a plan has done to objects, and what came of a step that the API server refused.

use crate::kinds::{Pods, Write};
use crate::object::{Object, ObjectRef};

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Server-side apply, unless the live object is already so. One that exists must be ours.
    Apply(Object),
    /// Create it, and never change it. If one exists, the plan is out of date.
    Create(Object),
    /// Delete the one of this UID, after the status is written.
    Delete(ObjectRef),
}

impl Step {
    /// Whether it can be done while pods lack what they mount or run under.
    pub fn is_independent_of_pods(&self) -> bool {
        match self {
            Self::Apply(object) => {
                let row = object.kind().row();
                row.write == Write::Apply && row.pods == Pods::Independent
            }
            Self::Create(_) | Self::Delete(_) => false,
        }
    }
}

/// A step that the API server refused, for good or until somebody acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub object: ObjectRef,
    /// Why.
    pub cause: RefusalCause,
    /// The API server's words; nothing secret.
    pub message: String,
}

/// Why a step was refused. Of several causes the first in this order is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCause {
    /// An object of that name is controlled by somebody else, or by an earlier resource of the same name.
    NameTaken,
    /// 403: a right is missing, or a quota is used up.
    Forbidden,
    /// 422 or 400: the API server, or a webhook, finds the object wrong.
    Rejected,
}
