//! What the fuzz targets and the replay of their corpora (`server/tests/corpora.rs`) check: each function panics on a
//! broken promise.

mod batches;
mod cursors;
mod decimals;
mod pricing_data;

pub use batches::batches;
pub use cursors::cursors;
pub use decimals::decimals;
pub use pricing_data::pricing_data;
