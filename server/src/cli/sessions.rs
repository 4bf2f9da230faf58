use sageapi_contract::ExitCode;
use serde::Serialize;

use super::args::people::Session as Command;
use super::failure::Failure;
use super::keys::customer_of;
use super::output::Output;
use crate::domain::Error;
use crate::domain::list;
use crate::domain::page::{MAX_LIMIT, PageRequest};
use crate::env::ServerEnv;
use crate::model::{Actor, CustomerId, RecordId, RevokedReason, Session, Timestamp, UserId};
use crate::store::SessionFilter;

#[derive(Serialize)]
struct Shown {
    id: RecordId,
    user_id: UserId,
    customer_id: Option<CustomerId>,
    device_name: Option<String>,
    address: Option<String>,
    created_at: Timestamp,
    last_seen: Option<Timestamp>,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    revoked_reason: Option<RevokedReason>,
}

impl From<Session> for Shown {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            customer_id: session.owner.customer().cloned(),
            user_id: session.user_id,
            device_name: session.device_name,
            address: session.address,
            created_at: session.created_at,
            last_seen: session.last_seen,
            expires_at: session.idle_until.min(session.expires_at),
            revoked_at: session.revoked_at,
            revoked_reason: session.revoked_reason,
        }
    }
}

pub async fn run(env: &ServerEnv, command: Command, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::List { user_id, customer } => {
            let filter = SessionFilter {
                customer_id: customer.as_deref().map(customer_of).transpose()?,
                user_id: match user_id {
                    Some(id) => Some(
                        UserId::parse(&id).map_err(|e| Failure::usage(format!("--user-id {id:?}: {e}")))?,
                    ),
                    None => None,
                },
                ..SessionFilter::default()
            };
            let mut all: Vec<Shown> = Vec::new();
            let mut page = PageRequest { limit: MAX_LIMIT, ..PageRequest::default() };
            loop {
                let found = list::page(env.store(), &filter, &page).await?;
                all.extend(found.rows.into_iter().map(Shown::from));
                page.cursor = found.next_cursor;
                if page.cursor.is_none() {
                    break;
                }
            }
            out.result(&all, |all| {
                all.iter().fold(String::new(), |text, session| text + &line(session) + "\n")
            })
        }
        Command::Revoke { id } => {
            let session = RecordId::parse(&id).ok_or_else(|| {
                Failure::usage(format!("session {id:?}: must be an id such as session list shows"))
            })?;
            let found = env.store().session(session).await?;
            found.ok_or(Error::NotFound("session"))?;
            env.store().revoke_session(session, RevokedReason::Revoked, &Actor::command_line()).await?;
            out.result(&serde_json::json!({"id": session, "revoked": true}), |_| {
                format!("{session} has ended")
            })
        }
    }
}

fn line(session: &Shown) -> String {
    let whose = session.customer_id.as_ref().map_or("(platform)", CustomerId::as_str);
    let state = match session.revoked_reason {
        Some(reason) => format!("ended: {reason}"),
        None => format!("until {}", session.expires_at),
    };
    let device = session.device_name.as_deref().unwrap_or("-");
    let address = session.address.as_deref().unwrap_or("-");
    format!(
        "{}  {whose}  {}  {}  {device}  {address}  {state}",
        session.id, session.user_id, session.created_at
    )
}
