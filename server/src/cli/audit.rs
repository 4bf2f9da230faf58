use sageapi_contract::ExitCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::args::people::Audit as Command;
use super::failure::Failure;
use super::keys::customer_of;
use super::output::Output;
use crate::domain::admin::audit::query_audit;
use crate::domain::page::{MAX_LIMIT, PageRequest};
use crate::env::ServerEnv;
use crate::model::{ActorKind, AuditEntry, CustomerId, ObjectKind, RecordId, Timestamp, shown};
use crate::store::AuditFilter;

#[derive(Serialize)]
struct Shown {
    id: RecordId,
    created_at: Timestamp,
    actor_kind: ActorKind,
    actor_id: String,
    action: String,
    object_kind: ObjectKind,
    object_id: String,
    customer_id: Option<CustomerId>,
    diff: Option<Box<RawValue>>,
    request_id: Option<String>,
    address: Option<String>,
}

impl From<AuditEntry> for Shown {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            created_at: entry.created_at,
            actor_kind: entry.actor_kind,
            actor_id: entry.actor_id,
            action: entry.action,
            object_kind: entry.object_kind,
            object_id: entry.object_id,
            customer_id: entry.owner.customer().cloned(),
            diff: RawValue::from_string(entry.diff).ok(),
            request_id: entry.request_id,
            address: entry.address,
        }
    }
}

pub async fn run(env: &ServerEnv, command: Command, out: &Output) -> Result<ExitCode, Failure> {
    let Command::List { actor, action, object, customer, from, to, limit } = command;
    let time = |name: &str, text: Option<String>| {
        let parse = |text: String| {
            Timestamp::parse(&text).map_err(|e| Failure::usage(format!("{name}: {e}, not {}", shown(&text))))
        };
        text.map(parse).transpose()
    };
    let (kind, id) = match object.as_deref().map(|object| object.split_once(':').unwrap_or((object, ""))) {
        Some((kind, id)) => {
            let kind = ObjectKind::parse(kind).ok_or_else(|| {
                let kinds: Vec<_> = ObjectKind::ALL.iter().map(|kind| kind.as_str()).collect();
                Failure::usage(format!("--object {kind:?}: must begin with one of {}", kinds.join(", ")))
            })?;
            (Some(kind), Some(id.to_owned()).filter(|id| !id.is_empty()))
        }
        None => (None, None),
    };
    let filter = AuditFilter {
        actor_id: actor,
        action,
        object_kind: kind,
        object_id: id,
        customer_id: customer.as_deref().map(customer_of).transpose()?,
        from: time("--from", from)?,
        to: time("--to", to)?,
        ..AuditFilter::default()
    };
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut all: Vec<Shown> = Vec::new();
    let mut page = PageRequest { limit: MAX_LIMIT, ..PageRequest::default() };
    while all.len() < wanted {
        let found = query_audit(env.store(), &filter, &page).await?;
        all.extend(found.rows.into_iter().map(Shown::from));
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    all.truncate(wanted);
    out.result(&all, |all| all.iter().fold(String::new(), |text, entry| text + &line(entry) + "\n"))
}

fn line(entry: &Shown) -> String {
    let who = if entry.actor_id.is_empty() {
        entry.actor_kind.to_string()
    } else {
        format!("{} {}", entry.actor_kind, entry.actor_id)
    };
    let diff = entry.diff.as_ref().map_or("", |diff| diff.get());
    let (at, action, kind, id) = (entry.created_at, &entry.action, entry.object_kind, &entry.object_id);
    format!("{at}  {who}  {action} {kind} {id}  {diff}")
}
