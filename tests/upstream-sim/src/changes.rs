//! What has changed in one entity since the world was made, in the order in which it changed.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::entity::Entity;
use crate::world::World;

/// Columns to overwrite.
pub type Columns = Map<String, Value>;

/// 2026-01-01T00:00:00Z: when the untouched world's rows were last changed, a millisecond apart.
const FIRST_CHANGE_US: i64 = 1_767_225_600_000_000;

/// A row as a page needs it; its columns are computed when it is written.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) index: u64,
    pub(crate) version: u64,
    pub(crate) updated_us: i64,
    pub(crate) deleted: bool,
    pub(crate) revision: u32,
    pub(crate) set: Option<Arc<Columns>>,
    /// The id, where it is not the world's own.
    pub(crate) id: Option<Arc<str>>,
}

/// Consecutive changes, and where the next page goes on.
pub(crate) struct Page {
    pub(crate) rows: Vec<Planned>,
    pub(crate) next: u64,
    pub(crate) has_more: bool,
}

/// Rows of one entity: the untouched ones by their count, the others by name.
///
/// Untouched row `i` has version `i + 1`. A change takes the clock's microseconds as its version, or the next number
/// after the highest: so changes are newer than those of an earlier run of the simulator on the same seed.
pub(crate) struct Changes {
    entity: Entity,
    base: u64,
    /// One past the last row, added ones included.
    end: u64,
    highest: u64,
    /// Where [`Changes::pick`] goes on.
    picked: u64,
    deleted: u64,
    touched: HashMap<u64, Planned>,
    order: BTreeMap<u64, u64>,
    own_ids: HashMap<Arc<str>, u64>,
}

impl Changes {
    pub(crate) fn new(world: &World, entity: Entity) -> Self {
        let base = world.base_rows(entity);
        Self {
            entity,
            base,
            end: base,
            highest: base,
            picked: 0,
            deleted: 0,
            touched: HashMap::new(),
            order: BTreeMap::new(),
            own_ids: HashMap::new(),
        }
    }

    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(crate) const fn live(&self) -> u64 {
        self.end - self.deleted
    }

    pub(crate) const fn deleted(&self) -> u64 {
        self.deleted
    }

    /// The row of this id, deleted or not.
    pub(crate) fn find(&self, world: &World, id: &str) -> Option<Planned> {
        let index = self.own_ids.get(id).copied().or_else(|| {
            let index = world.index(self.entity, id)?;
            let has_other_id = self.touched.get(&index).is_some_and(|row| row.id.is_some());
            (index < self.end && !has_other_id).then_some(index)
        })?;
        Some(self.row(index))
    }

    /// The id of a row.
    pub(crate) fn id(&self, world: &World, index: u64) -> String {
        let own = self.touched.get(&index).and_then(|row| row.id.as_deref());
        own.map_or_else(|| world.id(self.entity, index), str::to_owned)
    }

    /// Up to `count` live rows, going round: the next call goes on where this one ended.
    pub(crate) fn pick(&mut self, count: u64) -> Vec<u64> {
        let mut rows = Vec::new();
        for _ in 0..self.end {
            if rows.len() as u64 >= count {
                break;
            }
            let index = self.picked % self.end;
            self.picked = index + 1;
            if !self.touched.get(&index).is_some_and(|row| row.deleted) {
                rows.push(index);
            }
        }
        rows
    }

    /// Overwrites a row, including a deleted one. Columns set earlier stay set.
    pub(crate) fn change(&mut self, index: u64, set: Option<&Arc<Columns>>, now_us: i64) -> u64 {
        self.touch(index, now_us, |row| {
            row.deleted = false;
            row.revision += 1;
            if let Some(set) = set {
                row.set = Some(match row.set.take() {
                    None => Arc::clone(set),
                    Some(mut earlier) => {
                        Arc::make_mut(&mut earlier).extend(set.iter().map(|(k, v)| (k.clone(), v.clone())));
                        earlier
                    }
                });
            }
        })
    }

    /// Leaves a tombstone.
    pub(crate) fn delete(&mut self, index: u64, now_us: i64) -> u64 {
        self.touch(index, now_us, |row| row.deleted = true)
    }

    /// A new row, with an id of the world's or this one; gives the row's number.
    pub(crate) fn add(&mut self, id: Option<&str>, set: Option<&Arc<Columns>>, now_us: i64) -> u64 {
        let index = self.end;
        self.end += 1;
        let id: Option<Arc<str>> = id.map(Arc::from);
        if let Some(id) = &id {
            self.own_ids.insert(Arc::clone(id), index);
        }
        self.touch(index, now_us, |row| {
            row.id = id;
            row.set = set.map(Arc::clone);
        });
        index
    }

    /// Up to `limit` changes after version `after`. A snapshot leaves out tombstones up to the version it began at.
    pub(crate) fn page(&self, after: u64, snapshot: Option<u64>, limit: usize) -> Page {
        let untouched = (after.min(self.base)..self.base)
            .filter(|index| !self.touched.contains_key(index))
            .map(|index| self.row(index));
        let touched = self
            .order
            .range((Excluded(after), Unbounded))
            .map(|(_, index)| self.row(*index))
            .filter(|row| !(row.deleted && snapshot.is_some_and(|began| row.version <= began)));
        let mut rows: Vec<Planned> = untouched.chain(touched).take(limit + 1).collect();
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = match rows.last() {
            Some(last) if has_more => last.version,
            _ => self.highest,
        };
        Page { rows, next, has_more }
    }

    fn row(&self, index: u64) -> Planned {
        self.touched.get(&index).cloned().unwrap_or_else(|| untouched(index))
    }

