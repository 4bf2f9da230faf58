use std::sync::Arc;

use moka::future::Cache;

use crate::domain::Error;
use crate::domain::caches::{Cached, Caches, LookupCounters};
use crate::domain::pricing::{PricingDataError, Program};
use crate::model::{Entity, MirrorRow, TextId};
use crate::store::Changed;

/// How much more room a list takes that is ready to price with than its text does.
const GROWTH: usize = 4;

/// The cache's name in metrics and in /health.
const NAME: &str = "lists";

/// A price list as it was read, once, or why it cannot be used.
#[derive(Debug)]
pub struct List {
    /// What prices are computed with.
    pub program: Result<Program, PricingDataError>,
    size: u32,
}

/// Price lists that are ready to price with, by row and version: what is kept never becomes wrong, for a changed row
/// has another version.
pub struct Lists {
    cache: Cache<(TextId, i64), Arc<List>>,
    lookups: LookupCounters,
}

impl Lists {
    /// An empty one, registered as `lists`.
    pub fn register(caches: &Caches) -> Arc<Self> {
        let cache = Cache::builder().max_capacity(caches.bytes(1));
        let cache = cache.weigher(|_, list: &Arc<List>| list.size).build();
        let lists = Arc::new(Self { cache, lookups: caches.lookup_counters(NAME) });
        caches.register(NAME, lists.clone());
        lists
    }

    /// The price list of a row.
    pub async fn get(&self, row: &MirrorRow) -> Result<Arc<List>, Error> {
        let key = (row.id.clone(), row.version);
        if let Some(list) = self.cache.get(&key).await {
            self.lookups.hit();
            return Ok(list);
        }
        self.lookups.miss();
        let text = row.text(Entity::Pricing, "pricing_data").unwrap_or_default().to_owned();
        let (id, version) = key.clone();
        let read = async move {
            // A long list takes its time; requests do not wait for it on their threads.
            let list = tokio::task::spawn_blocking(move || List::read(&text)).await;
            let list = list.map_err(|error| Error::Internal(error.to_string()))?;
            if let Err(error) = &list.program {
                tracing::warn!(row = id.as_str(), version, %error, "a price list cannot be used");
            }
            Ok::<_, Error>(Arc::new(list))
        };
        let list = self.cache.try_get_with(key, read).await;
        list.map_err(|error| Error::Internal(error.to_string()))
    }
}

impl Cached for Lists {
    fn entries(&self) -> u64 {
        self.cache.entry_count()
    }

    fn drop_all(&self) {
        self.cache.invalidate_all();
    }

    fn invalidate(&self, changed: &Changed) {
        if changed.rows_of(Entity::Pricing).is_some() {
            self.drop_all();
        }
    }
}

impl List {
    fn read(text: &str) -> Self {
        let size = u32::try_from(text.len() * GROWTH + 1000).unwrap_or(u32::MAX);
        Self { program: Program::compile(text), size }
    }
}
