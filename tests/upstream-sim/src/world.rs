//! A platform's data, computed row by row from a seed: nothing is kept in memory.

mod ids;
mod models;
mod people;
mod pricing;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Value, json};

pub use self::models::{ModelRow, UapiRow};
pub use self::people::{BalanceRow, UserRow};
pub use self::pricing::PricingRow;

use self::ids::Kind;
use crate::entity::Entity;

/// How large the world is. The same counts and seed make the same world, on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// What the rows are computed from.
    pub seed: u64,
    /// Users, spread evenly over the customers.
    pub users: u64,
    /// Customers; each has a row in `balances`.
    pub customers: u64,
    /// Rows of `llmage`.
    pub models: u64,
    /// Rows of `uapi`.
    pub apis: u64,
    /// Pricing programs. `pricing` has one row for each, and two more for every fifth.
    pub programs: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { seed: 1, users: 1000, customers: 10, models: 50, apis: 20, programs: 30 }
    }
}

/// One row's columns.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Row {
    /// Of `users`.
    User(UserRow),
    /// Of `pricing`.
    Pricing(PricingRow),
    /// Of `llmage`.
    Model(ModelRow),
    /// Of `uapi`.
    Uapi(UapiRow),
    /// Of `balances`.
    Balance(BalanceRow),
}

/// The untouched world; what has changed since is in the change log.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub(crate) counts: Counts,
}

/// How many ids [`World::describe`] gives of each entity.
const SHOWN: u64 = 10;

impl World {
    /// The world of these counts.
    pub const fn new(counts: Counts) -> Self {
        Self { counts }
    }

    /// Rows that an entity has before anything is added.
    pub const fn base_rows(&self, entity: Entity) -> u64 {
        match entity {
            Entity::Users => self.counts.users,
            Entity::Pricing => pricing::base_rows(self.counts.programs),
            Entity::Llmage => self.counts.models,
            Entity::Uapi => self.counts.apis,
            Entity::Balances => self.counts.customers,
        }
    }

    /// The id of row `index`; rows after the base rows have ids too.
    pub fn id(&self, entity: Entity, index: u64) -> String {
        self.id_of(Self::kind(entity), index)
    }

    /// The row that this id names, whether a base row or one that could be added.
    pub fn index(&self, entity: Entity, id: &str) -> Option<u64> {
        ids::index_of(self.counts.seed, Self::kind(entity), id)
    }

    /// Row `index` after `revision` changes; each change shows in a name, a price or a balance.
    pub fn row(&self, entity: Entity, index: u64, revision: u32) -> Row {
        match entity {
            Entity::Users => Row::User(people::user(self, index, revision)),
            Entity::Pricing => Row::Pricing(pricing::row(self, index, revision)),
            Entity::Llmage => Row::Model(models::model(self, index, revision)),
            Entity::Uapi => Row::Uapi(models::uapi(self, index, revision)),
            Entity::Balances => Row::Balance(people::balance(self, index, revision)),
        }
    }

    /// The counts and the first ids of everything, for demonstrations and tests.
    pub fn describe(&self) -> Value {
        let first = |entity: Entity, columns: &[&str]| -> Vec<Value> {
            (0..self.base_rows(entity).min(SHOWN))
                .map(|index| {
                    let row = serde_json::to_value(self.row(entity, index, 0)).unwrap_or_default();
                    columns.iter().map(|column| ((*column).to_owned(), row[*column].clone())).collect()
                })
                .collect()
        };
        json!({
            "counts": self.counts,
            "customers": (0..self.counts.customers.min(SHOWN))
                .map(|index| self.id_of(Kind::Customer, index))
                .collect::<Vec<_>>(),
            "users": first(Entity::Users, &["id", "username", "orgid"]),
            "pricing": first(Entity::Pricing, &["id", "ppid", "pricing_type", "pricing_belong"]),
            "llmage": first(Entity::Llmage, &["id", "llmid", "model", "ppid", "status"]),
            "uapi": first(Entity::Uapi, &["id", "name", "upappid"]),
            "balances": first(Entity::Balances, &["id", "balance", "currency"]),
        })
    }

    fn id_of(&self, kind: Kind, index: u64) -> String {
        ids::id_of(self.counts.seed, kind, index)
    }

    const fn kind(entity: Entity) -> Kind {
        match entity {
            Entity::Users => Kind::User,
            Entity::Pricing => Kind::Timing,
            Entity::Llmage => Kind::ApiMap,
            Entity::Uapi => Kind::Uapi,
            Entity::Balances => Kind::Customer,
        }
    }
}
