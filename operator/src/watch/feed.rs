use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::sink::Sink;
use crate::client::brief;
use crate::heartbeats::Heartbeats;
use crate::kinds::Kind;
use crate::metrics::KindLabel;
use sageapi_runtime::Clock;

/// Objects in a page of a list. Decoded, with the managers of all its fields, an object takes some 50 KB.
const PAGE: u32 = 50;

/// One watch: a kind, in one namespace or in all.
pub(super) struct Feed<K> {
    pub api: Api<K>,
    pub selector: Option<String>,
    pub kind: Kind,
    /// Whether a cluster without this kind counts as one without such objects.
    pub may_be_absent: bool,
    /// Whose turn it is to list: memory at the start, when every watch lists, is that of a few pages.
    pub lists: Arc<Semaphore>,
    pub clock: Arc<dyn Clock>,
    pub heartbeats: Heartbeats,
    pub restarts: Family<KindLabel, Counter>,
}

impl<K> Feed<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Watches until dropped; `synced` is called once, after the first complete list.
    pub async fn run(self, mut sink: impl Sink<K>, synced: impl FnOnce()) {
        let config = watcher::Config {
            label_selector: self.selector.clone(),
            page_size: Some(PAGE),
            ..watcher::Config::default()
        };
        let mut events = pin!(watcher(self.api.clone(), config).default_backoff());
        let mut synced = Some(synced);
        let mut failing = false;
        let mut turn = None;
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    drop(turn.take());
                    self.failed(&error, std::mem::replace(&mut failing, true));
                    if self.may_be_absent && cause(&error).1 == 404 {
                        sink.list_begins();
                        sink.list_ends();
                        if let Some(synced) = synced.take() {
                            synced();
                        }
                    }
                    continue;
                }
            };
            if !matches!(event, watcher::Event::Init) && std::mem::take(&mut failing) {
                tracing::info!(kind = self.kind.name(), "the watch works again");
            }
            self.heartbeats.beat(self.kind.name(), self.clock.monotonic());
            match event {
                watcher::Event::Init => {
                    // The first page is not requested before the next turn of this loop. The semaphore is never closed.
                    turn = self.lists.acquire().await.ok();
                    sink.list_begins();
                }
                watcher::Event::InitApply(object) => sink.listed(object),
                watcher::Event::InitDone => {
                    sink.list_ends();
                    drop(turn.take());
                    if let Some(synced) = synced.take() {
                        synced();
                    }
                }
                watcher::Event::Apply(object) => sink.changed(object),
                watcher::Event::Delete(object) => sink.deleted(&object),
            }
        }
    }

    fn failed(&self, error: &watcher::Error, already: bool) {
        let kind = self.kind.name();
        self.restarts.get_or_create(&KindLabel { kind }).inc();
        let (cause, code) = cause(error);
        // An expired version is the ordinary end of a watch; what keeps failing is logged once.
        if code == 410 || already {
            tracing::debug!(kind, cause, "the watch failed");
            return;
        }
        let advice = match code {
            403 => "grant this service account list and watch on it (the chart's RBAC does)",
            404 if self.may_be_absent => "the operator works without such objects until it is defined",
            404 => "install its definition: sageapi-operator crd | kubectl apply --server-side -f -",
            _ => "it is retried",
        };
        tracing::warn!(kind, cause, advice, "the watch failed");
    }
}

/// What went wrong, and the API server's status code if there was one.
fn cause(error: &watcher::Error) -> (String, u16) {
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => (brief(cause), code(cause)),
        watcher::Error::WatchError(status) => (status.message.clone(), status.code),
        watcher::Error::NoResourceVersion => (error.to_string(), 0),
    }
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Client;
    use kube::client::Body;

    use super::*;
    use sageapi_runtime::SystemClock;

    #[derive(Default)]
    struct Lists(usize);

    impl Sink<ConfigMap> for &mut Lists {
        fn list_begins(&mut self) {}
        fn listed(&mut self, _object: ConfigMap) {}
        fn list_ends(&mut self) {
            self.0 += 1;
        }
        fn changed(&mut self, _object: ConfigMap) {}
        fn deleted(&mut self, _object: &ConfigMap) {}
    }

    /// Watches a kind that the API server does not know. Whether the cache counts as filled, and complete lists.
    async fn watched(may_be_absent: bool) -> (bool, usize) {
        let not_found = async |_: Request<Body>| {
            let status =
                r#"{"kind":"Status","status":"Failure","message":"no","reason":"NotFound","code":404}"#;
            let response = Response::builder().status(404).body(Body::from(status.as_bytes().to_vec()));
            Ok::<_, Infallible>(response.unwrap())
        };
        let feed = Feed {
            api: Api::<ConfigMap>::all(Client::new(tower::service_fn(not_found), "billing")),
            selector: None,
            kind: Kind::ConfigMap,
            may_be_absent,
            lists: Arc::new(Semaphore::new(1)),
            clock: SystemClock::new(),
            heartbeats: Heartbeats::default(),
            restarts: Family::default(),
        };
        let (mut lists, mut synced) = (Lists::default(), false);
        let running = feed.run(&mut lists, || synced = true);
        assert!(tokio::time::timeout(Duration::from_millis(500), running).await.is_err(), "it goes on");
        (synced, lists.0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_may_be_absent_counts_as_an_empty_list_and_others_are_waited_for() {
        assert_eq!(watched(true).await, (true, 1));
        assert_eq!(watched(false).await, (false, 0));
    }
}
