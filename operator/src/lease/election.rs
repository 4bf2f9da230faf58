use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

/// The Lease's name.
pub const LEASE_NAME: &str = "sageapi-operator";
/// How long a claim lasts without renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(12);

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Another replica holds the lease.
    Wait,
    /// The lease does not exist yet: create this one.
    Create(Box<Lease>),
    /// Replace the lease by this one, which carries the resourceVersion that it replaces.
    Replace(Box<Lease>),
}

/// The election as one candidate sees it. Pure: time and what was read come in, what to write goes out.
#[derive(Debug)]
pub struct Election {
    identity: String,
    /// The lease as last read or written; `None` where it must be read before anything is decided.
    known: Option<Known>,
    /// Who held the lease under which renewal, and since when that was seen unchanged.
    holder: Option<(Holder, Duration)>,
    /// When the last renewal that succeeded was sent.
    renewed: Option<Duration>,
}

#[derive(Debug)]
enum Known {
    Absent,
    Present(Box<Lease>),
}

/// What a live holder keeps changing.
#[derive(Debug, Clone, PartialEq)]
struct Holder {
    identity: String,
    renewed: Option<MicroTime>,
    transitions: i32,
}

impl Election {
    /// A candidate that has seen nothing yet.
    pub fn new(identity: String) -> Self {
        Self { identity, known: None, holder: None, renewed: None }
    }

    /// The candidate's name.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Until when the claim lasts, if there is one.
    pub fn claimed_until(&self) -> Option<Duration> {
        self.renewed.map(|sent| sent + LEASE_DURATION)
    }

    /// Whether the lease must be read before [`Self::step`]: always, except by a holder that renews.
    pub fn must_read(&self, now: Duration) -> bool {
        let holds = self.claimed_until().is_some_and(|until| now < until);
        !(holds && matches!(self.known, Some(Known::Present(_))))
    }

    /// A request failed or conflicted: the known version may be out of date.
    pub fn forget_version(&mut self) {
        self.known = None;
    }

    /// The lease was read.
    pub fn saw(&mut self, found: Option<Lease>, now: Duration) {
        let holder = found.as_ref().and_then(holder_of);
        if holder.as_ref().is_none_or(|holder| holder.identity != self.identity) {
            self.renewed = None;
        }
        self.holder = match (holder, self.holder.take()) {
            (Some(seen), Some((before, since))) if seen == before => Some((before, since)),
            (Some(seen), _) => Some((seen, now)),
            (None, _) => None,
        };
        self.known = Some(found.map_or(Known::Absent, |lease| Known::Present(Box::new(lease))));
    }

    /// What to write, judged at `now`; `wall` is what is written for people to read.
    pub fn step(&mut self, now: Duration, wall: Timestamp) -> Step {
        let lease = match &self.known {
            None => return Step::Wait,
            Some(Known::Absent) => {
                let metadata = ObjectMeta { name: Some(LEASE_NAME.to_owned()), ..ObjectMeta::default() };
                let spec = Some(self.claim(None, wall));
                return Step::Create(Box::new(Lease { metadata, spec }));
            }
            Some(Known::Present(lease)) => lease,
        };
        let may_take = match &self.holder {
            None => true,
            Some((holder, since)) => {
                holder.identity == self.identity || now.saturating_sub(*since) >= duration_of(lease)
            }
        };
        if !may_take {
            return Step::Wait;
        }
        let mut next = lease.clone();
        next.spec = Some(self.claim(lease.spec.as_ref(), wall));
        Step::Replace(next)
    }

    /// The write that was sent at `sent` succeeded with this result.
    pub fn won(&mut self, lease: Lease, sent: Duration) {
        self.renewed = Some(sent);
        self.holder = holder_of(&lease).map(|holder| (holder, sent));
        self.known = Some(Known::Present(Box::new(lease)));
    }

    /// The lease without a holder, if this candidate is known to hold it.
    pub fn release(&mut self, wall: Timestamp) -> Option<Box<Lease>> {
        self.renewed = None;
        let Some(Known::Present(mut lease)) = self.known.take() else { return None };
        let spec =
            lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))?;
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(wall));
        Some(lease)
    }

    fn claim(&self, before: Option<&LeaseSpec>, wall: Timestamp) -> LeaseSpec {
        let ours = before.is_some_and(|spec| spec.holder_identity.as_ref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: before
                .filter(|_| ours)
                .and_then(|spec| spec.acquire_time.clone())
                .or(Some(MicroTime(wall))),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(transitions.saturating_add(i32::from(!ours && before.is_some()))),
            ..LeaseSpec::default()
        }
    }
}

fn holder_of(lease: &Lease) -> Option<Holder> {
    let spec = lease.spec.as_ref()?;
    let identity = spec.holder_identity.clone().filter(|identity| !identity.is_empty())?;
    Some(Holder {
        identity,
        renewed: spec.renew_time.clone(),
        transitions: spec.lease_transitions.unwrap_or(0),
    })
}

/// The holder's duration; never less than our own, so that replicas of different versions stay safe.
fn duration_of(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(LEASE_DURATION)
}
