//! The commands. stdout carries the result alone; logs go to stderr.

use std::ffi::OsString;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use sageapi_contract::{ExitCode, OPERATOR_ADMIN_PORT};
use sageapi_runtime::command;
use sageapi_runtime::telemetry::{self, LogFormat, Otlp, TelemetryError};

use crate::offline;
use crate::run::{self, RunError};
use crate::telemetry::SERVICE;
use crate::watch::SecretsAccess;

const PROGRAM: &str = "sageapi-operator";

/// The operator of SageAPI: makes each SageApi resource of a Kubernetes cluster a migrated, served, scaled
/// installation, and keeps it so.
///
/// Exit codes: 0 done, 64 usage, 69 the cluster cannot be reached, 70 internal.
#[derive(Debug, Parser)]
#[command(name = "sageapi-operator", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch SageApi resources and act on them, until SIGTERM
    ///
    /// Inside a cluster the pod's service account is used, elsewhere the current context of KUBECONFIG or
    /// ~/.kube/config. Of several replicas one acts; the others are warm and take over within seconds.
    /// Port 8081 has /livez, /readyz and /metrics.
    Run(Box<Run>),
    /// Print the definition of the SageApi resource
    ///
    /// Example: sageapi-operator crd | kubectl apply --server-side -f -
    Crd,
    /// Print every object that a SageApi would become, without a cluster
    ///
    /// A new installation is assumed. Secrets are printed without data.
    /// Example: sageapi-operator render -f sageapi.yaml
    Render(Render),
    /// Print completions for a shell
    ///
    /// bash: source <(sageapi-operator completion bash)
    /// zsh: sageapi-operator completion zsh >"${fpath[1]}/_sageapi-operator"
    /// fish: sageapi-operator completion fish >~/.config/fish/completions/sageapi-operator.fish
    #[command(verbatim_doc_comment)]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    /// Act in these namespaces only [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',', env = "SAGEAPI_OPERATOR_NAMESPACES")]
    pub namespaces: Vec<String>,
    /// The server's image where a SageApi names none
    #[arg(long, value_name = "REF", env = "SAGEAPI_OPERATOR_SERVER_IMAGE", default_value_t = default_image())]
    pub server_image: String,
    /// What may be done with Secrets that SageApis refer to
    #[arg(long, value_enum, default_value_t = SecretsAccess::Watch, value_name = "HOW", env = "SAGEAPI_OPERATOR_SECRETS")]
    pub secrets: SecretsAccess,
    /// This cluster's name in a database's claim; never change it [default: the UID of the namespace kube-system]
    #[arg(long, value_name = "NAME", env = "SAGEAPI_OPERATOR_CLUSTER")]
    pub cluster: Option<String>,
    /// Where this operator runs: its Lease is there, and its pods may reach the servers' admin port
    /// [default: the namespace of its service account, else of the kubeconfig's context]
    #[arg(long, value_name = "NAMESPACE", env = "SAGEAPI_OPERATOR_NAMESPACE")]
    pub namespace: Option<String>,
    /// Namespaces whose pods may scrape the servers' metrics
    #[arg(long, value_name = "A,B", value_delimiter = ',', env = "SAGEAPI_OPERATOR_MONITORING_NAMESPACES")]
    pub monitoring_namespaces: Vec<String>,
    /// This replica's name, which no other has [default: POD_NAME, else the host's]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// How many resources are worked on at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub concurrency: u8,
    /// Where probes and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], OPERATOR_ADMIN_PORT)))]
    pub admin_listen: SocketAddr,
    /// What is logged: off, error, warn, info, debug, trace, or target=level pairs, separated by commas
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "SAGEAPI_OPERATOR_LOG_LEVEL")]
    pub log_level: String,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Json, value_name = "FORMAT", env = "SAGEAPI_OPERATOR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Send spans of reconciles to this OTLP/HTTP collector, such as http://collector:4318
    #[arg(long, value_name = "URL", env = "SAGEAPI_OPERATOR_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Share of reconciles traced, 0 to 1
    #[arg(long, value_name = "RATIO", default_value_t = 0.05, env = "SAGEAPI_OPERATOR_OTLP_SAMPLING_RATIO")]
    pub otlp_sampling_ratio: f64,
}

