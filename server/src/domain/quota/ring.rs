//! Requests of the last minute.
//!
//! A ring counts requests by the second. A second that the last 60 s touch counts whole, because nothing tells where in it
//! its requests were: so in any 60 s there are never more than a limit allows, and a request is out of the count at most
//! a second late.

use crate::model::Timestamp;

/// For so many seconds the bucket of a request counts: 60, and the one that they only touch.
const SPAN: i64 = 61;
/// As many buckets can count at the same time.
const MAX_BUCKETS: usize = 61;
/// Bytes of the second that offsets count from.
const BASE: usize = 8;
/// Bytes of a bucket: its offset, and its count.
const BUCKET: usize = 5;
/// The longest form of a ring, in bytes.
pub const MAX_RING_BYTES: usize = BASE + BUCKET * MAX_BUCKETS;

/// Requests by the second, as one byte string of a row.
///
/// The form is empty, or the first second that has requests (8 bytes, since the epoch) and, for each second that has
/// any, in order, its offset from that one (1 byte) and its count (4 bytes); all big-endian.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    /// Seconds and their counts, in order; none is 0, and all are within [`SPAN`] of the last.
    buckets: Vec<(i64, u32)>,
}

impl Ring {
    /// Reads a ring. Bytes that are none count as empty: a subject is not locked out by a damaged row.
    pub fn parse(bytes: &[u8]) -> Self {
        Self { buckets: read(bytes).unwrap_or_default() }
    }

    /// The form that [`Ring::parse`] reads, of at most [`MAX_RING_BYTES`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let Some((base, _)) = self.buckets.first() else { return Vec::new() };
        let mut bytes = base.to_be_bytes().to_vec();
        for (second, count) in &self.buckets {
            bytes.push(u8::try_from(second - base).unwrap_or(u8::MAX));
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        bytes
    }

    /// Requests in the 60 s before `now`. A time before the newest request counts as that request's.
    pub fn count(&self, now: Timestamp) -> u64 {
        self.counting(now).iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Counts a request, and forgets those that count no longer.
    pub fn add(&mut self, now: Timestamp) {
        let second = self.second(now);
        let outdated = self.buckets.len() - self.counting(now).len();
        self.buckets.drain(..outdated);
        match self.buckets.last_mut() {
            Some((last, count)) if *last == second => *count = count.saturating_add(1),
            _ => self.buckets.push((second, 1)),
        }
    }

    /// When the next request fits a limit: `now` if it does already, `None` if none ever does.
    pub fn free_at(&self, now: Timestamp, limit: u64) -> Option<Timestamp> {
        if limit == 0 {
            return None;
        }
        let mut count = self.count(now);
        if count < limit {
            return Some(now);
        }
        let leaves = self.counting(now).iter().find(|(_, requests)| {
            count = count.saturating_sub(u64::from(*requests));
            count < limit
        });
        leaves.map(|(second, _)| left_at(*second))
    }

    /// When no request of now counts any more; `None` if none does.
    pub fn empty_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.counting(now).last().map(|(second, _)| left_at(*second))
    }

    /// The buckets that the last 60 s touch.
    fn counting(&self, now: Timestamp) -> &[(i64, u32)] {
        let from = self.second(now) - SPAN;
        let outdated = self.buckets.partition_point(|(second, _)| *second <= from);
        &self.buckets[outdated..]
    }

    /// The second of a time, never before the newest bucket: a clock that goes back makes nothing uncounted.
    fn second(&self, now: Timestamp) -> i64 {
        self.buckets.last().map_or(now.seconds(), |(newest, _)| now.seconds().max(*newest))
    }
}

/// From when on a bucket does not count.
fn left_at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second.saturating_add(SPAN))
}

