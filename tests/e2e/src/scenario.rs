//! What is gone through, step by step; the first step that fails is the last.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sageapi_test_support::client::Client;
use serde_json::Value;

use crate::figures::Figures;
use crate::installation::{Installation, NAME, NAMESPACE, OPERATOR, SYSTEM, WITHIN};
use crate::load::Load;
use crate::waiting::until;
use crate::{Failure, Surroundings, steps};

/// So much is booked by one request of the load.
pub const UNIT: &str = "0.0001";

/// Everything that steps share.
pub struct Scenario {
    /// The node, and what is on it.
    pub at: Installation,
    /// What was measured.
    pub figures: Figures,
    /// Where images and their sizes are.
    pub given: GivenImages,
    /// How long an operator that has nothing to do is watched.
    pub idle: Duration,
    /// A key of the customer, once there is one.
    pub key: Option<(String, String)>,
    /// Bookings of one unit that were answered.
    pub booked: u64,
    loads: u32,
    node: String,
}

/// Where images are.
pub struct GivenImages {
    /// The folder.
    pub folder: std::path::PathBuf,
}

/// Goes through everything; whether all is as it must be.
pub fn run(given: &Surroundings, idle: u64) -> Result<bool, Failure> {
    let start = Instant::now();
    println!("bringing images, MariaDB and the simulated platform onto the node");
    let mut scenario = Scenario {
        at: Installation::prepare(given)?,
        figures: Figures::default(),
        given: GivenImages { folder: given.images.clone() },
        idle: Duration::from_secs(idle),
        key: None,
        booked: 0,
        loads: 0,
        node: given.node.clone(),
    };
    let mut failed = None;
    for (name, step) in steps::ALL {
        let begun = Instant::now();
        match step(&mut scenario) {
            Ok(()) => println!("ok      {:6.1} s  {name}", begun.elapsed().as_secs_f64()),
            Err(why) => {
                println!("FAILED  {:6.1} s  {name}\n{why}", begun.elapsed().as_secs_f64());
                failed = Some(name);
                break;
            }
        }
    }
    if failed.is_some() {
        scenario.tell_state();
    }
    println!("\nmeasured in {:.0} s:", start.elapsed().as_secs_f64());
    let reached = scenario.figures.print();
    Ok(failed.is_none() && reached)
}

impl Scenario {
    /// A client of the API's Service, with the customer's key.
    pub fn client(&self) -> Result<Client, Failure> {
        let (key, secret) = self.key.as_ref().ok_or("there is no key yet")?;
        Ok(Client::new(self.at.base()?, key, secret))
    }

    /// Does something while clients ask and book, who must not notice.
    pub fn under_load(
        &mut self,
        what: &str,
        change: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.loads += 1;
        let load = Load::start(&self.client()?, &format!("load-{}", self.loads))?;
        let go_on = |load: &Load| {
            let from = load.answered();
            until("answers to the load", WITHIN, || Ok((load.answered() > from + 60).then_some(())))
        };
        let mut changed = go_on(&load).map(drop);
        if changed.is_ok() {
            changed = change(self);
        }
        if changed.is_ok() {
            changed = go_on(&load).map(drop);
        }
        let outcome = load.end()?;
        self.booked += outcome.booked;
        for complaint in &outcome.complaints {
            println!("          {complaint}");
        }
        let name = format!("failed requests, {what} (of {})", outcome.answered + outcome.failed);
        #[expect(clippy::cast_precision_loss, reason = "few")]
        self.figures.at_most(&name, outcome.failed as f64, 0.0, "");
        changed
    }

    /// Changes something that makes new pods, and waits until the last old one is gone.
    pub fn roll(
        &mut self,
        what: &str,
        change: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let before = uids(&self.at.pods()?);
        self.under_load(what, |scenario| {
            change(scenario)?;
            scenario.wait_rolled(&before)
        })
    }

    /// Waits until none of these pods is left, and the SageApi is as its specification says.
    pub fn wait_rolled(&self, before: &BTreeSet<String>) -> Result<(), Failure> {
        let selector = format!("app.kubernetes.io/instance={NAME},app.kubernetes.io/component=server");
        let mut seen = String::new();
        let rolled = until("new pods", WITHIN, || {
            let left = uids(&self.at.list("pods", &selector)?);
            seen = format!("pods {left:?} of {before:?}");
            Ok((!left.is_empty() && left.is_disjoint(before)).then_some(()))
        });
        rolled.map_err(|why| format!("{why}: {seen}"))?;
        self.wait_converged()
    }

    /// Waits until the SageApi is as its specification says.
    pub fn wait_converged(&self) -> Result<(), Failure> {
        for condition in ["UpToDate", "Reconciling=False", "Ready"] {
            self.at.wait(&format!("condition={condition}"))?;
        }
        Ok(())
    }

    /// Writes of the operator since `from` requests: to the examples' namespace, and those of them that
    /// are events.
    pub fn writes_since(&self, from: usize) -> Result<(usize, usize), Failure> {
        let requests = self.at.node.requests()?;
        let own = requests
            .iter()
            .skip(from)
            .filter(|request| request.user == OPERATOR && request.is_write() && request.resource != "leases");
        let (events, writes): (Vec<_>, Vec<_>) = own.partition(|request| request.resource == "events");
        Ok((writes.len(), events.len()))
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What helps to see why a step failed.
    fn tell_state(&self) {
        let commands: [&[&str]; 5] = [
            &["-n", NAMESPACE, "get", "sageapi,deployment,job,pods", "-o", "wide"],
            &["-n", NAMESPACE, "get", "sageapi", NAME, "-o", "jsonpath={.status}"],
            &["-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp"],
            &["-n", NAMESPACE, "logs", "--prefix", "--tail=15", "-l", "app.kubernetes.io/instance=prod"],
            &["-n", SYSTEM, "logs", "--prefix", "--tail=30", "-l", "app.kubernetes.io/name=sageapi-operator"],
        ];
        for command in commands {
            let said = self.at.kubectl(command).unwrap_or_else(|why| why.to_string());
            println!("\n$ kubectl {}\n{said}", command.join(" "));
        }
    }
}

/// The UIDs of objects.
pub fn uids(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().filter_map(|object| object["metadata"]["uid"].as_str()).map(str::to_owned).collect()
}