#[derive(Debug, ClapArgs)]
struct Render {
    /// A manifest with one SageApi; - reads stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The server's image where the SageApi names none
    #[arg(long, value_name = "REF", env = "SAGEAPI_OPERATOR_SERVER_IMAGE", default_value_t = default_image())]
    server_image: String,
}

fn default_image() -> String {
    format!("sageapi.io/sageapi-server:{}", env!("CARGO_PKG_VERSION"))
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("{0}")]
    Telemetry(#[from] TelemetryError),
    #[error("{0}")]
    Render(#[from] offline::RenderError),
    #[error("{file}: {cause}")]
    File { file: String, cause: std::io::Error },
    #[error("the definition of the resource cannot be printed: {0}")]
    Crd(serde_yaml::Error),
    #[error("stdout: {0}")]
    Output(std::io::Error),
    #[error("the runtime cannot start: {0}")]
    Runtime(std::io::Error),
}

impl Failure {
    fn code(&self) -> ExitCode {
        match self {
            Self::Run(error) => error.code(),
            Self::Telemetry(_) | Self::Render(_) | Self::File { .. } => ExitCode::Usage,
            Self::Crd(_) | Self::Output(_) | Self::Runtime(_) => ExitCode::Internal,
        }
    }
}

/// Runs the command that the arguments name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Args = match command::parse(args) {
        Ok(args) => args,
        Err(code) => return code,
    };
    match dispatch(args.command) {
        Ok(()) => ExitCode::Done,
        Err(failure) => {
            command::print_error(PROGRAM, &failure);
            failure.code()
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Version => print(concat!("sageapi-operator ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Crd => print(&sageapi_crds::yaml().map_err(Failure::Crd)?),
        Command::Completion { shell } => print(&command::completion::<Args>(PROGRAM, shell)),
        Command::Render(Render { file, server_image }) => {
            let manifest = read(&file)?;
            print(&offline::render(&manifest, &server_image)?)
        }
        Command::Run(options) => {
            let work = async {
                let instance = run::identity(&options);
                let otlp = options.otlp_endpoint.clone().map(|endpoint| Otlp {
                    endpoint,
                    sampling_ratio: options.otlp_sampling_ratio,
                    instance: instance.clone(),
                });
                let guard = telemetry::init(&SERVICE, &options.log_level, options.log_format, otlp)?;
                let result = run::run(*options, instance).await;
                guard.shutdown().await;
                Ok(result?)
            };
            command::block_on(work).map_err(Failure::Runtime)?
        }
    }
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let failed = |cause| Failure::File { file: file.display().to_string(), cause };
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(failed)
}

fn print(text: &str) -> Result<(), Failure> {
    command::print(text).map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn namespaces_are_given_in_one_option() {
        let args = Args::try_parse_from(["o", "run", "--namespaces", "a,b"]).unwrap();
        let Command::Run(run) = args.command else { panic!("run was asked for") };
        assert_eq!(run.namespaces, ["a", "b"]);
    }

    #[test]
    fn completions_know_every_command_and_bash_can_read_them() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = command::completion::<Args>(PROGRAM, shell);
            for word in ["run", "render", "completion", "otlp-endpoint"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
        let bash = std::process::Command::new("bash")
            .args(["-n", "-c", &command::completion::<Args>(PROGRAM, Shell::Bash)])
            .output();
        let bash = bash.unwrap();
        assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
    }

    #[test]
    fn wrong_usage_ends_with_64_and_help_with_0() {
        let code = |args: &[&str]| run(args.iter().map(Into::into));
        assert_eq!(code(&["o", "run", "--concurrency", "0"]), ExitCode::Usage);
        assert_eq!(code(&["o", "--help"]), ExitCode::Done);
        assert_eq!(code(&["o", "render", "-f", "/nowhere/sageapi.yaml"]), ExitCode::Usage);
    }
}
