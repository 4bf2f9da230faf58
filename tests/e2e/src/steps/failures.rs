//! What goes wrong shows as a condition, leaves running pods alone, and heals by itself.

use serde_json::json;

use crate::Failure;
use crate::scenario::{Scenario, uids};
use crate::steps::rolls::ROTATED;

/// A reference to a Secret that comes later, and one to a Secret whose entry is nonsense.
pub fn missing_secret(scenario: &mut Scenario) -> Result<(), Failure> {
    let before = uids(&scenario.at.pods()?);
    scenario.under_load("missing Secret", |scenario| {
        let refer = |name: &str| json!({"database": {"mysql": {"urlSecretRef": {"name": name}}}});
        scenario.at.patch(&refer("sage-database-2"))?;
        scenario.at.wait_reason("CredentialsReady", "False", "SecretNotFound")?;
        same_pods(scenario, &before)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "sage-database-2", "namespace": crate::installation::NAMESPACE},
            "stringData": {"url": "mysql://sage:sage-demo@mariadb.outside.svc.cluster.local:3306/sage"},
        });
        scenario.at.node.apply(&secret.to_string())?;
        scenario.at.wait_reason("CredentialsReady", "True", "Resolved")?;
        scenario.wait_rolled(&before)?;
        let pods = uids(&scenario.at.pods()?);
        scenario.at.patch(&refer("sage-database"))?;
        scenario.wait_rolled(&pods)?;

        // A Secret that is there and wrong.
        let pods = uids(&scenario.at.pods()?);
        scenario.at.patch_secret("sage-database", "url", "postgres://sage@db/sage")?;
        scenario.at.wait_reason("CredentialsReady", "False", "InvalidCredentials")?;
        scenario.at.patch_secret("sage-database", "url", ROTATED)?;
        scenario.at.wait_reason("CredentialsReady", "True", "Resolved")?;
        scenario.wait_converged()?;
        same_pods(scenario, &pods)
    })
}

/// Another database, in which the user may change nothing.
pub fn migration(scenario: &mut Scenario) -> Result<(), Failure> {
    let before = uids(&scenario.at.pods()?);
    scenario.under_load("failing migration", |scenario| {
        scenario.at.patch(&json!({"database": {"migration": {"maxAttempts": 1}}}))?;
        let locked = "mysql://reader:sage-reader@mariadb.outside.svc.cluster.local:3306/sage_locked";
        scenario.at.patch_secret("sage-database", "url", locked)?;
        scenario.at.wait_reason("SchemaUpToDate", "False", "BackoffLimitExceeded")?;
        let (stalled, _) = scenario.at.condition("Stalled")?;
        let phase = scenario.at.sageapi()?["status"]["phase"].clone();
        if (stalled.as_str(), phase.as_str()) != ("True", Some("MigrationFailed")) {
            return Err(format!("Stalled is {stalled}, and the phase {phase}").into());
        }
        same_pods(scenario, &before)?;
        scenario.at.patch_secret("sage-database", "url", ROTATED)?;
        scenario.at.wait("condition=Stalled=False")?;
        scenario.at.wait("condition=SchemaUpToDate")?;
        scenario.wait_converged()
    })
}

fn same_pods(scenario: &Scenario, before: &std::collections::BTreeSet<String>) -> Result<(), Failure> {
    let pods = uids(&scenario.at.pods()?);
    if pods == *before { Ok(()) } else { Err(format!("the pods were {before:?} and are {pods:?}").into()) }
}
