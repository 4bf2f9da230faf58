//! What became of a request.

use std::time::Duration;

use crate::domain::Error;
use crate::domain::quota::LimitState;
use crate::model::{Customer, Hold, LimitKind, QuotaReservation, Record, Timestamp, UsageRecord};

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
    /// Whether it had been made, or released, by an earlier request.
    pub replayed: bool,
}

/// A usage record that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// What was recorded.
    pub usage: UsageRecord,
    /// Whether it had been recorded by an earlier request.
    pub replayed: bool,
}

/// Whether a user may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What was reserved, or the limit that refused.
    pub admitted: Result<QuotaReservation, LimitKind>,
    /// How far the user is from its limits.
    pub limits: Vec<LimitState>,
    /// After a refusal, how long to wait; `None` if waiting does not help.
    pub retry_after: Option<Duration>,
    /// When it was decided, by the database's clock.
    pub now: Timestamp,
    /// Whether the reservation was made by an earlier request.
    pub replayed: bool,
}

/// A reservation, as a request about it left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The reservation.
    pub reservation: QuotaReservation,
    /// Whether it was closed already.
    pub replayed: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A record was booked.
    Booked(Booked),
    /// A hold was made or released.
    Reserved(Reserved),
    /// Due holds were closed.
    Expired,
    /// Usage was recorded.
    Used(Box<Used>),
    /// A check was decided.
    Checked(Box<Checked>),
    /// A reservation was released or extended.
    Kept(Box<Kept>),
}

/// What a caller hears of a request.
pub(super) type Verdict = Result<Outcome, Error>;

impl Outcome {
    /// The record, where a record was asked for.
    pub fn into_booked(self) -> Result<Booked, Error> {
        match self {
            Self::Booked(booked) => Ok(booked),
            // The transno names a hold: another request.
            Self::Reserved(_) | Self::Expired | Self::Used(_) | Self::Checked(_) | Self::Kept(_) => {
                Err(Error::TransnoConflict)
            }
        }
    }

    /// The hold, where a hold was asked for.
    pub fn into_reserved(self) -> Result<Reserved, Error> {
        match self {
            Self::Reserved(reserved) => Ok(reserved),
            // The transno names a record: another request.
            Self::Booked(_) | Self::Expired | Self::Used(_) | Self::Checked(_) | Self::Kept(_) => {
                Err(Error::TransnoConflict)
            }
        }
    }

    /// The usage record, where one was asked for.
    pub fn into_used(self) -> Result<Used, Error> {
        match self {
            Self::Used(used) => Ok(*used),
            Self::Booked(_) | Self::Reserved(_) | Self::Expired | Self::Checked(_) | Self::Kept(_) => {
                Err(Error::RequestConflict)
            }
        }
    }

    /// What was decided, where a check was asked for.
    pub fn into_checked(self) -> Result<Checked, Error> {
        match self {
            Self::Checked(checked) => Ok(*checked),
            other => Err(Error::Internal(format!("a check came to {other:?}"))),
        }
    }

    /// The reservation, where one was to be released or extended.
    pub fn into_kept(self) -> Result<Kept, Error> {
        match self {
            Self::Kept(kept) => Ok(*kept),
            other => Err(Error::Internal(format!("a reservation came to {other:?}"))),
        }
    }

    pub(super) fn is_replay(&self) -> bool {
        match self {
            Self::Booked(booked) => booked.replayed,
            Self::Reserved(reserved) => reserved.replayed,
            Self::Used(used) => used.replayed,
            Self::Checked(checked) => checked.replayed,
            Self::Kept(kept) => kept.replayed,
            Self::Expired => false,
        }
    }
}
