//! Ids, money, time and entities. A leaf: no I/O, nothing of the modules above.

mod accounting;
mod currency;
mod customer;
mod decimal;
mod hash;
mod hold;
mod id;
mod integer;
mod key;
mod mirror;
mod money;
mod network;
mod reach;
mod secret;
mod shown;

#[cfg(test)]
pub(crate) use accounting::tests::record as test_record;
pub use accounting::{BookingDetails, Kind, Record, RecordStatus};
pub use currency::Currency;
pub use customer::{Customer, CustomerStatus, Mode, UsageBilling};
pub(crate) use decimal::point;
pub use decimal::{Decimal, DecimalError};
pub use hash::LengthPrefixedHasher;
pub use hold::{Hold, HoldState};
pub use id::{CustomerId, IdError, KeyId, LlmId, RecordId, TextId, Transno, UserId, new_uuid};
pub use integer::integer;
pub use key::{AuthMode, Key, Scope, Scopes};
pub use mirror::{Cell, Column, ColumnKind, Entity, MirrorRow};
pub(crate) use money::write_decimal;
pub use money::{MAX_UNITS, Money, MoneyError};
pub use network::{is_within, parse_network};
pub use reach::{OutOfReach, Reach};
pub use sageapi_runtime::{
    Clock, Entropy, ManualClock, SeededEntropy, SystemClock, SystemEntropy, Timestamp, TimestampError,
};
pub use secret::Secret;
pub use shown::{shown, shown_json};
