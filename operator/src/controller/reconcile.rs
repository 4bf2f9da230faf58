use std::sync::Arc;
use std::time::Duration;

use kube::Resource as _;
use kube::core::object::HasStatus as _;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::apply::{Applier, StepError};
use super::context::Context;
use super::status;
use crate::client::{RequestError, brief, request_error};
use crate::reconciler::{Observed as _, PlanOf, Reconciler};
use crate::steps::{Refusal, Step};
use crate::telemetry::{RECONCILE_TARGET, mark_failed};
use crate::watch::Key;

/// One whole reconcile.
const TIMEOUT: Duration = Duration::from_mins(1);
/// After a conflict the caches are about to tell what happened.
const CONFLICT_WAIT: Duration = Duration::from_millis(250);
/// A replica that just lost the lease is about to learn so.
const NOT_LEADER_WAIT: Duration = Duration::from_secs(1);
/// The next reconcile of a resource that cannot be decoded; a change of it triggers one.
const UNDECODABLE_WAIT: Duration = Duration::from_mins(10);

/// How a reconcile ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The resource does not exist any more.
    Gone,
    /// Everything is as planned; reconcile again after this long.
    Done(Duration),
    /// Something changed meanwhile; reconcile again soon.
    Conflict(Duration),
    /// This replica may not write any more.
    NotLeader(Duration),
    /// It failed; retry after a wait that grows, or after this one if the API server asked for it.
    Failed(Option<Duration>),
}

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Step(StepError),
    #[error("the cluster could not be observed: {}", brief(.0))]
    Observe(kube::Error),
    #[error("the status could not be written: {}", brief(.0))]
    Status(kube::Error),
    #[error("it took longer than {} s", TIMEOUT.as_secs())]
    TimedOut,
}

/// Reconciles one resource. There is never more than one reconcile of a resource at a time.
pub async fn reconcile<R: Reconciler>(context: Arc<Context<R>>, key: Key) -> Outcome {
    let span = tracing::debug_span!(
        target: RECONCILE_TARGET, "reconcile",
        k8s.namespace.name = %key.namespace, sageapi.resource.name = %key.name, sageapi.reconcile.result = Empty,
        otel.status_code = Empty, "error.type" = Empty,
    );
    let started = context.clock.monotonic();
    let result = tokio::time::timeout(TIMEOUT, attempt(&context, &key)).instrument(span.clone()).await;
    let result = result.unwrap_or(Err(Failure::TimedOut));
    let (outcome, label) = match result {
        Ok((outcome, label)) => (outcome, label),
        Err(failure) => span.in_scope(|| judge(&key, &failure)),
    };
    span.record("sageapi.reconcile.result", label);
    if matches!(outcome, Outcome::Failed(_)) {
        mark_failed(&span, label);
    }
    context.metrics.reconciled(label, context.clock.monotonic().saturating_sub(started));
    outcome
}

fn judge(key: &Key, failure: &Failure) -> (Outcome, &'static str) {
    let cause = match failure {
        Failure::Step(StepError::Api { cause, .. }) | Failure::Observe(cause) | Failure::Status(cause) => {
            Some(cause)
        }
        Failure::Step(_) | Failure::TimedOut => None,
    };
    if matches!(failure, Failure::Step(StepError::Stale(_)))
        || matches!(cause, Some(kube::Error::Api(status)) if status.code == 409)
    {
        tracing::debug!(resource = %key, %failure, "conflict; reconciled again");
        return (Outcome::Conflict(CONFLICT_WAIT), "conflict");
    }
    if cause.and_then(request_error) == Some(RequestError::NotLeader) {
        return (Outcome::NotLeader(NOT_LEADER_WAIT), "not_leader");
    }
    tracing::warn!(resource = %key, %failure, "the reconcile failed; it is retried");
    let label = if matches!(failure, Failure::TimedOut) { "timeout" } else { "error" };
    (Outcome::Failed(cause.and_then(retry_after)), label)
}

/// How long the API server asks to be left alone.
fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

async fn attempt<R: Reconciler>(context: &Context<R>, key: &Key) -> Result<(Outcome, &'static str), Failure> {
    let resource = match context.caches.resources.get(key) {
        Some(Ok(resource)) => resource,
        None => {
            context.forget(key);
            return Ok((Outcome::Gone, "gone"));
        }
        Some(Err(error)) => {
            // Written by a newer operator, or under a newer definition: what runs is left alone.
            tracing::warn!(
                resource = %key, %error,
                "this resource cannot be decoded and is left alone; is the operator older than its definition?"
            );
            return Ok((Outcome::Done(UNDECODABLE_WAIT), "undecodable"));
        }
    };
    let reconciler = &context.reconciler;
    let observing = reconciler.observe(key, &resource, context.refused.deletions(key));
    let mut observed = observing.instrument(part("observe")).await.map_err(Failure::Observe)?;
    let mut plan = part("plan").in_scope(|| reconciler.plan(&observed));
    let deletions_were_refused = !observed.refusals().is_empty();
    let refusals = follow(context, key, &observed, &plan.steps, Phase::BeforeStatus).await;
    let refusals = refusals.map_err(Failure::Step)?;
    if !refusals.is_empty() {
        observed.refusals().extend(refusals);
        plan = part("plan").in_scope(|| reconciler.plan(&observed));
    }
    if let Some(wait) = may_wait(context, key, &resource, &plan) {
        return Ok((Outcome::Done(wait), "ok"));
    }
    let written = finish(context, key, &resource, &plan).instrument(part("status")).await?;
    // What a status remembers of an object must be written before the object is deleted.
    let late = follow(context, key, &observed, &plan.steps, Phase::AfterStatus).await;
    let late = late.map_err(Failure::Step)?;
    let deleted_at_last = deletions_were_refused && late.is_empty();
    let refusals = observed.refusals();
    refusals.retain(|refusal| refusal.object.uid.is_none());
    refusals.extend(late);
    context.refused.keep(key, refusals);

    let label = match (refusals.is_empty(), written) {
        (false, _) => "refused",
        (true, true) => "changed",
        (true, false) => "ok",
    };
    let requeue = if deleted_at_last { CONFLICT_WAIT } else { plan.requeue };
    let again = context.refused.wait(key, context.clock.monotonic());
    Ok((Outcome::Done(again.map_or(requeue, |again| requeue.min(again))), label))
}

