//! From an empty cluster to answers.

use http::Method;
use serde_json::{Value, json};

use crate::Failure;
use crate::figures;
use crate::installation::{NAME, NAMESPACE, VERSION, WITHIN};
use crate::scenario::Scenario;
use crate::waiting::until;

/// A customer of the simulated platform.
const CUSTOMER: &str = "org_demo_0001";
/// What it begins with.
const CREDIT: &str = "1000";

/// Installs the chart.
pub fn install(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.at.install_operator(&["replicas=2"])?;
    scenario.at.node.helm(["test", "sageapi-operator", "--namespace", crate::installation::SYSTEM])?;
    for binary in ["sageapi-server", "sageapi-operator"] {
        let size = figures::size(&scenario.given.folder.join(format!("{binary}.tar")));
        scenario.figures.at_most(&format!("size of the image {binary}"), size, 50.0, " MB");
    }
    Ok(())
}

/// Applies the examples.
#[expect(clippy::cast_precision_loss, reason = "few")]
pub fn apply(scenario: &mut Scenario) -> Result<(), Failure> {
    let from = scenario.at.node.requests()?.len();
    let took = scenario.at.apply_examples()?;
    let (writes, events) = scenario.writes_since(from)?;
    scenario.figures.at_most("kubectl apply to Ready", took.as_secs_f64(), 30.0, " s");
    scenario.figures.at_most("operator writes from kubectl apply to Ready", writes as f64, 12.0, "");
    scenario.figures.note("  and events", events.to_string());
    scenario.wait_converged()
}

/// Makes a customer and a key as one does it: by the server's own commands, in a pod.
pub fn from_outside(scenario: &mut Scenario) -> Result<(), Failure> {
    let at = &scenario.at;
    at.server(&["customer", "create", CUSTOMER], None)?;
    at.server(&["customer", "credit", CUSTOMER, CREDIT, "--transno", "first"], None)?;
    let scopes = "balance:read,accounting:read,accounting:write,users:read,pricing:read";
    let made =
        at.server(&["key", "create", "--customer", CUSTOMER, "--scopes", scopes, "--name", "e2e"], None)?;
    let made: Value = serde_json::from_str(&made)?;
    let text = |name: &str| {
        made[name].as_str().map(str::to_owned).ok_or(format!("no {name} in what key create printed"))
    };
    scenario.key = Some((text("key_id")?, text("secret")?));

    let client = scenario.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ask = |path: &str| runtime.block_on(client.call(Method::GET, path).try_send());
    // Another instance learns of a new key within seconds.
    until("the balance", WITHIN, || {
        let answer = ask("/balance")?;
        Ok((answer.status == 200 && answer.body["data"]["balance"].as_str() == Some(CREDIT)).then_some(()))
            .and_then(|done| if done.is_none() { Err(answer.to_string().into()) } else { Ok(done) })
    })?;
    until("the mirrored users", WITHIN, || {
        let answer = ask("/users?limit=1")?;
        let users = answer.body["data"]["rows"].as_array().map_or(0, Vec::len);
        if users == 1 { Ok(Some(())) } else { Err(answer.to_string().into()) }
    })?;
    let unsigned = runtime.block_on(client.call(Method::GET, "/balance").unsigned().try_send())?;
    if unsigned.status != 401 {
        return Err(format!("an unsigned request got {unsigned}").into());
    }
    Ok(())
}

/// Sends requests from a pod, by the Service's name.
pub fn from_a_pod(scenario: &mut Scenario) -> Result<(), Failure> {
    let (key, secret) = scenario.key.clone().ok_or("there is no key yet")?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "client", "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "client",
                "image": format!("sageapi.io/sageapi-e2e:{VERSION}"),
                "args": ["client", "--base", format!("http://{NAME}.{NAMESPACE}"), "--key", key],
                "env": [{"name": "SECRET", "value": secret}],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    });
    scenario.at.node.apply(&pod.to_string())?;
    let ended = until("the pod's end", WITHIN, || {
        let phase = scenario.at.get("pod", "client")?["status"]["phase"].clone();
        Ok(matches!(phase.as_str(), Some("Succeeded" | "Failed")).then_some(phase))
    });
    let said = scenario.at.kubectl(&["-n", NAMESPACE, "logs", "client"]).unwrap_or_default();
    let (phase, _) = ended.map_err(|why| format!("{why}\n{said}"))?;
    if phase != "Succeeded" {
        return Err(format!("the pod failed: {said}").into());
    }
    // Its booking is one unit, like those of the load.
    scenario.booked += 1;
    scenario.at.kubectl(&["-n", NAMESPACE, "delete", "pod", "client", "--wait=false"])?;
    Ok(())
}

/// What Kubernetes itself says about the namespace.
pub fn restricted(scenario: &mut Scenario) -> Result<(), Failure> {
    let label = "pod-security.kubernetes.io/enforce";
    for namespace in [NAMESPACE, crate::installation::SYSTEM] {
        let object: Value =
            serde_json::from_str(&scenario.at.kubectl(&["get", "namespace", namespace, "-o", "json"])?)?;
        if object["metadata"]["labels"][label] != "restricted" {
            return Err(format!("the namespace {namespace} does not enforce it").into());
        }
    }
    for pod in scenario.at.pods()? {
        let spec = &pod["spec"];
        if spec["automountServiceAccountToken"] != false || spec["enableServiceLinks"] != false {
            return Err("a pod gets more than it needs: a token, or other Services' variables".into());
        }
    }
    Ok(())
}
