use ipnet::IpNet;

use super::customer::text_enum;
use super::{KeyId, Reach, Secret, Timestamp};

text_enum!(
    /// How a key authenticates.
    AuthMode {
        /// RFC 9421 signatures; the key id alone never authenticates.
        Signed = "signed",
        /// The secret itself, in `Authorization: Bearer` or `X-Api-Key`.
        Bearer = "bearer",
        /// Sage's older encrypted header.
        Deerer = "deerer",
    }
);

text_enum!(
    /// What a key may do.
    Scope {
        /// GET /balance, GET /holds.
        BalanceRead = "balance:read",
        /// GET /accounting.
        AccountingRead = "accounting:read",
        /// POST /accounting, /holds.
        AccountingWrite = "accounting:write",
        /// GET /users.
        UsersRead = "users:read",
        /// GET /pricing, /models, /uapis.
        PricingRead = "pricing:read",
        /// GET /usage.
        UsageRead = "usage:read",
        /// POST /usage, /quota/check.
        UsageWrite = "usage:write",
        /// GET /quota.
        QuotaRead = "quota:read",
        /// /admin; never on a customer's key.
        Admin = "admin",
        /// A customer's own users, groups and sessions under /admin; only on a customer's key. `admin` includes it.
        Manage = "manage",
    }
);

/// A set of [`Scope`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// Whether the scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u16) != 0
    }

    /// Whether what needs the scope is allowed.
    pub const fn allow(self, scope: Scope) -> bool {
        self.contains(scope) || (matches!(scope, Scope::Manage) && self.contains(Scope::Admin))
    }

    /// Adds a scope.
    pub const fn insert(&mut self, scope: Scope) {
        self.0 |= 1 << scope as u16;
    }

    /// The scopes in the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |s| self.contains(*s))
    }

    /// Reads a comma-separated list; the error is the unknown name.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut scopes = Self::default();
        for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            scopes.insert(Scope::parse(name).ok_or_else(|| name.to_owned())?);
        }
        Ok(scopes)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), |mut set, scope| {
            set.insert(scope);
            set
        })
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, scope) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

/// A dapi key: a row of `dapi_keys` with its secrets opened.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its public name.
    pub key_id: KeyId,
    /// Its name for people; `seed` matches keys by it.
    pub name: Option<String>,
    /// Whose data it can reach: that of the customer it belongs to, or everything for a key of the platform.
    pub reach: Reach,
    /// What it may do.
    pub scopes: Scopes,
    /// How it authenticates.
    pub auth_mode: AuthMode,
    /// The current secret. Bearer keys have none that could be read back.
    pub secret: Option<Secret>,
    /// The secret before the last rotation.
    pub previous_secret: Option<Secret>,
    /// Until when the previous secret is valid.
    pub previous_until: Option<Timestamp>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allowed_cidrs: Vec<IpNet>,
    /// Rises with every change.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_and_written_as_a_list() {
        let scopes = Scopes::parse("users:read, balance:read").unwrap();
        assert_eq!(scopes.to_string(), "balance:read,users:read");
        assert!(!scopes.contains(Scope::Admin));
        assert_eq!(Scopes::parse("balance:write"), Err("balance:write".to_owned()));
        let all: Scopes = Scope::ALL.iter().copied().collect();
        assert_eq!(all.iter().count(), Scope::ALL.len());
    }
}
