use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use sageapi_contract::ADMIN_PORT;
use sageapi_crds::SageApi;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::probe;
use crate::controller::jittered;
use crate::kinds::Kind;
use crate::labels;
use crate::observed::{DatabaseState, Health, HealthReport};
use crate::plan::Ask;
use crate::watch::{Caches, Key};
use sageapi_runtime::Clock;
use sageapi_runtime::Entropy;

/// How often an instance of each resource is asked, give or take a fifth.
const HEALTH_INTERVAL: Duration = Duration::from_mins(1);
/// How often while the database cannot be used: its return is waited for.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How often it is checked who is due.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Questions under way at a time.
const QUESTIONS: usize = 16;
const HEALTH_PATH: &str = "/health";

/// What instances reported about themselves, and when to ask again.
#[derive(Debug, Default)]
pub struct HealthBook(Mutex<HashMap<Key, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    latest: Health,
    next: Duration,
    whom: Ask,
}

impl HealthBook {
    /// The latest answer.
    pub fn latest(&self, key: &Key) -> Health {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.get(key).map(|entry| entry.latest.clone()).unwrap_or_default()
    }

    /// Whom to ask, at once if that changed; answers are forgotten if nobody is to be asked.
    pub fn want(&self, key: &Key, whom: Ask) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if whom == Ask::Nobody {
            book.remove(key);
            return;
        }
        let entry = book.entry(key.clone()).or_default();
        if entry.whom != whom {
            entry.whom = whom;
            entry.next = Duration::ZERO;
        }
    }

    /// Who is due now. They are not due again before the next interval.
    fn due(&self, now: Duration, mut unit: impl FnMut() -> f64) -> Vec<Key> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (key, entry) in book.iter_mut().filter(|(_, entry)| entry.next <= now) {
            entry.next = now + jittered(HEALTH_INTERVAL, unit());
            due.push(key.clone());
        }
        due
    }

    /// Records an answer. Whether the resource is still asked.
    fn heard(&self, key: &Key, health: Health, now: Duration) -> bool {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = book.get_mut(key) else { return false };
        if is_without_database(&health) {
            entry.next = entry.next.min(now + ASK_AGAIN);
        }
        entry.latest = health;
        true
    }
}

/// Asks an instance of each resource, until dropped. An answer triggers a reconcile of the resource.
pub async fn keep_asking(
    book: &Arc<HealthBook>,
    caches: &Arc<Caches<SageApi>>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) {
    let permits = Arc::new(Semaphore::new(QUESTIONS));
    let mut questions = JoinSet::new();
    loop {
        for key in book.due(clock.monotonic(), || entropy.unit()) {
            let pods = caches.children.list(Kind::Pod, &key).unwrap_or_default();
            let pods: Vec<&Pod> = pods.iter().filter_map(|pod| pod.decoded()).collect();
            let instances = to_ask(&pods);
            if instances.is_empty() {
                continue;
            }
            let (book, caches) = (Arc::clone(book), Arc::clone(caches));
            let (clock, permits) = (Arc::clone(clock), Arc::clone(&permits));
            questions.spawn(async move {
                // The semaphore is never closed.
                let _permit = permits.acquire().await;
                let health = ask(&instances).await;
                if book.heard(&key, health, clock.monotonic()) {
                    caches.triggers.add([key]);
                }
            });
        }
        while questions.try_join_next().is_some() {}
        tokio::time::sleep(TICK_INTERVAL).await;
    }
}

/// An instance that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instance {
    address: SocketAddr,
    serving: bool,
}

/// Asks the first instance. If that is without its database another one is asked: the first may be the only one without it.
async fn ask(instances: &[Instance]) -> Health {
    let mut health = Health::NotAsked;
    for instance in instances.iter().take(2) {
        let answer = ask_one(*instance).await;
        let better = health == Health::NotAsked || matches!(answer, Health::Report(_));
        if better {
            health = answer;
        }
        if !is_without_database(&health) {
            break;
        }
    }
    health
}

