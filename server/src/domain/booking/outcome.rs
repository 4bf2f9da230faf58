//! What became of a request.

use crate::domain::Error;
use crate::model::{Customer, Hold, Record, UsageRecord};

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
}

/// What a caller hears of a request.
pub(super) type Verdict = Result<Outcome, Error>;

impl Outcome {
    /// The record, where a record was asked for.
    pub fn into_booked(self) -> Result<Booked, Error> {
        match self {
            Self::Booked(booked) => Ok(booked),
            // The transno names a hold: another request.
            Self::Reserved(_) | Self::Expired | Self::Used(_) => Err(Error::TransnoConflict),
        }
    }

    /// The hold, where a hold was asked for.
    pub fn into_reserved(self) -> Result<Reserved, Error> {
        match self {
            Self::Reserved(reserved) => Ok(reserved),
            // The transno names a record: another request.
            Self::Booked(_) | Self::Expired | Self::Used(_) => Err(Error::TransnoConflict),
        }
    }

    /// The usage record, where one was asked for.
    pub fn into_used(self) -> Result<Used, Error> {
        match self {
            Self::Used(used) => Ok(*used),
            Self::Booked(_) | Self::Reserved(_) | Self::Expired => Err(Error::RequestConflict),
        }
    }

    pub(super) fn is_replay(&self) -> bool {
        match self {
            Self::Booked(booked) => booked.replayed,
            Self::Reserved(reserved) => reserved.replayed,
            Self::Used(used) => used.replayed,
            Self::Expired => false,
        }
    }
}
