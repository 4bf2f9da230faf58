//! Cursors: where a list goes on, in a form that a client can only hand back.
//!
//! A cursor is base64url of a position and the first 16 bytes of an HMAC-SHA256 over the list that
//! it was made for and that position. It holds no secret; the MAC only keeps it from being moved to
//! another list, where it would silently skip rows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::Error;
use crate::model::{CustomerId, GroupId, KeyId, RecordId, TextId, Timestamp, UserId};
use crate::signing::HmacKey;
use crate::store::{RecordPosition, UsagePosition};

/// Bytes of the MAC that a cursor carries.
const MAC: usize = 16;
/// No cursor is longer: a time, a number, an id of 64 characters and the MAC, in base64.
const MAX_TEXT: usize = 128;

/// Where a list stands: the sort key of its last row.
pub trait Position: Sized {
    /// Appends the bytes that a cursor carries.
    fn write(&self, bytes: &mut Vec<u8>);
    /// Reads them back; `None` if they are of another kind of position.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A customer's records: `seq`.
impl Position for i64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// Records of all customers: `created_at` and id.
impl Position for (Timestamp, RecordId) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.micros().write(bytes);
        bytes.extend_from_slice(self.1.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (time, id) = bytes.split_at_checked(8)?;
        Some((Timestamp::from_micros(i64::read(time)?), RecordId(uuid::Uuid::from_slice(id).ok()?)))
    }
}

/// Records: the one or the other, told by its length. A cursor's MAC ties it to a list, and with it to its kind.
impl Position for RecordPosition {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Seq(seq) => seq.write(bytes),
            Self::Created(time, id) => (*time, *id).write(bytes),
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let created = || <(Timestamp, RecordId)>::read(bytes).map(|(time, id)| Self::Created(time, id));
        i64::read(bytes).map(Self::Seq).or_else(created)
    }
}

/// Usage records: `useq` within a customer, else when they were received and of whom; told by the length.
impl Position for UsagePosition {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Useq(useq) => useq.write(bytes),
            Self::Received(time, customer, useq) => {
                time.micros().write(bytes);
                useq.write(bytes);
                bytes.extend_from_slice(customer.as_str().as_bytes());
            }
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_at_checked(8)?;
        let first = i64::read(first)?;
        if rest.is_empty() {
            return Some(Self::Useq(first));
        }
        let (useq, customer) = rest.split_at_checked(8)?;
        let customer = CustomerId::parse(std::str::from_utf8(customer).ok()?).ok()?;
        Some(Self::Received(Timestamp::from_micros(first), customer, i64::read(useq)?))
    }
}

/// Rows with ids that are text: `created_at` and the id.
macro_rules! text_positions {
    ($($id:ty),+) => { $(
        impl Position for (Timestamp, $id) {
            fn write(&self, bytes: &mut Vec<u8>) {
                self.0.micros().write(bytes);
                bytes.extend_from_slice(self.1.as_str().as_bytes());
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                let (time, id) = bytes.split_at_checked(8)?;
                let id = <$id>::parse(std::str::from_utf8(id).ok()?).ok()?;
                Some((Timestamp::from_micros(i64::read(time)?), id))
            }
        }
    )+ };
}
text_positions!(TextId, CustomerId, UserId, GroupId, KeyId);

/// A list as it was asked for: which one, in which order, with which filters, the customer among
/// them. Not how many rows a page has: a client may change that on the way.
pub struct Listing {
    key: HmacKey,
    scope: Vec<u8>,
}

impl Listing {
    /// A list without filters. `key` is the same on every instance.
    pub fn new(key: &[u8; 32], name: &str, ascending: bool) -> Self {
        let mut listing = Self { key: HmacKey::from_bytes(key), scope: Vec::with_capacity(128) };
        listing.bytes(name.as_bytes());
        listing.scope.push(u8::from(ascending));
        listing
    }

    /// Adds a condition.
    pub fn condition(&mut self, name: &str, value: &[u8]) {
        self.bytes(name.as_bytes());
        self.bytes(value);
    }

