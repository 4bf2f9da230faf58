//! What the operator asks of the API server, verb by verb, from the table of kinds: no more than it uses. The chart's
//! roles are compared with it, and a test compares it with what the API server was really asked.

use crate::kinds::{Kind, Row, Write};
use crate::watch::SecretsAccess;

/// Rights on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, with its subresource.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: Vec<&'static str>,
    /// The one object that they are for; `None`: all of them.
    pub name: Option<&'static str>,
}

/// Rights in each namespace that is watched.
pub fn watched(secrets: SecretsAccess) -> Vec<Rule> {
    let elsewhere = [Kind::Lease, Kind::Namespace];
    let kinds = Kind::all().filter(|kind| !elsewhere.contains(kind));
    kinds.flat_map(|kind| rules(kind, kind != Kind::Secret || secrets == SecretsAccess::Watch)).collect()
}

/// Rights in the operator's own namespace.
pub fn own() -> Vec<Rule> {
    rules(Kind::Lease, false)
}

/// Rights in the whole cluster: only where `--cluster` does not name it.
pub fn cluster() -> Vec<Rule> {
    let rules = rules(Kind::Namespace, false).into_iter();
    rules.map(|rule| Rule { name: Some("kube-system"), ..rule }).collect()
}

fn rules(kind: Kind, may_watch: bool) -> Vec<Rule> {
    let row = kind.row();
    let rule = |resource, verbs| Rule { group: row.group, resource, verbs, name: None };
    let verbs = verbs(row, may_watch);
    let main = (!verbs.is_empty()).then(|| rule(row.plural, verbs));
    main.into_iter()
        .chain(row.rights.iter().map(|(resource, verbs)| rule(resource, verbs.to_vec())))
        .collect()
}

/// What follows from how objects of the kind are watched and written.
fn verbs(row: &Row, may_watch: bool) -> Vec<&'static str> {
    let mut verbs = match row.write {
        Write::Never => Vec::new(),
        Write::Apply => vec!["get", "create", "patch"],
        Write::Create => vec!["get", "create"],
    };
    if row.watched.is_some() && may_watch {
        verbs.extend(["list", "watch"]);
    }
    if row.delete {
        verbs.push("delete");
    }
    verbs
}
