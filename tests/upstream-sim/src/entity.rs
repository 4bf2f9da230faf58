//! The five things that the feed serves.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of row; its lower-case name is the last segment of the feed's path and `data.entity` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    /// Persons of the customers.
    Users,
    /// Dated price lists, one row per `pricing_program_timing`.
    Pricing,
    /// Published models, one row per `llm_api_map`.
    Llmage,
    /// Upstream interfaces that the models are called through.
    Uapi,
    /// What Sage believes each customer's balance to be.
    Balances,
}

impl Entity {
    /// Every entity, in the order of [`Entity::slot`].
    pub const ALL: [Self; 5] = [Self::Users, Self::Pricing, Self::Llmage, Self::Uapi, Self::Balances];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Pricing => "pricing",
            Self::Llmage => "llmage",
            Self::Uapi => "uapi",
            Self::Balances => "balances",
        }
    }

    /// The entity of that name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entity| entity.name() == name)
    }

    /// The event type that announces a change of this entity.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Users => "user.updated",
            Self::Pricing => "pricing.updated",
            Self::Llmage => "llm.updated",
            Self::Uapi => "uapi.updated",
            Self::Balances => "balance.changed",
        }
    }

    pub(crate) const fn slot(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_is_found_by_its_own_name_and_sits_in_its_own_slot() {
        for (slot, entity) in Entity::ALL.into_iter().enumerate() {
            assert_eq!(Entity::from_name(entity.name()), Some(entity));
            assert_eq!(entity.slot(), slot);
            assert_eq!(serde_json::to_value(entity).unwrap(), entity.name());
        }
        assert_eq!(Entity::from_name("Users"), None);
    }
}
