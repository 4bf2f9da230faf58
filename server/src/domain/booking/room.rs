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

    /// Takes room for all of these requests, or for none of them. Which of them stand behind another call's with the
    /// same transno.
    pub fn enter(&self, requests: &[Request]) -> Result<Vec<usize>, Error> {
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
        // All are looked for before any is entered: a call does not stand behind itself.
        let names: Vec<_> = requests.iter().map(name_of).collect();
        let known = |name: &Option<_>| name.as_ref().is_some_and(|name| inside.transnos.contains_key(name));
        let behind =
            names.iter().enumerate().filter(|(_, name)| known(name)).map(|(place, _)| place).collect();
        for request in requests {
            *inside.of_customer.entry(request.customer_id.clone()).or_default() += 1;
        }
        for name in names.into_iter().flatten() {
            *inside.transnos.entry(name).or_default() += 1;
        }
        Ok(behind)
    }

    /// Gives the room of commands back, before their callers hear of it.
    pub fn leave<'a>(&self, commands: impl IntoIterator<Item = &'a Command>) {
        let mut inside = self.inside();
        for Command { request, .. } in commands {
            inside.count -= 1;
            release(&mut inside.of_customer, &request.customer_id);
            if let Some(name) = name_of(request) {
                release(&mut inside.transnos, &name);
            }
        }
    }
}

/// What tells a request from others, if it has a transno.
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
