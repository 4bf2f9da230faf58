//! What a client does next.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::intent::{Answered, Intent, Made, Movement, SCALE, Verdict};
use super::usage::{Check, USERS, Usage};

/// One client's plans: what it knows to be there is settled or reversed by it alone, and once.
pub struct Plans {
    client: usize,
    customers: usize,
    count: u64,
    rng: StdRng,
    holds: Vec<Made<Movement>>,
    charges: Vec<Made<Movement>>,
    reservations: Vec<Made<Check>>,
}

impl Plans {
    /// Of the client of this number, for so many customers.
    pub fn new(client: usize, customers: usize, seed: u64) -> Self {
        Self {
            client,
            customers,
            count: 0,
            rng: StdRng::seed_from_u64(seed),
            holds: Vec::new(),
            charges: Vec::new(),
            reservations: Vec::new(),
        }
    }

    /// What to do next.
    pub fn next(&mut self) -> Intent {
        match self.rng.random_range(0..100) {
            0..10 => Intent::Hold(self.movement(SCALE)),
            10..20 if !self.holds.is_empty() => {
                let hold = take(&mut self.holds, &mut self.rng);
                if self.rng.random_bool(0.3) {
                    return Intent::Release(hold);
                }
                let taken = self.part_of(&hold);
                Intent::Capture(hold, taken)
            }
            20..28 if !self.charges.is_empty() => {
                let charge = take(&mut self.charges, &mut self.rng);
                let back = self.part_of(&charge);
                Intent::Reverse(charge, back)
            }
            28..36 => Intent::Batch(self.movements()),
            36..40 => Intent::Group(self.movements()),
            40..52 => Intent::Check(self.check()),
            52..55 if !self.reservations.is_empty() => {
                Intent::ReleaseQuota(take(&mut self.reservations, &mut self.rng))
            }
            55..70 => Intent::Usage(self.usage()),
            70..77 => {
                let count = self.rng.random_range(1..=20);
                Intent::UsageBatch((0..count).map(|_| self.usage()).collect())
            }
            _ => Intent::Charge(self.movement(SCALE)),
        }
    }

    /// Remembers what came of it.
    pub fn learn(&mut self, intent: &Intent, verdicts: &[Verdict]) {
        match intent {
            Intent::Hold(hold) => remember(&mut self.holds, std::slice::from_ref(hold), verdicts),
            Intent::Charge(charge) => remember(&mut self.charges, std::slice::from_ref(charge), verdicts),
            Intent::Batch(items) | Intent::Group(items) => remember(&mut self.charges, items, verdicts),
            Intent::Check(check) => remember(&mut self.reservations, std::slice::from_ref(check), verdicts),
            Intent::Capture(..)
            | Intent::Release(_)
            | Intent::Reverse(..)
            | Intent::Usage(_)
            | Intent::UsageBatch(_)
            | Intent::ReleaseQuota(_) => {}
        }
    }

    fn movements(&mut self) -> Vec<Movement> {
        let count = self.rng.random_range(1..=20);
        (0..count).map(|_| self.movement(SCALE)).collect()
    }

    fn movement(&mut self, below: u64) -> Movement {
        let customer = self.rng.random_range(0..self.customers);
        self.movement_of(customer, below)
    }

    fn part_of(&mut self, made: &Made<Movement>) -> Movement {
        self.movement_of(made.by.customer, made.by.amount + 1)
    }

    fn movement_of(&mut self, customer: usize, below: u64) -> Movement {
        Movement { customer, transno: self.new_name(), amount: self.rng.random_range(1..below) }
    }

    /// Often what a check reserved for, and now and then what a hold is captured by.
    fn usage(&mut self) -> Usage {
        let is_reserved = !self.reservations.is_empty() && self.rng.random_bool(0.4);
        let reservation = is_reserved.then(|| take(&mut self.reservations, &mut self.rng));
        let (customer, user) = match &reservation {
            Some(made) => (made.by.customer, made.by.user),
            None => (self.rng.random_range(0..self.customers), self.rng.random_range(0..USERS)),
        };
        let is_held = self.rng.random_bool(0.1);
        let of_customer = |hold: &Made<Movement>| is_held && hold.by.customer == customer;
        let hold = self.holds.iter().position(of_customer).map(|index| self.holds.swap_remove(index));
        Usage {
            customer,
            user,
            request_id: self.new_name(),
            input_tokens: self.rng.random_range(1..1000),
            output_tokens: self.rng.random_range(0..500),
            is_priced: self.rng.random_bool(0.8),
            hold,
            reservation,
        }
    }

    fn check(&mut self) -> Check {
        Check {
            customer: self.rng.random_range(0..self.customers),
            user: self.rng.random_range(0..USERS),
            request_id: self.new_name(),
            tokens: self.rng.random_range(1..1500),
        }
    }

    fn new_name(&mut self) -> String {
        self.count += 1;
        format!("c{}-{}", self.client, self.count)
    }
}

fn remember<T: Clone>(kept: &mut Vec<Made<T>>, items: &[T], verdicts: &[Verdict]) {
    for (item, verdict) in items.iter().zip(verdicts) {
        if let Answered::There { id, .. } = &verdict.answer {
            kept.push(Made { id: id.clone(), by: item.clone() });
        }
    }
    // A few of the newest are enough to choose from.
    kept.drain(..kept.len().saturating_sub(32));
}

fn take<T>(from: &mut Vec<Made<T>>, rng: &mut StdRng) -> Made<T> {
    from.swap_remove(rng.random_range(0..from.len()))
}
