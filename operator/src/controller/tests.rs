//! A second resource: nothing but a reconciler is written for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::core::DeserializeGuard;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, CustomResource, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Context, Controller, ControllerMetrics};
use crate::children::Children;
use crate::kinds::Kind;
use crate::labels;
use crate::metrics::{Metrics, ResultLabel};
use crate::object::Object;
use crate::reconciler::{Observed, Plan, Reconciler};
use crate::steps::{Refusal, Step};
use crate::watch::{Caches, Key};
use sageapi_runtime::SystemClock;
use sageapi_runtime::SystemEntropy;

#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(group = "example.com", version = "v1", kind = "Greeting", namespaced, status = "GreetingStatus")]
struct GreetingSpec {
    text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct GreetingStatus {
    greeted: bool,
}

struct Greeter(Arc<Caches<Greeting>>);

struct Seen {
    resource: Arc<Greeting>,
    children: Children,
    refusals: Vec<Refusal>,
}

impl Observed for Seen {
    fn children(&self) -> &Children {
        &self.children
    }

    fn refusals(&mut self) -> &mut Vec<Refusal> {
        &mut self.refusals
    }
}

impl Reconciler for Greeter {
    type Resource = Greeting;
    type Observed = Seen;
    type FollowUp = ();

    async fn observe(
        &self,
        key: &Key,
        resource: &Arc<Greeting>,
        refusals: Vec<Refusal>,
    ) -> Result<Seen, kube::Error> {
        let children = self.0.children.around(key).map_err(kube::Error::SerdeError)?;
        Ok(Seen { resource: Arc::clone(resource), children, refusals })
    }

    fn plan(&self, seen: &Seen) -> Plan<GreetingStatus, ()> {
        let name = seen.resource.name_any();
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.clone());
        map.labels_mut().insert(labels::INSTANCE.to_owned(), name.clone());
        map.data = Some([("text".to_owned(), seen.resource.spec.text.clone())].into());
        let wanted = Object::annotated(&map, labels::SPEC_HASH, |_| "hash".to_owned());
        let missing = seen.children.find(Kind::ConfigMap, &name).is_none();
        Plan {
            steps: missing.then_some(Step::Create(wanted)).into_iter().collect(),
            status: Some(GreetingStatus { greeted: true }),
            events: Vec::new(),
            follow_up: (),
            requeue: Duration::from_mins(10),
        }
    }

    fn is_progress(&self, _before: &GreetingStatus, _after: &GreetingStatus) -> bool {
        false
    }

    fn follow_up(&self, _key: &Key, _follow_up: &()) {}

    fn forget(&self, _key: &Key) {}

    async fn run_beside(self: Arc<Self>) {}
}

fn greeting() -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Greeting", "spec": {"text": "hello"},
        "metadata": {"name": "prod", "namespace": "billing", "uid": "u", "resourceVersion": "1"},
    })
}

/// Accepts every write; the object that it answers has what was written in it.
async fn accept(
    request: http::Request<Body>,
    requests: Arc<Mutex<Vec<String>>>,
) -> Result<http::Response<Body>, std::convert::Infallible> {
    let line = format!("{} {}", request.method(), request.uri().path());
    let written = request.into_body().collect_bytes().await.unwrap();
    let mut answer: Value = serde_json::from_slice(&written).unwrap();
    if line.ends_with("/status") {
        answer["spec"] = greeting()["spec"].clone();
    }
    answer["metadata"]["namespace"] = "billing".into();
    answer["metadata"]["uid"] = "u".into();
    answer["metadata"]["resourceVersion"] = "2".into();
    requests.lock().unwrap().push(line);
    Ok(http::Response::new(Body::from(answer.to_string().into_bytes())))
}

#[tokio::test(start_paused = true)]
async fn a_resource_whose_reconciler_alone_is_known_is_reconciled() {
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    let server = tower::service_fn(move |request| accept(request, Arc::clone(&seen)));
    let client = Client::new(server, "billing");
    let caches = Arc::new(Caches::new(labels::INSTANCE, Kind::children()));
    let resource: DeserializeGuard<Greeting> = serde_json::from_value(greeting()).unwrap();
    let key = Key::new("billing", "prod");
    assert_eq!(caches.put(resource), std::slice::from_ref(&key));

    let reporter = Reporter { controller: "greeter".to_owned(), instance: None };
    let context = Arc::new(Context::new(
        client.clone(),
        Arc::clone(&caches),
        Arc::new(Greeter(Arc::clone(&caches))),
        Recorder::new(client, reporter),
        SystemClock::new(),
        SystemEntropy::new(),
        ControllerMetrics::register(&mut Metrics::default()),
    ));
    let (_elected, leading) = watch::channel(true);
    let controller = Controller { context: Arc::clone(&context), concurrency: 2, leading };
    let stop = CancellationToken::new();
    let running = tokio::spawn(controller.run(stop.clone()));
    while requests.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    running.await.unwrap();

    let expected = [
        "POST /api/v1/namespaces/billing/configmaps",
        "PATCH /apis/example.com/v1/namespaces/billing/greetings/prod/status",
    ];
    assert_eq!(*requests.lock().unwrap(), expected);
    let known = caches.resources.get(&key).unwrap().unwrap();
    assert_eq!(known.status, Some(GreetingStatus { greeted: true }));
    let children = caches.children.around(&key).unwrap();
    assert!(children.find(Kind::ConfigMap, "prod").is_some(), "answers to writes are in the caches at once");
    assert_eq!(context.metrics.reconciles.get_or_create(&ResultLabel { result: "changed" }).get(), 1);
}