/// The span of a part of a reconcile.
fn part(name: &'static str) -> Span {
    tracing::debug_span!(target: RECONCILE_TARGET, "part", otel.name = name)
}

fn span_of(step: &Step) -> Span {
    let (verb, object) = match step {
        Step::Apply(object) => ("apply", object.reference()),
        Step::Create(object) => ("create", object.reference()),
        Step::Delete(object) => ("delete", object.clone()),
    };
    tracing::debug_span!(
        target: RECONCILE_TARGET, "step",
        otel.name = %format_args!("{verb} {}", object.kind), sageapi.object.name = object.name,
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    BeforeStatus,
    AfterStatus,
}

/// Does the steps of a phase, and returns those that were refused. Only steps that depend on what is missing are left
/// out.
async fn follow<R: Reconciler>(
    context: &Context<R>,
    key: &Key,
    observed: &R::Observed,
    steps: &[Step],
    phase: Phase,
) -> Result<Vec<Refusal>, StepError> {
    let applier = Applier {
        client: &context.client,
        children: observed.children(),
        caches: &context.caches.children,
        metrics: &context.metrics,
        contested: &context.contested,
        refused: &context.refused,
        now: context.clock.monotonic(),
        owner: key,
    };
    let mut refusals = Vec::new();
    let mut stopped = false;
    for step in steps {
        let of = if matches!(step, Step::Delete(_)) { Phase::AfterStatus } else { Phase::BeforeStatus };
        if of != phase || (stopped && !step.is_independent_of_pods()) {
            continue;
        }
        match applier.follow(step).instrument(span_of(step)).await {
            Ok(()) => {}
            Err(StepError::Refused(refusal)) => {
                tracing::warn!(resource = %key, object = %refusal.object, message = refusal.message, "refused");
                stopped |= observed.children().lack(&refusal);
                refusals.push(refusal);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refusals)
}

/// How long the plan's status may wait: it is mere progress, and one was written a moment ago.
fn may_wait<R: Reconciler>(
    context: &Context<R>,
    key: &Key,
    resource: &R::Resource,
    plan: &PlanOf<R>,
) -> Option<Duration> {
    let (before, after) = (resource.status()?, plan.status.as_ref()?);
    let progress = before != after && context.reconciler.is_progress(before, after);
    context.written.wait(key, context.clock.monotonic()).filter(|_| progress)
}

/// Writes the status, then emits and counts what it says for the first time. Whether it was written.
async fn finish<R: Reconciler>(
    context: &Context<R>,
    key: &Key,
    resource: &R::Resource,
    plan: &PlanOf<R>,
) -> Result<bool, Failure> {
    context.reconciler.before_status(key, &plan.follow_up);
    let mut written = false;
    if let Some(wanted) = &plan.status {
        written = status::write(context, key, resource, wanted).await.map_err(Failure::Status)?;
        status::emit(context, &resource.object_ref(&()), &plan.events).await;
    }
    context.reconciler.follow_up(key, &plan.follow_up);
    Ok(written)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::kinds::Kind;
    use crate::object::ObjectRef;

    fn api_error(code: u16) -> kube::Error {
        let mut status = Status::failure("the server says so", "Reason");
        status.code = code;
        kube::Error::Api(Box::new(status))
    }

    fn judged(failure: &Failure) -> Outcome {
        judge(&Key::new("billing", "prod"), failure).0
    }

    #[test]
    fn a_conflict_is_reconciled_again_and_is_no_failure() {
        let object = ObjectRef { kind: Kind::Service, name: "prod".to_owned(), uid: None };
        for failure in [Failure::Step(StepError::Stale(object)), Failure::Status(api_error(409))] {
            assert_eq!(judged(&failure), Outcome::Conflict(CONFLICT_WAIT));
        }
    }

    #[test]
    fn a_write_that_was_not_sent_is_no_failure() {
        let error = kube::Error::Service(RequestError::NotLeader.into());
        assert_eq!(judged(&Failure::Status(error)), Outcome::NotLeader(NOT_LEADER_WAIT));
    }

    #[test]
    fn an_overloaded_server_gets_the_pause_that_it_asks_for() {
        assert_eq!(judged(&Failure::Observe(api_error(503))), Outcome::Failed(None));
        let kube::Error::Api(mut status) = api_error(429) else { unreachable!() };
        status.details = serde_json::from_value(serde_json::json!({"retryAfterSeconds": 7})).unwrap();
        let asked = Some(Duration::from_secs(7));
        assert_eq!(judged(&Failure::Observe(kube::Error::Api(status))), Outcome::Failed(asked));
    }
}
