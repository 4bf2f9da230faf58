//! A platform in memory: changes by version, cursors that can expire, and answers told to fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::model::{Cell, Entity, TextId};
use crate::store::{Change, Op, Quarantined};
use crate::sync::{Failure, FeedPage, Position, Source, SourceError};

/// What a request meets instead of its page.
pub(super) enum Fault {
    /// This failure.
    Fail(Failure),
    /// Nothing, until [`Platform::go_on`].
    Wait,
    /// A page as it is, whatever was asked.
    Answer(FeedPage),
}

#[derive(Default)]
struct State {
    rows: BTreeMap<String, Change>,
    version: i64,
    epoch: u32,
    bad: Option<String>,
    faults: VecDeque<Option<Fault>>,
    asked: Vec<Position>,
}

#[derive(Default)]
pub(super) struct Platform {
    state: Mutex<State>,
    gate: Notify,
    waiting: Notify,
}

impl Platform {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Writes rows with this name.
    pub fn put(&self, entity: Entity, ids: impl IntoIterator<Item = usize>, name: &str) {
        for id in ids {
            let mut cells = vec![Cell::Null; entity.columns().len()];
            cells[0] = Cell::Text(name.into());
            self.change(&format!("row{id:05}"), Op::Upsert { created_at: None, cells });
        }
    }

    pub fn delete(&self, id: usize) {
        self.change(&format!("row{id:05}"), Op::Delete);
    }

    fn change(&self, id: &str, op: Op) {
        let mut state = self.state();
        state.version += 1;
        let change = Change { id: TextId::parse(id).unwrap(), version: state.version, op };
        state.rows.insert(id.to_owned(), change);
    }

    /// Loses a row without a trace, as a restored backup does.
    pub fn lose(&self, id: usize) {
        self.state().rows.remove(&format!("row{id:05}"));
    }

    /// From now on this row cannot be read.
    pub fn spoil(&self, id: usize) {
        self.state().bad = Some(format!("row{id:05}"));
    }

    /// Forgets every cursor given out so far.
    pub fn expire_cursors(&self) {
        self.state().epoch += 1;
    }

    /// What the next requests meet, one each; `None` is a good answer.
    pub fn meet(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state().faults.extend(faults);
    }

    /// Until a request waits.
    pub async fn reached(&self) {
        self.waiting.notified().await;
    }

    /// Lets a waiting request go on.
    pub fn go_on(&self) {
        self.gate.notify_one();
    }

    /// The positions asked for since the last time.
    pub fn asked(&self) -> Vec<Position> {
        std::mem::take(&mut self.state().asked)
    }

    fn page(&self, from: &Position) -> Result<FeedPage, SourceError> {
        let state = self.state();
        let expired = || SourceError::new(Failure::CursorExpired, "gone");
        let since = match &from.cursor {
            None => 0,
            Some(cursor) => {
                let (epoch, version) = cursor.split_once(':').unwrap();
                if epoch != state.epoch.to_string() {
                    return Err(expired());
                }
                version.parse().unwrap()
            }
        };
        let mut changes: Vec<_> =
            state.rows.values().filter(|change| change.version > since).cloned().collect();
        changes.sort_by_key(|change| change.version);
        let has_more = changes.len() > from.limit as usize;
        changes.truncate(from.limit as usize);
        let reached = changes.last().map_or(since, |change| change.version);
        let mut page =
            FeedPage { next: Some(format!("{}:{reached}", state.epoch)), has_more, ..FeedPage::default() };
        for change in changes {
            if state.bad.as_deref() == Some(change.id.as_str()) {
                let (id, version) = (change.id.to_string(), change.version);
                page.quarantined.push(Quarantined {
                    id,
                    version,
                    error: "bad".to_owned(),
                    text: "{}".to_owned(),
                });
            } else {
                page.changes.push(change);
            }
        }
        Ok(page)
    }
}

impl Source for Platform {
    fn changes<'a>(&'a self, _: Entity, from: &'a Position) -> BoxFuture<'a, Result<FeedPage, SourceError>> {
        Box::pin(async move {
            let fault = {
                let mut state = self.state();
                state.asked.push(from.clone());
                state.faults.pop_front().flatten()
            };
            match fault {
                None => self.page(from),
                Some(Fault::Fail(class)) => Err(SourceError::new(class, "as told")),
                Some(Fault::Answer(page)) => Ok(page),
                Some(Fault::Wait) => {
                    self.waiting.notify_one();
                    self.gate.notified().await;
                    self.page(from)
                }
            }
        })
    }

    fn rows<'a>(&'a self, _: Entity, ids: &'a [String]) -> BoxFuture<'a, Result<FeedPage, SourceError>> {
        Box::pin(async move {
            let state = self.state();
            let row = |id: &String| {
                state.rows.get(id).cloned().unwrap_or_else(|| Change {
                    id: TextId::parse(id).unwrap(),
                    version: state.version,
                    op: Op::Delete,
                })
            };
            Ok(FeedPage { changes: ids.iter().map(row).collect(), ..FeedPage::default() })
        })
    }
}
