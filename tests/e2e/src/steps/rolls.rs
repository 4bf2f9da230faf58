//! Changes that clients do not notice.

use serde_json::json;

use crate::Failure;
use crate::installation::{NAME, NAMESPACE, SYSTEM, VERSION, WITHIN};
use crate::scenario::{Scenario, uids};
use crate::waiting::until;

/// The database's URL after its password was rotated: that of a second user.
pub const ROTATED: &str = "mysql://sage2:sage-rotated@mariadb.outside.svc.cluster.local:3306/sage";

/// From two instances to three, by the scale subresource.
pub fn scale(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.under_load("scale", |scenario| {
        let object = format!("sageapi/{NAME}");
        scenario.at.kubectl(&["-n", NAMESPACE, "scale", &object, "--replicas=3"])?;
        scenario.at.wait("jsonpath={.status.readyInstances}=3")?;
        scenario.wait_converged()
    })
}

/// A key of the server's configuration.
pub fn configuration(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.roll("configuration", |scenario| scenario.at.patch(&json!({"cache": {"ttl": "30s"}})))
}

/// The database's password.
pub fn secret(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.roll("Secret", |scenario| scenario.at.patch_secret("sage-database", "url", ROTATED))
}

/// The same server under another tag: a migration that has nothing to do, then a roll.
pub fn image(scenario: &mut Scenario) -> Result<(), Failure> {
    let (old, new) = (format!("sageapi.io/sageapi-server:{VERSION}"), "sageapi.io/sageapi-server:next");
    scenario.at.node.tag_image(&old, new)?;
    scenario.roll("image", |scenario| {
        scenario.at.patch(&json!({"image": {"repository": "sageapi.io/sageapi-server", "tag": "next"}}))
    })?;
    let version = scenario.at.sageapi()?["status"]["version"].clone();
    if version == "next" { Ok(()) } else { Err(format!("status.version is {version}").into()) }
}

/// One of three.
pub fn deleted_pod(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.under_load("pod deletion", |scenario| {
        let pods = scenario.at.pods()?;
        let name = pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).ok_or("there is no pod")?;
        scenario.at.kubectl(&["-n", NAMESPACE, "delete", "pod", name])?;
        scenario.at.wait("jsonpath={.status.readyInstances}=3")?;
        scenario.wait_converged()
    })
}

/// Both operator pods at once, without a warning, as soon as the first new pod is there.
pub fn killed_operator(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.roll("operator kill", |scenario| {
        let before = uids(&scenario.at.pods()?);
        scenario.at.patch(&json!({"cache": {"ttl": "31s"}}))?;
        until("the first new pod", WITHIN, || {
            Ok(uids(&scenario.at.pods()?).difference(&before).next().is_some().then_some(()))
        })?;
        let selector = "app.kubernetes.io/name=sageapi-operator";
        scenario.at.kubectl(&[
            "-n",
            SYSTEM,
            "delete",
            "pods",
            "-l",
            selector,
            "--grace-period=0",
            "--force",
        ])?;
        // Behind its back: the new one has to find out by itself.
        scenario.at.patch(&json!({"cache": {"ttl": "32s"}}))
    })
}
