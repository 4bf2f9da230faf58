//! A database in memory that fails as real ones do, by the draw of one generator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::OwnedMutexGuard;

use super::super::backend::{LedgerBackend, latest};
use super::super::command::{Command, named_ids, quota_subjects};
use super::super::decide::{Loaded, LoadedQuota};
use super::super::request::Action;
use super::time::Time;
use crate::model::{
    Clock as _, CounterKind, Customer, CustomerId, Hold, HoldState, QuotaCounter, QuotaReservation, Record,
    RecordId, ReservationState, Timestamp, Transno, UsageDay, UsageRecord, UsageSums, UsageTotal,
};
use crate::store::{Error, LedgerChanges, LedgerRow, NonceUse, NotCommitted, Reversal};

/// How long a lock is waited for, as `innodb_lock_wait_timeout` says.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What is committed.
#[derive(Default)]
pub struct Rows {
    pub customers: BTreeMap<CustomerId, Customer>,
    pub records: Vec<Record>,
    pub holds: BTreeMap<RecordId, Hold>,
    pub reversals: Vec<Reversal>,
    pub usage: Vec<UsageRecord>,
    /// By customer, day, user, group, model and currency.
    pub usage_days: BTreeMap<[String; 6], UsageSums>,
    /// By customer, day and currency.
    pub usage_totals: BTreeMap<[String; 3], UsageSums>,
    /// By customer, user, kind and the start of the window.
    pub quota_counters: BTreeMap<(CustomerId, String, &'static str, Timestamp), QuotaCounter>,
    pub quota_reservations: BTreeMap<RecordId, QuotaReservation>,
    /// The ids of the audit log.
    pub audit: BTreeSet<RecordId>,
    /// A closed hold, whenever one was written.
    pub closings: Vec<RecordId>,
    /// What was available to each customer, from the first state to the last.
    pub available: BTreeMap<CustomerId, Vec<i128>>,
    nonces: BTreeSet<[u8; 16]>,
    /// Nonces of transactions under way.
    pending: BTreeSet<[u8; 16]>,
}

/// The last state of each customer, as a place in the list of its states.
pub type Moment = BTreeMap<CustomerId, usize>;

impl Rows {
    /// Notes what a transaction left available to its customers: before and after each record and each new hold, and in
    /// the end. Holds that are let go or expire only add to it: what was between two of these lies between them.
    fn note_available(&mut self, changes: &LedgerChanges) {
        let Self { holds: known, available, .. } = self;
        let LedgerChanges { records, holds, customers, .. } = changes;
        let settled = |record: &Record| {
            let hold = holds.iter().find(|hold| record.hold_id == Some(hold.id));
            hold.map_or(0, |hold| hold.amount.wide())
        };
        for record in records {
            let after = record.available_after.wide();
            let before = after - record.delta.wide() - settled(record);
            available.entry(record.customer_id.clone()).or_default().extend([before, after]);
        }
        for hold in holds.iter().filter(|hold| !known.contains_key(&hold.id)) {
            let after = hold.available_after.wide();
            let before = after + hold.amount.wide();
            available.entry(hold.customer_id.clone()).or_default().extend([before, after]);
        }
        for customer in customers {
            available.entry(customer.id.clone()).or_default().push(customer.available_wide());
        }
    }
}

/// The database, shared by all instances.
pub struct Database {
    rows: Mutex<Rows>,
    locks: BTreeMap<CustomerId, Arc<tokio::sync::Mutex<()>>>,
    rng: Mutex<StdRng>,
    /// Of a thousand operations, so many fail.
    faults: Mutex<u32>,
    pub time: Time,
}

impl Database {
    pub fn new(seed: u64, customers: Vec<Customer>) -> Arc<Self> {
        let locks = customers.iter().map(|c| (c.id.clone(), Arc::default())).collect();
        let available = customers.iter().map(|c| (c.id.clone(), vec![c.available_wide()])).collect();
        let customers = customers.into_iter().map(|c| (c.id.clone(), c)).collect();
        Arc::new(Self {
            rows: Mutex::new(Rows { customers, available, ..Rows::default() }),
            locks,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            faults: Mutex::new(0),
            time: Time::new(Timestamp::from_seconds(1_780_000_000)),
        })
    }

