use super::customer::text_enum;
use super::{GroupId, Owner, Reach, RevokedReason, Scope, Scopes, Secret, Timestamp, UserId, Username};

text_enum!(
    /// What a user may do.
    UserRole {
        /// Read its own usage and quota.
        User = "user",
        /// Administer its customer, or for a user of the platform everything.
        Admin = "admin",
    }
);

/// Somebody who can sign in: a row of `users`. Mirrored users of the platform are another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Whose it is.
    pub owner: Owner,
    /// Its name, unique for its owner.
    pub username: Username,
    /// What it may do.
    pub role: UserRole,
    /// Argon2id in PHC form; `None` cannot sign in.
    pub password_hash: Option<Secret>,
    /// Whether it may sign in.
    pub is_active: bool,
    /// Rises with whatever ends access: a new password or role, disabling, revoking.
    pub security_version: i64,
    /// When it last signed in.
    pub last_login_at: Option<Timestamp>,
    /// Rises with every change but a sign-in.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Its group; without one, a default group counts.
    pub group_id: Option<GroupId>,
}

impl User {
    /// After a change: raises the security version if access tokens made before must not be taken any more.
    pub fn note_security(&mut self, before: &Self) {
        let noted = self.security_version != before.security_version;
        if !noted && (self.role != before.role || self.sessions_end(before).is_some()) {
            self.security_version += 1;
        }
    }

    /// Whether a change ends its sessions, and why. A new role ends none: access tokens with the old one are void, and
    /// the session's next ones have the new role.
    pub fn sessions_end(&self, before: &Self) -> Option<RevokedReason> {
        if before.is_active && !self.is_active {
            Some(RevokedReason::UserDisabled)
        } else if self.password_hash != before.password_hash {
            Some(RevokedReason::PasswordChanged)
        } else if self.security_version != before.security_version && self.role == before.role {
            Some(RevokedReason::Revoked)
        } else {
            None
        }
    }

    /// Whose data it reaches.
    pub fn reach(&self) -> Reach {
        match (self.role, &self.owner) {
            (UserRole::Admin, owner) => owner.administered(),
            (UserRole::User, Owner::Customer(id)) => Reach::Customer(id.clone()),
            (UserRole::User, Owner::Platform) => Reach::Nothing,
        }
    }

    /// What it may do with that.
    pub fn scopes(&self) -> Scopes {
        match (self.role, &self.owner) {
            (UserRole::Admin, Owner::Platform) => Scope::ALL.iter().copied().collect(),
            (UserRole::Admin, Owner::Customer(_)) => [
                Scope::BalanceRead,
                Scope::AccountingRead,
                Scope::UsersRead,
                Scope::PricingRead,
                Scope::UsageRead,
                Scope::QuotaRead,
                Scope::Manage,
            ]
            .into_iter()
            .collect(),
            (UserRole::User, _) => [Scope::UsageRead, Scope::QuotaRead].into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            id: UserId::parse("u").unwrap(),
            owner: Owner::Platform,
            username: Username::parse("ann").unwrap(),
            role: UserRole::User,
            password_hash: Some(Secret::new("hash")),
            is_active: true,
            security_version: 1,
            last_login_at: None,
            version: 1,
            created_at: Timestamp::from_seconds(0),
            updated_at: Timestamp::from_seconds(0),
            group_id: None,
        }
    }

    #[test]
    fn what_ends_access_raises_the_security_version_once() {
        let after = |change: fn(&mut User)| {
            let (before, mut user) = (user(), user());
            change(&mut user);
            user.note_security(&before);
            (user.security_version, user.sessions_end(&before))
        };
        assert_eq!(after(|_| ()), (1, None));
        assert_eq!(after(|user| user.username = Username::parse("bea").unwrap()), (1, None));
        assert_eq!(after(|user| user.role = UserRole::Admin), (2, None));
        assert_eq!(after(|user| user.is_active = false), (2, Some(RevokedReason::UserDisabled)));
        let password = |user: &mut User| user.password_hash = Some(Secret::new("other"));
        assert_eq!(after(password), (2, Some(RevokedReason::PasswordChanged)));
        assert_eq!(after(|user| user.security_version += 1), (2, Some(RevokedReason::Revoked)));
        assert_eq!(
            after(|user| (user.role, user.is_active) = (UserRole::Admin, false)),
            (2, Some(RevokedReason::UserDisabled))
        );
        let mut disabled = User { is_active: false, ..user() };
        disabled.is_active = true;
        disabled.note_security(&User { is_active: false, ..user() });
        assert_eq!(disabled.security_version, 1, "enabling ends nothing");
    }
}
