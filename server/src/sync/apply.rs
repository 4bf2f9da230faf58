//! From a page to the store, in portions that one statement can take.

use super::Inner;
use super::source::{FeedPage, Flaw};
use crate::model::{Cell, Entity};
use crate::store::{self, Change, Changed, Lease, Op, Page, PageCounts};

/// The most rows of one statement: its arguments must stay below SQLite's 32,766.
const PORTION_ROWS: usize = 1000;
/// The most text of one statement, in bytes: MariaDB refuses packets of 16 MiB.
const PORTION_BYTES: usize = 4 << 20;
/// Rows of a page that the log names.
const LOGGED_ROWS: usize = 20;

/// Under which lease a page is written, and where that leaves the cursor.
#[derive(Clone, Copy)]
pub(super) struct Under<'a> {
    pub lease: &'a Lease,
    /// Where the page started: what holds until its last portion is in.
    pub before: &'a str,
    /// Where the next page starts.
    pub after: &'a str,
}

impl Inner {
    /// Writes a page and tells the caches of this instance. A pull by id has no lease and moves no
    /// cursor.
    pub async fn apply(
        &self,
        entity: Entity,
        page: FeedPage,
        under: Option<Under<'_>>,
    ) -> Result<PageCounts, store::Error> {
        tell_operators(entity, &page);
        let FeedPage { mut changes, quarantined, partial, .. } = page;
        let mut quarantine = Some((quarantined, partial));
        let mut total = PageCounts::default();
        loop {
            let rest = changes.split_off(portion(&changes));
            let is_last = rest.is_empty();
            let (quarantined, partial) = quarantine.take_if(|_| is_last).unwrap_or_default();
            let page = Page {
                changes,
                quarantined,
                partial,
                cursor: under.map(|u| if is_last { u.after } else { u.before }.to_owned()),
            };
            let changed = page.changed(entity);
            let counts = self.store.apply_page(entity, under.map(|u| u.lease), page).await?;
            if let Some(changed) = changed {
                self.tell(&changed);
            }
            total.upserts += counts.upserts;
            total.deletes += counts.deletes;
            total.quarantined += counts.quarantined;
            if is_last {
                return Ok(total);
            }
            changes = rest;
        }
    }

    /// Lets the caches of this instance drop what has changed.
    pub fn tell(&self, changed: &Changed) {
        if let Some(listener) = self.listener.get() {
            listener(changed);
        }
    }
}

/// Says which rows cannot be read, and which price lists cannot be priced by, and why.
fn tell_operators(entity: Entity, page: &FeedPage) {
    let entity = entity.as_str();
    for row in page.quarantined.iter().take(LOGGED_ROWS) {
        let (id, version, reason) = (row.id.as_str(), row.version, row.error.as_str());
        tracing::warn!(entity, id, version, reason, "the newest version of a row cannot be read");
    }
    for Flaw { id, version, reason } in page.flaws.iter().take(LOGGED_ROWS) {
        tracing::warn!(entity, id = id.as_str(), version, reason, "no charge can be priced by a price list");
    }
    let rest = page.quarantined.len().max(page.flaws.len()).saturating_sub(LOGGED_ROWS);
    if rest > 0 {
        tracing::warn!(entity, rest, "the same is true of more rows of this page");
    }
}

/// How many of the first changes make one portion.
fn portion(changes: &[Change]) -> usize {
    let mut bytes = 0;
    let fits = |change: &&Change| {
        bytes += size(change);
        bytes <= PORTION_BYTES
    };
    // One row alone is always taken; it is bounded by its columns.
    changes.iter().take(PORTION_ROWS).take_while(fits).count().max(1).min(changes.len())
}

fn size(change: &Change) -> usize {
    let Op::Upsert { cells, .. } = &change.op else { return 0 };
    let text = |cell: &Cell| if let Cell::Text(text) = cell { text.len() } else { 0 };
    cells.iter().map(text).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TextId;

    fn change(text: usize) -> Change {
        let cells = vec![Cell::Null, Cell::Text("x".repeat(text).into()), Cell::Int(1)];
        Change { id: TextId::parse("a").unwrap(), version: 1, op: Op::Upsert { created_at: None, cells } }
    }

    #[test]
    fn a_portion_is_bounded_in_rows_and_bytes_and_never_empty() {
        assert_eq!(portion(&[]), 0);
        assert_eq!(portion(&vec![change(10); 999]), 999);
        assert_eq!(portion(&vec![change(10); 1001]), 1000);
        assert_eq!(portion(&vec![change(1 << 20); 10]), 4);
        assert_eq!(portion(&[change(PORTION_BYTES + 1), change(1)]), 1);
    }
}
