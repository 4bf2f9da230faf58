use super::customer::text_enum;
use super::{Currency, CustomerId, Money, RecordId, Timestamp, Transno};

text_enum!(
    /// What became of a hold.
    HoldState {
        /// It reserves its amount until it expires.
        Open = "open",
        /// A capture settled it.
        Captured = "captured",
        /// Released.
        Released = "released",
        /// Its time ran out.
        Expired = "expired",
    }
);

/// Money reserved before an expensive call: a row of `holds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Names the hold everywhere.
    pub id: RecordId,
    /// Whose money is reserved.
    pub customer_id: CustomerId,
    /// The caller's name for it, unique within the customer, over holds and records.
    pub transno: Transno,
    /// How much is reserved.
    pub amount: Money,
    /// How much a capture took.
    pub captured: Money,
    /// The customer's currency.
    pub currency: Currency,
    /// What became of it.
    pub state: HoldState,
    /// From when on, by the database's clock, it reserves nothing and cannot be captured.
    pub expires_at: Timestamp,
    /// The person it was made for.
    pub user_id: Option<String>,
    /// A remark.
    pub note: Option<String>,
    /// SHA-256 of the request as parsed.
    pub body_hash: [u8; 32],
    /// The balance when it was made.
    pub balance_after: Money,
    /// The open holds when it was made, itself included.
    pub held_after: Money,
    /// What was available when it was made.
    pub available_after: Money,
    /// When it was made, by the database's clock.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

impl Hold {
    /// Whether it still reserves its amount at a time of the database's clock.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.state == HoldState::Open && now < self.expires_at
    }

    /// What it counts as at a time: an open one whose time ran out has expired, closed or not.
    pub fn state_at(&self, now: Timestamp) -> HoldState {
        if self.state == HoldState::Open && !self.is_open(now) { HoldState::Expired } else { self.state }
    }
}
