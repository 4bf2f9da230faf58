//! The steps, each a sentence that holds when it has run.

mod begin;
mod end;
mod failures;
mod rolls;

use crate::Failure;
use crate::scenario::Scenario;

/// What a step does.
type Step = fn(&mut Scenario) -> Result<(), Failure>;

/// All steps, in their order.
pub const ALL: [(&str, Step); 17] = [
    ("the chart installs, and the operator gets ready", begin::install),
    ("the applied examples become Ready", begin::apply),
    ("a signed request is answered through the Service from outside", begin::from_outside),
    ("a signed request is answered through the Service from a pod", begin::from_a_pod),
    ("every pod meets the standard `restricted`, which its namespace enforces", begin::restricted),
    ("kubectl scale makes three instances", rolls::scale),
    ("a change of the configuration rolls", rolls::configuration),
    ("a rotated Secret rolls", rolls::secret),
    ("a new image rolls", rolls::image),
    ("a deleted pod is replaced", rolls::deleted_pod),
    (
        "an operator that is killed half way through a roll is replaced by one that ends it",
        rolls::killed_operator,
    ),
    (
        "a Secret that is missing or wrong shows, old pods serve, and it heals when the Secret is right",
        failures::missing_secret,
    ),
    ("a migration that fails shows, old pods serve, and it heals when the cause goes", failures::migration),
    ("an operator with nothing to do writes nothing, nor after a restart", end::idle),
    ("every answered booking is in the ledger once", end::ledger),
    ("what is deleted goes, but for the keys, and what is applied again takes them up", end::delete),
    ("the chart goes, and what it made goes on", end::uninstall),
];
