//! One log line for each answer, found by its request id.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::model::{KeyId, UserId};

use super::metrics::method_name;
use super::problem::Code;

/// The target of these lines.
const TARGET: &str = "sageapi::answer";

/// Who made a request, for the log.
#[derive(Debug)]
pub enum Caller {
    /// The key that signed it, or that is claimed to have signed a request that is refused with 401.
    Key(KeyId),
    /// The user whose token it carries.
    User(UserId),
}

/// The log line of an answer. It holds nothing that the client wrote: paths, queries and headers may be confidential.
pub struct AnswerLine<'a> {
    /// Our id of the request.
    pub request_id: &'a str,
    /// The request's method.
    pub method: &'a Method,
    /// The pattern that the path matched.
    pub route: &'static str,
    /// The answer's status.
    pub status: StatusCode,
    /// The code of a problem.
    pub code: Option<Code>,
    /// From the request's head to the answer's head.
    pub taken: Duration,
    /// Who made the request, as far as it is known.
    pub caller: Option<&'a Caller>,
}

impl AnswerLine<'_> {
    /// Writes it: refusals and failures at info, everything else at debug.
    pub fn write(&self) {
        let (request_id, route, status) = (self.request_id, self.route, self.status.as_u16());
        let method = method_name(self.method);
        let code = self.code.map(Code::as_str);
        let duration_ms = self.taken.as_secs_f64() * 1000.0;
        let (key_id, user_id) = match self.caller {
            Some(Caller::Key(id)) => (Some(id.as_str()), None),
            Some(Caller::User(id)) => (None, Some(id.as_str())),
            None => (None, None),
        };
        if status >= 400 {
            tracing::info!(target: TARGET, request_id, method, route, status, code, duration_ms, key_id, user_id, "answered");
        } else {
            tracing::debug!(target: TARGET, request_id, method, route, status, code, duration_ms, key_id, user_id, "answered");
        }
    }
}
