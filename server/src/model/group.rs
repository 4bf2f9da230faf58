use std::sync::Arc;

use super::customer::text_enum;
use super::{GroupId, Owner, Timestamp, UserId};

/// The longest name of a group, in characters.
const MAX_NAME_CHARS: usize = 128;

text_enum!(
    /// What a quota decides while the database cannot be asked.
    OnStoreFailure {
        /// The call is refused.
        Deny = "deny",
        /// The call is allowed.
        Allow = "allow",
    }
);

/// How much each member of a group may use. `None` is unlimited, 0 allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupLimits {
    /// Tokens a day.
    pub daily_tokens: Option<i64>,
    /// Tokens a month.
    pub monthly_tokens: Option<i64>,
    /// Requests in any minute.
    pub requests_per_minute: Option<i64>,
    /// Tokens of one request.
    pub max_tokens_per_request: Option<i64>,
    /// Requests at the same time.
    pub concurrent_requests: Option<i64>,
}

/// A group of users, who all have its limits: a row of `user_groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Whose it is. Users of any customer may be members of a group of the platform.
    pub owner: Owner,
    /// Its name, unique for its owner.
    pub name: GroupName,
    /// The limits of each member.
    pub limits: GroupLimits,
    /// Tokens reserved for a request that does not say how many it may use; `None` reserves none.
    pub default_reservation: Option<i64>,
    /// Where its days and months begin; `None` is `quota.timezone`.
    pub time_zone: Option<ZoneName>,
    /// What is decided while the database cannot be asked.
    pub on_store_failure: OnStoreFailure,
    /// Its owner, if the group counts for all users of that owner who have none of their own.
    pub default_of: Option<Owner>,
    /// Rises with every change.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Group {
    /// Whether it counts for users who have no group of their own.
    pub fn is_default(&self) -> bool {
        self.default_of.is_some()
    }

    /// Makes it the default group of its owner, or one like others.
    pub fn set_default(&mut self, is_default: bool) {
        self.default_of = is_default.then(|| self.owner.clone());
    }

    /// Whether users of this owner can be members.
    pub fn is_open_to(&self, owner: &Owner) -> bool {
        self.owner == Owner::Platform || self.owner == *owner
    }
}

/// Who belongs to which group: a row of `group_members`. Its user signs in here, or is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose user it is.
    pub owner: Owner,
    /// The user.
    pub user_id: UserId,
    /// Its group.
    pub group_id: GroupId,
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $error:ident = $message:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(Arc<str>);

        #[doc = concat!("Why a text is no [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            /// Takes the text, if it is one.
            pub fn parse(text: &str) -> Result<Self, $error> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) { Ok(Self(text.into())) } else { Err($error) }
            }

            /// As it was stored, which is not checked again: what is allowed may change.
            pub(crate) fn stored(text: &str) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
    };
}

checked_text!(
    /// The name of a group.
    GroupName,
    GroupNameError =
        "must have 1 to 128 characters, no space at either end, and no control characters",
    |text| {
        let count = text.chars().take(MAX_NAME_CHARS + 1).count();
        (1..=MAX_NAME_CHARS).contains(&count) && text.trim() == text && !text.chars().any(char::is_control)
    }
);
checked_text!(
    /// An IANA time zone.
    ZoneName,
    ZoneNameError = "must be an IANA time zone such as Asia/Shanghai",
    |text| text.len() <= 64 && text.is_ascii() && jiff::tz::TimeZone::get(text).is_ok()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_one_of_iana() {
        for zone in ["UTC", "Asia/Shanghai", "America/Argentina/Buenos_Aires"] {
            assert_eq!(ZoneName::parse(zone).unwrap().as_str(), zone);
        }
        for other in ["", "Mars/Olympus", "+08:00", "Asia/Shanghai ", "../etc/passwd", &"a".repeat(100_000)] {
            assert_eq!(ZoneName::parse(other), Err(ZoneNameError), "{other:?}");
        }
    }

    #[test]
    fn a_name_can_be_seen() {
        for name in ["a", "Basic 2", "基础", &"大".repeat(128)] {
            assert!(GroupName::parse(name).is_ok(), "{name}");
        }
        for other in ["", " ", "a ", " a", "a\n", "a\0b", "\u{a0}a", &"大".repeat(129)] {
            assert_eq!(GroupName::parse(other), Err(GroupNameError), "{other:?}");
        }
    }

    #[test]
    fn a_group_of_the_platform_is_open_to_all_and_another_to_its_customer_alone() {
        let customer = |id: &str| Owner::Customer(crate::model::CustomerId::parse(id).unwrap());
        let mut group = Group {
            id: GroupId::parse("g").unwrap(),
            owner: customer("c"),
            name: GroupName::parse("g").unwrap(),
            limits: GroupLimits::default(),
            default_reservation: None,
            time_zone: None,
            on_store_failure: OnStoreFailure::Deny,
            default_of: None,
            version: 1,
            created_at: Timestamp::from_seconds(0),
            updated_at: Timestamp::from_seconds(0),
        };
        let open =
            |group: &Group| [customer("c"), customer("d"), Owner::Platform].map(|o| group.is_open_to(&o));
        assert_eq!(open(&group), [true, false, false]);
        group.set_default(true);
        assert_eq!(group.default_of, Some(customer("c")));
        group.owner = Owner::Platform;
        assert_eq!(open(&group), [true, true, true]);
        group.set_default(true);
        assert_eq!(group.default_of, Some(Owner::Platform));
        group.set_default(false);
        assert!(!group.is_default());
    }
}
