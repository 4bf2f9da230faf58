//! Room for what waits, over all writers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Command, Request};
use crate::domain::Error;
use crate::model::{CustomerId, Transno};

/// One customer may fill a fifth of the queue, so that others still find room.
const CUSTOMER_SHARE: usize = 5;

/// How many commands may wait, and whose they are. A group waits in one shard whoever its customers are, so that
/// customers are counted here and not there.
pub(super) struct Room {
    capacity: usize,
    inside: Mutex<Inside>,
}

/// Commands from their entry to their verdict.
#[derive(Default)]
struct Inside {
    count: usize,
    of_customer: HashMap<CustomerId, usize>,
    transnos: HashMap<(CustomerId, Transno), usize>,
}

/// How commands entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    /// Each under a transno of its own.
    Apart,
    /// One of them behind another one with its transno.
    Behind,
}

impl Room {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, inside: Mutex::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands are inside.
    pub fn count(&self) -> usize {
        self.inside().count
    }

    /// Takes room for all of these requests, or for none of them.
    pub fn enter(&self, requests: &[Request]) -> Result<Entered, Error> {
        let mut wanted: HashMap<&CustomerId, usize> = HashMap::new();
        for request in requests {
            *wanted.entry(&request.customer_id).or_default() += 1;
        }
        let share = (self.capacity / CUSTOMER_SHARE).max(1);
        let mut inside = self.inside();
        let own = |customer: &CustomerId| inside.of_customer.get(customer).copied().unwrap_or(0);
        let fits = |(customer, count): (&&CustomerId, &usize)| own(customer) + count <= share;
        if inside.count + requests.len() > self.capacity || !wanted.iter().all(fits) {
            return Err(Error::Overloaded);
        }
        inside.count += requests.len();
        let mut entered = Entered::Apart;
        for request in requests {
            let customer = &request.customer_id;
            *inside.of_customer.entry(customer.clone()).or_default() += 1;
            let Some(transno) = request.action.transno() else { continue };
            let same = inside.transnos.entry((customer.clone(), transno.clone())).or_default();
            *same += 1;
            if *same > 1 {
                entered = Entered::Behind;
            }
        }
        Ok(entered)
    }

    /// Gives the room of commands back, before their callers hear of it.
    pub fn leave<'a>(&self, commands: impl IntoIterator<Item = &'a Command>) {
        let mut inside = self.inside();
        for Command { request, .. } in commands {
            let customer = &request.customer_id;
            inside.count -= 1;
            release(&mut inside.of_customer, customer);
            if let Some(transno) = request.action.transno() {
                release(&mut inside.transnos, &(customer.clone(), transno.clone()));
            }
        }
    }
}

fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
