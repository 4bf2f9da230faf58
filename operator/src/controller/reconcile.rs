use std::sync::Arc;
use std::time::Duration;

use kube::Resource as _;
use sageapi_crds::SageApi;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::apply::{Applier, StepError};
use super::{Context, status};
use crate::client::{RequestError, brief, request_error};
use crate::metrics::{ResultLabel, TriggerLabel};
use crate::observed::{Observed, Refusal};
use crate::plan::{MetricUpdate, Plan, Step, plan};
use crate::telemetry::{RECONCILE_TARGET, mark_failed};
use crate::watch::{Key, SecretsAccess};

/// One reconcile, everything in it.
const TIMEOUT: Duration = Duration::from_mins(1);
/// After a collision the caches are about to tell what happened.
const COLLISION_WAIT: Duration = Duration::from_millis(250);
/// A replica that just lost the lease is about to learn so.
const NOT_LEADER_WAIT: Duration = Duration::from_secs(1);

/// How a reconcile ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// There is no such resource any more.
    Gone,
    /// Everything is as planned; look again after this long.
    Settled(Duration),
    /// Something changed meanwhile; look again soon.
    Collided(Duration),
    /// This replica may not write any more.
    NotLeader(Duration),
    /// It failed; look again after a wait that grows, or after this one if the API server asked for it.
    Failed(Option<Duration>),
}

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Step(StepError),
    #[error("the cluster could not be looked at: {}", brief(.0))]
    Observe(kube::Error),
    #[error("the status could not be written: {}", brief(.0))]
    Status(kube::Error),
    #[error("it took longer than {} s", TIMEOUT.as_secs())]
    TimedOut,
}

/// Brings one resource a step nearer to what it asks for. Never runs beside itself.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Outcome {
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
        tracing::debug!(resource = %key, %failure, "looked at again");
        return (Outcome::Collided(COLLISION_WAIT), "conflict");
    }
    if cause.and_then(request_error) == Some(RequestError::NotLeader) {
        return (Outcome::NotLeader(NOT_LEADER_WAIT), "not_leader");
    }
    tracing::warn!(resource = %key, %failure, "the reconcile failed; it is tried again");
    let label = if matches!(failure, Failure::TimedOut) { "timeout" } else { "error" };
    (Outcome::Failed(cause.and_then(retry_after)), label)
}

/// How long the API server asks to be left alone.
fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

async fn attempt(context: &Context, key: &Key) -> Result<(Outcome, &'static str), Failure> {
    let Some(found) = context.caches.sageapis.get(key) else {
        context.forget(key);
        return Ok((Outcome::Gone, "gone"));
    };
    let resource = match &found.0 {
        Ok(resource) => resource,
        Err(undecodable) => {
            // Written by a newer operator, or under a newer definition: what runs is left alone.
            tracing::warn!(
                resource = %key, error = undecodable.error,
                "this resource cannot be understood and is left alone; is the operator older than its definition?"
            );
            return Ok((Outcome::Settled(UNDECODABLE_WAIT), "undecodable"));
        }
    };
    let observing = part("observe");
    let observed = super::observe::observe(context, key, resource).instrument(observing).await;
    let mut observed = observed.map_err(Failure::Observe)?;
    let mut next = part("plan").in_scope(|| plan(&observed));
    let refused_deletions = !observed.refusals.is_empty();
    let refusals = follow(context, key, &observed, &next.steps, Phase::BeforeStatus).await;
    let refusals = refusals.map_err(Failure::Step)?;
    if !refusals.is_empty() {
        observed.refusals.extend(refusals);
        next = part("plan").in_scope(|| plan(&observed));
    }
    if let Some(wait) = may_wait(context, key, &observed, &next) {
        return Ok((Outcome::Settled(wait), "ok"));
    }
    let written = finish(context, key, &observed, &next).instrument(part("status")).await?;
    // What a status remembers of an object must be written before the object goes.
    let late =
        follow(context, key, &observed, &next.steps, Phase::AfterStatus).await.map_err(Failure::Step)?;
    let passed = refused_deletions && late.is_empty();
    observed.refusals.retain(|refusal| refusal.object.uid.is_none());
    observed.refusals.extend(late);
    context.refused.keep(key, &observed.refusals);

    let label = match (observed.refusals.is_empty(), written) {
        (false, _) => "refused",
        (true, true) => "changed",
        (true, false) => "ok",
    };
    let mut requeue = match context.secrets {
        SecretsAccess::Watch => next.requeue,
        SecretsAccess::Get => next.requeue.min(SECRETS_INTERVAL),
    };
    if passed {
        requeue = COLLISION_WAIT;
    }
    let again = context.refused.wait(key, context.clock.monotonic());
    Ok((Outcome::Settled(again.map_or(requeue, |again| requeue.min(again))), label))
}

