//! The simulated platform: its data as it is now, and what it was told to do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::Gate;
use crate::changes::{Changes, Columns, Page, Planned};
use crate::clock::Now;
use crate::cursor::Cursor;
use crate::entity::Entity;
use crate::event::{self, Event, EventAnswer, EventError};
use crate::fault::{Fault, Faults};
use crate::sim::Options;
use crate::world::World;

/// Which rows a command means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// So many, going round through all that are not deleted.
    Count(u64),
    /// These.
    Ids(Vec<String>),
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The rows, in the order of their new versions.
    pub ids: Vec<String>,
    /// The entity's highest version now.
    pub version: u64,
}

/// Why a command was not done. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No row has ever had this id.
    #[error("{entity} has no row {id:?}: GET /control/world shows some ids")]
    UnknownId {
        /// The entity that was named.
        entity: Entity,
        /// The id that was not found.
        id: String,
    },
    /// A row with this id is there already, perhaps deleted.
    #[error("{entity} has a row {id:?} already: change it instead")]
    KnownId {
        /// The entity that was named.
        entity: Entity,
        /// The id that was found.
        id: String,
    },
}

/// Counts of one entity, as GET /control/state shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EntityState {
    /// Rows that are not deleted.
    pub rows: u64,
    /// Tombstones.
    pub deleted: u64,
    /// Version of the last change.
    pub highest_version: u64,
    /// Authenticated requests, those that met a fault included.
    pub requests: u64,
    /// Those of them that asked by id.
    pub id_requests: u64,
    /// Those of them that began a snapshot.
    pub snapshots: u64,
    /// Those of them that met a fault.
    pub faulted: u64,
    /// Rows in the answers.
    pub rows_served: u64,
}

/// What GET /control/state shows.
#[derive(Clone, Debug, Serialize)]
pub struct StateReport {
    /// By name of the entity.
    pub entities: BTreeMap<&'static str, EntityState>,
    /// Requests answered 401.
    pub unauthorized: u64,
    /// Requests that followed a redirect fault.
    pub redirects_followed: u64,
    /// Events that were answered, whatever the answer.
    pub events_sent: u64,
    /// Faults in force, with what is left of their counts.
    pub faults: Vec<Fault>,
}

/// Why a page is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 400: no cursor of this entity's.
    InvalidCursor,
    /// 410: from another world or too old; start a snapshot.
    CursorExpired,
}

struct Feed {
    changes: Changes,
    epoch: u32,
    /// Cursors before this version are too old.
    floor: u64,
    served: EntityState,
}

struct State {
    feeds: [Feed; 5],
    faults: Faults,
    unauthorized: u64,
    redirects_followed: u64,
    events_sent: u64,
    event_number: u64,
}

/// Commands to the simulated platform; what the control port does, and tests in the same process call directly.
pub struct Control {
    pub(crate) world: World,
    pub(crate) gate: Gate,
    pub(crate) now: Now,
    key_id: String,
    event_url: Option<String>,
    event_secret: Option<String>,
    client: reqwest::Client,
    state: Mutex<State>,
}

/// A server that does not answer an event in this time counts as not answering.
const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

impl Control {
    pub(crate) fn new(options: &Options) -> Result<Self, reqwest::Error> {
        let world = World::new(options.counts);
        let feed = |entity| Feed {
            changes: Changes::new(&world, entity),
            epoch: 0,
            floor: 0,
            served: EntityState::default(),
        };
        Ok(Self {
            gate: Gate::new(options.dapi_key.clone(), &options.dapi_secret, options.dapi_apikey.clone()),
            now: Arc::clone(&options.now),
            key_id: options.dapi_key.clone(),
            event_url: options.event_url.clone(),
            event_secret: options.event_secret.clone(),
            client: reqwest::Client::builder().no_proxy().timeout(EVENT_TIMEOUT).build()?,
            state: Mutex::new(State {
                feeds: Entity::ALL.map(feed),
                faults: Faults::default(),
                unauthorized: 0,
                redirects_followed: 0,
                events_sent: 0,
                event_number: 0,
            }),
            world,
        })
    }

