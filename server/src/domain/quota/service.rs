//! Quotas for callers: who is asked about, what the engine decides, and what is decided where the database cannot be asked.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio_util::task::TaskTracker;

use super::counters::{Counted, Counters};
use super::decide::{Check, LimitState, states};
use super::metrics::QuotaMetrics;
use super::refusals::Refusals;
use super::ring::Ring;
use super::subjects::{Standing, Subject, Subjects};
use super::window::zone_of;
use crate::config::{LiveConfig, UnknownUser};
use crate::domain::Error;
use crate::domain::booking::{Action, Booking, Checked, Kept, Outcome, QuotaCheck, Request};
use crate::model::{
    Clock, CounterKind, CustomerId, GroupLimits, LimitKind, OnStoreFailure, QuotaReservation, Reach,
    RecordId, Timestamp, Transno, UserId, Window,
};
use crate::store::{NonceUse, Store};

/// How long a check waits for the database whose caller may go on without: a database that hangs would keep it longer
/// than callers wait.
const BLIND_AFTER: Duration = Duration::from_secs(2);

/// What refused a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// A limit.
    Limit(LimitKind),
    /// The customer has no such user, and `quota.unknown_user` is deny.
    UnknownUser,
    /// The user is disabled.
    UserDisabled,
}

impl RefusedBy {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit(kind) => kind.as_str(),
            Self::UnknownUser => "unknown_user",
            Self::UserDisabled => "user_disabled",
        }
    }
}

/// What a caller asks.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// Whose user.
    pub customer_id: CustomerId,
    /// The user.
    pub user_id: UserId,
    /// How many tokens the request will use at most.
    pub tokens: Option<i64>,
    /// The caller's name for the request.
    pub request_id: Option<Transno>,
    /// How long the reservation stays open.
    pub ttl: Duration,
    /// The nonce that the request spends.
    pub nonce: Option<NonceUse>,
}

/// Whether a user may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckAnswer {
    /// What was reserved; `None` for a refusal, and where the database could not be asked.
    pub reservation: Option<QuotaReservation>,
    /// What refused it.
    pub refused_by: Option<RefusedBy>,
    /// How far the user is from its limits.
    pub limits: Vec<LimitState>,
    /// How long to wait after a refusal; `None` if waiting does not help.
    pub retry_after: Option<Duration>,
    /// When it was decided.
    pub now: Timestamp,
    /// Whether the reservation was made by an earlier request.
    pub replayed: bool,
    /// Whether it was allowed without asking the database.
    pub degraded: bool,
}

impl CheckAnswer {
    fn refused(by: RefusedBy, now: Timestamp) -> Self {
        Self {
            reservation: None,
            refused_by: Some(by),
            limits: Vec::new(),
            retry_after: None,
            now,
            replayed: false,
            degraded: false,
        }
    }

    fn of(checked: Checked) -> Self {
        let Checked { admitted, limits, retry_after, now, replayed } = checked;
        let (reservation, refused_by) = match admitted {
            Ok(reservation) => (Some(reservation), None),
            Err(kind) => (None, Some(RefusedBy::Limit(kind))),
        };
        Self { reservation, refused_by, limits, retry_after, now, replayed, degraded: false }
    }
}

/// Quotas of users.
pub struct QuotaService {
    engine: Booking,
    store: Store,
    subjects: Subjects,
    refusals: Refusals,
    metrics: QuotaMetrics,
    config: LiveConfig,
    clock: Arc<dyn Clock>,
    /// Checks that nobody waits for any more.
    tasks: TaskTracker,
}

impl QuotaService {
    /// Over a running engine.
    pub fn new(
        engine: Booking,
        store: Store,
        subjects: Subjects,
        refusals: Refusals,
        metrics: QuotaMetrics,
        config: LiveConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { engine, store, subjects, refusals, metrics, config, clock, tasks: TaskTracker::new() }
    }

