use std::convert::Infallible;
use std::net::IpAddr;

use crate::model::{Currency, HoldState, Kind, Money, OutOfReach, ReservationState, Scope, Timestamp};
use crate::signing::AuthError;
use crate::store::{self, NotChanged};

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
    /// Only a key can do this.
    #[error("only a key can do this, and a user has none")]
    KeyRequired,
    /// The key may not be used from this address.
    #[error("the key may not be used from {0}")]
    AddressDenied(IpAddr),
    /// The endpoint is for users who signed in, not for keys.
    #[error("this endpoint is for users who signed in; send an access token")]
    SessionRequired,
    /// The name or the password is wrong; it is not said which.
    #[error("the username or the password is wrong")]
    LoginFailed,
    /// The token is none of ours, or was altered.
    #[error("the token is invalid")]
    TokenInvalid,
    /// The token, or its session, has expired or was ended.
    #[error("the token has expired or its session has ended; sign in again")]
    TokenExpired,
    /// A refresh token that was rotated long ago: somebody has a copy.
    #[error("the refresh token was used before; its session was ended, sign in again")]
    TokenReused,
    /// The user is disabled.
    #[error("the user is disabled")]
    UserDisabled,
    /// Too many attempts.
    #[error("too many attempts; try again in {0} s")]
    RateLimited(u64),
    /// The change needs If-Match.
    #[error("send the ETag that the change is based on as If-Match")]
    PreconditionRequired,
    /// The row was changed since.
    #[error("it was changed since; read it again")]
    PreconditionFailed,
    /// Another row has this value in a field that is unique.
    #[error("another one has this {0}")]
    Taken(&'static str),
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
    /// The request's id was used for other usage.
    #[error("the request_id was used for other usage")]
    RequestConflict,
    /// Usage that is said to happen later.
    #[error("the event_time is more than 5 minutes ahead of the database's clock")]
    EventInFuture,
    /// Usage from before the time that is kept: whether it was recorded before cannot be told any more.
    #[error("the event_time is before {0}, and what was recorded then may have been deleted")]
    EventTooOld(Timestamp),
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
    /// The reservation is settled, released or expired.
    #[error("the reservation is {0}")]
    ReservationClosed(ReservationState),
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

impl Error {
    /// Why an administrator's change of `what` was not made. `unique` is the field of which no two may have the same value.
    pub fn not_changed<E: Into<Self>>(
        error: NotChanged<E>,
        what: &'static str,
        unique: &'static str,
    ) -> Self {
        match error {
            NotChanged::NotFound => Self::NotFound(what),
            NotChanged::Stale => Self::PreconditionFailed,
            NotChanged::Refused(refusal) => refusal.into(),
            NotChanged::Store(store::Error::Duplicate(_)) => Self::Taken(unique),
            NotChanged::Store(error) => error.into(),
        }
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<OutOfReach> for Error {
    fn from(_: OutOfReach) -> Self {
        Self::CustomerForbidden
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Missing(what) => Self::NotFound(what),
            // Instances are given a new encryption key at different moments: another one can answer.
            error @ store::Error::UnknownKey(_) => Self::StoreUnavailable(error.to_string()),
            error if error.is_unavailable() || error.is_contended() => {
                Self::StoreUnavailable(error.to_string())
            }
            error => Self::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_under_a_key_that_another_instance_has_is_no_fault_of_the_client() {
        let unknown = Error::from(store::Error::UnknownKey("dapi_keys"));
        assert!(matches!(unknown, Error::StoreUnavailable(_)), "{unknown:?}");
        assert!(matches!(Error::from(store::Error::Sealed("dapi_keys")), Error::Internal(_)));
    }
}