    /// Gives rows a new version, with these columns overwritten; a deleted row named by id comes back.
    pub fn change(&self, entity: Entity, rows: &Rows, set: Option<Columns>) -> Result<Done, CommandError> {
        let set = set.map(Arc::new);
        self.touch(entity, rows, |changes, index, now| {
            changes.change(index, set.as_ref(), now);
        })
    }

    /// Deletes rows; their tombstones stay in the feed.
    pub fn delete(&self, entity: Entity, rows: &Rows) -> Result<Done, CommandError> {
        self.touch(entity, rows, |changes, index, now| {
            changes.delete(index, now);
        })
    }

    /// Adds rows, with ids of the world's making or these, and with these columns overwritten.
    pub fn add(&self, entity: Entity, rows: &Rows, set: Option<Columns>) -> Result<Done, CommandError> {
        let set = set.map(Arc::new);
        let now = (self.now)();
        let mut state = self.state();
        let changes = &mut state.feeds[entity.slot()].changes;
        let ids = match rows {
            Rows::Count(count) => {
                (0..*count).map(|_| self.world.id(entity, changes.add(None, set.as_ref(), now))).collect()
            }
            Rows::Ids(ids) => {
                if let Some(id) = ids.iter().find(|id| changes.find(&self.world, id).is_some()) {
                    return Err(CommandError::KnownId { entity, id: id.clone() });
                }
                for id in ids {
                    changes.add(Some(id), set.as_ref(), now);
                }
                ids.clone()
            }
        };
        Ok(Done { ids, version: changes.highest() })
    }

    /// From now on refuses with 410 every cursor given out so far, or only those that stand before a version.
    pub fn expire_cursors(&self, entity: Option<Entity>, older_than: Option<u64>) {
        let mut state = self.state();
        for named in Entity::ALL.into_iter().filter(|named| entity.is_none_or(|entity| entity == *named)) {
            let feed = &mut state.feeds[named.slot()];
            match older_than {
                Some(version) => feed.floor = version,
                None => feed.epoch += 1,
            }
        }
    }

    /// Puts a fault in force, or ends it with [`crate::fault::Mode::None`].
    pub fn fault(&self, fault: Fault) {
        self.state().faults.set(fault);
    }

    /// Signs an event, sends it, and waits for the answer.
    pub async fn send_event(&self, event: &Event) -> Result<EventAnswer, EventError> {
        let url = event.url.as_ref().or(self.event_url.as_ref()).ok_or(EventError::NoUrl)?;
        let secret = event.secret.as_ref().or(self.event_secret.as_ref()).ok_or(EventError::NoSecret)?;
        let now = (self.now)();
        let webhook_id = event.webhook_id.clone().unwrap_or_else(|| {
            let mut state = self.state();
            state.event_number += 1;
            // The time keeps ids of one run apart from those of another, which the server may remember.
            format!("msg_{now:x}_{}", state.event_number)
        });
        let answer = event::send(&self.client, event, url, secret, webhook_id, now).await?;
        self.state().events_sent += 1;
        Ok(answer)
    }

    /// Counts, versions and faults.
    pub fn state_report(&self) -> StateReport {
        let state = self.state();
        let entities = Entity::ALL.into_iter().map(|entity| {
            let feed = &state.feeds[entity.slot()];
            let counts = EntityState {
                rows: feed.changes.live(),
                deleted: feed.changes.deleted(),
                highest_version: feed.changes.highest(),
                ..feed.served
            };
            (entity.name(), counts)
        });
        StateReport {
            entities: entities.collect(),
            unauthorized: state.unauthorized,
            redirects_followed: state.redirects_followed,
            events_sent: state.events_sent,
            faults: state.faults.in_force().to_vec(),
        }
    }

    /// The untouched world's counts and first ids, and the key that may pull.
    pub fn describe_world(&self) -> Value {
        let mut world = self.world.describe();
        world["dapi_key"] = self.key_id.as_str().into();
        world
    }

