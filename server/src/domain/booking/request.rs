//! What is asked for.

use std::time::Duration;

use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use crate::domain::prices::{NoPrice, Quote};
use crate::domain::quota::Check;
use crate::domain::{Error, FieldError};
use crate::model::{
    BookingDetails, Currency, CustomerId, GroupId, GroupLimits, IdError, Kind, LengthPrefixedHasher, Money,
    RecordId, TextId, Timestamp, Transno, UsageDetails,
};
use crate::store::NonceUse;

/// The longest time that a hold may last.
pub const MAX_HOLD: Duration = Duration::from_secs(86_400);

/// The most tokens that one request can have used, in or out.
const MAX_TOKENS: i64 = 1_000_000_000_000;

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

impl Request {
    /// A booking without details and without a nonce, as programs make them. Its hash covers
    /// exactly what is given here: the same transno with anything else is a conflict. Records keep
    /// it, so the formula stays as it is.
    pub fn booking(customer_id: CustomerId, transno: Transno, kind: Kind, amount: Money) -> Self {
        let hash = Sha256::new()
            .chain_update(format!("{kind}\0{customer_id}\0"))
            .chain_update(amount.nanos().to_be_bytes());
        let entry = Entry {
            transno,
            kind,
            amount: Amount::Given(amount),
            currency: None,
            event_time: None,
            details: BookingDetails::default(),
        };
        Self { customer_id, body_hash: hash.finalize().into(), nonce: None, action: Action::Book(entry) }
    }

    /// Usage without a nonce. Its hash covers what was given, as that of POST /usage does.
    pub fn usage(customer_id: CustomerId, usage: Usage) -> Self {
        let body_hash = usage_hash(&usage, &customer_id);
        Self { customer_id, body_hash, nonce: None, action: Action::Usage(Box::new(usage)) }
    }
}

impl Usage {
    /// What a request used: now, without a price yet, and settling nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] where a count or a name is out of bounds.
    pub fn new(request_id: Transno, details: UsageDetails) -> Result<Self, Error> {
        details_in_bounds(&details)?;
        let transno = usage_transno(&request_id);
        let transno = transno
            .map_err(|error| Error::Invalid(vec![FieldError::new("request_id", error.to_string())]))?;
        Ok(Self {
            request_id,
            transno,
            details,
            group_id: None,
            source_node: None,
            event_time: None,
            hold: None,
            reservation: None,
            quota_zone: TimeZone::UTC,
            price: Amount::FromPriceList,
        })
    }
}

