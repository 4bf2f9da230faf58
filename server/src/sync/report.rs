use std::time::Duration;

use crate::model::Entity;

/// What a run has done, so far or in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunReport {
    /// What was mirrored.
    pub entity: Entity,
    /// Whether everything was pulled, and not only what changed.
    pub snapshot: bool,
    /// Pages applied.
    pub pages: u64,
    /// Rows that the pages gave to write.
    pub upserts: u64,
    /// Rows that the pages said are gone.
    pub deletes: u64,
    /// Rows that could not be understood.
    pub quarantined: u64,
    /// Rows deleted because a snapshot did not have them.
    pub swept: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl RunReport {
    pub(super) const fn new(entity: Entity) -> Self {
        let elapsed = Duration::ZERO;
        Self { entity, snapshot: false, pages: 0, upserts: 0, deletes: 0, quarantined: 0, swept: 0, elapsed }
    }

    /// Rows applied.
    pub const fn rows(&self) -> u64 {
        self.upserts + self.deletes + self.swept
    }
}

/// Is told the report after every page.
pub type Progress<'a> = &'a (dyn Fn(&RunReport) + Send + Sync);
