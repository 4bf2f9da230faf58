//! Ids, money, time and entities. A leaf: no I/O, nothing of the modules above.

mod accounting;
mod audit;
mod currency;
mod customer;
mod decimal;
mod group;
mod hash;
mod hold;
mod id;
mod integer;
mod key;
mod mirror;
mod money;
mod network;
mod owner;
mod patch;
mod platform;
mod quota;
mod reach;
mod secret;
mod session;
mod shown;
mod usage;
mod user;
mod username;

#[cfg(test)]
pub(crate) use accounting::tests::record as test_record;
pub use accounting::{BookingDetails, Kind, Record, RecordStatus};
pub use audit::{Actor, ActorKind, AuditEntry, AuditFields, ObjectKind, audit_diff};
pub use currency::Currency;
pub use customer::{Customer, CustomerStatus, Mode, UsageBilling};
pub(crate) use decimal::point;
pub use decimal::{Decimal, DecimalError};
pub use group::{
    Group, GroupLimits, GroupName, GroupNameError, Member, OnStoreFailure, ZoneName, ZoneNameError,
};
pub use hash::LengthPrefixedHasher;
pub use hold::{Hold, HoldState};
pub use id::{CustomerId, GroupId, IdError, KeyId, LlmId, RecordId, TextId, Transno, UserId, new_uuid};
pub use integer::integer;
pub use key::{AuthMode, Key, Scope, Scopes};
pub use mirror::{Cell, Column, ColumnKind, Entity, MirrorRow};
pub(crate) use money::write_decimal;
pub use money::{MAX_UNITS, Money, MoneyError};
pub use network::{is_within, parse_network};
pub use owner::Owner;
pub use patch::Patch;
pub use platform::{PlatformDay, PlatformSums};
pub use quota::{
    CounterKind, LimitKind, QuotaCounter, QuotaReservation, ReservationState, Window, WindowKind,
};
pub use reach::{OutOfReach, Reach};
pub use sageapi_runtime::{
    Clock, Entropy, ManualClock, SeededEntropy, SystemClock, SystemEntropy, Timestamp, TimestampError,
};
pub use secret::Secret;
pub use session::{RevokedReason, Session, SessionKind};
pub use shown::{shown, shown_json};
pub use usage::{
    HoldUse, ReservationUse, Uncharged, UsageDay, UsageDetails, UsageRecord, UsageSums, UsageTotal,
};
pub use user::{User, UserRole};
pub use username::{Username, UsernameError};