    /// The cursor of the page that follows this position.
    pub fn encode(&self, position: &impl Position) -> String {
        let mut bytes = Vec::with_capacity(MAX_TEXT);
        position.write(&mut bytes);
        let mac = self.mac(&bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in a cursor; [`Error::InvalidCursor`] for anything that [`Listing::encode`] did
    /// not make for this very list.
    pub fn decode<P: Position>(&self, cursor: &str) -> Result<P, Error> {
        if cursor.len() > MAX_TEXT {
            return Err(Error::InvalidCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Error::InvalidCursor)?;
        let (position, mac) = bytes
            .len()
            .checked_sub(MAC)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(Error::InvalidCursor)?;
        if !bool::from(self.mac(position).ct_eq(mac)) {
            return Err(Error::InvalidCursor);
        }
        P::read(position).ok_or(Error::InvalidCursor)
    }

    fn mac(&self, position: &[u8]) -> [u8; MAC] {
        // The length of the scope keeps a position from being read as one filter more.
        let tag = self.key.tag(&[&(self.scope.len() as u64).to_be_bytes(), &self.scope, position]);
        let mut mac = [0; MAC];
        mac.copy_from_slice(&tag[..MAC]);
        mac
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.scope.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.scope.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn listing(filters: &[(&str, &str)]) -> Listing {
        let mut listing = Listing::new(&KEY, "accounting", false);
        for (name, value) in filters {
            listing.condition(name, value.as_bytes());
        }
        listing
    }

    fn refused<P: Position>(listing: &Listing, cursor: &str) -> bool {
        matches!(listing.decode::<P>(cursor), Err(Error::InvalidCursor))
    }

    #[test]
    fn the_longest_position_fits_the_longest_cursor() {
        let id = TextId::parse(&"x".repeat(64)).unwrap();
        let position = (Timestamp::from_micros(i64::MAX), id);
        let cursor = listing(&[]).encode(&position);
        assert!(cursor.len() <= MAX_TEXT, "{}", cursor.len());
        assert_eq!(listing(&[]).decode::<(Timestamp, TextId)>(&cursor).unwrap(), position);
        let customer = CustomerId::parse(&"x".repeat(64)).unwrap();
        let position = UsagePosition::Received(Timestamp::from_micros(i64::MAX), customer, i64::MAX);
        let cursor = listing(&[]).encode(&position);
        assert!(cursor.len() <= MAX_TEXT, "{}", cursor.len());
        assert_eq!(listing(&[]).decode::<UsagePosition>(&cursor).unwrap(), position);
    }

    #[test]
    fn a_cursor_belongs_to_one_list_order_key_and_set_of_filters() {
        let cursor = listing(&[("customer_id", "c-1"), ("kind", "charge")]).encode(&42i64);
        assert_eq!(
            listing(&[("customer_id", "c-1"), ("kind", "charge")]).decode::<i64>(&cursor).unwrap(),
            42
        );
        for filters in [
            &[][..],
            &[("customer_id", "c-1")],
            &[("customer_id", "c-2"), ("kind", "charge")],
            &[("customer_id", "c-1"), ("kind", "credit")],
            &[("customer_id", "c-1"), ("model", "charge")],
            &[("customer_id", "c-1"), ("kind", "charge"), ("user_id", "u")],
            // The same characters, cut elsewhere.
            &[("customer_id", "c-1k"), ("ind", "charge")],
        ] {
            assert!(refused::<i64>(&listing(filters), &cursor), "{filters:?}");
        }
        let plain = listing(&[]).encode(&42i64);
        assert!(refused::<i64>(&Listing::new(&KEY, "accounting", true), &plain), "other order");
        assert!(refused::<i64>(&Listing::new(&KEY, "users", false), &plain), "other list");
        assert!(refused::<i64>(&Listing::new(&[8; 32], "accounting", false), &plain), "other key");
    }

    #[test]
    fn an_absent_filter_differs_from_an_empty_one() {
        let mut empty = listing(&[]);
        empty.condition("q", b"");
        let cursor = listing(&[]).encode(&1i64);
        assert!(refused::<i64>(&empty, &cursor));
        assert!(listing(&[]).decode::<i64>(&cursor).is_ok());
    }

    #[test]
    fn another_time_is_another_list() {
        let at = |seconds| {
            let mut listing = listing(&[]);
            listing.condition("from", &Timestamp::from_seconds(seconds).micros().to_be_bytes());
            listing
        };
        let cursor = at(5).encode(&1i64);
        assert!(at(5).decode::<i64>(&cursor).is_ok());
        assert!(refused::<i64>(&at(6), &cursor));
        let mut to = listing(&[]);
        to.condition("to", &Timestamp::from_seconds(5).micros().to_be_bytes());
        assert!(refused::<i64>(&to, &cursor));
    }

    #[test]
    fn a_position_of_another_kind_is_refused_though_its_mac_is_right() {
        let list = listing(&[]);
        let record = list.encode(&(Timestamp::from_seconds(1), RecordId(Uuid::from_u128(1))));
        assert!(refused::<i64>(&list, &record));
        let seq = list.encode(&1i64);
        assert!(refused::<(Timestamp, RecordId)>(&list, &seq));
        assert!(refused::<(Timestamp, TextId)>(&list, &seq));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(seq: i64, seconds in 0..250_000_000_000i64, id: u128, text in "[!-~]{1,64}") {
            let list = listing(&[("user_id", &text)]);
            prop_assert_eq!(list.decode::<i64>(&list.encode(&seq)).ok(), Some(seq));
            let record = (Timestamp::from_seconds(seconds), RecordId(Uuid::from_u128(id)));
            prop_assert_eq!(list.decode(&list.encode(&record)).ok(), Some(record));
            let usage = [
                UsagePosition::Useq(seq),
                UsagePosition::Received(record.0, CustomerId::parse(&text).unwrap(), seq),
            ];
            for position in usage {
                prop_assert_eq!(list.decode(&list.encode(&position)).ok(), Some(position));
            }
            let row = (record.0, TextId::parse(&text).unwrap());
            prop_assert_eq!(list.decode(&list.encode(&row)).ok(), Some(row));
        }

        #[test]
        fn no_text_passes_as_a_cursor_or_makes_the_reader_panic(text in ".*", base64 in "[A-Za-z0-9_-]{0,140}") {
            for cursor in [text, base64] {
                prop_assert!(refused::<i64>(&listing(&[]), &cursor));
                prop_assert!(refused::<(Timestamp, RecordId)>(&listing(&[]), &cursor));
                prop_assert!(refused::<(Timestamp, TextId)>(&listing(&[]), &cursor));
                prop_assert!(refused::<UsagePosition>(&listing(&[]), &cursor));
            }
        }

        #[test]
        fn no_changed_character_goes_unseen(seq: i64, at in 0..32usize, other in "[A-Za-z0-9_=.-]") {
            let list = listing(&[]);
            let cursor = list.encode(&seq);
            prop_assert_eq!(cursor.len(), 32);
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, &other);
            prop_assume!(changed != cursor);
            prop_assert!(refused::<i64>(&list, &changed));
            prop_assert!(refused::<i64>(&list, &cursor[..at]));
            prop_assert!(refused::<i64>(&list, &(cursor + &other)));
        }
    }
}
