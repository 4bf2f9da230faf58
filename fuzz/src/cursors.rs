use std::fmt::Debug;

use sageapi_server::domain::{Listing, Position};
use sageapi_server::model::{RecordId, TextId, Timestamp};

/// Cursors: only what was made for a list is a cursor of it, and gives the position that it was made of.
pub fn cursors(data: &[u8]) {
    one_cursor::<i64>(data);
    one_cursor::<(Timestamp, RecordId)>(data);
    one_cursor::<(Timestamp, TextId)>(data);
}

fn one_cursor<P: Position + PartialEq + Debug>(data: &[u8]) {
    let list = Listing::new(&[7; 32], "accounting", false);
    let mut other = Listing::new(&[7; 32], "accounting", false);
    other.condition("kind", b"charge");
    if let Some(position) = P::read(data) {
        let cursor = list.encode(&position);
        assert_eq!(list.decode::<P>(&cursor).ok(), Some(position));
        assert!(other.decode::<P>(&cursor).is_err(), "{cursor} is of another list");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(position) = list.decode::<P>(text)
    {
        assert_eq!(list.encode(&position), text);
    }
}