    fn touch(&mut self, index: u64, now_us: i64, edit: impl FnOnce(&mut Planned)) -> u64 {
        self.highest = (self.highest + 1).max(u64::try_from(now_us).unwrap_or(0));
        let row = self.touched.entry(index).or_insert_with(|| untouched(index));
        self.order.remove(&row.version);
        let was_deleted = row.deleted;
        edit(row);
        row.version = self.highest;
        row.updated_us = now_us;
        match (was_deleted, row.deleted) {
            (false, true) => self.deleted += 1,
            (true, false) => self.deleted -= 1,
            _ => {}
        }
        self.order.insert(self.highest, index);
        self.highest
    }
}

const fn untouched(index: u64) -> Planned {
    Planned {
        index,
        version: index + 1,
        updated_us: FIRST_CHANGE_US + index as i64 * 1000,
        deleted: false,
        revision: 0,
        set: None,
        id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Counts;

    fn users(count: u64) -> (World, Changes) {
        let world = World::new(Counts { users: count, ..Counts::default() });
        (world, Changes::new(&world, Entity::Users))
    }

    fn walk(changes: &Changes, mut after: u64, snapshot: Option<u64>, limit: usize) -> (Vec<Planned>, u64) {
        let mut rows = Vec::new();
        loop {
            let page = changes.page(after, snapshot, limit);
            rows.extend(page.rows);
            after = page.next;
            if !page.has_more {
                return (rows, after);
            }
        }
    }

    #[test]
    fn a_walk_in_any_page_size_gives_each_row_once_in_order_of_change() {
        let (_, mut changes) = users(20);
        changes.change(4, None, 0);
        changes.delete(19, 0);
        changes.add(None, None, 0);
        changes.change(4, None, 0);
        for limit in 1..25 {
            let (rows, next) = walk(&changes, 0, None, limit);
            let indexes: Vec<u64> = rows.iter().map(|row| row.index).collect();
            let expected: Vec<u64> = (0..19).filter(|i| *i != 4).chain([19, 20, 4]).collect();
            assert_eq!(indexes, expected, "limit {limit}");
            assert!(rows.windows(2).all(|pair| pair[0].version < pair[1].version));
            assert_eq!(next, changes.highest());
        }
    }

    #[test]
    fn a_million_rows_are_walked_in_pages_while_only_the_changed_are_kept() {
        let (_, mut changes) = users(1_000_000);
        let changed = changes.pick(1000);
        for index in changed {
            changes.change(index, None, 0);
        }
        let (mut after, mut pages, mut rows) = (0, 0, 0);
        loop {
            let page = changes.page(after, None, 5000);
            (after, pages, rows) = (page.next, pages + 1, rows + page.rows.len());
            if !page.has_more {
                break;
            }
        }
        assert_eq!((pages, rows, after), (200, 1_000_000, 1_001_000));
        assert_eq!(changes.touched.len(), 1000);
    }

    #[test]
    fn a_page_that_ends_exactly_at_the_last_row_has_no_more() {
        let (_, changes) = users(20);
        let page = changes.page(10, None, 10);
        assert_eq!((page.rows.len(), page.has_more, page.next), (10, false, 20));
        assert!(changes.page(20, None, 10).rows.is_empty());
    }

    #[test]
    fn a_snapshot_leaves_out_what_was_gone_before_it_began_and_tells_what_goes_meanwhile() {
        let (_, mut changes) = users(5);
        changes.delete(0, 0);
        let began = changes.highest();
        changes.delete(1, 0);
        let (rows, _) = walk(&changes, 0, Some(began), 2);
        let seen: Vec<(u64, bool)> = rows.iter().map(|row| (row.index, row.deleted)).collect();
        assert_eq!(seen, [(2, false), (3, false), (4, false), (1, true)]);
    }

    #[test]
    fn versions_follow_the_clock_and_rise_even_when_it_stands_still() {
        let (_, mut changes) = users(5);
        assert_eq!(changes.change(0, None, 1_000_000), 1_000_000);
        assert_eq!(changes.change(1, None, 1_000_000), 1_000_001);
        assert_eq!(changes.delete(1, 5), 1_000_002);
    }

    #[test]
    fn picking_goes_round_and_passes_over_the_deleted() {
        let (_, mut changes) = users(4);
        changes.delete(1, 0);
        assert_eq!(changes.pick(2), [0, 2]);
        assert_eq!(changes.pick(2), [3, 0]);
        assert_eq!(changes.pick(99).len(), 3);
    }

    #[test]
    fn an_added_row_is_found_by_its_id_only() {
        let (world, mut changes) = users(4);
        let own = changes.add(Some("hand-made"), None, 0);
        let given = changes.add(None, None, 0);
        assert_eq!(changes.find(&world, "hand-made").unwrap().index, own);
        assert!(changes.find(&world, &world.id(Entity::Users, own)).is_none());
        assert_eq!(changes.find(&world, &world.id(Entity::Users, given)).unwrap().index, given);
        assert!(changes.find(&world, &world.id(Entity::Users, given + 1)).is_none());
        assert_eq!(changes.live(), 6);
    }

    #[test]
    fn columns_set_by_two_changes_are_both_kept() {
        let (_, mut changes) = users(1);
        let set = |name: &str| {
            Arc::new(Columns::from_iter([
                (name.to_owned(), Value::from(name)),
                ("both".to_owned(), name.into()),
            ]))
        };
        changes.change(0, Some(&set("a")), 0);
        changes.change(0, Some(&set("b")), 0);
        let row = changes.page(0, None, 1).rows.remove(0);
        assert_eq!(serde_json::to_string(&*row.set.unwrap()).unwrap(), r#"{"a":"a","both":"b","b":"b"}"#);
        assert_eq!(row.revision, 2);
    }
}
