//! Admission for what waits, over all writers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::command::Command;
use super::request::Request;
use crate::domain::Error;
use crate::model::{CustomerId, Transno};

/// One customer may fill a fifth of the queue, so that others still find room.
const CUSTOMER_SHARE: usize = 5;

/// Of the queue and of a customer's share, as a part of four: bulk work leaves the rest to single requests.
const BULK_QUARTERS: usize = 3;
/// What a batch may have fits always, however small the queue.
const BATCH: usize = 1000;

/// How requests came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// One by one.
    Single,
    /// Many by one call, or of the server itself.
    Bulk,
}

impl Work {
    /// How much of a share it may take.
    fn part_of(self, share: usize) -> usize {
        match self {
            Self::Single => share,
            Self::Bulk => (share * BULK_QUARTERS / 4).max(share.min(BATCH)),
        }
    }
}

/// How many commands may wait, and whose they are. Customers are counted here and not by shard, because a group waits
/// in one shard whatever its customers are.
pub(super) struct Admission {
    capacity: usize,
    in_flight: Mutex<InFlight>,
}

/// Commands from their entry to their verdict.
#[derive(Default)]
struct InFlight {
    count: usize,
    of_customer: HashMap<CustomerId, usize>,
    transnos: HashMap<(CustomerId, Transno), usize>,
}

impl Admission {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, in_flight: Mutex::default() }
    }

    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands are in flight.
    pub fn count(&self) -> usize {
        self.in_flight().count
    }

    /// Admits all of these requests, or none. Returns the places of those whose transno is in flight already, by another
    /// call.
    pub fn enter(&self, requests: &[Request], work: Work) -> Result<Vec<usize>, Error> {
        let mut wanted: HashMap<&CustomerId, usize> = HashMap::new();
        for request in requests {
            *wanted.entry(&request.customer_id).or_default() += 1;
        }
        let capacity = work.part_of(self.capacity);
        let share = work.part_of((self.capacity / CUSTOMER_SHARE).max(1));
        let mut state = self.in_flight();
        let own = |customer: &CustomerId| state.of_customer.get(customer).copied().unwrap_or(0);
        let fits = |(customer, count): (&&CustomerId, &usize)| own(customer) + count <= share;
        if state.count + requests.len() > capacity || !wanted.iter().all(fits) {
            return Err(Error::Overloaded);
        }
        state.count += requests.len();
        // All are looked up before any is entered: a call does not count as in flight before itself.
        let names: Vec<_> = requests.iter().map(name_of).collect();
        let known = |name: &Option<_>| name.as_ref().is_some_and(|name| state.transnos.contains_key(name));
        let in_flight =
            names.iter().enumerate().filter(|(_, name)| known(name)).map(|(place, _)| place).collect();
        for request in requests {
            *state.of_customer.entry(request.customer_id.clone()).or_default() += 1;
        }
        for name in names.into_iter().flatten() {
            *state.transnos.entry(name).or_default() += 1;
        }
        Ok(in_flight)
    }

    /// Frees the places of commands, before their callers hear of it.
    pub fn leave<'a>(&self, commands: impl IntoIterator<Item = &'a Command>) {
        let mut state = self.in_flight();
        for Command { request, .. } in commands {
            state.count -= 1;
            release(&mut state.of_customer, &request.customer_id);
            if let Some(name) = name_of(request) {
                release(&mut state.transnos, &name);
            }
        }
    }
}

/// The key of a request among those in flight, if it has a transno.
fn name_of(request: &Request) -> Option<(CustomerId, Transno)> {
    request.action.transno().map(|transno| (request.customer_id.clone(), transno.clone()))
}

fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::charges;
    use super::*;

    #[test]
    fn bulk_work_leaves_a_quarter_of_the_queue_and_of_a_share_to_single_requests() {
        let admission = Admission::new(10_000);
        assert!(admission.enter(&charges("a", 1500), Work::Bulk).is_ok());
        assert!(matches!(admission.enter(&charges("a", 1), Work::Bulk), Err(Error::Overloaded)));
        assert!(admission.enter(&charges("a", 500), Work::Single).is_ok());
        assert!(matches!(admission.enter(&charges("a", 1), Work::Single), Err(Error::Overloaded)));
        for customer in ["b", "c", "d", "e"] {
            drop(admission.enter(&charges(customer, 1500), Work::Bulk));
        }
        assert_eq!(admission.count(), 6500, "7,500 at most");
        assert!(admission.enter(&charges("f", 1000), Work::Bulk).is_ok());
        assert!(matches!(admission.enter(&charges("g", 1), Work::Bulk), Err(Error::Overloaded)));
        assert!(admission.enter(&charges("g", 1), Work::Single).is_ok());
    }

    #[test]
    fn a_full_batch_of_one_customer_fits_into_the_smallest_queue() {
        let admission = Admission::new(5000);
        assert!(admission.enter(&charges("a", 1000), Work::Bulk).is_ok());
    }
}
