//! How the feed can be told to misbehave.

use serde::{Deserialize, Serialize};

use crate::entity::Entity;

/// One way to misbehave. Every fault comes after authentication: who may not ask gets 401 all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Behave again.
    None,
    /// Answer after `delay_ms` (2000).
    Slow,
    /// Close the connection without an answer.
    Down,
    /// Answer `status` (503) with an error body.
    Status,
    /// A complete HTTP answer whose JSON stops half-way.
    Truncated,
    /// A body that breaks off half-way as the connection closes.
    Cut,
    /// 200 with an HTML page.
    WrongContent,
    /// A body of `bytes` (100 MiB) inside valid JSON, made as it is sent.
    Huge,
    /// 302 to `location` (a path of the feed that counts who follows).
    Redirect,
    /// 200 that claims to be JSON, with bytes that are not even text.
    Garbage,
    /// The page as it should be, but its first row is broken in the way `what` says.
    BadRow,
    /// Headers and the first bytes, then nothing for `delay_ms` (an hour).
    Stall,
}

/// What is wrong with the row of [`Mode::BadRow`]. Its id and version are good unless they are what is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadRow {
    /// Columns of the wrong types, others absent.
    #[default]
    Data,
    /// `data` is null though the row is an upsert.
    NoData,
    /// `version` is text.
    Version,
    /// `op` is none that exists.
    Op,
    /// An id longer than any may be.
    Id,
    /// `null` in place of the row.
    Null,
}

/// A fault with its settings; what is absent has the default that the mode names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The way to misbehave.
    pub mode: Mode,
    /// For requests of this entity only; absent: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// How many requests it lasts; absent: until another fault or `none` replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Milliseconds, for `slow` and `stall`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// HTTP status, for `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Size of the body, for `huge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Where to, for `redirect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What is wrong, for `bad-row`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<BadRow>,
}

impl Fault {
    /// This mode with its defaults, for every entity, until told otherwise.
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            entity: None,
            count: None,
            delay_ms: None,
            status: None,
            bytes: None,
            location: None,
            what: None,
        }
    }

    /// The same fault, for so many requests.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// The same fault, for this entity alone.
    #[must_use]
    pub fn on(self, entity: Entity) -> Self {
        Self { entity: Some(entity), ..self }
    }
}

/// The faults in force: at most one for all entities and one for each.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Puts a fault in force in place of the one with the same entity; `none` for all entities ends every fault.
    pub(crate) fn set(&mut self, fault: Fault) {
        if fault.mode == Mode::None && fault.entity.is_none() {
            self.0.clear();
            return;
        }
        self.0.retain(|other| other.entity != fault.entity);
        if fault.mode != Mode::None && fault.count != Some(0) {
            self.0.push(fault);
        }
    }

    /// The fault that this request meets, the entity's own first; counts the request.
    pub(crate) fn meet(&mut self, entity: Entity) -> Option<Fault> {
        let at = self
            .0
            .iter()
            .position(|fault| fault.entity == Some(entity))
            .or_else(|| self.0.iter().position(|fault| fault.entity.is_none()))?;
        let fault = self.0[at].clone();
        if let Some(left) = &mut self.0[at].count {
            *left -= 1;
            if *left == 0 {
                self.0.remove(at);
            }
        }
        Some(fault)
    }

    pub(crate) fn in_force(&self) -> &[Fault] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_ends_after_so_many_requests_of_its_entity() {
        let mut faults = Faults::default();
        faults.set(Fault::new(Mode::Down).on(Entity::Users).times(2));
        assert!(faults.meet(Entity::Pricing).is_none());
        assert!(faults.meet(Entity::Users).is_some());
        assert!(faults.meet(Entity::Users).is_some());
        assert!(faults.meet(Entity::Users).is_none());
    }

    #[test]
    fn an_entitys_own_fault_goes_before_the_one_for_all_and_none_ends_what_it_names() {
        let mut faults = Faults::default();
        faults.set(Fault::new(Mode::Slow));
        faults.set(Fault::new(Mode::Garbage).on(Entity::Uapi));
        assert_eq!(faults.meet(Entity::Uapi).unwrap().mode, Mode::Garbage);
        assert_eq!(faults.meet(Entity::Users).unwrap().mode, Mode::Slow);
        faults.set(Fault::new(Mode::None).on(Entity::Uapi));
        assert_eq!(faults.meet(Entity::Uapi).unwrap().mode, Mode::Slow);
        faults.set(Fault::new(Mode::None));
        assert!(faults.in_force().is_empty());
    }

    #[test]
    fn a_fault_is_read_with_its_settings_and_a_misspelt_one_is_refused() {
        let fault: Fault = serde_json::from_str(r#"{"mode":"wrong-content","count":1}"#).unwrap();
        assert_eq!((fault.mode, fault.count), (Mode::WrongContent, Some(1)));
        assert!(serde_json::from_str::<Fault>(r#"{"mode":"slow","delay":5}"#).is_err());
        assert!(serde_json::from_str::<Fault>(r#"{"mode":"sluggish"}"#).is_err());
    }
}
