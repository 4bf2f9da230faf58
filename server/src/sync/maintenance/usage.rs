//! Usage records that are old enough, and the sums over all customers.

use std::sync::Mutex;
use std::time::Duration;

use super::super::Inner;
use super::super::lease::Held;
use crate::domain::booking::UsageFloor;
use crate::domain::mirror::day_at;
use crate::domain::usage::{BEHIND_FLOOR, Purge, PurgeMode, SLICE_PAUSE, renew_platform_day};
use crate::model::{Actor, Timestamp};
use crate::store;

const TABLE: &str = "usage_logs";
/// What the floor rises by: so rows are deleted, and noted in the audit log, once an hour.
const STEP: i64 = 3_600_000_000;
/// Slices deleted in one round, so that everything else is not left undone for long. The next round goes on.
const SLICES: usize = 100;
/// Days that are added up in every round: usage is told soon, as a rule.
const RECENT: Duration = Duration::from_hours(2 * 24);
/// Older days that are added up in a round, in turn, for usage that was told late: so a year is renewed in about 40 minutes.
const OLDER: usize = 10;
/// After every day.
const LAST: &str = "9999-12-31";

/// What one round tells the next.
#[derive(Default)]
pub struct UsageRounds {
    /// The floor that this instance raised last, which all instances have had a round's time to read.
    announced: UsageFloor,
    /// The older day that was added up last. Never held across an await.
    older: Mutex<Option<String>>,
}

impl Inner {
    /// Raises the floor of usage, and deletes what lies a day before the one of an earlier round; how many.
    pub(super) async fn forget_usage(&self, held: &mut Held, now: Timestamp) -> Result<u64, store::Error> {
        let Some(retention) = self.config.read(|config| config.usage.retention) else { return Ok(0) };
        let kept = now.minus(retention).micros();
        let floor = Timestamp::from_micros(kept - kept.rem_euclid(STEP));
        let announced = self.usage.announced.get();
        if self.store.raise_usage_floor(floor).await?.is_none() {
            return Ok(0);
        }
        self.usage.announced.raise(floor);
        // Not beyond what is configured now, should that have been less before.
        let before = announced.min(floor).minus(BEHIND_FLOOR);
        let mut purge = Purge::before(before, PurgeMode::Delete);
        let result = self.purge_usage(held, &mut purge).await;
        if purge.rows() > 0 {
            self.metrics.cleaned(TABLE, purge.rows());
            self.store.note_usage_purge(&Actor::server(), before, purge.rows()).await?;
        }
        result.map(|()| purge.rows())
    }

    async fn purge_usage(&self, held: &mut Held, purge: &mut Purge) -> Result<(), store::Error> {
        for _ in 0..SLICES {
            held.keep().await?;
            if !purge.next_slice(&self.store).await? {
                break;
            }
            tokio::time::sleep(SLICE_PAUSE).await;
        }
        Ok(())
    }

    /// Adds up the usage of all customers: recent days, and some older ones in turn, backwards.
    pub(super) async fn add_up_usage(&self, held: &mut Held, now: Timestamp) -> Result<(), store::Error> {
        let zone = self.config.read(|config| config.usage.zone.clone());
        let recent = day_at(now.minus(RECENT), &zone);
        let mut day = LAST.to_owned();
        while let Some(before) = self.store.usage_day_before(&day).await?.filter(|day| *day >= recent) {
            held.keep().await?;
            renew_platform_day(&self.store, &before).await?;
            day = before;
        }
        let mut day = self.older().take().filter(|day| *day < recent).unwrap_or(recent);
        for _ in 0..OLDER {
            let Some(before) = self.store.usage_day_before(&day).await? else { return Ok(()) };
            held.keep().await?;
            renew_platform_day(&self.store, &before).await?;
            day = before;
        }
        *self.older() = Some(day);
        Ok(())
    }

    fn older(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.usage.older.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
