//! The database as a writer sees it.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::command::{Command, customers_of, named_ids, quota_query};
use super::decide::{Loaded, time_of};
use super::request::Action;
use crate::model::{CustomerId, Money, QuotaReservation, Timestamp};
use crate::store::{
    Begun, Error, LedgerChanges, LedgerRow, NonceUse, NotCommitted, QuotaQuery, QuotaRows, ReplayTable,
    Store, Tx, Writer,
};

/// Transnos looked up by one statement.
const LOOKED_UP: usize = 64;

/// Due holds that one transaction closes at most. Where there are more, the sweep comes again.
pub(super) const DUE_HOLDS: usize = 4096;

/// What a writer asks of the database. The store answers it, and so does the simulated one of the tests, which fails
/// in every way that a real one can.
pub(super) trait LedgerBackend: Send + 'static {
    /// A transaction under way.
    type Tx: Send;

    /// Starts a transaction by locking the customers of the commands, in the order of their ids so that no two
    /// transactions wait for each other, and reads the quotas of users that the commands are about.
    fn begin(
        &mut self,
        commands: &[Command],
    ) -> impl Future<Output = Result<(Self::Tx, Vec<LedgerRow>, QuotaRows), Error>> + Send;

    /// Reads what else deciding needs.
    fn look_up(
        &mut self,
        tx: &mut Self::Tx,
        commands: &[Command],
        customers: Vec<LedgerRow>,
    ) -> impl Future<Output = Result<Loaded, Error>> + Send;

    /// Records the nonces; for each, whether it was new.
    fn spend_nonces(
        &mut self,
        tx: &mut Self::Tx,
        nonces: &[NonceUse],
    ) -> impl Future<Output = Result<Vec<bool>, Error>> + Send;

    /// Writes what was decided, and commits.
    fn commit(
        &mut self,
        tx: Self::Tx,
        changes: &LedgerChanges,
    ) -> impl Future<Output = Result<(), NotCommitted>> + Send;

    /// Undoes the transaction because of an error.
    fn abort(&mut self, tx: Self::Tx, error: &Error) -> impl Future<Output = ()> + Send;

    /// Undoes the transaction.
    fn rollback(&mut self, tx: Self::Tx) -> impl Future<Output = ()> + Send;

    /// Records a nonce on its own; whether it was new.
    fn first_use(&mut self, nonce: NonceUse) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Which of these customers another transaction keeps locked at this moment.
    fn locked(
        &mut self,
        customers: &[CustomerId],
    ) -> impl Future<Output = Result<Vec<CustomerId>, Error>> + Send;

    /// Waits until a customer can be locked, no longer than a transaction does.
    fn await_customer(&mut self, customer: &CustomerId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits a random moment before the `attempt`th retry.
    fn back_off(&mut self, attempt: u32) -> impl Future<Output = ()> + Send;

    /// Waits.
    fn wait(&self, span: Duration) -> impl Future<Output = ()> + Send;
}

/// The ledger in a store.
pub(super) struct StoreBackend {
    store: Store,
    writer: Writer,
}

impl StoreBackend {
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), writer: store.writer() }
    }
}

impl LedgerBackend for StoreBackend {
    type Tx = Tx;

    async fn begin(&mut self, commands: &[Command]) -> Result<(Tx, Vec<LedgerRow>, QuotaRows), Error> {
        let query = quota_query(commands);
        let Begun { mut tx, customers, mut quotas } =
            self.writer.begin_with_quotas(&customers_of(commands), &query).await?;
        let more = complete_quotas(&mut tx, commands, &customers, &query, &mut quotas);
        match self.writer.with_timeout(more).await {
            Ok(()) => Ok((tx, customers, quotas)),
            Err(error) => {
                self.writer.abort(tx, &error).await;
                Err(error)
            }
        }
    }

    async fn look_up(
        &mut self,
        tx: &mut Tx,
        commands: &[Command],
        customers: Vec<LedgerRow>,
    ) -> Result<Loaded, Error> {
        self.writer.with_timeout(look_up(tx, commands, customers)).await
    }

    async fn spend_nonces(&mut self, tx: &mut Tx, nonces: &[NonceUse]) -> Result<Vec<bool>, Error> {
        self.writer.with_timeout(tx.insert_nonces(nonces)).await
    }

    async fn commit(&mut self, tx: Tx, changes: &LedgerChanges) -> Result<(), NotCommitted> {
        self.writer.commit(tx, changes).await
    }

    async fn abort(&mut self, tx: Tx, error: &Error) {
        self.writer.abort(tx, error).await;
    }

    async fn rollback(&mut self, tx: Tx) {
        self.writer.rollback(tx).await;
    }

    async fn first_use(&mut self, nonce: NonceUse) -> Result<bool, Error> {
        self.writer.with_timeout(self.store.first_use(ReplayTable::Nonces, nonce)).await
    }

