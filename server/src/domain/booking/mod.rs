//! Booking: the one way in which money moves.
//!
//! A request becomes a [`Command`], waits in the queue of its customer's shard, and is decided
//! together with its neighbours in one transaction of that shard's writer.

mod admission;
mod amount;
mod backend;
mod commit;
mod decide;
mod parked;
mod preview;
mod queue;
mod sweep;
mod writer;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use amount::Amount;
pub use preview::{Earlier, due_holds, preview};
pub use sweep::sweep_due_holds;
pub use writer::{Booking, BookingParts};

use sha2::{Digest as _, Sha256};

use crate::domain::Error;
use crate::model::{Currency, Customer, CustomerId, Hold, Kind, Money, Record, RecordId, Timestamp, Transno};
use crate::store::NonceUse;
use crate::telemetry::tracing::Handoff;

/// The longest time that a hold may last.
pub const MAX_HOLD: Duration = Duration::from_secs(86_400);

/// A change of money as asked for: parsed and within bounds, not yet decided.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose money it is about.
    pub customer_id: CustomerId,
    /// SHA-256 of the request as parsed; tells a repetition from another request.
    pub body_hash: [u8; 32],
    /// The nonce that the request spends.
    pub nonce: Option<NonceUse>,
    /// What to do.
    pub action: Action,
}

/// A booking as asked for: parsed and within bounds, not yet decided.
#[derive(Debug, Clone)]
pub struct BookingRequest {
    /// Whose money moves.
    pub customer_id: CustomerId,
    /// Names the booking within the customer.
    pub transno: Transno,
    /// Charge, credit or adjustment.
    pub kind: Kind,
    /// How much; negative only for an adjustment. Absent, it is what the price list of `pricing_id` or `llmid`
    /// says.
    pub amount: Option<Money>,
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
    /// A JSON object of quantities by factor, and of texts that price lists ask for.
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
    /// exactly what is given here: the same transno with anything else is a conflict. Records keep
    /// it, so the formula stays as it is.
    pub fn new(customer_id: CustomerId, transno: Transno, kind: Kind, amount: Money) -> Self {
        let hash = Sha256::new()
            .chain_update(format!("{kind}\0{customer_id}\0"))
            .chain_update(amount.nanos().to_be_bytes());
        Self {
            customer_id,
            transno,
            kind,
            amount: Some(amount),
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

/// What a request asks for.
#[derive(Debug, Clone)]
pub enum Action {
    /// Book a record.
    Book(Entry),
    /// Take an earlier record back, whole or in part.
    Reverse(Reverse),
    /// Reserve money.
    Hold(Reserve),
    /// Settle a hold.
    Capture(Capture),
    /// Let a hold go.
    Release(RecordId),
    /// Close the customer's holds whose time has run out.
    Expire,
}

impl Action {
    /// The caller's name for it, where it has one.
    fn transno(&self) -> Option<&Transno> {
        match self {
            Self::Book(entry) => Some(&entry.transno),
            Self::Reverse(reverse) => Some(&reverse.transno),
            Self::Hold(reserve) => Some(&reserve.transno),
            Self::Capture(capture) => Some(&capture.transno),
            Self::Release(_) | Self::Expire => None,
        }
    }

    /// Whether its amount is negative, which only an adjustment's may be: it would do the opposite of what it says.
    fn has_wrong_sign(&self) -> bool {
        match self {
            Self::Book(Entry {
                kind: Kind::Charge | Kind::Credit, amount: Amount::Given(amount), ..
            }) => amount.is_negative(),
            Self::Hold(reserve) => reserve.amount.is_negative(),
            Self::Reverse(Reverse { amount, .. }) | Self::Capture(Capture { amount, .. }) => {
                amount.is_some_and(Money::is_negative)
            }
            Self::Book(_) | Self::Release(_) | Self::Expire => false,
        }
    }
}

/// A charge, credit or adjustment.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Names the booking within the customer.
    pub transno: Transno,
    /// Charge, credit or adjustment.
    pub kind: Kind,
    /// How much.
    pub amount: Amount,
    /// The currency the caller has in mind; the customer's if absent.
    pub currency: Option<Currency>,
    /// What it was for.
    pub details: BookingDetails,
}

/// What a record was for, as the caller tells it.
#[derive(Debug, Clone, Default)]
pub struct BookingDetails {
    /// The person who caused it.
    pub user_id: Option<String>,
    /// The model it was for.
    pub llmid: Option<String>,
    /// The model's name.
    pub model_name: Option<String>,
    /// The pricing program.
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
}

/// Taking a record back.
#[derive(Debug, Clone)]
pub struct Reverse {
    /// Names the booking within the customer.
    pub transno: Transno,
    /// The record.
    pub record: RecordId,
    /// How much; what is left of it if absent.
    pub amount: Option<Money>,
    /// Whether any kind of record may be taken back, as the platform may, or charges and captures alone, as a customer may:
    /// what only the platform books, only the platform takes back.
    pub of_any_kind: bool,
    /// A remark.
    pub note: Option<String>,
}

/// Reserving money.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// Names the hold within the customer.
    pub transno: Transno,
    /// How much.
    pub amount: Money,
    /// The currency the caller has in mind; the customer's if absent.
    pub currency: Option<Currency>,
    /// For how long.
    pub ttl: Duration,
    /// The person it is for.
    pub user_id: Option<String>,
    /// A remark.
    pub note: Option<String>,
}

/// Settling a hold.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Names the booking within the customer.
    pub transno: Transno,
    /// The hold.
    pub hold: RecordId,
    /// How much; the hold's amount if absent. More than that passes the funds check.
    pub amount: Option<Money>,
}

