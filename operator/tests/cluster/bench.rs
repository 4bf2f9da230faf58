//! What a test starts from: a namespace of its own, a played kubelet, and operators that act in it alone.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use sageapi_crds::{Condition, ConditionType, SageApi};
use sageapi_test_cluster::{ControlPlane, Namespace, Request};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::kubelet::Kubelet;
use crate::operator::{Operator, Start};

/// Never reached by a test that passes.
const LONG: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub struct Bench {
    pub plane: &'static ControlPlane,
    pub namespace: Namespace<'static>,
    pub client: Client,
    pub kubelet: Kubelet,
    folder: TempDir,
}

/// The Secrets that [`SPEC`] names.
pub const SECRETS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: database}
stringData: {url: 'mysql://sage:hidden-password@db.example:3306/sage'}
---
apiVersion: v1
kind: Secret
metadata: {name: platform}
stringData: {key: ak_test, secret: hidden-secret}
";

/// A SageApi called prod.
pub fn sageapi(spec: &str) -> String {
    format!(
        "
apiVersion: sageapi.io/v1alpha1
kind: SageApi
metadata: {{name: prod}}
spec:
  database: {{mysql: {{urlSecretRef: {{name: database}}}}}}
  upstream: {{url: 'https://sage.example', auth: {{secretRef: {{name: platform}}}}}}
  sync: {{users: {{every: 30s}}}}
{spec}"
    )
}

impl Bench {
    /// On the control plane that tests share.
    pub async fn new(name: &str) -> Self {
        static DEFINED: OnceLock<()> = OnceLock::new();
        // Its start blocks, and would hold up the tests that share the runtime's thread.
        let plane = tokio::task::spawn_blocking(ControlPlane::shared).await.unwrap();
        let definition = sageapi_crds::yaml().unwrap();
        DEFINED.get_or_init(|| define(plane, &definition));
        Self::defined(plane, name).await
    }

    /// On a control plane of its own, with this definition of the resource.
    pub async fn on(plane: &'static ControlPlane, name: &str, definition: &str) -> Self {
        define(plane, definition);
        Self::defined(plane, name).await
    }

    async fn defined(plane: &'static ControlPlane, name: &str) -> Self {
        let namespace = plane.namespace(name).unwrap();
        let client = client(plane.kubeconfig()).await;
        let kubelet = Kubelet::start(client.clone(), namespace.name());
        Self { plane, namespace, client, kubelet, folder: TempDir::new().unwrap() }
    }

    /// Applies a manifest in the test's namespace.
    pub fn apply(&self, manifest: &str) {
        self.try_apply(manifest).unwrap();
    }

    pub fn try_apply(&self, manifest: &str) -> Result<String, sageapi_test_cluster::Error> {
        let namespace = format!("metadata: {{namespace: {}, ", self.namespace.name());
        self.plane.apply(&manifest.replace("metadata: {", &namespace))
    }

    /// kubectl in the test's namespace.
    pub fn kubectl(&self, args: &str) -> String {
        let args = args.split(' ').chain(["-n", self.namespace.name()]);
        self.plane.kubectl(args).unwrap()
    }

    /// The name that this test's operators go by in the audit log.
    pub fn user(&self) -> String {
        format!("operator-of-{}", self.namespace.name())
    }

    /// An operator that may do everything.
    pub fn operator(&self, name: &str, more: &[&str]) -> Operator {
        let kubeconfig = self.plane.kubeconfig_as(&self.user(), &["system:masters"]).unwrap();
        self.operator_with(&kubeconfig, name, more)
    }

    pub fn operator_with(&self, kubeconfig: &Path, name: &str, more: &[&str]) -> Operator {
        let namespace = self.namespace.name();
        Operator::start(&Start { kubeconfig, namespace, name, folder: self.folder.path(), more })
    }