/// How often Secrets are read where they may not be watched.
const SECRETS_INTERVAL: Duration = Duration::from_mins(1);

/// The next look at a resource that cannot be understood; a change of it comes by itself.
const UNDECODABLE_WAIT: Duration = Duration::from_mins(10);

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

/// Follows the steps of a phase, and tells which were refused. Only those that rest on what is missing are left.
async fn follow(
    context: &Context,
    key: &Key,
    observed: &Observed,
    steps: &[Step],
    phase: Phase,
) -> Result<Vec<Refusal>, StepError> {
    let applier = Applier {
        client: &context.client,
        caches: &context.caches,
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
        if of != phase || (stopped && !step.stands_alone()) {
            continue;
        }
        match applier.follow(step).instrument(span_of(step)).await {
            Ok(()) => {}
            Err(StepError::Refused(refusal)) => {
                tracing::warn!(resource = %key, object = %refusal.object, message = refusal.message, "refused");
                stopped |= observed.children.lack(&refusal);
                refusals.push(refusal);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refusals)
}

/// How long the plan's status may wait: it is a roll's progress, written a moment ago.
fn may_wait(context: &Context, key: &Key, observed: &Observed, next: &Plan) -> Option<Duration> {
    let (before, after) = (observed.resource.status.as_ref()?, next.status.as_ref()?);
    let progress = before != after && status::only_counts_differ(before, after);
    context.written.wait(key, context.clock.monotonic()).filter(|_| progress)
}

/// Writes the status, then tells and counts what it says for the first time.
async fn finish(context: &Context, key: &Key, observed: &Observed, next: &Plan) -> Result<bool, Failure> {
    context.health.want(key, next.ask_health);
    let Some(wanted) = &next.status else { return Ok(false) };
    let resource: &SageApi = &observed.resource;
    let written = status::write(context, key, resource, wanted).await.map_err(Failure::Status)?;
    status::tell(context, &resource.object_ref(&()), &next.events).await;
    for update in &next.metric_updates {
        count(context, update);
    }
    Ok(written)
}

fn count(context: &Context, update: &MetricUpdate) {
    let metrics = &context.metrics;
    match *update {
        MetricUpdate::Migration { result, seconds } => {
            metrics.migrations.get_or_create(&ResultLabel { result }).inc();
            if let Some(seconds) = seconds.filter(|_| result == "succeeded") {
                metrics.migration_seconds.observe(seconds);
            }
        }
        MetricUpdate::Rollout { trigger } => {
            metrics.rollouts.get_or_create(&TriggerLabel { trigger }).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::object::{ObjectKind, ObjectRef};

    fn api_error(code: u16) -> kube::Error {
        let mut status = Status::failure("the server says so", "Reason");
        status.code = code;
        kube::Error::Api(Box::new(status))
    }

    fn judged(failure: &Failure) -> Outcome {
        judge(&Key::new("billing", "prod"), failure).0
    }

    #[test]
    fn a_collision_is_looked_at_again_and_is_no_failure() {
        let object = ObjectRef { kind: ObjectKind::Service, name: "prod".to_owned(), uid: None };
        for failure in [Failure::Step(StepError::Stale(object)), Failure::Status(api_error(409))] {
            assert_eq!(judged(&failure), Outcome::Collided(COLLISION_WAIT));
        }
    }

    #[test]
    fn a_write_that_was_not_sent_is_no_failure() {
        let error = kube::Error::Service(RequestError::NotLeader.into());
        assert_eq!(judged(&Failure::Status(error)), Outcome::NotLeader(NOT_LEADER_WAIT));
    }

    #[test]
    fn an_overloaded_server_is_left_alone_for_as_long_as_it_asks() {
        assert_eq!(judged(&Failure::Observe(api_error(503))), Outcome::Failed(None));
        let kube::Error::Api(mut status) = api_error(429) else { unreachable!() };
        status.details = serde_json::from_value(serde_json::json!({"retryAfterSeconds": 7})).unwrap();
        let asked = Some(Duration::from_secs(7));
        assert_eq!(judged(&Failure::Observe(kube::Error::Api(status))), Outcome::Failed(asked));
    }
}
