//! A cluster for a person: operator and examples, and what to try.

use std::process::Command;

use serde_json::Value;

use crate::installation::{Installation, NAME, NAMESPACE};
use crate::{Failure, Surroundings};

/// A customer of the simulated platform.
const CUSTOMER: &str = "org_demo_0001";

/// Installs everything and prints how to use it.
pub fn install(given: &Surroundings) -> Result<(), Failure> {
    println!("bringing images, MariaDB and the simulated platform onto the node");
    let at = Installation::prepare(given)?;
    println!("helm install charts/sageapi-operator");
    at.install_operator(&[])?;
    println!("kubectl apply -f examples/");
    let took = at.apply_examples()?;
    println!("Ready after {:.1} s\n", took.as_secs_f64());
    println!("{}", at.kubectl(&["-n", NAMESPACE, "get", "sageapi,pods,services"])?);

    at.server(&["customer", "create", CUSTOMER], None)?;
    at.server(&["customer", "credit", CUSTOMER, "1000", "--transno", "first"], None)?;
    let scopes = "balance:read,accounting:read,accounting:write,users:read,pricing:read";
    let made =
        at.server(&["key", "create", "--customer", CUSTOMER, "--scopes", scopes, "--name", "demo"], None)?;
    let made: Value = serde_json::from_str(&made)?;
    let key = made["key_id"].as_str().ok_or("no key_id in what key create printed")?;
    let secret = made["secret"].as_str().ok_or("no secret in what key create printed")?;
    let file = at.node.place().folder().join("demo.secret");
    std::fs::write(&file, secret)?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;

    let server = std::env::current_exe()?.with_file_name("sageapi-server");
    let url = format!("{}/api/v1/balance", at.base()?);
    let mut sign = Command::new(&server);
    let sign = sign.args(["sign", "--key-id", key, "--secret-file"]).arg(&file).arg(&url);
    let signed = String::from_utf8(sign.output()?.stdout)?;
    let answer = Command::new("sh").args(["-c", signed.trim()]).output()?;

    let namespace = at.node.place().namespace_file();
    println!("What follows is to be typed in a shell on the node:\n");
    println!("  nsenter --net={} bash", namespace.display());
    println!("  export KUBECONFIG={}", at.node.kubeconfig().display());
    println!("  export PATH={}:$PATH\n", at.node.programs().display());
    println!("  kubectl -n {NAMESPACE} get sageapi {NAME} -o yaml");
    println!("  kubectl -n {NAMESPACE} scale sageapi/{NAME} --replicas=3");
    println!("  kubectl -n {NAMESPACE} exec deployment/{NAME} -- sageapi-server key list\n");
    println!("A signed request ({} sign prints it) and its answer:\n", server.display());
    println!("$ {}", signed.trim());
    println!("{}", String::from_utf8_lossy(&answer.stdout).trim());
    println!("\nEverything stays up until: make cluster-down");
    Ok(())
}
