//! The commands. Only the result goes to stdout; logs go to stderr.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use sageapi_contract::ExitCode;
use sageapi_runtime::command;
use sageapi_runtime::telemetry::{self, Otlp, TelemetryError};

use crate::offline;
use crate::options::{RunOptions, default_image};
use crate::run::{self, RunError};
use crate::telemetry::SERVICE;

const PROGRAM: &str = "sageapi-operator";

/// The operator of SageAPI: turns each SageApi resource of a Kubernetes cluster into a migrated, serving, scaled
/// installation, and keeps it that way.
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
    /// ~/.kube/config. Of several replicas one acts; the others are on standby and take over within seconds.
    /// Port 8081 has /livez, /readyz and /metrics.
    Run(Box<RunOptions>),
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
struct Render {
    /// A manifest with one SageApi; - reads stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The server's image if the SageApi names none
    #[arg(long, value_name = "REF", env = "SAGEAPI_OPERATOR_SERVER_IMAGE", default_value_t = default_image())]
    server_image: String,
}

/// Why a command failed.
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

/// A reader that closes early, like `head`, is not a failure.
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
