use super::customer::text_enum;
use super::{Currency, CustomerId, LengthPrefixedHasher, Money, RecordId, Timestamp, Transno};

text_enum!(
    /// What a record is.
    Kind {
        /// The first balance taken over from upstream.
        Opening = "opening",
        /// Takes money.
        Charge = "charge",
        /// Brings money.
        Credit = "credit",
        /// Corrects, either way.
        Adjustment = "adjustment",
        /// Takes back an earlier record, whole or in part.
        Reversal = "reversal",
        /// Settles a hold.
        Capture = "capture",
        /// The difference between two balances pulled from upstream.
        Sync = "sync",
    }
);

text_enum!(
    /// What became of a record: derived, never stored. A ledger holds what was booked alone, so that nothing in it is
    /// pending or failed.
    RecordStatus {
        /// Not booked yet.
        Pending = "pending",
        /// Booked, and not taken back in full.
        Accounted = "accounted",
        /// Never booked.
        Failed = "failed",
        /// Taken back in full by reversals.
        Reversed = "reversed",
    }
);

/// What a booking was for, as the caller tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BookingDetails {
    /// The person who caused it.
    pub user_id: Option<String>,
    /// The model it was for.
    pub llmid: Option<String>,
    /// The model's name as the caller gave it, or as its price was found by.
    pub model_name: Option<String>,
    /// The pricing program: the one named, or the one that made the amount.
    pub pricing_id: Option<String>,
    /// Tokens in.
    pub input_tokens: Option<i64>,
    /// Tokens out.
    pub output_tokens: Option<i64>,
    /// A JSON object of quantities by factor, and of texts that price lists ask for.
    pub usage: Option<String>,
    /// The caller's request.
    pub request_id: Option<String>,
    /// A remark.
    pub note: Option<String>,
}

/// One booking: a row of `accounting_records`. Never rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Names the record everywhere.
    pub id: RecordId,
    /// Whose money moved.
    pub customer_id: CustomerId,
    /// 1, 2, 3 ... without a gap within the customer.
    pub seq: i64,
    /// The caller's name for the booking, unique within the customer.
    pub transno: Transno,
    /// What it is.
    pub kind: Kind,
    /// The amount as asked; negative only for an adjustment.
    pub amount: Money,
    /// What was added to the balance.
    pub delta: Money,
    /// The customer's currency.
    pub currency: Currency,
    /// What it was for.
    pub details: BookingDetails,
    /// The version of the pricing program that made the amount.
    pub pricing_version: Option<i64>,
    /// The computed amount before rounding, as decimal text.
    pub unrounded: Option<String>,
    /// How the amount was computed, as JSON text: what it takes to do it again.
    pub arithmetic: Option<String>,
    /// The record that this one takes back.
    pub reverses: Option<RecordId>,
    /// The hold that this one settles.
    pub hold_id: Option<RecordId>,
    /// The balance after this record.
    pub balance_after: Money,
    /// The open holds after this record.
    pub held_after: Money,
    /// balance + credit limit - held after this record.
    pub available_after: Money,
    /// SHA-256 of the request as parsed; tells a repetition from another request.
    pub body_hash: [u8; 32],
    /// Hash of the customer's record before this one; zeros for the first.
    pub prev_hash: [u8; 32],
    /// [`Record::chain_hash`].
    pub hash: [u8; 32],
    /// When the thing that is booked happened.
    pub event_time: Timestamp,
    /// When it was booked, by the database's clock.
    pub created_at: Timestamp,
}

