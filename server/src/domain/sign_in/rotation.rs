//! What a refresh token gets, by its generation and the row of its session. Pure.

use std::time::Duration;

use crate::model::{Session, Timestamp};

/// For so long the token before the current one gets the same successor again: two tabs that refresh at once. It counts
/// from the rotation, and again from the first use of what came of it: after a lost answer two tabs may retry at once, too.
pub const GRACE: Duration = Duration::from_secs(30);
/// For so long it does as long as the current generation was never seen in use: the answer was lost.
pub const LOST_ANSWER: Duration = Duration::from_hours(24);

/// What a refresh token gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The next generation, to be written by a conditional update.
    Rotate,
    /// The token of the current generation, which was made before.
    Replay,
    /// Nothing: somebody has a copy. The session ends.
    Reused,
    /// Nothing: the session has ended.
    Ended,
    /// Nothing: no such token was ever made.
    Unknown,
}

/// Decides about a token whose MAC is right.
pub fn decide(session: &Session, presented: i64, now: Timestamp) -> Rotation {
    if !session.is_live(now) {
        return Rotation::Ended;
    }
    let behind = session.generation - presented;
    let unseen = session.generation_seen < session.generation;
    let settled = session.last_seen.map_or(session.rotated_at, |seen| seen.max(session.rotated_at));
    match behind {
        ..0 => Rotation::Unknown,
        0 => Rotation::Rotate,
        1 if now < settled.plus(GRACE) => Rotation::Replay,
        1 if unseen && now < session.rotated_at.plus(LOST_ANSWER) => Rotation::Replay,
        _ => Rotation::Reused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Owner, RecordId, SessionKind, UserId};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn session(generation: i64, generation_seen: i64) -> Session {
        Session {
            id: RecordId(uuid::Uuid::nil()),
            kind: SessionKind::Api,
            user_id: UserId::parse("u").unwrap(),
            owner: Owner::Platform,
            generation,
            generation_seen,
            kid: "k".to_owned(),
            rotated_at: at(0),
            idle_until: at(100_000),
            expires_at: at(200_000),
            last_seen: None,
            reauthenticated_at: at(-9),
            revoked_at: None,
            revoked_reason: None,
            device_name: None,
            address: None,
            version: 1,
            created_at: at(-9),
        }
    }

    #[test]
    fn each_generation_gets_what_it_is_due() {
        use Rotation::{Replay, Reused, Rotate, Unknown};
        for (seen, presented, second, due) in [
            (5, 5, 0, Rotate),
            (5, 5, 99_999, Rotate),
            (5, 6, 0, Unknown),
            (5, 4, 29, Replay),
            (5, 4, 30, Reused),
            (4, 4, 30, Replay),
            (4, 4, 86_399, Replay),
            (4, 4, 86_400, Reused),
            (4, 3, 0, Reused),
            (0, 0, 1, Reused),
        ] {
            assert_eq!(
                decide(&session(5, seen), presented, at(second)),
                due,
                "seen {seen}, {presented} at {second}"
            );
        }
    }

    #[test]
    fn tabs_that_retry_at_once_after_a_lost_answer_get_the_same() {
        let answered = Session { last_seen: Some(at(5000)), ..session(5, 5) };
        assert_eq!(decide(&answered, 4, at(5029)), Rotation::Replay);
        assert_eq!(decide(&answered, 4, at(5030)), Rotation::Reused);
        assert_eq!(decide(&answered, 3, at(5000)), Rotation::Reused);
        let used_before = Session { last_seen: Some(at(-5)), ..session(5, 5) };
        assert_eq!(decide(&used_before, 4, at(29)), Rotation::Replay);
    }

    #[test]
    fn an_ended_session_gives_nothing_whatever_the_generation() {
        let revoked = Session { revoked_at: Some(at(0)), ..session(5, 5) };
        for presented in 0..7 {
            assert_eq!(decide(&revoked, presented, at(1)), Rotation::Ended);
            assert_eq!(decide(&session(5, 5), presented, at(100_000)), Rotation::Ended);
        }
    }
}