async fn ask_one(instance: Instance) -> Health {
    let answer = match probe::get(instance.address, HEALTH_PATH).await {
        // A server that is down says so with 503 and the same body.
        Ok((_, body)) => {
            HealthReport::parse(&body, instance.serving).map_err(|_| probe::ProbeError::Malformed)
        }
        Err(error) => Err(error),
    };
    answer.map_or_else(|error| Health::Unreachable(error.to_string()), Health::Report)
}

fn is_without_database(health: &Health) -> bool {
    let Health::Report(report) = health else { return false };
    matches!(report.database.status, DatabaseState::Away | DatabaseState::Full)
}

/// Those that serve; if there are none, the others.
fn to_ask(pods: &[&Pod]) -> Vec<Instance> {
    let (serving, others): (Vec<_>, Vec<_>) =
        pods.iter().filter_map(|pod| instance(pod)).partition(|instance| instance.serving);
    if serving.is_empty() { others } else { serving }
}

fn instance(pod: &Pod) -> Option<Instance> {
    let serves = pod.labels().get(labels::COMPONENT).is_some_and(|part| part == labels::COMPONENT_SERVER);
    let status = pod.status.as_ref().filter(|_| serves && pod.metadata.deletion_timestamp.is_none())?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let serving = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let address: IpAddr = status.pod_ip.as_ref()?.parse().ok()?;
    Some(Instance { address: SocketAddr::new(address, ADMIN_PORT), serving })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("billing", "prod")
    }

    fn report(database: &str) -> Health {
        let body = format!(r#"{{"data": {{"status": "ok", "database": {{"status": "{database}"}}}}}}"#);
        Health::Report(HealthReport::parse(body.as_bytes(), true).unwrap())
    }

    #[test]
    fn a_resource_is_asked_at_once_and_then_once_a_minute() {
        let book = HealthBook::default();
        book.want(&key(), Ask::Any);
        assert_eq!(book.due(Duration::from_secs(5), || 0.5), [key()]);
        book.want(&key(), Ask::Any);
        assert!(book.due(Duration::from_secs(64), || 0.5).is_empty());
        assert_eq!(book.due(Duration::from_secs(65), || 0.5), [key()]);
        book.want(&key(), Ask::Serving);
        assert_eq!(book.due(Duration::from_secs(66), || 0.5), [key()], "the first one serves");
    }

    #[test]
    fn while_the_database_is_away_it_is_asked_every_ten_seconds() {
        let book = HealthBook::default();
        book.want(&key(), Ask::Serving);
        let mut at = 5;
        for database in ["away", "full", "ok"] {
            assert_eq!(book.due(Duration::from_secs(at), || 0.5), [key()], "{database}");
            assert!(book.heard(&key(), report(database), Duration::from_secs(at)));
            assert!(book.due(Duration::from_secs(at + 9), || 0.5).is_empty());
            at += 10;
        }
        assert!(book.due(Duration::from_secs(at + 40), || 0.5).is_empty());
    }

    #[test]
    fn what_is_heard_of_a_resource_that_is_not_asked_any_more_is_dropped() {
        let book = HealthBook::default();
        let heard = || book.heard(&key(), Health::Unreachable("x".to_owned()), Duration::ZERO);
        book.want(&key(), Ask::Serving);
        assert!(heard());
        assert_eq!(book.latest(&key()), Health::Unreachable("x".to_owned()));
        book.want(&key(), Ask::Nobody);
        assert!(!heard());
        assert_eq!(book.latest(&key()), Health::NotAsked);
    }

    #[test]
    fn pods_that_serve_are_asked_and_others_only_if_none_does() {
        let pod = |component: &str, ready: &str, address: &str| -> Pod {
            serde_json::from_value(serde_json::json!({
                "metadata": {"labels": {labels::COMPONENT: component}},
                "status": {"podIP": address, "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap()
        };
        let instance = |address: &str, serving| Instance {
            address: format!("{address}:9090").parse().unwrap(),
            serving,
        };
        let starting = pod("server", "False", "10.0.0.6");
        let serving = pod("server", "True", "10.0.0.7");
        let migration = pod("migration", "True", "10.0.0.8");
        assert_eq!(to_ask(&[&starting, &serving, &migration]), [instance("10.0.0.7", true)]);
        assert_eq!(to_ask(&[&starting]), [instance("10.0.0.6", false)]);
    }
}