    /// The id of row `index` of an entity of the untouched world.
    pub fn id(&self, entity: Entity, index: u64) -> String {
        self.world.id(entity, index)
    }

    pub(crate) fn count_unauthorized(&self) {
        self.state().unauthorized += 1;
    }

    pub(crate) fn count_redirect_followed(&self) {
        self.state().redirects_followed += 1;
    }

    /// Counts a request and gives the fault that it meets.
    pub(crate) fn meet(&self, entity: Entity) -> Option<Fault> {
        let mut state = self.state();
        let fault = state.faults.meet(entity);
        let served = &mut state.feeds[entity.slot()].served;
        served.requests += 1;
        served.faulted += u64::from(fault.is_some());
        fault
    }

    /// The page after a cursor, or the first one, with the cursor that goes on from it.
    pub(crate) fn page(
        &self,
        entity: Entity,
        since: Option<&str>,
        snapshot: bool,
        limit: usize,
    ) -> Result<(Page, String), Refused> {
        let mut state = self.state();
        let feed = &mut state.feeds[entity.slot()];
        let seed = self.world.counts.seed;
        let mut cursor = if let Some(text) = since {
            Cursor::decode(text).filter(|cursor| cursor.entity == entity).ok_or(Refused::InvalidCursor)?
        } else {
            feed.served.snapshots += u64::from(snapshot);
            let snapshot = snapshot.then(|| feed.changes.highest());
            Cursor { seed, entity, epoch: feed.epoch, position: 0, snapshot }
        };
        // A cursor of an earlier run may stand after everything that this run knows of.
        let unknown = cursor.seed != seed || cursor.epoch != feed.epoch;
        let out_of_range = cursor.position < feed.floor || cursor.position > feed.changes.highest();
        if unknown || (since.is_some() && out_of_range) {
            return Err(Refused::CursorExpired);
        }
        let page = feed.changes.page(cursor.position, cursor.snapshot, limit);
        feed.served.rows_served += page.rows.len() as u64;
        cursor.position = page.next;
        if !page.has_more {
            cursor.snapshot = None;
        }
        Ok((page, cursor.encode()))
    }

    /// One row for each id, in the order asked; what there is none of, as deleted.
    pub(crate) fn by_ids(&self, entity: Entity, ids: &[String]) -> Vec<Planned> {
        let mut state = self.state();
        let feed = &mut state.feeds[entity.slot()];
        feed.served.id_requests += 1;
        feed.served.rows_served += ids.len() as u64;
        ids.iter()
            .map(|id| {
                feed.changes.find(&self.world, id).unwrap_or_else(|| Planned {
                    index: 0,
                    // As of now: a row of this id that is added later has a higher one.
                    version: feed.changes.highest().max(1),
                    updated_us: (self.now)(),
                    deleted: true,
                    revision: 0,
                    set: None,
                    id: Some(id.as_str().into()),
                })
            })
            .collect()
    }

    fn touch(
        &self,
        entity: Entity,
        rows: &Rows,
        edit: impl Fn(&mut Changes, u64, i64),
    ) -> Result<Done, CommandError> {
        let now = (self.now)();
        let mut state = self.state();
        let changes = &mut state.feeds[entity.slot()].changes;
        let (indexes, ids) = match rows {
            Rows::Count(count) => {
                let indexes = changes.pick(*count);
                let ids = indexes.iter().map(|index| changes.id(&self.world, *index)).collect();
                (indexes, ids)
            }
            Rows::Ids(ids) => {
                let find = |id: &String| {
                    let row = changes.find(&self.world, id);
                    row.map(|row| row.index).ok_or_else(|| CommandError::UnknownId { entity, id: id.clone() })
                };
                (ids.iter().map(find).collect::<Result<Vec<_>, _>>()?, ids.clone())
            }
        };
        for index in indexes {
            edit(changes, index, now);
        }
        Ok(Done { ids, version: changes.highest() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half-done: a panic elsewhere does not stop it from serving.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
