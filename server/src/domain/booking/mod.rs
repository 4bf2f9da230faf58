//! Booking: the one way in which money moves.
//!
//! A request becomes a [`Command`], waits in the queue of its customer's shard, and is decided
//! together with its neighbours in one transaction of that shard's writer.

mod decide;
mod queue;
mod writer;

#[cfg(test)]
mod tests;

pub use writer::{Booking, BookingParts};

use sha2::{Digest as _, Sha256};

use crate::model::{Currency, CustomerId, Kind, Money, Record, RecordId, Timestamp, Transno};
use crate::store::NonceUse;

/// A booking as asked for: parsed and within bounds, not yet decided.
#[derive(Debug, Clone)]
pub struct BookingRequest {
    /// Whose money moves.
    pub customer_id: CustomerId,
    /// Names the booking within the customer.
    pub transno: Transno,
    /// Charge, credit or adjustment.
    pub kind: Kind,
    /// How much; negative only for an adjustment.
    pub amount: Money,
    /// The currency the caller has in mind; the customer's if absent.
    pub currency: Option<Currency>,
    /// The person who caused it.
    pub user_id: Option<String>,
    /// The model it was for.
    pub llmid: Option<String>,
    /// The model's name.
    pub model_name: Option<String>,
    /// The pricing program named.
    pub pricing_id: Option<String>,
    /// Tokens in.
    pub input_tokens: Option<i64>,
    /// Tokens out.
    pub output_tokens: Option<i64>,
    /// Factors and quantities as JSON text.
    pub usage: Option<String>,
    /// The caller's request.
    pub request_id: Option<String>,
    /// When the thing happened; the time of booking if absent.
    pub event_time: Option<Timestamp>,
    /// A remark.
    pub note: Option<String>,
    /// SHA-256 of the request as parsed.
    pub body_hash: [u8; 32],
    /// The nonce that this booking spends.
    pub nonce: Option<NonceUse>,
}

impl BookingRequest {
    /// A booking without particulars and without a nonce, as programs make them. Its hash covers
    /// exactly what is given here: the same transno with anything else is a conflict.
    pub fn new(customer_id: CustomerId, transno: Transno, kind: Kind, amount: Money) -> Self {
        let hash = Sha256::new()
            .chain_update(format!("{kind}\0{customer_id}\0"))
            .chain_update(amount.nanos().to_be_bytes());
        Self {
            customer_id,
            transno,
            kind,
            amount,
            currency: None,
            user_id: None,
            llmid: None,
            model_name: None,
            pricing_id: None,
            input_tokens: None,
            output_tokens: None,
            usage: None,
            request_id: None,
            event_time: None,
            note: None,
            body_hash: hash.finalize().into(),
            nonce: None,
        }
    }
}

/// A booking that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// What was booked.
    pub record: Record,
    /// Whether it had been booked by an earlier request.
    pub replayed: bool,
}

/// A request on its way to a writer. The record's id is chosen before the first attempt, so that an
/// attempt whose COMMIT was lost is recognised by the next one.
#[derive(Debug, Clone)]
struct Command {
    request: BookingRequest,
    record_id: RecordId,
}