    async fn locked(&mut self, customers: &[CustomerId]) -> Result<Vec<CustomerId>, Error> {
        self.writer.with_timeout(self.store.locked_customers(customers)).await
    }

    async fn await_customer(&mut self, customer: &CustomerId) -> Result<(), Error> {
        self.store.await_customer(customer).await
    }

    async fn back_off(&mut self, attempt: u32) {
        self.writer.back_off(attempt).await;
    }

    async fn wait(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Reads what deciding needs beside the customers. What no command names is not asked for.
async fn look_up(tx: &mut Tx, commands: &[Command], customers: Vec<LedgerRow>) -> Result<Loaded, Error> {
    let mut loaded = Loaded { customers, ..Loaded::default() };
    let mut named: Vec<_> =
        commands.iter().filter_map(|c| Some((&c.request.customer_id, c.request.action.transno()?))).collect();
    for chunk in named.chunks(LOOKED_UP) {
        loaded.records.extend(tx.find_records(chunk.iter().copied()).await?);
    }
    let mut used: Vec<_> = Vec::new();
    for command in commands {
        if let Action::Usage(usage) = &command.request.action {
            used.push((&command.request.customer_id, &usage.request_id));
        }
    }
    for chunk in used.chunks(LOOKED_UP) {
        loaded.usage.extend(tx.find_usage(chunk.iter().copied()).await?);
    }
    let with_holds = loaded.customers.iter().map(|row| &row.customer).filter(|c| c.holds_made > 0);
    let with_holds: HashSet<_> = with_holds.map(|customer| &customer.id).collect();
    named.retain(|(customer, _)| with_holds.contains(customer));
    for chunk in named.chunks(LOOKED_UP) {
        loaded.holds.extend(tx.find_holds(chunk.iter().copied()).await?);
    }
    let held = |row: &&LedgerRow| row.customer.held > Money::ZERO;
    let holders: Vec<_> = loaded.customers.iter().filter(held).collect();
    if !holders.is_empty() {
        let ids: Vec<_> = holders.iter().map(|row| row.customer.id.clone()).collect();
        loaded.due_holds = tx.due_holds(&ids, latest(&loaded.customers), DUE_HOLDS).await?;
        if loaded.due_holds.len() == DUE_HOLDS && holders.len() > 1 {
            // More than fit, most of them perhaps one customer's: then everybody gets the same share.
            loaded.due_holds.clear();
            let share = (DUE_HOLDS / holders.len()).max(1);
            for (row, id) in holders.iter().zip(ids.chunks(1)) {
                loaded.due_holds.extend(tx.due_holds(id, time_of(row), share).await?);
            }
        }
    }
    let (records, holds) = named_ids(commands);
    if !records.is_empty() {
        loaded.records.extend(tx.records_by_id(&records).await?);
        loaded.reversals = tx.reversals(&records).await?;
    }
    if !holds.is_empty() {
        loaded.holds.extend(tx.holds_by_id(&holds).await?);
    }
    Ok(loaded)
}

/// Reads what was not known to be needed: of customers to be swept the reservations that are due, and of users that named
/// reservations belong to what is counted.
async fn complete_quotas(
    tx: &mut Tx,
    commands: &[Command],
    customers: &[LedgerRow],
    asked: &QuotaQuery,
    quotas: &mut QuotaRows,
) -> Result<(), Error> {
    let sweeps = |command: &&Command| matches!(command.request.action, Action::Expire);
    let swept: BTreeSet<_> =
        commands.iter().filter(sweeps).map(|command| command.request.customer_id.clone()).collect();
    if !swept.is_empty() {
        let swept: Vec<_> = swept.into_iter().collect();
        let due = tx.due_reservations(&swept, latest(customers), DUE_HOLDS).await?;
        add_reservations(quotas, due);
    }
    // Of customers that are not locked, such as a stranger's reservation names, nothing is read.
    let locked: HashSet<_> = customers.iter().map(|row| &row.customer.id).collect();
    let mut query = QuotaQuery::default();
    for made in &quotas.reservations {
        let user = (made.customer_id.clone(), made.user_id.clone());
        if locked.contains(&made.customer_id) && !asked.users.contains(&user) {
            query.users.insert(user);
            // Once more, now that the counters are locked.
            query.reservations.push(made.id);
        }
    }
    let QuotaRows { counters, reservations } = tx.quotas(&query).await?;
    quotas.counters.extend(counters);
    add_reservations(quotas, reservations);
    Ok(())
}

fn add_reservations(quotas: &mut QuotaRows, more: Vec<QuotaReservation>) {
    let newer: HashSet<_> = more.iter().map(|made| made.id).collect();
    quotas.reservations.retain(|made| !newer.contains(&made.id));
    quotas.reservations.extend(more);
}

/// Until when holds may be due for any of these.
pub(super) fn latest(customers: &[LedgerRow]) -> Timestamp {
    customers.iter().map(time_of).max().unwrap_or_default()
}
