use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use sageapi_contract::ADMIN_PORT;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Context;
use super::probe;
use super::queue::jittered;
use crate::labels;
use crate::observed::{Health, HealthReport};
use crate::watch::Key;

/// How often an instance of each resource is asked, give or take a fifth.
const ASK_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked who is to be asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Questions under way at a time.
const QUESTIONS: usize = 16;
const HEALTH_PATH: &str = "/health";

/// What instances said of themselves, and when to ask again.
#[derive(Debug, Default)]
pub struct HealthBook(Mutex<HashMap<Key, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    latest: Health,
    next: Duration,
}

impl HealthBook {
    /// What was last heard.
    pub fn latest(&self, key: &Key) -> Health {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.get(key).map(|entry| entry.latest.clone()).unwrap_or_default()
    }

    /// Whether the resource is asked at all; what was heard is forgotten where it is not.
    pub fn want(&self, key: &Key, wanted: bool) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted {
            book.entry(key.clone()).or_default();
        } else {
            book.remove(key);
        }
    }

    /// Who is to be asked now; they are not named again before the next time.
    fn due(&self, now: Duration, mut unit: impl FnMut() -> f64) -> Vec<Key> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (key, entry) in book.iter_mut().filter(|(_, entry)| entry.next <= now) {
            entry.next = now + jittered(ASK_EVERY, unit());
            due.push(key.clone());
        }
        due
    }

    /// What was heard. Whether the resource is still asked.
    fn heard(&self, key: &Key, health: Health) -> bool {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = book.get_mut(key) else { return false };
        entry.latest = health;
        true
    }
}

/// Asks one ready instance of each resource, for ever. What is heard is a reason to look at the resource.
pub async fn keep_asking(context: Arc<Context>) {
    let permits = Arc::new(Semaphore::new(QUESTIONS));
    let mut questions = JoinSet::new();
    loop {
        for key in context.health.due(context.clock.monotonic(), || context.entropy.unit()) {
            let pods = context.caches.pods.of(&key);
            let Some(address) = pods.iter().find_map(|pod| admin_address(pod)) else { continue };
            let (context, permits) = (Arc::clone(&context), Arc::clone(&permits));
            questions.spawn(async move {
                // The semaphore is never closed.
                let _permit = permits.acquire().await;
                if context.health.heard(&key, ask(address).await) {
                    context.caches.triggers.add([key]);
                }
            });
        }
        while questions.try_join_next().is_some() {}
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ask(address: SocketAddr) -> Health {
    let answer = match probe::get(address, HEALTH_PATH).await {
        // A server that is down says so with 503 and the same body.
        Ok((_, body)) => HealthReport::parse(&body).map_err(|_| probe::ProbeError::Nonsense),
        Err(error) => Err(error),
    };
    answer.map_or_else(|error| Health::Unreachable(error.to_string()), Health::Report)
}

/// Where a pod that serves is asked.
fn admin_address(pod: &Pod) -> Option<SocketAddr> {
    let serves = pod.labels().get(labels::COMPONENT).is_some_and(|part| part == labels::COMPONENT_SERVER);
    let status = pod.status.as_ref().filter(|_| serves && pod.metadata.deletion_timestamp.is_none())?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    let address: IpAddr = status.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(address, ADMIN_PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("billing", "prod")
    }

    #[test]
    fn a_resource_is_asked_at_once_and_then_once_a_minute() {
        let book = HealthBook::default();
        book.want(&key(), true);
        assert_eq!(book.due(Duration::from_secs(5), || 0.5), [key()]);
        book.want(&key(), true);
        assert!(book.due(Duration::from_secs(64), || 0.5).is_empty());
        assert_eq!(book.due(Duration::from_secs(65), || 0.5), [key()]);
    }

    #[test]
    fn what_is_heard_of_a_resource_that_is_not_asked_any_more_is_dropped() {
        let book = HealthBook::default();
        book.want(&key(), true);
        assert!(book.heard(&key(), Health::Unreachable("x".to_owned())));
        assert_eq!(book.latest(&key()), Health::Unreachable("x".to_owned()));
        book.want(&key(), false);
        assert!(!book.heard(&key(), Health::Unreachable("x".to_owned())));
        assert_eq!(book.latest(&key()), Health::NotAsked);
    }

    #[test]
    fn only_a_ready_serving_pod_is_asked() {
        let pod = |component: &str, ready: &str| -> Pod {
            serde_json::from_value(serde_json::json!({
                "metadata": {"labels": {labels::COMPONENT: component}},
                "status": {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap()
        };
        assert_eq!(admin_address(&pod("server", "True")), Some("10.0.0.7:9090".parse().unwrap()));
        assert_eq!(admin_address(&pod("server", "False")), None);
        assert_eq!(admin_address(&pod("migration", "True")), None);
    }
}