    /// Also after a panic: transactions end while the test that failed unwinds.
    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fail(&self, of_a_thousand: u32) {
        *self.faults.lock().unwrap() = of_a_thousand;
    }

    pub fn draw(&self, below: u32) -> u32 {
        self.rng.lock().unwrap().random_range(0..below)
    }

    /// Whether operations fail at times.
    pub fn is_faulty(&self) -> bool {
        *self.faults.lock().unwrap() > 0
    }

    /// Where the customers' states have come to.
    pub fn moment(&self) -> Moment {
        self.rows().available.iter().map(|(id, states)| (id.clone(), states.len() - 1)).collect()
    }

    /// Whose holds are due.
    pub fn due(&self) -> BTreeSet<CustomerId> {
        let (now, rows) = (self.time.clock.now(), self.rows());
        let due = rows.holds.values().filter(|hold| hold.state == HoldState::Open && hold.expires_at <= now);
        due.map(|hold| hold.customer_id.clone()).collect()
    }

    fn fails(&self) -> bool {
        self.draw(1000) < *self.faults.lock().unwrap()
    }

    /// Waits a random while.
    pub async fn pause(&self, at_most_ms: u32) {
        self.time.sleep(Duration::from_micros(u64::from(self.draw(at_most_ms * 1000 + 1)))).await;
    }

    /// The clock of one statement: now and then of a replica that is behind.
    fn now(&self) -> Timestamp {
        let behind = if self.fails() { self.draw(2_000) } else { 0 };
        self.time.clock.now().minus(Duration::from_millis(u64::from(behind)))
    }

    /// Keeps a customer locked for a while, as a transaction opened by hand does.
    pub async fn lock_a_customer(&self, at_most_ms: u32) {
        let place = self.draw(u32::try_from(self.locks.len()).unwrap()) as usize;
        let _locked = self.locks.values().nth(place).unwrap().lock().await;
        self.pause(at_most_ms).await;
    }

