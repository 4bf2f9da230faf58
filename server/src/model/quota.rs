use super::customer::text_enum;
use super::{CustomerId, GroupLimits, RecordId, Timestamp, Transno};

text_enum!(
    /// What a quota limits.
    LimitKind {
        /// Tokens a day.
        DailyTokens = "daily_tokens",
        /// Tokens a month.
        MonthlyTokens = "monthly_tokens",
        /// Requests in any minute.
        RequestsPerMinute = "requests_per_minute",
        /// Tokens of one request.
        MaxTokensPerRequest = "max_tokens_per_request",
        /// Requests at the same time.
        ConcurrentRequests = "concurrent_requests",
    }
);

text_enum!(
    /// How long a window of tokens is.
    WindowKind {
        /// A calendar day.
        Day = "day",
        /// A calendar month.
        Month = "month",
    }
);

impl GroupLimits {
    /// The limit of one kind; `None` is unlimited.
    pub fn of(&self, kind: LimitKind) -> Option<i64> {
        match kind {
            LimitKind::DailyTokens => self.daily_tokens,
            LimitKind::MonthlyTokens => self.monthly_tokens,
            LimitKind::RequestsPerMinute => self.requests_per_minute,
            LimitKind::MaxTokensPerRequest => self.max_tokens_per_request,
            LimitKind::ConcurrentRequests => self.concurrent_requests,
        }
    }
}

/// A span of time in which tokens are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it; the end of time if it never ends.
    pub end: Timestamp,
}

impl Window {
    /// Whether it lies in the past.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        // Nothing comes after the end of time, so it belongs to the last window.
        now >= self.end && self.ends().is_some()
    }

    /// Whether an instant lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && !self.has_ended(at)
    }

    /// When it ends; `None` if it never does.
    pub fn ends(&self) -> Option<Timestamp> {
        (self.end < Timestamp::from_micros(i64::MAX)).then_some(self.end)
    }
}

text_enum!(
    /// What a row of `quota_counters` counts.
    CounterKind {
        /// Tokens of a day.
        Day = "day",
        /// Tokens of a month.
        Month = "month",
        /// Requests of the last minute, and open reservations.
        Live = "live",
    }
);

text_enum!(
    /// What became of a reservation.
    ReservationState {
        /// It reserves tokens and a slot.
        Open = "open",
        /// A usage record settled it.
        Settled = "settled",
        /// It was released: no call was made.
        Released = "released",
        /// Its time ran out.
        Expired = "expired",
    }
);

/// A row of `quota_counters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaCounter {
    /// Whose user.
    pub customer_id: CustomerId,
    /// The user.
    pub user_id: String,
    /// What it counts.
    pub kind: CounterKind,
    /// The start of its window; the epoch of a live row.
    pub window_start: Timestamp,
    /// The first instant after its window; the end of time of a live row.
    pub window_end: Timestamp,
    /// Tokens used.
    pub used: i64,
    /// Tokens reserved; of a live row, open reservations.
    pub reserved: i64,
    /// Of a live row: the requests of the last minute, by second.
    pub ring: Vec<u8>,
}

/// An admitted check: a row of `quota_reservations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaReservation {
    /// Its id.
    pub id: RecordId,
    /// Whose user.
    pub customer_id: CustomerId,
    /// The user.
    pub user_id: String,
    /// The caller's name for the request.
    pub request_id: Option<Transno>,
    /// The same while it is open: a user has one open reservation of a name.
    pub open_request_id: Option<Transno>,
    /// Tokens reserved.
    pub declared: i64,
    /// The start of the day that they are reserved in.
    pub day_start: Timestamp,
    /// The start of the month that they are reserved in.
    pub month_start: Timestamp,
    /// What became of it.
    pub state: ReservationState,
    /// When its time runs out.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_limit() {
        let limits = GroupLimits {
            daily_tokens: Some(1),
            monthly_tokens: Some(2),
            requests_per_minute: Some(3),
            max_tokens_per_request: Some(4),
            concurrent_requests: Some(5),
        };
        let read: Vec<_> = LimitKind::ALL.iter().map(|kind| limits.of(*kind)).collect();
        assert_eq!(read, [1, 2, 3, 4, 5].map(Some));
        assert_eq!(LimitKind::ALL.len(), 5);
    }

    #[test]
    fn the_end_of_a_window_is_not_in_it() {
        let [start, end, never] = [10, 20, i64::MAX].map(Timestamp::from_micros);
        let window = Window { start, end };
        assert!(window.contains(start) && !window.contains(end) && window.has_ended(end));
        assert!(!window.contains(Timestamp::from_micros(9)) && !window.has_ended(Timestamp::from_micros(19)));
        assert_eq!(window.ends(), Some(end));
        let last = Window { start, end: never };
        assert!(last.contains(never) && !last.has_ended(never));
        assert_eq!(last.ends(), None);
    }
}
