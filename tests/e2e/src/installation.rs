//! An installation as a platform engineer makes it: images, the chart, the examples.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sageapi_test_cluster::Node;
use serde_json::Value;

use crate::waiting::until;
use crate::{Failure, Surroundings, surroundings};

/// Where the operator runs.
pub const SYSTEM: &str = "sageapi-system";
/// Of the examples.
pub const NAMESPACE: &str = "billing";
/// Of the examples.
pub const NAME: &str = "prod";
/// Who the API server knows the operator as.
pub const OPERATOR: &str = "system:serviceaccount:sageapi-system:sageapi-operator";
/// How long anything may take to come about.
pub const WITHIN: Duration = Duration::from_secs(180);
/// The version of all images, which is that of this workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A node with what surrounds SageAPI, and the files of this repository.
pub struct Installation {
    /// The node.
    pub node: Node,
    root: PathBuf,
}

impl Installation {
    /// Brings images and surroundings onto a node that is up.
    pub fn prepare(given: &Surroundings) -> Result<Self, Failure> {
        let node = Node::existing(&given.node)?;
        let programs = match &given.programs {
            Some(programs) => programs.clone(),
            None => std::env::current_exe()?.parent().unwrap_or(Path::new(".")).to_owned(),
        };
        for image in ["sageapi-server", "sageapi-operator", "sageapi-e2e"] {
            node.load_image(&given.images.join(format!("{image}.tar")))?;
        }
        surroundings::start(&node, &programs)?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let installation = Self { node, root };
        installation.kubectl(&["apply", "-f", &installation.file("tests/e2e/manifests/outside.yaml")])?;
        Ok(installation)
    }

    /// A file of the repository.
    pub fn file(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    /// Installs the operator, or brings it to these values.
    pub fn install_operator(&self, values: &[&str]) -> Result<(), Failure> {
        let namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": SYSTEM, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        });
        self.node.apply(&namespace.to_string())?;
        let chart = self.file("charts/sageapi-operator");
        let mut args = vec!["upgrade", "--install", "sageapi-operator", &chart, "--namespace", SYSTEM];
        args.extend(["--wait", "--timeout", "3m"]);
        for value in values {
            args.extend(["--set", value]);
        }
        self.node.helm(args)?;
        Ok(())
    }

    /// Applies the examples and waits until they are ready; how long that took.
    pub fn apply_examples(&self) -> Result<Duration, Failure> {
        let start = Instant::now();
        self.kubectl(&["apply", "-f", &self.file("examples")])?;
        self.wait("condition=Ready")?;
        Ok(start.elapsed())
    }

    /// kubectl; what it printed.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, Failure> {
        Ok(self.node.kubectl(args)?)
    }

    /// Waits, as `kubectl wait --for` does, for the SageApi.
    pub fn wait(&self, condition: &str) -> Result<(), Failure> {
        let within = format!("--timeout={}s", WITHIN.as_secs());
        let condition = format!("--for={condition}");
        let object = format!("sageapi/{NAME}");
        if let Err(why) = self.kubectl(&["-n", NAMESPACE, "wait", &within, &condition, &object]) {
            let status = self.sageapi().map(|object| object["status"].to_string()).unwrap_or_default();
            return Err(format!("{why}\nstatus: {status}").into());
        }
        Ok(())
    }

    /// The SageApi as it is.
    pub fn sageapi(&self) -> Result<Value, Failure> {
        self.get("sageapi", NAME)
    }

    /// An object of the examples' namespace.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&self.kubectl(&["-n", NAMESPACE, "get", kind, name, "-o", "json"])?)?)
    }

    /// Objects of the examples' namespace by a label selector.
    pub fn list(&self, kind: &str, selector: &str) -> Result<Vec<Value>, Failure> {
        let text = self.kubectl(&["-n", NAMESPACE, "get", kind, "-l", selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The server's pods that are not ending.
    pub fn pods(&self) -> Result<Vec<Value>, Failure> {
        let mut pods = self
            .list("pods", &format!("app.kubernetes.io/instance={NAME},app.kubernetes.io/component=server"))?;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(pods)
    }

    /// A merge patch of the SageApi's spec.
    pub fn patch(&self, spec: &Value) -> Result<(), Failure> {
        let patch = serde_json::json!({"spec": spec}).to_string();
        self.kubectl(&["-n", NAMESPACE, "patch", "sageapi", NAME, "--type=merge", "-p", &patch])?;
        Ok(())
    }

    /// Replaces an entry of a Secret.
    pub fn patch_secret(&self, secret: &str, entry: &str, value: &str) -> Result<(), Failure> {
        let patch = serde_json::json!({"stringData": {entry: value}}).to_string();
        self.kubectl(&["-n", NAMESPACE, "patch", "secret", secret, "--type=merge", "-p", &patch])?;
        Ok(())
    }

    /// The condition of a type: its status and reason.
    pub fn condition(&self, of: &str) -> Result<(String, String), Failure> {
        let object = self.sageapi()?;
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = all.iter().find(|condition| condition["type"] == of);
        let condition = condition.ok_or_else(|| format!("there is no condition {of}"))?;
        let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        Ok((text("status"), text("reason")))
    }

    /// Waits until a condition has this status and reason.
    pub fn wait_reason(&self, of: &str, status: &str, reason: &str) -> Result<Duration, Failure> {
        let mut seen = None;
        let waited = until(&format!("{of}={status}/{reason}"), WITHIN, || {
            let is = self.condition(of)?;
            let done = is == (status.to_owned(), reason.to_owned());
            seen = Some(is);
            Ok(done.then_some(()))
        });
        Ok(waited.map_err(|why| format!("{why}; it is {seen:?}"))?.1)
    }

    /// A command of the server's, within one of its pods; what it printed.
    pub fn server(&self, args: &[&str], input: Option<&str>) -> Result<String, Failure> {
        let deployment = format!("deployment/{NAME}");
        let mut command = self.node.kubectl_command();
        command.args(["-n", NAMESPACE, "exec"]);
        if input.is_some() {
            command.arg("--stdin");
        }
        command.args([deployment.as_str(), "--", "sageapi-server", "--output", "json"]).args(args);
        Ok(sageapi_test_cluster::commands::run_with(&mut command, input.unwrap_or_default())?)
    }

    /// `http://address:port` of the API's Service.
    pub fn base(&self) -> Result<String, Failure> {
        let service = self.get("service", NAME)?;
        let (ip, port) = (&service["spec"]["clusterIP"], &service["spec"]["ports"][0]["port"]);
        Ok(format!("http://{}:{port}", ip.as_str().unwrap_or_default()))
    }
}
