use std::time::Duration;

use tokio::sync::oneshot;

use super::outcome::Outcome;
use super::request::{Action, Request};
use crate::domain::Error;
use crate::model::{Actor, CustomerId, RecordId};
use crate::store::QuotaQuery;
use crate::telemetry::tracing::Handoff;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A request on its way through a queue and a writer to its answer. The id of what it makes is chosen before the first
/// attempt, so that an attempt whose COMMIT was lost is recognised by the next one.
#[derive(Debug)]
pub(super) struct Command {
    pub request: Request,
    pub id: RecordId,
    /// The administrator whose booking it is: the audit log gets an entry of it.
    pub actor: Option<Box<Actor>>,
    /// When it entered the queue, by the monotonic clock.
    pub since: Duration,
    /// Who waits for the verdict. A group has one caller for all of its commands.
    pub reply: Option<Reply<Outcome>>,
    /// The answer to a COMMIT with it was lost: it may have taken effect, or do so yet.
    pub commit_lost: bool,
    /// The nonce was inserted by that attempt: finding it again means that the attempt took effect, not that the nonce
    /// was used before.
    pub nonce_is_ours: bool,
    /// The trace of the request that it came with.
    pub handoff: Handoff,
}

impl Command {
    /// A command that nobody waits for.
    pub fn new(request: Request, id: RecordId) -> Self {
        Self {
            request,
            id,
            actor: None,
            since: Duration::ZERO,
            reply: None,
            commit_lost: false,
            nonce_is_ours: false,
            handoff: Handoff::default(),
        }
    }
}

/// Whose money the commands are about, in the order of the ids.
pub(super) fn customers_of(commands: &[Command]) -> Vec<CustomerId> {
    let mut ids: Vec<_> = commands.iter().map(|c| c.request.customer_id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The users whose quota commands are about, and the reservations that they name or may have made.
pub(super) fn quota_query(commands: &[Command]) -> QuotaQuery {
    let QuotaQuery { mut users, mut names, mut reservations } = QuotaQuery::default();
    for command in commands {
        let customer = &command.request.customer_id;
        match &command.request.action {
            Action::Usage(usage) => {
                users.extend(usage.details.user_id.clone().map(|user| (customer.clone(), user)));
                reservations.extend(usage.reservation);
            }
            Action::Check(check) => {
                users.insert((customer.clone(), check.user_id.clone()));
                if let Some(name) = &check.request_id {
                    names.insert((customer.clone(), check.user_id.clone(), name.clone()));
                }
                // It may have been made by an attempt whose COMMIT was lost, and be closed since.
                reservations.extend(command.commit_lost.then_some(command.id));
            }
            Action::ReleaseQuota(id) | Action::ExtendQuota(id, _) => reservations.push(*id),
            _ => {}
        }
    }
    QuotaQuery { users, names, reservations }
}

/// The records and the holds that commands name by id.
pub(super) fn named_ids(commands: &[Command]) -> (Vec<RecordId>, Vec<RecordId>) {
    let (mut records, mut holds) = (Vec::new(), Vec::new());
    for command in commands {
        match &command.request.action {
            Action::Reverse(reverse) => records.push(reverse.record),
            Action::Capture(capture) => holds.push(capture.hold),
            Action::Release(hold) => holds.push(*hold),
            Action::Usage(usage) => holds.extend(usage.hold),
            Action::Book(_)
            | Action::Hold(_)
            | Action::Expire
            | Action::Check(_)
            | Action::ReleaseQuota(_)
            | Action::ExtendQuota(..) => {}
        }
    }
    (records, holds)
}
