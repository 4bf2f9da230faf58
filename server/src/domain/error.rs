use std::net::IpAddr;

use crate::model::{Currency, HoldState, Kind, Money, OutOfReach, Scope};
use crate::signing::AuthError;
use crate::store;

/// An invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field or parameter.
    pub field: String,
    /// What it must be.
    pub message: String,
}

impl FieldError {
    /// A field, and what is wrong with it.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why a request was not served. `http::problem` maps every variant to its code on the wire.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields that are missing, of the wrong type or out of bounds.
    #[error("the request has invalid fields")]
    Invalid(Vec<FieldError>),
    /// A query parameter that the operation does not have.
    #[error("unknown parameter {0}")]
    UnknownParameter(String),
    /// Fields that the operation does not have.
    #[error("the request has unknown fields")]
    UnknownField(Vec<FieldError>),
    /// Not a JSON object, or one with a field twice.
    #[error("the body is malformed: {0}")]
    BodyMalformed(String),
    /// An amount given as a JSON number.
    #[error("an amount must be a string, so that no digit is lost")]
    AmountNotString(Vec<FieldError>),
    /// An amount that is not a decimal string.
    #[error("an amount is invalid")]
    AmountInvalid(Vec<FieldError>),
    /// A cursor of another list.
    #[error("the cursor does not belong to this list")]
    InvalidCursor,
    /// The request could not be authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The scope is missing.
    #[error("the key lacks the scope {0}")]
    ScopeMissing(Scope),
    /// The key belongs to another customer.
    #[error("the key belongs to another customer")]
    CustomerForbidden,
    /// The key may not book or reverse records of this kind.
    #[error("only a key of the platform may book or reverse a record of kind {0}")]
    KindForbidden(Kind),
    /// The customer is suspended.
    #[error("the customer is suspended")]
    CustomerSuspended,
    /// The key is disabled or has expired.
    #[error("the key is disabled or has expired")]
    KeyDisabled,
    /// The key may not be used from this address.
    #[error("the key may not be used from {0}")]
    AddressDenied(IpAddr),
    /// The available balance is too low.
    #[error("the available balance {available} is below the required {required}")]
    InsufficientBalance {
        /// balance + credit limit - held.
        available: Money,
        /// What the booking needs.
        required: Money,
    },
    /// It does not exist, or is out of the caller's reach.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// It already exists, or was changed meanwhile; the text says which.
    #[error("{0}")]
    Conflict(&'static str),
    /// The first request with this transno is still in progress.
    #[error("the first request with this transno is still in progress")]
    TransnoInProgress,
    /// The transno was used for a different request.
    #[error("the transno was used for a different request")]
    TransnoConflict,
    /// The customer has another currency.
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
    /// The hold is captured, released or expired.
    #[error("the hold is {0}")]
    HoldClosed(HoldState),
    /// The reversal is larger than the rest of the record.
    #[error("the reversal exceeds the record: {0}")]
    ReversalExceeds(String),
    /// There is no price for the usage.
    #[error("no price was found: {0}")]
    PriceNotFound(String),
    /// An error of one item of an atomic batch.
    #[error("item {index}: {error}")]
    Item {
        /// Its index, from 0.
        index: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// Too many bookings are waiting.
    #[error("too many bookings are waiting")]
    Overloaded,
    /// The database cannot be reached; the cause is for the log alone.
    #[error("the database is not available")]
    StoreUnavailable(String),
    /// This instance takes no writes.
    #[error("the service is read-only at the moment")]
    ReadOnly,
    /// An internal error; the cause is for the log alone.
    #[error("internal error")]
    Internal(String),
}

impl Error {
    /// The same, as the error of an item of a batch.
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
