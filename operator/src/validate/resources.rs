//! CPU and memory of an instance. A quantity may be well written and still not be meant: `500m` of memory is half a
//! byte, and `500Mi` of CPU are half a billion cores.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as KubeQuantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sageapi_crds::Resources;

use super::quantity::{Quantity, split};
use super::{Check, text_of};

/// No amount of memory or disk that anyone asks for is below it.
const MIN_BYTES: Quantity = Quantity::of(1 << 20);
/// An instance with a lower limit is killed before it serves.
const MIN_MEMORY: &str = "32Mi";
/// No machine that an instance could use has more cores.
const MAX_CORES: Quantity = Quantity::of(256);

/// What a resource of Kubernetes is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Cores,
    Bytes,
    /// Whole things of some device plugin.
    Things,
}

impl Measure {
    fn of(resource: &str) -> Option<Self> {
        match resource {
            "cpu" => Some(Self::Cores),
            "memory" | "ephemeral-storage" => Some(Self::Bytes),
            _ if resource.starts_with("hugepages-") => Some(Self::Bytes),
            _ if resource
                .split_once('/')
                .is_some_and(|(domain, name)| !domain.is_empty() && !name.is_empty()) =>
            {
                Some(Self::Things)
            }
            _ => None,
        }
    }

    fn read(self, text: &str) -> Result<Quantity, String> {
        match self {
            Self::Cores => cores(text),
            Self::Bytes => bytes(text),
            Self::Things => parse(text, "1").and_then(|things| match split(text) {
                (_, "m") => Err(format!("{text:?} is not a whole number; write it like 1")),
                _ => Ok(things),
            }),
        }
    }
}

fn parse(text: &str, like: &str) -> Result<Quantity, String> {
    Quantity::parse(text).ok_or_else(|| format!("{text:?} is not a quantity; write it like {like}"))
}

/// An amount of memory or disk that can be meant; nothing at all can.
pub(super) fn bytes(text: &str) -> Result<Quantity, String> {
    let quantity = parse(text, "64Mi")?;
    let (number, unit) = split(text);
    if unit != "m" && (quantity >= MIN_BYTES || quantity == Quantity::of(0)) {
        return Ok(quantity);
    }
    let unit = if is_below(number, 16) { "Gi" } else { "Mi" };
    Err(format!("{text:?} is less than 1Mi; did you mean {number}{unit}?"))
}

/// A number of cores that can be meant.
fn cores(text: &str) -> Result<Quantity, String> {
    let quantity = parse(text, "100m or 0.5")?;
    let (number, unit) = split(text);
    if quantity <= MAX_CORES && !unit.ends_with('i') {
        return Ok(quantity);
    }
    let unit = if is_below(number, 10) { "" } else { "m" };
    Err(format!("{text:?} is more CPUs than any node has; did you mean {number}{unit}?"))
}

fn is_below(number: &str, most: u64) -> bool {
    Quantity::parse(number).is_some_and(|number| number < Quantity::of(most))
}

impl Check {
    pub(super) fn resources(&mut self, given: Option<&Resources>) -> ResourceRequirements {
        let (mut requests, mut limits) = match given {
            Some(Resources { requests, limits }) => {
                (self.amounts("requests", requests), self.amounts("limits", limits))
            }
            None => (BTreeMap::new(), BTreeMap::new()),
        };
        for (name, requested) in &requests {
            let limit = limits.get(name).and_then(|limit| Quantity::parse(limit));
            if limit.zip(Quantity::parse(requested)).is_some_and(|(limit, requested)| requested > limit) {
                self.problem(&format!("spec.resources.requests.{name}"), "it is more than its limit");
            }
        }
        // A default never contradicts the specification: a lower limit is the request too, a higher request the limit.
        let below = |default: &str, limit: Option<&String>| match limit {
            Some(limit) if Quantity::parse(limit) < Quantity::parse(default) => limit.clone(),
            _ => default.to_owned(),
        };
        for (name, default) in [("cpu", "100m"), ("memory", "64Mi")] {
            if !requests.contains_key(name) {
                requests.insert(name.to_owned(), below(default, limits.get(name)));
            }
        }
        if !limits.contains_key("memory") {
            let requested = requests.get("memory").filter(|r| Quantity::parse(r) > Quantity::parse("256Mi"));
            limits.insert("memory".to_owned(), requested.cloned().unwrap_or_else(|| "256Mi".to_owned()));
        }
        let quantities = |texts: BTreeMap<String, String>| {
            Some(texts.into_iter().map(|(name, text)| (name, KubeQuantity(text))).collect())
        };
        ResourceRequirements { claims: None, requests: quantities(requests), limits: quantities(limits) }
    }

    /// The amounts as text, each of them checked.
    fn amounts(&mut self, kind: &str, given: &BTreeMap<String, IntOrString>) -> BTreeMap<String, String> {
        let mut amounts = BTreeMap::new();
        for (name, quantity) in given {
            let text = text_of(quantity);
            let path = format!("spec.resources.{kind}.{name}");
            match Measure::of(name).map(|measure| measure.read(&text)) {
                None => self.problem(
                    &path,
                    "it is not a resource of a container; write cpu, memory, ephemeral-storage, or a name with its domain",
                ),
                Some(Err(why)) => self.problem(&path, why),
                Some(Ok(amount)) => {
                    let least = Quantity::parse(MIN_MEMORY);
                    if kind == "limits" && name == "memory" && Some(amount) < least {
                        self.problem(&path, format!("{text:?} is not enough to start; write at least {MIN_MEMORY}"));
                    }
                }
            }
            amounts.insert(name.clone(), text);
        }
        amounts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_of_memory_that_cannot_be_meant_is_refused_with_the_one_that_is() {
        for (text, meant) in [
            ("500m", "500Mi"),
            ("0.5", "0.5Gi"),
            ("1", "1Gi"),
            ("512", "512Mi"),
            ("1Ki", "1Gi"),
            ("256k", "256Mi"),
            ("1000000000m", "1000000000Mi"),
        ] {
            let why = bytes(text).unwrap_err();
            assert!(why.ends_with(&format!("did you mean {meant}?")), "{text}: {why}");
        }
        for text in ["0", "1Mi", "64M", "1e9", "0.5Gi", "268435456"] {
            assert!(bytes(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_number_of_cores_that_cannot_be_meant_is_refused_with_the_one_that_is() {
        for (text, meant) in [("500Mi", "500m"), ("2Gi", "2"), ("500", "500m"), ("1k", "1"), ("1Ki", "1")] {
            let why = cores(text).unwrap_err();
            assert!(why.ends_with(&format!("did you mean {meant}?")), "{text}: {why}");
        }
        for text in ["0", "100m", "0.5", "2", "128", "2e1"] {
            assert!(cores(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn devices_come_whole_and_have_a_domain() {
        assert_eq!(Measure::of("nvidia.com/gpu"), Some(Measure::Things));
        assert!(Measure::Things.read("1").is_ok());
        assert!(Measure::Things.read("500m").is_err());
        for name in ["mem", "CPU", "/gpu", "nvidia.com/"] {
            assert_eq!(Measure::of(name), None, "{name}");
        }
    }
}
