//! The options of `run`.

use std::net::SocketAddr;

use clap::Args;
use sageapi_contract::OPERATOR_ADMIN_PORT;

use crate::watch::SecretsAccess;
use sageapi_runtime::telemetry::LogFormat;

/// The options of `run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Watch these namespaces only [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',', env = "SAGEAPI_OPERATOR_NAMESPACES")]
    pub namespaces: Vec<String>,
    /// The server's image of SageApis that name none
    #[arg(long, value_name = "REF", env = "SAGEAPI_OPERATOR_SERVER_IMAGE", default_value_t = default_image())]
    pub server_image: String,
    /// What may be done with Secrets that SageApis refer to
    #[arg(long, value_enum, default_value_t = SecretsAccess::Watch, value_name = "HOW", env = "SAGEAPI_OPERATOR_SECRETS")]
    pub secrets: SecretsAccess,
    /// This cluster's name in a database's claim; never change it [default: the UID of the namespace kube-system]
    #[arg(long, value_name = "NAME", env = "SAGEAPI_OPERATOR_CLUSTER")]
    pub cluster: Option<String>,
    /// The operator's own namespace: its Lease is in it, and its pods may reach the servers' admin port
    /// [default: the namespace of its service account, else of the kubeconfig's context]
    #[arg(long, value_name = "NAMESPACE", env = "SAGEAPI_OPERATOR_NAMESPACE")]
    pub namespace: Option<String>,
    /// Namespaces whose pods may scrape the servers' metrics
    #[arg(long, value_name = "A,B", value_delimiter = ',', env = "SAGEAPI_OPERATOR_MONITORING_NAMESPACES")]
    pub monitoring_namespaces: Vec<String>,
    /// This replica's name, which must be unique [default: POD_NAME, else the host's]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// How many resources are reconciled at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub concurrency: u8,
    /// Where probes and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], OPERATOR_ADMIN_PORT)))]
    pub admin_listen: SocketAddr,
    /// Log level: off, error, warn, info, debug, trace, or target=level pairs, separated by commas
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "SAGEAPI_OPERATOR_LOG_LEVEL")]
    pub log_level: String,
    /// Format of log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Json, value_name = "FORMAT", env = "SAGEAPI_OPERATOR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Send traces of reconciles to this OTLP/HTTP collector, such as http://collector:4318
    #[arg(long, value_name = "URL", env = "SAGEAPI_OPERATOR_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Share of reconciles traced, 0 to 1
    #[arg(long, value_name = "RATIO", default_value_t = 0.05, env = "SAGEAPI_OPERATOR_OTLP_SAMPLING_RATIO")]
    pub otlp_sampling_ratio: f64,
}

/// The server's image of the same release.
pub fn default_image() -> String {
    format!("sageapi.io/sageapi-server:{}", env!("CARGO_PKG_VERSION"))
}
