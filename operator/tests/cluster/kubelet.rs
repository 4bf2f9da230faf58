//! Plays the kubelet of one namespace: pods get the status that a node would give them.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use sageapi_contract::{ADMIN_PORT, MigrationResult, Verdict};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How a migration's container ends.
#[derive(Clone)]
pub enum Migration {
    /// Not at all: it is not started.
    Waits,
    /// Not at all: it runs.
    Runs,
    /// With this exit code and termination message.
    Ends(i32, String),
}

impl Migration {
    pub fn succeeds() -> Self {
        Self::Ends(0, result(Verdict::Forward, "the schema was brought from 0 to 3"))
    }

    pub fn fails() -> Self {
        Self::Ends(70, "a table is locked".to_owned())
    }

    pub fn refused(verdict: Verdict) -> Self {
        Self::Ends(64, result(verdict, "refused"))
    }

    pub fn unreachable() -> Self {
        Self::Ends(69, result(Verdict::Unreachable, "the database does not answer"))
    }
}

fn result(verdict: Verdict, message: &str) -> String {
    MigrationResult {
        v: MigrationResult::VERSION,
        verdict,
        from: 0,
        to: 3,
        pending: Vec::new(),
        compatible_with_running: true,
        owner: None,
        message: message.to_owned(),
    }
    .to_json()
    .unwrap()
}

/// What pods do; can be changed at any time.
#[derive(Clone)]
pub struct Behaviour {
    pub migration: Migration,
    pub servers_get_ready: bool,
    /// What the server says of itself at /health.
    pub health: Value,
}

pub struct Kubelet {
    behaviour: Arc<Mutex<Behaviour>>,
    task: JoinHandle<()>,
}

impl Kubelet {
    /// Migrations succeed, servers get ready and are healthy.
    pub fn start(client: Client, namespace: &str) -> Self {
        let fresh = json!({"age_s": 1.0, "status": "success", "error_class": null});
        let health = json!({"status": "ok", "version": "test", "sync": {
            "users": fresh, "pricing": fresh, "llmage": fresh, "uapi": fresh,
        }});
        let behaviour = Behaviour { migration: Migration::succeeds(), servers_get_ready: true, health };
        let behaviour = Arc::new(Mutex::new(behaviour));
        let address = serve_health(Arc::clone(&behaviour));
        let api: Api<Pod> = Api::namespaced(client, namespace);
        let task = tokio::spawn({
            let behaviour = Arc::clone(&behaviour);
            async move {
                loop {
                    if let Ok(pods) = api.list(&ListParams::default()).await {
                        let behaviour = behaviour.lock().unwrap().clone();
                        // All at once, as they get ready on several nodes.
                        join_all(pods.iter().filter_map(|pod| {
                            let status = status_of(pod, &behaviour, address)?;
                            let (api, name) = (&api, pod.name_any());
                            Some(async move {
                                let patch = Patch::Merge(json!({"status": status}));
                                // A pod may be deleted meanwhile.
                                let _ = api.patch_status(&name, &PatchParams::default(), &patch).await;
                            })
                        }))
                        .await;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        Self { behaviour, task }
    }

    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The status to write, if the pod's is not so yet.
fn status_of(pod: &Pod, behaviour: &Behaviour, address: IpAddr) -> Option<Value> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    #[expect(clippy::disallowed_methods, reason = "a kubelet has the time of its machine")]
    let now = Timestamp::now();
    match pod.labels().get("app.kubernetes.io/component").map(String::as_str) {
        Some("migration") if matches!(phase, Some("Pending" | "Running")) => {
            let (code, message) = match &behaviour.migration {
                Migration::Runs if phase == Some("Pending") => {
                    let state = json!({"running": {"startedAt": now}});
                    return Some(json!({
                        "phase": "Running", "containerStatuses": [container("migrate", true, &state)],
                    }));
                }
                Migration::Waits | Migration::Runs => return None,
                Migration::Ends(code, message) => (code, message),
            };
            Some(json!({
                "phase": if *code == 0 { "Succeeded" } else { "Failed" },
                "containerStatuses": [container("migrate", false, &json!({"terminated": {
                    "exitCode": code, "message": message, "reason": if *code == 0 { "Completed" } else { "Error" },
                    "startedAt": now, "finishedAt": now,
                }}))],
            }))
        }
        Some("server") if behaviour.servers_get_ready != is_ready(pod) => {
            let ready = behaviour.servers_get_ready;
            let status = if ready { "True" } else { "False" };
            Some(json!({
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [
                    {"type": "Ready", "status": status, "lastTransitionTime": now},
                    {"type": "ContainersReady", "status": status, "lastTransitionTime": now},
                ],
                "containerStatuses": [container("server", ready, &json!({"running": {"startedAt": now}}))],
            }))
        }
        _ => None,
    }
}

fn container(name: &str, ready: bool, state: &Value) -> Value {
    json!({
        "name": name, "ready": ready, "started": true, "restartCount": 0, "image": "test",
        "imageID": "test@sha256:0", "state": state,
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Answers at the admin port of an address of its own, which every pod of the namespace is said to have.
fn serve_health(behaviour: Arc<Mutex<Behaviour>>) -> IpAddr {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Two test runs on one machine must not meet.
    let next = NEXT.get_or_init(|| AtomicU16::new(u16::try_from(std::process::id() % 60_000).unwrap() + 1));
    let (address, listener) = loop {
        let [high, low] = next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = IpAddr::from(Ipv4Addr::new(127, 77, high, low));
        if let Ok(listener) = TcpListener::bind((address, ADMIN_PORT)) {
            break (address, listener);
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let mut request = [0; 2048];
            let _ = stream.read(&mut request);
            let body = json!({"code": 200, "data": behaviour.lock().unwrap().health}).to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}
