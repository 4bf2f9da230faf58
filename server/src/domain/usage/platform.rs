//! The sums over all customers by day, `platform_daily`: added up from `usage_totals`, and replaced where they differ.

use std::collections::BTreeMap;

use crate::model::{PlatformDay, PlatformSums};
use crate::store::{self, Store};

/// Rows read at a time.
const SLICE: i64 = 5_000;

/// Recomputes the sums of a day; whether anything differed.
pub async fn renew_platform_day(store: &Store, day: &str) -> Result<bool, store::Error> {
    let mut sums: BTreeMap<_, PlatformSums> = BTreeMap::new();
    let mut after = None;
    loop {
        let slice = store.usage_totals_on(day, after.as_ref(), SLICE).await?;
        for total in &slice {
            let sums = sums.entry(total.currency).or_default();
            *sums = sums.with(&total.sums);
        }
        after = slice.into_iter().next_back();
        if after.is_none() {
            break;
        }
    }
    let row = |(currency, sums)| PlatformDay { day: day.to_owned(), currency, sums };
    let days: Vec<_> = sums.into_iter().map(row).collect();
    // A currency that a customer has used on a day stays: none has to be deleted.
    if days == store.platform_days(day, day).await? {
        return Ok(false);
    }
    store.put_platform_days(days).await?;
    Ok(true)
}
