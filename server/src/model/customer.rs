use super::{Currency, CustomerId, Money, Timestamp};

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads the name, or `None` for another text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use text_enum;

text_enum!(
    /// Whether a customer may spend.
    CustomerStatus {
        /// May spend.
        Active = "active",
        /// Charges and holds are refused; credits pass.
        Suspended = "suspended",
    }
);

text_enum!(
    /// Whether a charge may take the available balance below zero.
    Mode {
        /// It may not: 402.
        Strict = "strict",
        /// It may, for customers who pay afterwards.
        AllowNegative = "allow_negative",
    }
);

text_enum!(
    /// What a usage record does to the balance.
    UsageBilling {
        /// It is only logged.
        Log = "log",
        /// It books a charge.
        Book = "book",
    }
);

/// A customer and its balance: one row of `customer_balance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The customer.
    pub id: CustomerId,
    /// Sum of the deltas of all its records.
    pub balance: Money,
    /// Sum of its open holds.
    pub held: Money,
    /// Holds ever made; a customer without any needs no look at them.
    pub holds_made: i64,
    /// Fixed at creation.
    pub currency: Currency,
    /// How far below zero the available balance may be spent; never negative.
    pub credit_limit: Money,
    /// Whether it may spend.
    pub status: CustomerStatus,
    /// Its own mode; `None` means the configured one.
    pub mode: Option<Mode>,
    /// What usage records do.
    pub usage_billing: UsageBilling,
    /// `seq` of its newest record, 0 when there is none.
    pub last_seq: i64,
    /// `useq` of its newest usage record, 0 when there is none.
    pub last_useq: i64,
    /// When that was stored.
    pub last_usage_at: Timestamp,
    /// Hash of its newest record, zeros when there is none.
    pub last_hash: [u8; 32],
    /// Rises with every change of this row.
    pub version: i64,
    /// Rises with what administrators change of it; bookings leave it.
    pub settings_version: i64,
    /// When a credit was booked last.
    pub last_recharge: Option<Timestamp>,
    /// When a charge was booked last.
    pub last_consumption: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When this row changed last.
    pub updated_at: Timestamp,
}

impl Customer {
    /// balance + credit_limit - held, in 10^-9 units. The sum of three bounded amounts fits an i128
    /// but may leave the range of [`Money`], so it is clamped where it is shown.
    pub fn available_wide(&self) -> i128 {
        self.balance.wide() + self.credit_limit.wide() - self.held.wide()
    }

    /// balance + credit_limit - held, clamped to the range of [`Money`].
    pub fn available(&self) -> Money {
        let max = Money::MAX.wide();
        Money::from_wide(self.available_wide().clamp(-max, max)).unwrap_or_default()
    }
}
