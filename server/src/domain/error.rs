use std::net::IpAddr;

use crate::model::{Currency, HoldState, Kind, Money, OutOfReach, Scope};
use crate::signing::AuthError;
use crate::store;

/// A member of a request that is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The member or parameter.
    pub field: String,
    /// What it must be.
    pub message: String,
}

impl FieldError {
    /// A member and what is wrong with it.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why a request was not served. Every variant has one code on the wire; `http::problem` holds the
/// one match that says which.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Members that are missing, of the wrong type or beyond their bounds.
    #[error("the request has invalid members")]
    Invalid(Vec<FieldError>),
    /// A query parameter that the operation does not know.
    #[error("unknown parameter {0}")]
    UnknownParameter(String),
    /// Members that the operation does not know.
    #[error("the request has unknown members")]
    UnknownField(Vec<FieldError>),
    /// No JSON object, or one with a member twice.
    #[error("the body is malformed: {0}")]
    BodyMalformed(String),
    /// An amount given as a JSON number.
    #[error("an amount must be a string, so that no digit is lost")]
    AmountNotString(Vec<FieldError>),
    /// An amount that is no amount.
    #[error("an amount is invalid")]
    AmountInvalid(Vec<FieldError>),
    /// A cursor that was not made for this list.
    #[error("the cursor does not belong to this list")]
    InvalidCursor,
    /// Who is asking could not be established.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The key may not do this.
    #[error("the key lacks the scope {0}")]
    ScopeMissing(Scope),
    /// The key belongs to another customer.
    #[error("the key belongs to another customer")]
    CustomerForbidden,
    /// The key may not book, or take back, this kind.
    #[error("only a key of the platform may book or reverse a record of kind {0}")]
    KindForbidden(Kind),
    /// The customer may not spend.
    #[error("the customer is suspended")]
    CustomerSuspended,
    /// The key is switched off or has expired.
    #[error("the key is disabled or has expired")]
    KeyDisabled,
    /// The key may not be used from there.
    #[error("the key may not be used from {0}")]
    AddressDenied(IpAddr),
    /// Too little money.
    #[error("the available balance {available} is below the required {required}")]
    InsufficientBalance {
        /// balance + credit limit - held.
        available: Money,
        /// What the booking needs.
        required: Money,
    },
    /// No such thing, or none that the caller may know of.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Such a thing is there already.
    #[error("there is such a {0} already")]
    Conflict(&'static str),
    /// The first request with this transno is still under way.
    #[error("the first request with this transno is still under way")]
    TransnoInProgress,
    /// The transno names another request.
    #[error("the transno was used for another request")]
    TransnoConflict,
    /// The customer's money is of another currency.
    #[error("the customer's currency is {expected}, not {given}")]
    CurrencyMismatch {
        /// The customer's.
        expected: Currency,
        /// The request's.
        given: Currency,
    },
    /// An amount, or the balance that it would lead to, beyond the range of money.
    #[error("an amount or balance would exceed 9000000000")]
    AmountOutOfRange,
    /// A hold that is settled, let go or past its time.
    #[error("the hold is {0}")]
    HoldClosed(HoldState),
    /// More than is left of a record to take back.
    #[error("the reversal exceeds the record: {0}")]
    ReversalExceeds(String),
    /// Nothing to price by.
    #[error("no price was found: {0}")]
    PriceNotFound(String),
    /// One of many things that are done together or not at all.
    #[error("item {index}: {error}")]
    Item {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// Too much is waiting already.
    #[error("too many bookings are waiting")]
    Overloaded,
    /// The database cannot be reached; the cause is for the log alone.
    #[error("the database is not available")]
    StoreUnavailable(String),
    /// This instance takes no writes.
    #[error("the service is read-only at the moment")]
    ReadOnly,
    /// A fault of our own; the cause is for the log alone.
    #[error("internal error")]
    Internal(String),
}

impl Error {
    /// The same, of the item in this place of many.
    #[must_use]
    pub fn of_item(self, index: usize) -> Self {
        Self::Item { index, error: Box::new(self) }
    }
}

impl From<OutOfReach> for Error {
    fn from(_: OutOfReach) -> Self {
        Self::CustomerForbidden
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        if error.is_unavailable() || error.is_contended() {
            Self::StoreUnavailable(error.to_string())
        } else {
            Self::Internal(error.to_string())
        }
    }
}