    /// Whether a user may go on; what it may use is reserved then. A refusal is an answer, not an error.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] where the database is away and the user's group says deny; [`Error::NotFound`] without
    /// the customer.
    pub async fn check(&self, request: CheckRequest) -> Result<CheckAnswer, Error> {
        let answer = self.decide(request).await;
        self.metrics.checked(&answer);
        answer
    }

    async fn decide(&self, request: CheckRequest) -> Result<CheckAnswer, Error> {
        if self.config.read(|config| config.server.read_only) {
            return Err(Error::ReadOnly);
        }
        let CheckRequest { customer_id, user_id, tokens, request_id, ttl, nonce } = request;
        let subject = self.subjects.of(&customer_id, &user_id).await?;
        let now = self.clock.now();
        if let Some(by) = self.refuses(&subject) {
            return Ok(CheckAnswer::refused(by, now));
        }
        let check = Check { tokens, default_reservation: default_reservation(&subject), ttl };
        let key = (customer_id.clone(), user_id.clone());
        let limits = limits_of(&subject);
        if let Some(refusal) = self.refusals.get(&key, &limits, check.declared(), now)
            && !self.repeats(&key, request_id.as_ref()).await
        {
            // Its nonce stays unspent: sent again later, the request takes effect once at most all the same.
            return Ok(refusal);
        }
        let asked = QuotaCheck {
            user_id: user_id.as_str().to_owned(),
            request_id,
            check,
            limits: limits.clone(),
            zone: self.zone(&subject),
        };
        let action = Action::Check(Box::new(asked));
        let request = Request { customer_id, body_hash: [0; 32], nonce, action };
        let epoch = self.refusals.epoch();
        let decided = if may_go_on_blind(&subject) {
            self.submit_in_time(request).await
        } else {
            self.engine.submit(request).await
        };
        match decided {
            Ok(outcome) => {
                let answer = CheckAnswer::of(outcome.into_checked()?);
                if answer.refused_by.is_some() {
                    self.refusals.insert(key, limits, check.declared(), answer.clone(), (now, epoch));
                }
                Ok(answer)
            }
            Err(Error::StoreUnavailable(cause)) if may_go_on_blind(&subject) => {
                tracing::warn!(
                    error = cause,
                    "a check is allowed without asking the database: on_store_failure is allow"
                );
                let answer = CheckAnswer::refused(RefusedBy::UnknownUser, now);
                Ok(CheckAnswer { refused_by: None, degraded: true, ..answer })
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the engine, and gives up after [`BLIND_AFTER`]. What is reserved after that is given back: nobody knows of it.
    async fn submit_in_time(&self, request: Request) -> Result<Outcome, Error> {
        let (engine, customer_id) = (self.engine.clone(), request.customer_id.clone());
        let mut deciding = self.tasks.spawn(async move { engine.submit(request).await });
        if let Ok(decided) = tokio::time::timeout(BLIND_AFTER, &mut deciding).await {
            return decided.unwrap_or_else(|error| Err(Error::Internal(error.to_string())));
        }
        let engine = self.engine.clone();
        self.tasks.spawn(async move {
            let Ok(Ok(outcome)) = deciding.await else { return };
            let Ok(Checked { admitted: Ok(late), replayed: false, .. }) = outcome.into_checked() else { return };
            let action = Action::ReleaseQuota(late.id);
            let release = Request { customer_id, body_hash: [0; 32], nonce: None, action };
            if let Err(error) = engine.submit(release).await {
                tracing::warn!(%error, reservation = %late.id, "a reservation that nobody knows of stays until it expires");
            }
        });
        Err(Error::StoreUnavailable("a check had no answer in time".to_owned()))
    }

    /// Waits for what checks left behind. The engine is to be drained before.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether a check repeats one whose reservation is open, as far as can be told: then it is not refused.
    async fn repeats(&self, (customer, user): &(CustomerId, UserId), request_id: Option<&Transno>) -> bool {
        match request_id {
            Some(name) => {
                self.store.has_open_reservation(customer, user.as_str(), name).await.unwrap_or(true)
            }
            None => false,
        }
    }

    /// Why every check of a user is refused.
    fn refuses(&self, subject: &Subject) -> Option<RefusedBy> {
        match subject.standing {
            Standing::Known => None,
            Standing::Disabled => Some(RefusedBy::UserDisabled),
            Standing::Unknown => {
                let policy = self.config.read(|config| config.quota.unknown_user);
                (policy == UnknownUser::Deny).then_some(RefusedBy::UnknownUser)
            }
        }
    }

    /// How far a user is from its limits, by what is counted now, and why all its checks are refused, if they are. Nothing is
    /// reserved.
    pub async fn limits(
        &self,
        customer: &CustomerId,
        user: &UserId,
    ) -> Result<(Vec<LimitState>, Option<RefusedBy>), Error> {
        let subject = self.subjects.of(customer, user).await?;
        let now = self.store.now().await?;
        let mut counters = Counters::default();
        for row in self.store.quota_counters_of(customer, user.as_str(), now).await? {
            let window = Window { start: row.window_start, end: row.window_end };
            let counted = Counted { window, used: row.used, reserved: row.reserved };
            let newest = |known: &mut Option<Counted>| {
                if known.is_none_or(|known| known.window.start < window.start) {
                    *known = Some(counted);
                }
            };
            match row.kind {
                CounterKind::Day => newest(&mut counters.day),
                CounterKind::Month => newest(&mut counters.month),
                CounterKind::Live => {
                    (counters.ring, counters.open) = (Ring::parse(&row.ring), row.reserved);
                }
            }
        }
        let states = states(&limits_of(&subject), &counters, now, &self.zone(&subject));
        Ok((states, self.refuses(&subject)))
    }

    /// Gives a reservation back: no call was made. One that is closed stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a reservation within reach.
    pub async fn release(&self, reach: &Reach, id: RecordId, nonce: Option<NonceUse>) -> Result<Kept, Error> {
        self.keep(reach, id, nonce, Action::ReleaseQuota(id)).await
    }

    /// Keeps a reservation open for so long from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ReservationClosed`].
    pub async fn extend(
        &self,
        reach: &Reach,
        id: RecordId,
        ttl: Duration,
        nonce: Option<NonceUse>,
    ) -> Result<Kept, Error> {
        self.keep(reach, id, nonce, Action::ExtendQuota(id, ttl)).await
    }

    async fn keep(
        &self,
        reach: &Reach,
        id: RecordId,
        nonce: Option<NonceUse>,
        action: Action,
    ) -> Result<Kept, Error> {
        if self.config.read(|config| config.server.read_only) {
            return Err(Error::ReadOnly);
        }
        let customer = self.store.customer_of_reservation(id).await?;
        let customer_id = customer.filter(|id| reach.includes(id)).ok_or(Error::NotFound("reservation"))?;
        let request = Request { customer_id: customer_id.clone(), body_hash: [0; 32], nonce, action };
        let kept = self.engine.submit(request).await?.into_kept()?;
        self.refusals.forget(&customer_id, &kept.reservation.user_id);
        Ok(kept)
    }

    fn zone(&self, subject: &Subject) -> TimeZone {
        let default = self.config.read(|config| config.quota.zone.clone());
        zone_of(subject.group.as_ref().and_then(|group| group.time_zone.as_ref()), &default)
    }
}

fn limits_of(subject: &Subject) -> GroupLimits {
    subject.group.as_ref().map(|group| group.limits.clone()).unwrap_or_default()
}

fn default_reservation(subject: &Subject) -> Option<i64> {
    subject.group.as_ref().and_then(|group| group.default_reservation)
}

fn may_go_on_blind(subject: &Subject) -> bool {
    subject.group.as_ref().is_some_and(|group| group.on_store_failure == OnStoreFailure::Allow)
}