    fn apply(&self, tx: &mut Transaction) {
        let mut rows = self.rows();
        let changes = std::mem::take(&mut tx.changes);
        rows.note_available(&changes);
        let LedgerChanges {
            nonces: _,
            records,
            holds,
            reversals,
            customers,
            audit,
            usage,
            usage_days,
            usage_totals,
            usage_places,
            quota_counters,
            quota_reservations,
        } = changes;
        for counter in quota_counters {
            let key = (
                counter.customer_id.clone(),
                counter.user_id.clone(),
                counter.kind.as_str(),
                counter.window_start,
            );
            rows.quota_counters.insert(key, counter);
        }
        rows.quota_reservations.extend(quota_reservations.into_iter().map(|made| (made.id, made)));
        for used in usage {
            let taken = |other: &UsageRecord| {
                other.id == used.id
                    || other.customer_id == used.customer_id
                        && (other.request_id == used.request_id || other.useq == used.useq)
            };
            assert!(!rows.usage.iter().any(taken), "a unique key is broken by {used:?}");
            rows.usage.push(used);
        }
        for UsageDay { customer_id, day, user_id, group_id, model, currency, sums } in usage_days {
            let key = [customer_id.to_string(), day, user_id, group_id, model, currency.to_string()];
            let row = rows.usage_days.entry(key).or_default();
            *row = row.checked_add(sums).unwrap();
        }
        for UsageTotal { customer_id, day, currency, sums } in usage_totals {
            let row =
                rows.usage_totals.entry([customer_id.to_string(), day, currency.to_string()]).or_default();
            *row = row.checked_add(sums).unwrap();
        }
        for place in usage_places {
            let customer = rows.customers.get_mut(&place.customer_id).unwrap();
            (customer.last_useq, customer.last_usage_at) = (place.last_useq, place.last_usage_at);
        }
        for record in records {
            let taken = |r: &Record| {
                r.id == record.id
                    || r.customer_id == record.customer_id
                        && (r.transno == record.transno || r.seq == record.seq)
            };
            assert!(!rows.records.iter().any(taken), "a unique key is broken by {record:?}");
            rows.records.push(record);
        }
        for hold in holds {
            if hold.state != HoldState::Open {
                rows.closings.push(hold.id);
            }
            rows.holds.insert(hold.id, hold);
        }
        rows.reversals.extend(reversals);
        for entry in audit {
            assert!(rows.audit.insert(entry.id), "an audit entry was written twice: {entry:?}");
        }
        rows.customers.extend(customers.into_iter().map(|customer| (customer.id.clone(), customer)));
        for nonce in std::mem::take(&mut tx.nonces) {
            assert!(rows.nonces.insert(nonce), "a nonce was spent twice");
            rows.pending.remove(&nonce);
        }
    }
}

/// A transaction: the locks that it holds, and what it wrote.
pub struct Transaction {
    database: Arc<Database>,
    locks: Vec<OwnedMutexGuard<()>>,
    nonces: Vec<[u8; 16]>,
    changes: LedgerChanges,
}

impl Transaction {
    fn end(&mut self) {
        let mut rows = self.database.rows();
        for nonce in self.nonces.drain(..) {
            rows.pending.remove(&nonce);
        }
        self.locks.clear();
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.end();
    }
}

/// The way of one instance to the database.
pub struct SimulatedBackend {
    pub database: Arc<Database>,
    /// Whether the instance still runs.
    pub alive: Arc<AtomicBool>,
}

impl SimulatedBackend {
    /// A round trip. Of one that fails the server may have been gone, or the transaction lost. A killed instance does
    /// nothing any more, and the database lets go of its transaction.
    async fn trip(&self, tx: Option<&mut Transaction>) -> Result<(), Error> {
        self.database.pause(3).await;
        if !self.alive.load(Ordering::SeqCst) {
            if let Some(tx) = tx {
                tx.end();
            }
            std::future::pending::<()>().await;
        }
        if !self.database.fails() {
            return Ok(());
        }
        Err(match self.database.draw(3) {
            0 => Error::outage(),
            1 => Error::deadlock(),
            _ => Error::refusal(),
        })
    }
}

impl SimulatedBackend {
    /// The statements before COMMIT.
    async fn write(&self, tx: &mut Transaction, changes: &LedgerChanges) -> Result<(), Error> {
        self.trip(Some(tx)).await?;
        if !self.spend(tx, &changes.nonces)?.into_iter().all(|new| new) {
            return Err(Error::duplicate());
        }
        let rows = self.database.rows();
        let taken = |record: &Record| {
            rows.records.iter().any(|r| r.customer_id == record.customer_id && r.transno == record.transno)
        };
        let used = |record: &UsageRecord| {
            rows.usage
                .iter()
                .any(|u| u.customer_id == record.customer_id && u.request_id == record.request_id)
        };
        if changes.records.iter().any(taken) || changes.usage.iter().any(used) {
            return Err(Error::duplicate());
        }
        let poison = |transno: &Transno| transno.as_str().starts_with(super::POISON);
        let poisoned = changes.records.iter().any(|record| poison(&record.transno))
            || changes.holds.iter().any(|hold| poison(&hold.transno))
            || changes.usage.iter().any(|usage| poison(&usage.request_id));
        if poisoned {
            return Err(Error::refusal());
        }
        tx.changes = changes.clone();
        Ok(())
    }

