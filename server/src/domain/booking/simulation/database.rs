//! A database in memory that fails as real ones do, by the draw of one generator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::OwnedMutexGuard;

use super::super::backend::{LedgerBackend, latest};
use super::super::command::{Command, named_ids, quota_query};
use super::super::decide::{Loaded, time_of};
use super::super::request::Action;
use super::check::is_poisonous;
use super::rows::Rows;
use super::time::Time;
use crate::model::{
    Clock as _, CounterKind, Customer, CustomerId, Hold, HoldState, QuotaCounter, QuotaReservation, Record,
    ReservationState, Timestamp, Transno, UsageRecord,
};
use crate::store::{Error, LedgerChanges, LedgerRow, NonceUse, NotCommitted, QuotaQuery, QuotaRows};

/// How long a lock is waited for, as `innodb_lock_wait_timeout` says.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// For so long counters of a window that has ended are read.
const CONTINUED: Duration = Duration::from_hours(48);
/// When histories begin: far from the end of a day; shortly before the end of a day, of a month, and of a month in
/// China.
const STARTS: [&str; 4] =
    ["2026-05-28T20:26:40Z", "2026-05-28T23:59:59Z", "2026-05-31T23:59:59Z", "2026-05-31T15:59:59Z"];

/// The last state of each customer, as a place in the list of its states.
pub type Moment = BTreeMap<CustomerId, usize>;

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
        let start = STARTS[usize::try_from(seed % 4).unwrap()];
        let start = Timestamp::parse(start).unwrap();
        Arc::new(Self {
            rows: Mutex::new(Rows { customers, available, ..Rows::default() }),
            locks,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            faults: Mutex::new(0),
            time: Time::new(start),
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

    /// Whose holds or reservations are due.
    pub fn due(&self) -> BTreeSet<CustomerId> {
        let (now, rows) = (self.time.clock.now(), self.rows());
        let due = rows.holds.values().filter(|hold| hold.state == HoldState::Open && hold.expires_at <= now);
        let open = rows.quota_reservations.values().filter(|made| made.state == ReservationState::Open);
        let reserved = open.filter(|made| made.expires_at <= now).map(|made| made.customer_id.clone());
        due.map(|hold| hold.customer_id.clone()).chain(reserved).collect()
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
        let (changes, nonces) = (std::mem::take(&mut tx.changes), std::mem::take(&mut tx.nonces));
        self.rows().apply(changes, nonces, &tx.times);
    }
}

/// A transaction: the locks that it holds, and what it wrote.
pub struct Transaction {
    database: Arc<Database>,
    locks: Vec<OwnedMutexGuard<()>>,
    nonces: Vec<[u8; 16]>,
    changes: LedgerChanges,
    /// When it happens for its customers.
    times: BTreeMap<CustomerId, Timestamp>,
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
        let made = changes.quota_reservations.iter().filter_map(|made| made.request_id.as_ref());
        let mut names = (changes.records.iter().map(|record| &record.transno))
            .chain(changes.holds.iter().map(|hold| &hold.transno))
            .chain(changes.usage.iter().map(|usage| &usage.request_id))
            .chain(made);
        let poisoned = names.any(is_poisonous);
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

    async fn begin(
        &mut self,
        commands: &[Command],
    ) -> Result<(Transaction, Vec<LedgerRow>, QuotaRows), Error> {
        let database = self.database.clone();
        let mut tx = Transaction {
            database,
            locks: Vec::new(),
            nonces: Vec::new(),
            changes: LedgerChanges::default(),
            times: BTreeMap::new(),
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
        let customers: Vec<_> = known.map(|customer| LedgerRow { customer: customer.clone(), now }).collect();
        let quotas = quotas_of(&rows, commands, &customers, now);
        drop(rows);
        tx.times = customers.iter().map(|row| (row.customer.id.clone(), time_of(row))).collect();
        Ok((tx, customers, quotas))
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

/// The counters and reservations that commands are about, as the store reads them.
fn quotas_of(rows: &Rows, commands: &[Command], customers: &[LedgerRow], now: Timestamp) -> QuotaRows {
    let QuotaQuery { mut users, names, reservations: named } = quota_query(commands);
    let sweeps = |command: &&Command| matches!(command.request.action, Action::Expire);
    let swept: BTreeSet<_> = commands.iter().filter(sweeps).map(|c| &c.request.customer_id).collect();
    let latest = latest(customers);
    let is_open = |made: &QuotaReservation| made.state == ReservationState::Open;
    let asked = |made: &&QuotaReservation| {
        let by_name =
            |name: &Transno| names.contains(&(made.customer_id.clone(), made.user_id.clone(), name.clone()));
        named.contains(&made.id)
            || made.open_request_id.as_ref().is_some_and(by_name)
            || is_open(made) && made.expires_at <= latest && swept.contains(&made.customer_id)
    };
    let mut reservations: Vec<_> = rows.quota_reservations.values().filter(asked).cloned().collect();
    users.extend(reservations.iter().map(|made| (made.customer_id.clone(), made.user_id.clone())));
    users.retain(|(customer, _)| customers.iter().any(|row| row.customer.id == *customer));
    let theirs = |made: &&QuotaReservation| {
        is_open(made)
            && made.expires_at <= now
            && users.contains(&(made.customer_id.clone(), made.user_id.clone()))
            && !reservations.iter().any(|known| known.id == made.id)
    };
    let due: Vec<_> = rows.quota_reservations.values().filter(theirs).cloned().collect();
    reservations.extend(due);
    let counted = |row: &&QuotaCounter| {
        users.contains(&(row.customer_id.clone(), row.user_id.clone()))
            && (row.kind == CounterKind::Live || row.window_end > now.minus(CONTINUED))
    };
    QuotaRows { counters: rows.quota_counters.values().filter(counted).cloned().collect(), reservations }
}
