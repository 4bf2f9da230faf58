//! The state of the mirror, as a ready instance reported it. Written when a state changes; ages are in metrics.

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sageapi_crds::{
    ConditionStatus, ConditionType, Entity, EntitySync, Reason, SageApiSpec, SageApiStatus, SyncState,
    SyncStatus,
};

use super::conditions::{Conditions, cut, whole_seconds};
use crate::observed::{EntityHealth, Health};
use crate::validate::parse_span;

/// The mirror is late after this many periods, and so much more.
const LATE_FACTOR: u32 = 3;
const LATE_SLACK: Duration = Duration::from_mins(1);

/// The mirror's part of the status.
pub(super) struct Mirror {
    pub(super) sync: Vec<SyncStatus>,
    pub(super) summary: Option<String>,
}

/// Assesses the mirror and sets its condition.
pub(super) fn judge(
    spec: &SageApiSpec,
    health: &Health,
    previous: &SageApiStatus,
    now: Timestamp,
    conditions: &mut Conditions,
) -> Mirror {
    let of = ConditionType::SyncHealthy;
    let states: Vec<State> = match health {
        _ if spec.upstream.is_none() => Entity::ALL.iter().map(|e| (*e, SyncState::Disabled, None)).collect(),
        Health::Report(report) => {
            let state = |entity: &Entity| {
                let (state, reason) = state(spec, *entity, report.sync.get(entity.as_str()), now);
                (*entity, state, reason)
            };
            Entity::ALL.iter().map(state).collect()
        }
        Health::NotAsked => return as_before(previous),
        Health::Unreachable(why) => {
            let message = format!("no instance reported its health: {why}");
            conditions.set(of, ConditionStatus::Unknown, Reason::ServerUnreachable, message);
            return as_before(previous);
        }
    };
    set_synced(&states, conditions);
    let since = |entity: Entity, state: SyncState| -> Option<Time> {
        let before = previous.sync.iter().find(|before| before.entity == entity.as_str());
        let before = before.filter(|before| before.state == state.as_str());
        Some(before.and_then(|before| before.since.clone()).unwrap_or_else(|| whole_seconds(now)))
    };
    let summary = summary(&states);
    let sync = states
        .into_iter()
        .map(|(entity, state, reason)| SyncStatus {
            entity: entity.to_string(),
            since: since(entity, state),
            state: state.to_string(),
            reason,
        })
        .collect();
    Mirror { sync, summary: Some(summary) }
}

type State = (Entity, SyncState, Option<String>);

fn as_before(previous: &SageApiStatus) -> Mirror {
    Mirror { sync: previous.sync.clone(), summary: previous.sync_summary.clone() }
}

fn set_synced(states: &[State], conditions: &mut Conditions) {
    let of = ConditionType::SyncHealthy;
    let with = |wanted: SyncState| -> Vec<String> {
        let those = states.iter().filter(|(_, state, _)| *state == wanted);
        those
            .map(|(entity, _, reason)| match reason {
                Some(reason) => format!("{entity} ({reason})"),
                None => entity.to_string(),
            })
            .collect()
    };
    let (failing, late, unknown) =
        (with(SyncState::Failing), with(SyncState::Late), with(SyncState::Unknown));
    if !failing.is_empty() {
        let message = format!("the last run failed: {}; the instances' log says more", failing.join(", "));
        conditions.no(of, Reason::SyncFailing, message);
    } else if !late.is_empty() {
        conditions.no(of, Reason::Late, format!("no run has succeeded for too long: {}", late.join(", ")));
    } else if !unknown.is_empty() {
        let message = format!("no run has ended yet: {}", unknown.join(", "));
        conditions.set(of, ConditionStatus::Unknown, Reason::Pending, message);
    } else if with(SyncState::Healthy).is_empty() {
        conditions.yes(of, Reason::SyncDisabled, "nothing is mirrored");
    } else {
        conditions.yes(of, Reason::Healthy, "every mirrored entity is current");
    }
}

/// A summary for a column.
fn summary(states: &[State]) -> String {
    let wrong: Vec<_> = states
        .iter()
        .filter(|(_, state, _)| !matches!(state, SyncState::Healthy | SyncState::Disabled))
        .map(|(entity, state, _)| format!("{entity} {state}"))
        .collect();
    if !wrong.is_empty() {
        return cut(&wrong.join(", "), 60);
    }
    let all_off = states.iter().all(|(_, state, _)| *state == SyncState::Disabled);
    if all_off { SyncState::Disabled.to_string() } else { SyncState::Healthy.to_string() }
}

fn state(
    spec: &SageApiSpec,
    entity: Entity,
    reported: Option<&EntityHealth>,
    now: Timestamp,
) -> (SyncState, Option<String>) {
    let Some(reported) = reported else { return (SyncState::Unknown, None) };
    let late = || reported.age_s.is_some_and(|age| age > longest(spec, entity, now).as_secs_f64());
    match reported.status.as_str() {
        "disabled" => (SyncState::Disabled, None),
        "failed" => (SyncState::Failing, reported.error_class.as_deref().map(|class| cut(class, 64))),
        "success" if late() => (SyncState::Late, None),
        "success" => (SyncState::Healthy, None),
        "pending" if late() => (SyncState::Late, None),
        // An age is from an earlier run, of this instance or of another.
        "pending" if reported.age_s.is_some() => (SyncState::Healthy, None),
        _ => (SyncState::Unknown, None),
    }
}

/// How old a mirrored entity may become.
fn longest(spec: &SageApiSpec, entity: Entity, now: Timestamp) -> Duration {
    let sync = spec.sync.as_ref();
    let asked = sync.and_then(|sync| match entity {
        Entity::Users => sync.users.as_ref(),
        Entity::Pricing => sync.pricing.as_ref(),
        Entity::Llmage => sync.llmage.as_ref(),
        Entity::Uapi => sync.uapi.as_ref(),
    });
    let zone = sync.and_then(|sync| sync.time_zone.as_deref());
    let scheduled = asked.and_then(|asked| between_runs(asked, zone, now));
    let every = asked
        .and_then(|asked| asked.every.as_deref())
        .or_else(|| sageapi_contract::find(&format!("sync.{entity}.every")).and_then(|key| key.default));
    let period = scheduled.or_else(|| every.and_then(parse_span)).unwrap_or(Duration::from_mins(5));
    period.saturating_mul(LATE_FACTOR).saturating_add(LATE_SLACK)
}

/// The time between the two runs of a schedule around now.
fn between_runs(asked: &EntitySync, zone: Option<&str>, now: Timestamp) -> Option<Duration> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(asked.schedule.as_deref()?).ok()?;
    let zone = asked.time_zone.as_deref().or(zone).unwrap_or("UTC");
    let now = now.to_zoned(TimeZone::get(zone).ok()?);
    let before = cron.find_previous_occurrence(&now, true).ok()?;
    let after = cron.find_next_occurrence(&now, false).ok()?;
    Duration::try_from(after.timestamp().duration_since(before.timestamp())).ok()
}