    fn spend(&self, tx: &mut Transaction, nonces: &[NonceUse]) -> Result<Vec<bool>, Error> {
        let mut rows = self.database.rows();
        let mut fresh = Vec::with_capacity(nonces.len());
        for nonce in nonces {
            if rows.pending.contains(&nonce.hash) && !tx.nonces.contains(&nonce.hash) {
                return Err(Error::deadlock());
            }
            let new = !rows.nonces.contains(&nonce.hash) && rows.pending.insert(nonce.hash);
            if new {
                tx.nonces.push(nonce.hash);
            }
            fresh.push(new);
        }
        Ok(fresh)
    }
}

impl LedgerBackend for SimulatedBackend {
    type Tx = Transaction;

    async fn begin(&mut self, commands: &[Command]) -> Result<(Transaction, Vec<LedgerRow>), Error> {
        let database = self.database.clone();
        let mut tx = Transaction {
            database,
            locks: Vec::new(),
            nonces: Vec::new(),
            changes: LedgerChanges::default(),
        };
        self.trip(Some(&mut tx)).await?;
        let ids: BTreeSet<_> = commands.iter().map(|c| &c.request.customer_id).collect();
        let now = self.database.now();
        for lock in ids.iter().filter_map(|id| self.database.locks.get(id)) {
            let locked = self.database.time.timeout(LOCK_WAIT, lock.clone().lock_owned()).await;
            tx.locks.push(locked.ok_or_else(Error::locked)?);
        }
        self.trip(Some(&mut tx)).await?;
        let rows = self.database.rows();
        let known = ids.into_iter().filter_map(|id| rows.customers.get(id));
        let customers = known.map(|customer| LedgerRow { customer: customer.clone(), now }).collect();
        drop(rows);
        Ok((tx, customers))
    }

    async fn look_up(
        &mut self,
        tx: &mut Transaction,
        commands: &[Command],
        customers: Vec<LedgerRow>,
    ) -> Result<Loaded, Error> {
        self.trip(Some(tx)).await?;
        let rows = self.database.rows();
        let mut loaded = Loaded { customers, ..Loaded::default() };
        for command in commands {
            let id = &command.request.customer_id;
            if let Action::Usage(usage) = &command.request.action {
                let named = |u: &&UsageRecord| u.customer_id == *id && u.request_id == usage.request_id;
                loaded.usage.extend(rows.usage.iter().filter(named).cloned());
            }
            if let Some(transno) = command.request.action.transno() {
                let named = |customer: &CustomerId, name: &_| customer == id && name == transno;
                loaded
                    .records
                    .extend(rows.records.iter().filter(|r| named(&r.customer_id, &r.transno)).cloned());
                loaded
                    .holds
                    .extend(rows.holds.values().filter(|h| named(&h.customer_id, &h.transno)).cloned());
            }
        }
        let due = latest(&loaded.customers);
        let ours = |hold: &&Hold| loaded.customers.iter().any(|row| row.customer.id == hold.customer_id);
        let is_due = |hold: &&Hold| hold.state == HoldState::Open && hold.expires_at <= due;
        loaded.due_holds = rows.holds.values().filter(ours).filter(is_due).cloned().collect();
        let (originals, holds) = named_ids(commands);
        loaded.records.extend(rows.records.iter().filter(|r| originals.contains(&r.id)).cloned());
        loaded.reversals =
            rows.reversals.iter().filter(|r| originals.contains(&r.original)).copied().collect();
        loaded.holds.extend(holds.iter().filter_map(|id| rows.holds.get(id).cloned()));
        Ok(loaded)
    }

