//! Ids, money, time and entities. A leaf: no I/O, nothing of the modules above.

mod accounting;
mod clock;
mod currency;
mod customer;
mod entropy;
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
mod time;

#[cfg(test)]
pub(crate) use accounting::tests::record as test_record;
pub use accounting::{Kind, Record};
pub use clock::{Clock, ManualClock, SystemClock};
pub use currency::Currency;
pub use customer::{Customer, CustomerStatus, Mode, UsageBilling};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy, new_uuid};
pub use hold::{Hold, HoldState};
pub use id::{CustomerId, IdError, KeyId, LlmId, RecordId, TextId, Transno, UserId};
pub use integer::integer;
pub use key::{AuthMode, Key, Scope, Scopes};
pub use mirror::{Cell, Column, ColumnKind, Entity, MirrorRow};
pub(crate) use money::write_decimal;
pub use money::{MAX_UNITS, Money, MoneyError};
pub use network::{is_within, parse_network};
pub use reach::{OutOfReach, Reach};
pub use secret::Secret;
pub use shown::{shown, shown_json};
pub use time::{Timestamp, TimestampError};