impl Record {
    /// Tokens in and out together, if either is known.
    pub fn total_tokens(&self) -> Option<i64> {
        match (self.details.input_tokens, self.details.output_tokens) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        }
    }

    /// SHA-256 over a version byte, the predecessor's hash and every field of the record, each
    /// with its length in front, so that an edited or removed row is told by recomputing. Records
    /// with arithmetic came later and have a version of their own.
    pub fn chain_hash(&self) -> [u8; 32] {
        let mut h = LengthPrefixedHasher::default();
        h.fixed(&[1 + u8::from(self.arithmetic.is_some())]);
        h.fixed(&self.prev_hash);
        h.bytes(self.id.as_bytes());
        h.bytes(self.customer_id.as_str().as_bytes());
        h.int(self.seq);
        h.bytes(self.transno.as_str().as_bytes());
        h.bytes(self.kind.as_str().as_bytes());
        for money in [self.amount, self.delta, self.balance_after, self.held_after, self.available_after] {
            h.int(money.nanos());
        }
        h.bytes(self.currency.as_str().as_bytes());
        // In full: whether a new field is hashed must be decided.
        let BookingDetails {
            user_id,
            llmid,
            model_name,
            pricing_id,
            input_tokens,
            output_tokens,
            usage,
            request_id,
            note,
        } = &self.details;
        for text in [user_id, llmid, model_name, pricing_id, usage, &self.unrounded, request_id, note] {
            h.text(text.as_deref());
        }
        for number in [self.pricing_version, *input_tokens, *output_tokens] {
            h.number(number);
        }
        h.option(self.reverses.as_ref().map(|id| id.as_bytes().as_slice()));
        h.option(self.hold_id.as_ref().map(|id| id.as_bytes().as_slice()));
        h.bytes(&self.body_hash);
        h.int(self.event_time.micros());
        h.int(self.created_at.micros());
        if let Some(arithmetic) = &self.arithmetic {
            h.bytes(arithmetic.as_bytes());
        }
        h.finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;

    pub(crate) fn record() -> Record {
        Record {
            id: RecordId(Uuid::from_u128(7)),
            customer_id: CustomerId::parse("c-1").unwrap(),
            seq: 3,
            transno: Transno::parse("t-1").unwrap(),
            kind: Kind::Charge,
            amount: Money::parse("1.5").unwrap(),
            delta: Money::parse_signed("-1.5").unwrap(),
            currency: Currency::parse("CNY").unwrap(),
            details: BookingDetails {
                llmid: Some("m".into()),
                input_tokens: Some(1),
                note: Some("余额".into()),
                ..BookingDetails::default()
            },
            pricing_version: None,
            unrounded: None,
            arithmetic: None,
            reverses: None,
            hold_id: None,
            balance_after: Money::parse("8.5").unwrap(),
            held_after: Money::ZERO,
            available_after: Money::parse("8.5").unwrap(),
            body_hash: [1; 32],
            prev_hash: [2; 32],
            hash: [0; 32],
            event_time: Timestamp::from_seconds(1),
            created_at: Timestamp::from_seconds(2),
        }
    }

    #[test]
    fn the_chain_hash_of_a_known_record_stays_as_it_is() {
        let hex: String = record().chain_hash().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "586160f098f3b66e5743ff9e3a3a8115b46802cba31036a59f3b7857f83dae89");
    }

    #[test]
    fn every_field_changes_the_chain_hash() {
        let base = record();
        let changes: Vec<fn(&mut Record)> = vec![
            |r| r.id = RecordId(Uuid::from_u128(8)),
            |r| r.customer_id = CustomerId::parse("c-2").unwrap(),
            |r| r.seq = 4,
            |r| r.transno = Transno::parse("t-2").unwrap(),
            |r| r.kind = Kind::Credit,
            |r| r.amount = Money::ZERO,
            |r| r.delta = Money::ZERO,
            |r| r.currency = Currency::parse("USD").unwrap(),
            |r| r.details.user_id = Some(String::new()),
            |r| r.details.llmid = None,
            |r| r.details.model_name = Some("x".into()),
            |r| r.details.pricing_id = Some("x".into()),
            |r| r.pricing_version = Some(1),
            |r| r.details.input_tokens = None,
            |r| r.details.output_tokens = Some(1),
            |r| r.details.usage = Some("{}".into()),
            |r| r.unrounded = Some("1".into()),
            |r| r.arithmetic = Some(String::new()),
            |r| r.details.request_id = Some("x".into()),
            |r| r.reverses = Some(RecordId(Uuid::nil())),
            |r| r.hold_id = Some(RecordId(Uuid::nil())),
            |r| r.details.note = None,
            |r| r.balance_after = Money::ZERO,
            |r| r.held_after = Money::MAX,
            |r| r.available_after = Money::ZERO,
            |r| r.body_hash = [0; 32],
            |r| r.prev_hash = [0; 32],
            |r| r.event_time = Timestamp::from_seconds(9),
            |r| r.created_at = Timestamp::from_seconds(9),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut changed = base.clone();
            change(&mut changed);
            assert_ne!(changed.chain_hash(), base.chain_hash(), "change {i}");
        }
    }

    #[test]
    fn a_text_cannot_slide_into_the_next_field() {
        let (mut a, mut b) = (record(), record());
        (a.details.user_id, a.details.llmid) = (Some("ab".into()), Some("c".into()));
        (b.details.user_id, b.details.llmid) = (Some("a".into()), Some("bc".into()));
        assert_ne!(a.chain_hash(), b.chain_hash());
    }
}