/// A booking that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// What was booked.
    pub record: Record,
    /// Whether it had been booked by an earlier request.
    pub replayed: bool,
}

/// A hold that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The hold.
    pub hold: Hold,
    /// Its customer after the request; `None` for a repetition, which answers as the first time.
    pub customer: Option<Customer>,
    /// Whether it had been made, or let go, by an earlier request.
    pub replayed: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A record was booked.
    Booked(Booked),
    /// A hold was made or let go.
    Reserved(Reserved),
    /// Due holds were closed.
    Expired,
}

impl Outcome {
    /// The record, where a record was asked for.
    pub fn into_booked(self) -> Result<Booked, Error> {
        match self {
            Self::Booked(booked) => Ok(booked),
            // The transno names a hold: another request.
            Self::Reserved(_) | Self::Expired => Err(Error::TransnoConflict),
        }
    }

    /// The hold, where a hold was asked for.
    pub fn into_reserved(self) -> Result<Reserved, Error> {
        match self {
            Self::Reserved(reserved) => Ok(reserved),
            // The transno names a record: another request.
            Self::Booked(_) | Self::Expired => Err(Error::TransnoConflict),
        }
    }

    fn is_replay(&self) -> bool {
        match self {
            Self::Booked(booked) => booked.replayed,
            Self::Reserved(reserved) => reserved.replayed,
            Self::Expired => false,
        }
    }
}

/// A request on its way to a writer. The id of what it makes is chosen before the first attempt, so
/// that an attempt whose COMMIT was lost is recognised by the next one.
#[derive(Debug, Clone)]
struct Command {
    request: Request,
    id: RecordId,
    /// The answer to a COMMIT with it was lost: it may have taken effect, or do so yet.
    commit_lost: bool,
    /// The nonce was inserted by that attempt: finding it again means that the attempt took effect, not that the nonce
    /// was used before.
    nonce_is_ours: bool,
    /// The trace of the request that it came with.
    handoff: Handoff,
}

impl Command {
    fn new(request: Request, id: RecordId) -> Self {
        Self { request, id, commit_lost: false, nonce_is_ours: false, handoff: Handoff::default() }
    }
}
