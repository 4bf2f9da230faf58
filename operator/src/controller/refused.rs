use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::object::ObjectRef;
use crate::steps::{Refusal, RefusalCause};
use crate::watch::Key;

/// The wait before a refused write is retried; it doubles with each refusal.
const WAIT_FIRST: Duration = Duration::from_secs(5);
/// A right may be granted at any time, and nothing tells.
const WAIT_FORBIDDEN: Duration = Duration::from_mins(1);
const WAIT_REJECTED: Duration = Duration::from_mins(10);

/// Writes that the API server refused. However often a resource is reconciled, the same write is not repeated before its
/// wait is over; a write of something else, or to an object that has changed, is a new one.
#[derive(Debug, Default)]
pub struct Refused(Mutex<HashMap<Key, BTreeMap<ObjectRef, Entry>>>);

#[derive(Debug)]
struct Entry {
    /// Which write: what was to be written over what.
    write: String,
    refusal: Refusal,
    times: u32,
    due: Duration,
}

impl Refused {
    /// What the API server said of this very write, while it is too early to retry it.
    pub fn remembered(&self, owner: &Key, of: &ObjectRef, write: &str, now: Duration) -> Option<Refusal> {
        self.with(|all| {
            let entry = all.get(owner)?.get(of)?;
            (entry.write == write && entry.due > now).then(|| entry.refusal.clone())
        })
    }

    /// The write was refused.
    pub fn note(&self, owner: &Key, write: String, refusal: &Refusal, now: Duration) {
        let most = match refusal.cause {
            RefusalCause::Forbidden => WAIT_FORBIDDEN,
            RefusalCause::NameTaken | RefusalCause::Rejected => WAIT_REJECTED,
        };
        self.with(|all| {
            let entries = all.entry(owner.clone()).or_default();
            let before = entries.get(&refusal.object).filter(|entry| entry.write == write);
            let times = before.map_or(0, |entry| entry.times + 1);
            let wait = WAIT_FIRST.saturating_mul(1_u32 << times.min(16)).min(most);
            let entry = Entry { write, refusal: refusal.clone(), times, due: now + wait };
            entries.insert(refusal.object.clone(), entry);
        });
    }

    /// A write to the object succeeded, or is not needed any more.
    pub fn succeeded(&self, owner: &Key, of: &ObjectRef) {
        self.with(|all| {
            if let Some(entries) = all.get_mut(owner) {
                entries.remove(of);
            }
        });
    }

    /// Deletions that were refused: they come after the status, so the next one reports them.
    pub fn deletions(&self, owner: &Key) -> Vec<Refusal> {
        self.with(|all| {
            let entries = all.get(owner).into_iter().flat_map(BTreeMap::values);
            entries
                .filter(|entry| entry.refusal.object.uid.is_some())
                .map(|entry| entry.refusal.clone())
                .collect()
        })
    }

    /// Forgets all but these: the others are not wanted any more.
    pub fn keep(&self, owner: &Key, refusals: &[Refusal]) {
        self.with(|all| {
            let Some(entries) = all.get_mut(owner) else { return };
            entries.retain(|of, _| refusals.iter().any(|refusal| refusal.object == *of));
            if entries.is_empty() {
                all.remove(owner);
            }
        });
    }

    /// How long until one of them is to be retried.
    pub fn wait(&self, owner: &Key, now: Duration) -> Option<Duration> {
        self.with(|all| all.get(owner)?.values().map(|entry| entry.due.saturating_sub(now)).min())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Key, BTreeMap<ObjectRef, Entry>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;

    fn key() -> Key {
        Key::new("billing", "prod")
    }

    fn refusal(cause: RefusalCause, uid: Option<&str>) -> Refusal {
        let object = ObjectRef { kind: Kind::Service, name: "prod".to_owned(), uid: uid.map(str::to_owned) };
        Refusal { object, cause, message: "the webhook says no".to_owned() }
    }

    fn waits(cause: RefusalCause) -> Vec<u64> {
        let (refused, refusal) = (Refused::default(), refusal(cause, None));
        let waits = (0..9).map(|_| {
            refused.note(&key(), "write".to_owned(), &refusal, Duration::ZERO);
            refused.wait(&key(), Duration::ZERO).unwrap().as_secs()
        });
        waits.collect()
    }

    #[test]
    fn waits_double_up_to_a_minute_for_a_right_and_ten_for_the_rest() {
        assert_eq!(waits(RefusalCause::Forbidden), [5, 10, 20, 40, 60, 60, 60, 60, 60]);
        assert_eq!(waits(RefusalCause::Rejected), [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn the_same_write_is_not_repeated_before_its_time_and_another_one_is_at_once() {
        let (refused, refusal) = (Refused::default(), refusal(RefusalCause::Rejected, None));
        let remembered = |write: &str, at: u64| {
            refused.remembered(&key(), &refusal.object, write, Duration::from_secs(at))
        };
        refused.note(&key(), "ports over 7".to_owned(), &refusal, Duration::ZERO);
        assert_eq!(remembered("ports over 7", 4), Some(refusal.clone()));
        assert_eq!(remembered("ports over 7", 5), None);
        assert_eq!(remembered("ports over 8", 4), None);
        refused.succeeded(&key(), &refusal.object);
        assert_eq!(remembered("ports over 7", 4), None);
    }

    #[test]
    fn what_is_not_refused_any_more_is_forgotten() {
        let refused = Refused::default();
        let (write, deletion) =
            (refusal(RefusalCause::Rejected, None), refusal(RefusalCause::Forbidden, Some("u")));
        refused.note(&key(), "a".to_owned(), &write, Duration::ZERO);
        refused.note(&key(), "b".to_owned(), &deletion, Duration::ZERO);
        assert_eq!(refused.deletions(&key()), std::slice::from_ref(&deletion));
        refused.keep(&key(), std::slice::from_ref(&write));
        assert!(refused.deletions(&key()).is_empty());
        refused.keep(&key(), &[]);
        assert_eq!(refused.wait(&key(), Duration::ZERO), None);
    }
}
