use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TIME;

/// How the platform's data is mirrored.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    /// IANA name of the zone of the platform's dates, and of schedules without one of their own. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// A sweep that would delete more than this share of an entity is refused. Default: 0.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub max_delete_ratio: Option<f64>,
    /// Users. Default: every 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<EntitySync>,
    /// Pricing programs. Default: every 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<EntitySync>,
    /// Models. Default: every 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llmage: Option<EntitySync>,
    /// Upstream APIs. Default: every 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uapi: Option<EntitySync>,
}

/// How one entity is mirrored.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(validation = Rule::new("!(has(self.every) && has(self.schedule))")
    .message("give at most one of every and schedule"))]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)")
    .message("timeZone is that of schedule: give both or none"))]
#[serde(rename_all = "camelCase")]
pub struct EntitySync {
    /// Whether it is mirrored. Default: whenever there is an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Time between two runs, 100ms to 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = TIME))]
    pub every: Option<String>,
    /// When to run, instead of `every`: minute, hour, day of month, month, day of week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 256))]
    pub schedule: Option<String>,
    /// IANA name of the zone of `schedule`. Default: that of `sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Incremental (default) or Full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SyncMode>,
    /// Rows in a page. Default: 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub batch_size: Option<i32>,
    /// Time between two snapshots in mode Incremental, 1s to 365d. Default: only when the platform asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = TIME))]
    pub full_every: Option<String>,
}

/// What one run pulls: what changed (Incremental, the default) or a snapshot (Full).
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// What changed.
    Incremental,
    /// A snapshot.
    Full,
}
