//! What an API server was asked, from its audit log.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who it was for: the impersonated user where there is one.
    pub user: String,
    /// The client's User-Agent.
    pub agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The plural, like `deployments`; empty for a path that is no resource.
    pub resource: String,
    /// Like `status`; mostly empty.
    pub subresource: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The object's name; empty in a list and in a create.
    pub name: String,
    /// The HTTP status that it was answered with.
    pub code: u16,
}

impl Request {
    /// Whether it was meant to change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && !self.resource.is_empty()
    }

    fn read(line: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(line).ok()?;
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let impersonated = text("/impersonatedUser/username");
        Some(Self {
            user: if impersonated.is_empty() { text("/user/username") } else { impersonated },
            agent: text("/userAgent"),
            verb: text("/verb"),
            resource: text("/objectRef/resource"),
            subresource: text("/objectRef/subresource"),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            code: event.pointer("/responseStatus/code")?.as_u64()?.try_into().ok()?,
        })
    }
}

/// Every request so far, in the order in which they ended.
pub fn read(log: &Path) -> Result<Vec<Request>> {
    let text = std::fs::read_to_string(log).map_err(Error::at(log))?;
    // The last line may be half written.
    Ok(text.lines().filter_map(Request::read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = r#"{"kind":"Event","stage":"ResponseComplete","verb":"patch","user":{"username":"admin"},
        "impersonatedUser":{"username":"system:serviceaccount:a:b"},"userAgent":"kube-rs",
        "objectRef":{"resource":"sageapis","namespace":"n","name":"prod","subresource":"status"},
        "responseStatus":{"code":200}}"#;

    #[test]
    fn a_request_is_counted_for_whom_it_was_made() {
        let request = Request::read(PATCH).unwrap();
        assert_eq!(request.user, "system:serviceaccount:a:b");
        assert_eq!((request.resource.as_str(), request.subresource.as_str()), ("sageapis", "status"));
        assert!(request.is_write());
        assert!(!Request { verb: "watch".into(), ..request }.is_write());
    }

    #[test]
    fn half_a_line_is_no_request() {
        assert_eq!(Request::read(&PATCH[..40]), None);
    }
}
