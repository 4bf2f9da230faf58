//! Rest, the books, and the end.

use http::Method;
use serde_json::Value;

use crate::Failure;
use crate::figures;
use crate::installation::{NAME, NAMESPACE, SYSTEM, WITHIN};
use crate::scenario::{Scenario, uids};
use crate::waiting::until;

/// Nothing to do, then a new start of the operator: no write but the lease.
#[expect(clippy::cast_precision_loss, reason = "few")]
pub fn idle(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.wait_converged()?;
    let from = scenario.at.node.requests()?.len();
    std::thread::sleep(scenario.idle);
    let (writes, events) = scenario.writes_since(from)?;
    let what = format!("operator writes while converged, {} s", scenario.idle.as_secs());
    scenario.figures.at_most(&what, (writes + events) as f64, 0.0, "");

    for (program, most) in [("sageapi-operator", 40.0), ("sageapi-server", 50.0)] {
        let largest = figures::resident(program, scenario.node()).into_iter().fold(0.0, f64::max);
        if largest == 0.0 {
            return Err(format!("no process {program} is to be seen").into());
        }
        scenario.figures.at_most(&format!("resident memory of {program}"), largest, most, " MB");
    }

    let from = scenario.at.node.requests()?.len();
    scenario.at.kubectl(&["-n", SYSTEM, "rollout", "restart", "deployment/sageapi-operator"])?;
    scenario.at.kubectl(&[
        "-n",
        SYSTEM,
        "rollout",
        "status",
        "deployment/sageapi-operator",
        "--timeout=180s",
    ])?;
    // A new leader has looked at everything when it has taken the lease and some time has passed.
    std::thread::sleep(std::time::Duration::from_secs(20));
    let (writes, events) = scenario.writes_since(from)?;
    scenario.figures.at_most("operator writes over a restart", (writes + events) as f64, 0.0, "");
    Ok(())
}

/// Recomputes every balance, and compares it with what clients were told.
pub fn ledger(scenario: &mut Scenario) -> Result<(), Failure> {
    scenario.at.server(&["verify"], None)?;
    let client = scenario.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let call = client.call(Method::GET, "/balance").header("cache-control", "no-cache");
    let answer = runtime.block_on(call.try_send())?;
    let balance = answer.body["data"]["balance"].as_str().ok_or(answer.to_string())?.to_owned();
    // 1000 less one ten-thousandth for each booking.
    let units = 10_000_000 - i64::try_from(scenario.booked)?;
    let expected = format!("{}.{:04}", units / 10_000, units % 10_000);
    let expected = expected.trim_end_matches('0').trim_end_matches('.');
    if balance != expected {
        return Err(format!(
            "the balance is {balance}; after {} bookings it should be {expected}",
            scenario.booked
        )
        .into());
    }
    scenario.figures.note("bookings answered, and in the ledger", scenario.booked.to_string());
    Ok(())
}

/// Deletes the SageApi, looks at what is left, and applies it again.
pub fn delete(scenario: &mut Scenario) -> Result<(), Failure> {
    let object = format!("sageapi/{NAME}");
    scenario.at.kubectl(&["-n", NAMESPACE, "delete", &object])?;
    let kinds = "deployments,replicasets,pods,jobs,services,configmaps,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets";
    let selector = format!("app.kubernetes.io/instance={NAME}");
    let mut left = Vec::new();
    let gone = until("the end of what belonged to it", WITHIN, || {
        left = scenario.at.list(kinds, &selector)?;
        let names: Vec<_> = left.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect();
        Ok((names == [format!("{NAME}-keys")]).then_some(()))
    });
    gone.map_err(|why| {
        let names: Vec<_> = left.iter().map(|o| format!("{} {}", o["kind"], o["metadata"]["name"])).collect();
        format!("{why}: {names:?}")
    })?;
    let keys = uids(&left);

    let took = scenario.at.apply_examples()?;
    scenario.figures.note("kubectl apply to Ready, database filled", format!("{:.1} s", took.as_secs_f64()));
    if uids(&scenario.at.list("secrets", &selector)?).is_disjoint(&keys) {
        return Err("the keys were generated again".into());
    }
    answers(scenario)
}

/// Uninstalls the operator; the API goes on.
pub fn uninstall(scenario: &mut Scenario) -> Result<(), Failure> {
    let pods = uids(&scenario.at.pods()?);
    scenario.at.node.helm(["uninstall", "sageapi-operator", "--namespace", SYSTEM, "--wait"])?;
    let object: Value = scenario.at.sageapi()?;
    if object["metadata"]["deletionTimestamp"].is_string() || uids(&scenario.at.pods()?) != pods {
        return Err("what the operator made did not stay as it was".into());
    }
    answers(scenario)
}

/// The key that was made at the beginning still works: its secret can be read with the keys that were kept.
fn answers(scenario: &Scenario) -> Result<(), Failure> {
    let client = scenario.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(client.call(Method::GET, "/balance").try_send())?;
    if answer.status == 200 { Ok(()) } else { Err(format!("the balance was answered with {answer}").into()) }
}