    async fn look_up_quota(
        &mut self,
        tx: &mut Transaction,
        commands: &[Command],
        customers: &[LedgerRow],
    ) -> Result<LoadedQuota, Error> {
        let (mut subjects, named) = quota_subjects(commands);
        let sweeps = |command: &&Command| matches!(command.request.action, Action::Expire);
        let swept: BTreeSet<_> = commands.iter().filter(sweeps).map(|c| &c.request.customer_id).collect();
        if subjects.is_empty() && named.is_empty() && swept.is_empty() {
            return Ok(LoadedQuota::default());
        }
        self.trip(Some(tx)).await?;
        let (rows, now) = (self.database.rows(), latest(customers));
        let is_open = |made: &QuotaReservation| made.state == ReservationState::Open;
        let asked = |made: &&QuotaReservation| {
            named.contains(&made.id)
                || is_open(made) && made.expires_at <= now && swept.contains(&made.customer_id)
        };
        let mut reservations: Vec<_> = rows.quota_reservations.values().filter(asked).cloned().collect();
        subjects.extend(reservations.iter().map(|made| (made.customer_id.clone(), made.user_id.clone())));
        subjects.retain(|(customer, _)| customers.iter().any(|row| row.customer.id == *customer));
        let theirs = |made: &&QuotaReservation| {
            is_open(made)
                && subjects.contains(&(made.customer_id.clone(), made.user_id.clone()))
                && !reservations.iter().any(|known| known.id == made.id)
        };
        let open: Vec<_> = rows.quota_reservations.values().filter(theirs).cloned().collect();
        reservations.extend(open);
        let counted = |row: &&QuotaCounter| {
            subjects.contains(&(row.customer_id.clone(), row.user_id.clone()))
                && (row.kind == CounterKind::Live || row.window_end > now)
        };
        let counters = rows.quota_counters.values().filter(counted).cloned().collect();
        Ok(LoadedQuota { counters, reservations })
    }

    async fn spend_nonces(&mut self, tx: &mut Transaction, nonces: &[NonceUse]) -> Result<Vec<bool>, Error> {
        self.trip(Some(tx)).await?;
        self.spend(tx, nonces)
    }

    async fn commit(&mut self, mut tx: Transaction, changes: &LedgerChanges) -> Result<(), NotCommitted> {
        let database = self.database.clone();
        self.write(&mut tx, changes).await.map_err(NotCommitted::Undone)?;
        database.pause(3).await;
        if !self.alive.load(Ordering::SeqCst) {
            // Killed while it committed: the database may have heard of it.
            if database.draw(2) == 0 {
                database.apply(&mut tx);
            }
            drop(tx);
            return std::future::pending().await;
        }
        if !database.fails() {
            database.apply(&mut tx);
            return Ok(());
        }
        match database.draw(4) {
            0 => return Err(NotCommitted::Undone(Error::deadlock())),
            1 => database.apply(&mut tx),
            2 => {}
            // The connection is gone, its transaction not yet: it keeps its locks until it ends.
            _ => drop(tokio::spawn(async move {
                database.pause(8000).await;
                if database.draw(2) == 0 {
                    database.apply(&mut tx);
                }
            })),
        }
        Err(NotCommitted::Unknown(Error::outage()))
    }

    async fn abort(&mut self, tx: Transaction, _: &Error) {
        self.rollback(tx).await;
    }

    async fn rollback(&mut self, tx: Transaction) {
        self.database.pause(1).await;
        drop(tx);
    }

    async fn first_use(&mut self, nonce: NonceUse) -> Result<bool, Error> {
        self.trip(None).await?;
        Ok(self.database.rows().nonces.insert(nonce.hash))
    }

    async fn locked(&mut self, customers: &[CustomerId]) -> Result<Vec<CustomerId>, Error> {
        self.trip(None).await?;
        let locked =
            |id: &&CustomerId| self.database.locks.get(id).is_some_and(|lock| lock.try_lock().is_err());
        Ok(customers.iter().filter(locked).cloned().collect())
    }

    async fn await_customer(&mut self, customer: &CustomerId) -> Result<(), Error> {
        self.trip(None).await?;
        let Some(lock) = self.database.locks.get(customer) else { return Ok(()) };
        self.database.time.timeout(LOCK_WAIT, lock.lock()).await.map(drop).ok_or_else(Error::locked)
    }

    async fn back_off(&mut self, attempt: u32) {
        self.database.pause(5 << attempt.min(6)).await;
    }

    async fn wait(&self, span: Duration) {
        self.database.time.sleep(span).await;
    }
}