/// Programs fill in details by themselves; those of a request have been read so.
fn details_in_bounds(details: &UsageDetails) -> Result<(), Error> {
    let UsageDetails { user_id, model, actual_model, llmid, pricing_id, input_tokens, output_tokens, .. } =
        details;
    let counts = [("input_tokens", *input_tokens), ("output_tokens", *output_tokens)];
    let wrong = counts.into_iter().filter(|(_, count)| !(0..=MAX_TOKENS).contains(count));
    let mut wrong: Vec<_> = wrong
        .map(|(name, _)| FieldError::new(name, format!("must be a whole number from 0 to {MAX_TOKENS}")))
        .collect();
    let names = [
        ("user_id", user_id),
        ("model", model),
        ("actual_model", actual_model),
        ("llmid", llmid),
        ("pricing_id", pricing_id),
    ];
    for (name, text) in names {
        if let Some(Err(error)) = text.as_deref().map(TextId::parse) {
            wrong.push(FieldError::new(name, error.to_string()));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}

/// SHA-256 over what the client sent, not what was filled in: members in a fixed order, each with its length in front, an
/// absent one unlike an empty one.
fn usage_hash(usage: &Usage, customer: &CustomerId) -> [u8; 32] {
    // In full: whether a new field is hashed must be decided.
    let Usage {
        request_id,
        transno: _,
        details,
        group_id: _,
        source_node: _,
        event_time,
        hold,
        reservation,
        quota_zone: _,
        price: _,
    } = usage;
    let UsageDetails {
        user_id,
        model,
        actual_model,
        llmid,
        pricing_id,
        input_tokens,
        output_tokens,
        usage: quantities,
        is_streaming,
        upstream_url,
        status_code,
        duration_ms,
    } = details;
    let mut hash = LengthPrefixedHasher::default();
    // Not the first byte of a booking.
    hash.fixed(&[2]);
    hash.text(Some(customer.as_str()));
    hash.text(Some(request_id.as_str()));
    for text in [user_id, model, actual_model, llmid, pricing_id, quantities, upstream_url] {
        hash.text(text.as_deref());
    }
    for number in [
        Some(*input_tokens),
        Some(*output_tokens),
        is_streaming.map(i64::from),
        *status_code,
        *duration_ms,
        event_time.map(Timestamp::micros),
    ] {
        hash.number(number);
    }
    for id in [hold, reservation] {
        hash.text(id.map(|id| id.to_string()).as_deref());
    }
    hash.finish()
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
    /// Release a hold.
    Release(RecordId),
    /// Close the customer's holds whose time has run out.
    Expire,
    /// Record what a user consumed.
    Usage(Box<Usage>),
    /// Ask whether a user may go on, and reserve what it may use.
    Check(Box<QuotaCheck>),
    /// Give a reservation back: no call was made.
    ReleaseQuota(RecordId),
    /// Keep a reservation open for so long from now on.
    ExtendQuota(RecordId, Duration),
}

impl Action {
    /// The caller's name for it, where it has one.
    pub(super) fn transno(&self) -> Option<&Transno> {
        match self {
            Self::Book(entry) => Some(&entry.transno),
            Self::Reverse(reverse) => Some(&reverse.transno),
            Self::Hold(reserve) => Some(&reserve.transno),
            Self::Capture(capture) => Some(&capture.transno),
            Self::Usage(usage) => Some(&usage.transno),
            Self::Release(_)
            | Self::Expire
            | Self::Check(_)
            | Self::ReleaseQuota(_)
            | Self::ExtendQuota(..) => None,
        }
    }

    /// Whether its amount is negative, which only an adjustment's may be: it would do the opposite of what it says.
    pub(super) fn has_wrong_sign(&self) -> bool {
        match self {
            Self::Book(Entry {
                kind: Kind::Charge | Kind::Credit, amount: Amount::Given(amount), ..
            }) => amount.is_negative(),
            Self::Hold(reserve) => reserve.amount.is_negative(),
            Self::Reverse(Reverse { amount, .. }) | Self::Capture(Capture { amount, .. }) => {
                amount.is_some_and(Money::is_negative)
            }
            Self::Book(_)
            | Self::Release(_)
            | Self::Expire
            | Self::Usage(_)
            | Self::Check(_)
            | Self::ReleaseQuota(_)
            | Self::ExtendQuota(..) => false,
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
    /// When it happened; the time of booking if absent.
    pub event_time: Option<Timestamp>,
    /// What it was for.
    pub details: BookingDetails,
}

/// How much a booking moves.
#[derive(Debug, Clone)]
pub enum Amount {
    /// What the caller says; negative only for an adjustment.
    Given(Money),
    /// What the price list of `pricing_id` or `llmid` says, which has not been asked yet; see [`Request::priced`].
    FromPriceList,
    /// What the price list said.
    Quoted(Box<Quote>),
    /// No price list says anything. That refuses a new booking alone: a repetition gets the first answer, whatever
    /// became of the price list since.
    Unquoted(NoPrice),
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
    /// Whether any kind of record may be reversed, as the platform may, or charges and captures alone, as a customer may:
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

/// What a user consumed. It has happened: neither lack of funds nor a suspension refuses it.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Names the request within the customer.
    pub request_id: Transno,
    /// Names its charge, if one is booked: [`usage_transno`].
    pub transno: Transno,
    /// What was used.
    pub details: UsageDetails,
    /// The group whose limits count for the user.
    pub group_id: Option<GroupId>,
    /// The edge that reports it.
    pub source_node: Option<String>,
    /// When it happened; the time of recording if absent.
    pub event_time: Option<Timestamp>,
    /// A hold to be settled by its charge.
    pub hold: Option<RecordId>,
    /// A reservation to be settled.
    pub reservation: Option<RecordId>,
    /// The time zone of the days and months that the user's tokens are counted in.
    pub quota_zone: TimeZone,
    /// What it costs.
    pub price: Amount,
}

/// A question whether a user may go on.
#[derive(Debug, Clone)]
pub struct QuotaCheck {
    /// The user.
    pub user_id: String,
    /// The caller's name for the request: while its reservation is open, it gets the same one.
    pub request_id: Option<Transno>,
    /// What is asked for.
    pub check: Check,
    /// The limits of the user's group.
    pub limits: GroupLimits,
    /// The time zone of the days and months that the user's tokens are counted in.
    pub zone: TimeZone,
}

/// The transno of the charge of a usage record.
///
/// # Errors
/// The request's id is too long.
pub fn usage_transno(request_id: &Transno) -> Result<Transno, IdError> {
    Transno::parse(&format!("usage:{request_id}"))
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