    /// What this test's operators wrote, the Lease aside. Nothing that was answered before is missing.
    pub async fn writes(&self) -> Vec<Request> {
        let marker = format!("marker-{}", LOOKS.fetch_add(1, ORDER));
        let asked = self.api::<ConfigMap>().get_opt(&marker).await.unwrap();
        assert_eq!(asked, None);
        let namespace = self.namespace.name();
        self.until("the audit log has come so far", async || {
            let requests = self.plane.requests().unwrap();
            requests.iter().any(|request| request.name == marker && request.namespace == namespace)
        })
        .await;
        let writes = self.plane.writes_of(&self.user()).unwrap();
        writes.into_iter().filter(|request| request.resource != "leases").collect()
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    pub async fn prod(&self) -> SageApi {
        self.api::<SageApi>().get("prod").await.unwrap()
    }

    /// Collects what each status of prod that is written from now on says of Ready, until its phase is Ready.
    pub fn follow_statuses(&self) -> JoinHandle<Vec<String>> {
        let api = self.api::<SageApi>();
        tokio::spawn(async move {
            let config = watcher::Config::default();
            let mut changes = pin!(watcher(api, config).applied_objects());
            let mut seen = Vec::new();
            while let Some(change) = changes.next().await {
                let Some(status) = change.unwrap().status else { continue };
                let ready = status.condition(ConditionType::Ready);
                seen.push(ready.map(|ready| ready.status.clone()).unwrap_or_default());
                if status.phase.as_deref() == Some("Ready") {
                    break;
                }
            }
            seen
        })
    }

    /// Waits until a condition of prod has this status and reason, and is about its present specification.
    pub async fn condition(&self, of: ConditionType, status: &str, reason: &str) -> Condition {
        let what = format!("{of}={status}/{reason}");
        let mut last = String::new();
        let found = poll(async || {
            let prod = self.prod().await;
            let condition = prod.status.as_ref().and_then(|status| status.condition(of).cloned());
            last = format!("{:?}", prod.status);
            condition.filter(|condition| {
                condition.status == status
                    && condition.reason == reason
                    && condition.observed_generation == prod.metadata.generation
            })
        })
        .await;
        found.unwrap_or_else(|| panic!("{what} did not come; the status is {last}"))
    }

    /// Waits until prod's phase is this, for its present specification.
    pub async fn phase(&self, phase: &str) {
        let mut last = String::new();
        let found = poll(async || {
            let prod = self.prod().await;
            last = format!("{:?}", prod.status);
            let status = prod.status?;
            (status.phase.as_deref() == Some(phase) && status.observed_generation == prod.metadata.generation)
                .then_some(())
        })
        .await;
        found.unwrap_or_else(|| panic!("the phase {phase} did not come; the status is {last}"));
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let found = poll(async || holds().await.then_some(())).await;
        found.unwrap_or_else(|| panic!("{what}: it did not come to that"));
    }

    /// A converged prod, its Secrets, and the operator that made it.
    pub async fn converged(&self, spec: &str) -> Operator {
        self.apply(SECRETS);
        self.apply(&sageapi(spec));
        let operator = self.operator("first", &[]);
        self.phase("Ready").await;
        self.condition(ConditionType::SyncHealthy, "True", "Healthy").await;
        operator
    }

    /// Waits until the operator has looked at everything that has happened so far: it has done a reconcile that
    /// began later, and nothing is due.
    pub async fn settled(&self, operator: &Operator) {
        let done = || {
            let results = ["ok", "changed", "refused"];
            let line = |result| format!("sageapi_operator_reconcile_total{{result=\"{result}\"}}");
            results.iter().map(|result| operator.metric(&line(result))).sum::<f64>()
        };
        // A label of ours that nobody reads makes the operator look.
        let before = done();
        self.kubectl(&format!("label sageapi prod look={} --overwrite", LOOKS.fetch_add(1, ORDER)));
        self.until("the operator looks", async || done() > before).await;
        // What was looked at may have begun before the label; its own turn is not due for a moment.
        self.until("the operator rests", async || {
            let done_by_now = done();
            tokio::time::sleep(REST).await;
            done() <= done_by_now
                && operator.metric("sageapi_operator_queue_depth") == 0.0
                && operator.metric("sageapi_operator_reconcile_active") == 0.0
        })
        .await;
    }
}

/// Longer than the operator gathers what happens before it looks.
const REST: Duration = Duration::from_millis(300);
static LOOKS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
const ORDER: std::sync::atomic::Ordering = std::sync::atomic::Ordering::Relaxed;

async fn poll<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(LONG, looking).await.ok()
}

pub async fn client(kubeconfig: &Path) -> Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    let config = Kubeconfig::read_from(PathBuf::from(kubeconfig)).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Installs the definition of the resource.
fn define(plane: &'static ControlPlane, definition: &str) {
    plane.apply(definition).unwrap();
    let name = "sageapis.sageapi.io";
    plane.kubectl(["wait", "--for=condition=Established", "--timeout=60s", &format!("crd/{name}")]).unwrap();
}
