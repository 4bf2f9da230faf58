use super::customer::text_enum;
use super::{Owner, RecordId, Timestamp, UserId};

text_enum!(
    /// What a session is for.
    SessionKind {
        /// Tokens for the REST API.
        Api = "api",
        /// A browser on the console.
        Console = "console",
    }
);

text_enum!(
    /// Why a session was ended.
    RevokedReason {
        /// The user signed out.
        Logout = "logout",
        /// An administrator ended it, or the user from another session.
        Revoked = "revoked",
        /// The user has a new password.
        PasswordChanged = "password_changed",
        /// The user was disabled.
        UserDisabled = "user_disabled",
        /// One of its refresh tokens was used again.
        TokenReused = "token_reused",
    }
);

/// A sign-in and all tokens that came from it: one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The family.
    pub id: RecordId,
    /// What it is for.
    pub kind: SessionKind,
    /// Whose it is.
    pub user_id: UserId,
    /// Whose that user is.
    pub owner: Owner,
    /// Rises by one with each refresh.
    pub generation: i64,
    /// The latest generation whose access token was used: its answer has arrived.
    pub generation_seen: i64,
    /// The secret that the tokens of this generation are computed with.
    pub kid: String,
    /// When this generation began.
    pub rotated_at: Timestamp,
    /// It ends then unless refreshed; never after `expires_at`.
    pub idle_until: Timestamp,
    /// It ends then.
    pub expires_at: Timestamp,
    /// When it was last noticed in use.
    pub last_seen: Option<Timestamp>,
    /// When its user last gave the password.
    pub reauthenticated_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub revoked_reason: Option<RevokedReason>,
    /// What the client called its device.
    pub device_name: Option<String>,
    /// Where the user signed in from.
    pub address: Option<String>,
    /// Rises when it is ended.
    pub version: i64,
    /// When the user signed in.
    pub created_at: Timestamp,
}

impl Session {
    /// Whether it gives access at this time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.idle_until && now < self.expires_at
    }
}
