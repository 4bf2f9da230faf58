//! What the fuzz targets of fuzz/ call, and what the replay of their corpora calls: each panics on a broken promise.

use super::wire;

/// Batches: whatever comes as JSON array or NDJSON is read or refused, item by item, and two readings agree.
pub fn batches(data: &[u8]) {
    for form in [wire::BatchForm::Array, wire::BatchForm::Lines] {
        let Ok(items) = wire::batch_items(data, form) else { continue };
        assert!((1..=wire::MOST_ITEMS).contains(&items.len()));
        for item in items {
            let (one, other) = (wire::fingerprint(item.as_bytes()), wire::fingerprint(item.as_bytes()));
            assert_eq!(one, other, "{item}");
        }
    }
}
