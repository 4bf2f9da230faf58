use super::{CustomerId, Reach};

/// Whose a user, a group or a session is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The platform's.
    Platform,
    /// One customer's.
    Customer(CustomerId),
}

impl Owner {
    /// As tables hold it: the customer's id, or nothing for the platform. Never NULL, because a unique key lets NULL
    /// stand twice.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Platform => "",
            Self::Customer(id) => id.as_str(),
        }
    }

    /// The customer, for showing; nothing is decided by its absence.
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Platform => None,
            Self::Customer(id) => Some(id),
        }
    }

    /// What an administrator of this owner reaches.
    pub fn administered(&self) -> Reach {
        match self {
            Self::Platform => Reach::Everything,
            Self::Customer(id) => Reach::Customer(id.clone()),
        }
    }
}

/// The customer's id; null for the platform.
impl serde::Serialize for Owner {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.customer().serialize(s)
    }
}
