//! One load of a key at a time: who comes while it is under way waits for it and shares what it gives.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::super::Error;

/// What a load gave, to all who waited for it.
type Landed<V> = Result<V, Arc<Error>>;
type Cell<V> = Arc<OnceCell<Landed<V>>>;

/// The loads under way.
pub(super) struct Flights<K, V> {
    cells: Mutex<HashMap<K, Cell<V>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { cells: Mutex::default() }
    }
}

/// A seat in a load. Who leaves it early cancels nothing for the others: one of them flies on.
pub(super) struct Flight<'f, K: Hash + Eq, V> {
    flights: &'f Flights<K, V>,
    key: &'f K,
    cell: Cell<V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// A seat in the load of this key that is under way, or else in a new one.
    pub fn join<'f>(&'f self, key: &'f K) -> Flight<'f, K, V> {
        let mut cells = self.lock();
        let cell = match cells.get(key) {
            // What has landed may be older than the one who asks now.
            Some(cell) if !cell.initialized() => cell.clone(),
            _ => {
                let cell = Cell::default();
                cells.insert(key.clone(), cell.clone());
                cell
            }
        };
        Flight { flights: self, key, cell }
    }
}

impl<K, V> Flights<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Cell<V>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V: Clone> Flight<'_, K, V> {
    /// Loads, or waits for the one who does.
    pub async fn land<F>(&self, load: impl FnOnce() -> F) -> Landed<V>
    where
        F: Future<Output = Result<V, Error>>,
    {
        self.cell.get_or_init(|| async { load().await.map_err(Arc::new) }).await.clone()
    }
}

impl<K: Hash + Eq, V> Drop for Flight<'_, K, V> {
    fn drop(&mut self) {
        let mut cells = self.flights.lock();
        let ours = cells.get(self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // Two hold it when this seat is the last: the map, and the seat.
        if ours && (self.cell.initialized() || Arc::strong_count(&self.cell) == 2) {
            cells.remove(self.key);
        }
    }
}