/// The buckets, if the bytes are what [`Ring::to_bytes`] writes.
fn read(bytes: &[u8]) -> Option<Vec<(i64, u32)>> {
    let (base, rest) = bytes.split_first_chunk::<BASE>()?;
    let base = i64::from_be_bytes(*base);
    // A time that is none would count for ever.
    if Timestamp::from_seconds(base).seconds() != base {
        return None;
    }
    let (pairs, []) = rest.as_chunks::<BUCKET>() else { return None };
    let mut buckets: Vec<(i64, u32)> = Vec::with_capacity(pairs.len().min(MAX_BUCKETS));
    for [offset, a, b, c, d] in pairs {
        let bucket = (base + i64::from(*offset), u32::from_be_bytes([*a, *b, *c, *d]));
        let follows = match buckets.last() {
            Some((last, _)) => *last < bucket.0,
            None => *offset == 0,
        };
        if !follows || i64::from(*offset) >= SPAN || bucket.1 == 0 {
            return None;
        }
        buckets.push(bucket);
    }
    (!buckets.is_empty()).then_some(buckets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_780_000_000_000_000;
    const MINUTE: i64 = 60_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(START + micros)
    }

    fn ring(micros: &[i64]) -> Ring {
        let mut ring = Ring::default();
        for micros in micros {
            ring.add(at(*micros));
        }
        ring
    }

    #[test]
    fn a_bucket_that_the_last_minute_touches_counts_whole() {
        let ring = ring(&[0, 999_999]);
        assert_eq!(ring.count(at(999_999)), 2);
        assert_eq!(ring.count(at(MINUTE)), 2);
        assert_eq!(ring.count(at(MINUTE + 999_999)), 2);
        assert_eq!(ring.count(at(MINUTE + 1_000_000)), 0);
    }

    #[test]
    fn the_next_request_fits_when_enough_have_left() {
        let ring = ring(&[0, 1_000_000, 1_500_000, 30_000_000]);
        let now = at(30_000_000);
        assert_eq!(ring.free_at(now, 5), Some(now));
        assert_eq!(ring.free_at(now, 4), Some(at(61_000_000)));
        assert_eq!(ring.free_at(now, 3), Some(at(62_000_000)));
        assert_eq!(ring.free_at(now, 2), Some(at(62_000_000)));
        assert_eq!(ring.free_at(now, 1), Some(at(91_000_000)));
        assert_eq!(ring.free_at(now, 0), None);
        assert_eq!(ring.empty_at(now), Some(at(91_000_000)));
        assert_eq!(ring.empty_at(at(91_000_000)), None);
        assert_eq!(Ring::default().free_at(now, 0), None);
        assert_eq!(Ring::default().free_at(now, 1), Some(now));
    }

    #[test]
    fn a_clock_that_goes_back_loses_no_request() {
        let mut ring = ring(&[100_000_000]);
        ring.add(at(0));
        ring.add(at(99_000_000));
        assert_eq!(ring.count(at(0)), 3);
        assert_eq!(ring.count(at(160_999_999)), 3);
        assert_eq!(ring.count(at(161_000_000)), 0);
    }

    #[test]
    fn bytes_hold_only_seconds_with_requests() {
        assert!(Ring::default().to_bytes().is_empty());
        let ring = ring(&[0, 1, 60_000_000]);
        let mut expected = 1_780_000_000i64.to_be_bytes().to_vec();
        expected.extend([0, 0, 0, 0, 2, 60, 0, 0, 0, 1]);
        assert_eq!(ring.to_bytes(), expected);
        assert_eq!(Ring::parse(&expected), ring);
    }

    #[test]
    fn the_busiest_ring_fits_its_column() {
        let mut ring = Ring::default();
        (0..1000).for_each(|second| ring.add(at(second * 1_000_000)));
        assert_eq!(ring.to_bytes().len(), MAX_RING_BYTES);
        assert_eq!(ring.count(at(999_000_000)), 61);
    }

    #[test]
    fn bytes_that_are_no_ring_count_as_empty() {
        let good = ring(&[0, 60_000_000]).to_bytes();
        assert_ne!(Ring::parse(&good), Ring::default());
        let changed = |index: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[index] = byte;
            bytes
        };
        for bytes in [
            good[..good.len() - 1].to_vec(),
            good[..8].to_vec(),
            good[..3].to_vec(),
            [&good[..], &[7]].concat(),
            changed(0, 0x7f),
            changed(0, 0xff),
            changed(8, 1),
            changed(12, 0),
            changed(13, 0),
            changed(13, 61),
        ] {
            assert_eq!(Ring::parse(&bytes), Ring::default(), "{bytes:?}");
        }
    }

    #[test]
    fn a_full_bucket_stays_full() {
        let mut bytes = 1_780_000_000i64.to_be_bytes().to_vec();
        bytes.extend([0, 0xff, 0xff, 0xff, 0xff]);
        let mut ring = Ring::parse(&bytes);
        ring.add(at(0));
        assert_eq!(ring.count(at(0)), u64::from(u32::MAX));
        assert_eq!(ring.to_bytes(), bytes);
    }

    #[test]
    fn the_end_of_time_is_a_time_like_others() {
        let last = Timestamp::from_micros(i64::MAX);
        let mut ring = ring(&[0]);
        ring.add(last);
        assert_eq!(Ring::parse(&ring.to_bytes()).count(last), 1);
        assert_eq!(ring.free_at(last, 1), Some(last));
    }

    proptest! {
        #[test]
        fn in_any_minute_no_more_are_admitted_than_the_limit(
            limit in 1..20u64,
            steps in prop::collection::vec(prop_oneof![
                0..2_000_000i64, Just(0), 0..100_000_000i64, Just(MINUTE), Just(1_000_000),
            ], 1..200),
        ) {
            let (mut ring, mut now, mut admitted) = (Ring::default(), 0, Vec::new());
            for step in steps {
                now += step;
                let counted = ring.count(at(now));
                let in_minute = admitted.iter().filter(|time| now - *time < MINUTE).count() as u64;
                let in_span = admitted.iter().filter(|time| now - *time < MINUTE + 1_000_000).count() as u64;
                // What it counts is at least the truth, and at most that of a second more.
                prop_assert!((in_minute..=in_span).contains(&counted));
                let free_at = ring.free_at(at(now), limit).unwrap();
                prop_assert_eq!(free_at <= at(now), counted < limit);
                prop_assert!(ring.count(free_at) < limit);
                if free_at > at(now) {
                    prop_assert!(ring.count(Timestamp::from_micros(free_at.micros() - 1)) >= limit);
                }
                if counted < limit {
                    ring.add(at(now));
                    admitted.push(now);
                }
                ring = Ring::parse(&ring.to_bytes());
            }
            for first in &admitted {
                let slice = admitted.iter().filter(|time| (*first..first + MINUTE).contains(time)).count();
                prop_assert!(slice as u64 <= limit);
            }
        }

        #[test]
        fn what_is_written_is_read_back(times in prop::collection::vec(0..200_000_000i64, 0..100)) {
            let ring = ring(&times);
            prop_assert!(ring.to_bytes().len() <= MAX_RING_BYTES);
            prop_assert_eq!(Ring::parse(&ring.to_bytes()), ring);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, now: i64, limit: u64) {
            let mut ring = Ring::parse(&bytes);
            let now = Timestamp::from_micros(now);
            let before = ring.count(now);
            let _ = (ring.free_at(now, limit), ring.empty_at(now));
            ring.add(now);
            prop_assert!(ring.count(now) > before);
        }

        #[test]
        fn bytes_are_read_only_as_they_would_be_written(
            base in -10..400_000_000_000i64, pairs in prop::collection::vec((0..70u8, 0..3u32), 0..5),
        ) {
            let mut bytes = base.to_be_bytes().to_vec();
            for (offset, count) in pairs {
                bytes.push(offset);
                bytes.extend(count.to_be_bytes());
            }
            let ring = Ring::parse(&bytes);
            prop_assert!(ring == Ring::default() || ring.to_bytes() == bytes);
        }
    }
}
