use std::net::IpAddr;

use serde_json::{Map, Value};

use super::customer::text_enum;
use super::{Owner, RecordId, Timestamp};

text_enum!(
    /// What kind of actor changed something.
    ActorKind {
        /// A key of the REST API.
        Key = "key",
        /// A user who signed in.
        User = "user",
        /// A command on the server's host.
        CommandLine = "command_line",
        /// The server itself: what its configuration asks for, and what it does on a schedule.
        Server = "server",
    }
);

text_enum!(
    /// What kind of thing was changed.
    ObjectKind {
        /// A customer.
        Customer = "customer",
        /// A user.
        User = "user",
        /// A group.
        Group = "group",
        /// A key.
        Key = "key",
        /// A session.
        Session = "session",
        /// The usage records of all customers.
        Usage = "usage",
    }
);

/// Who changes something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Its key id or user id; empty for the command line and the server.
    pub id: String,
    /// The request that asks for it.
    pub request_id: Option<String>,
    /// Where that came from.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// A command on the server's host.
    pub fn command_line() -> Self {
        Self { kind: ActorKind::CommandLine, id: String::new(), request_id: None, address: None }
    }

    /// The server itself.
    pub fn server() -> Self {
        Self { kind: ActorKind::Server, ..Self::command_line() }
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id: by time.
    pub id: RecordId,
    /// When.
    pub created_at: Timestamp,
    /// Who.
    pub actor_kind: ActorKind,
    /// The actor's key id or user id.
    pub actor_id: String,
    /// What was done: a verb such as `create`, `update`, `delete`, `rotate`, `revoke`.
    pub action: String,
    /// To what kind of thing.
    pub object_kind: ObjectKind,
    /// To which.
    pub object_id: String,
    /// Whose it is.
    pub owner: Owner,
    /// `{"before": {..}, "after": {..}}`: the fields that changed, as JSON text, without secrets.
    pub diff: String,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// Where that came from.
    pub address: Option<String>,
}

impl AuditEntry {
    /// What `actor` did to an object at this time.
    pub fn of(
        actor: &Actor,
        (id, created_at): (RecordId, Timestamp),
        action: &str,
        (object_kind, object_id): (ObjectKind, &str),
        owner: Owner,
        diff: String,
    ) -> Self {
        Self {
            id,
            created_at,
            actor_kind: actor.kind,
            actor_id: actor.id.clone(),
            action: action.to_owned(),
            object_kind,
            object_id: object_id.to_owned(),
            owner,
            diff,
            request_id: actor.request_id.clone(),
            address: actor.address.map(|address| address.to_canonical().to_string()),
        }
    }
}

/// The fields of an object for the audit log, never a secret.
pub type AuditFields = Map<String, Value>;

/// What changed between two states of an object, as [`AuditEntry::diff`] holds it; `None` if nothing did.
pub fn audit_diff(before: Option<&AuditFields>, after: Option<&AuditFields>) -> Option<String> {
    let only = |of: Option<&AuditFields>, other: Option<&AuditFields>| -> AuditFields {
        let differs = |(name, value): &(&String, &Value)| other.and_then(|o| o.get(*name)) != Some(*value);
        of.into_iter().flatten().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (gone, new) = (only(before, after), only(after, before));
    let changed = !gone.is_empty() || !new.is_empty();
    changed.then(|| serde_json::json!({ "before": gone, "after": new }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_has_what_changed_and_nothing_else() {
        let fields = |json: Value| json.as_object().unwrap().clone();
        let (before, after) = (
            fields(serde_json::json!({"a": 1, "b": null, "c": 3})),
            fields(serde_json::json!({"a": 1, "b": 2, "c": 3})),
        );
        let diff = audit_diff(Some(&before), Some(&after)).unwrap();
        assert_eq!(diff, r#"{"before":{"b":null},"after":{"b":2}}"#);
        assert_eq!(audit_diff(Some(&before), Some(&before)), None);
        let diff = audit_diff(None, Some(&after)).unwrap();
        assert_eq!(diff, r#"{"before":{},"after":{"a":1,"b":2,"c":3}}"#);
    }
}
