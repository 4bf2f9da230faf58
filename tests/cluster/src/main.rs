//! `sageapi-test-cluster`: a real Kubernetes for tests.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use sageapi_test_cluster::{
    AUDIT_LOG_VARIABLE, ControlPlane, Error, KUBECONFIG_VARIABLE, Node, Result, Tool, Tools, image, node,
};

/// A real Kubernetes for tests.
#[derive(Parser)]
#[command(name = "sageapi-test-cluster", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build the programs of Kubernetes that are not there yet, and print their folder
    Build {
        /// What a node needs, instead of what tests without one need
        #[arg(long)]
        node: bool,
    },
    /// Run a command beside an API server of its own, named by SAGEAPI_TEST_KUBECONFIG
    ControlPlane {
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Bring up a node that runs pods, and leave it up (root)
    Up {
        /// Its name
        #[arg(default_value = "demo")]
        name: String,
    },
    /// Remove a node, also what a killed one left (root)
    Down {
        /// Its name
        #[arg(default_value = "demo")]
        name: String,
    },
    /// Run a command in the network namespace of a node that is up (root)
    Enter {
        /// Its name
        #[arg(long, default_value = "demo")]
        name: String,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Run a command in the network namespace of a node of its own, which goes with it (root)
    Run {
        /// The node's name
        #[arg(long, default_value = "run")]
        name: String,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Write a binary with the libraries that it needs as an OCI archive
    Image {
        /// The binary
        binary: PathBuf,
        /// Where to: <FOLDER>/<binary>.tar
        #[arg(long, default_value = "target/images")]
        folder: PathBuf,
        /// The image's version
        #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
        version: String,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("sageapi-test-cluster: {why}");
            ExitCode::from(if matches!(why, Error::Missing(_)) { 69 } else { 70 })
        }
    }
}

fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::Build { node } => {
            // The collector takes minutes to compile, and only tests without a node send it spans.
            let besides = if node { Tool::NODE } else { &[Tool::Helm, Tool::Collector] };
            let wanted = [Tool::CONTROL_PLANE, besides].concat();
            print(&Tools::ready(&wanted)?.folder().display().to_string());
            Ok(ExitCode::SUCCESS)
        }
        Action::ControlPlane { command } => {
            let plane = ControlPlane::get()?;
            let mut variables = vec![(KUBECONFIG_VARIABLE, plane.kubeconfig())];
            variables.extend(plane.audit_log().map(|log| (AUDIT_LOG_VARIABLE, log)));
            let mut words = command.iter();
            let mut command = Command::new(words.next().map_or("".as_ref(), |word| word.as_os_str()));
            end_with(command.args(words).envs(variables))
        }
        Action::Up { name } => {
            let node = Node::up(&name)?;
            let namespace = node.place().namespace_file();
            print(&format!(
                "the node is up; to use it:\n  export KUBECONFIG={}\n  nsenter --net={} {} get pods -A",
                node.kubeconfig().display(),
                namespace.display(),
                node.programs().join("kubectl").display()
            ));
            Ok(ExitCode::SUCCESS)
        }
        Action::Down { name } => {
            node::Place::of(&name)?.down()?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Run { name, command } => {
            let node = Node::up(&name)?;
            let ended = end_with(&mut within(&node, &command));
            node.place().down()?;
            ended
        }
        Action::Enter { name, command } => {
            let node = Node::existing(&name)?;
            end_with(&mut within(&node, &command))
        }
        Action::Image { binary, folder, version } => {
            let image = image::write(&binary, &version, &folder)?;
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            let size = image.size as f64 / 1e6;
            print(&format!("{}  {}  {size:.1} MB", image.path.display(), image.reference));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A command in a node's network namespace, which knows the node.
fn within(node: &Node, command: &[std::ffi::OsString]) -> Command {
    let mut words = command.iter();
    let mut command = node.place().command(words.next().map_or("".as_ref(), |word| word.as_os_str()));
    let (kubeconfig, audit_log) = (node.kubeconfig(), node.audit_log());
    if let Some(path) = before_path(node.programs()) {
        command.env("PATH", path);
    }
    command.env("KUBECONFIG", kubeconfig).env(KUBECONFIG_VARIABLE, kubeconfig);
    command.env(AUDIT_LOG_VARIABLE, audit_log).args(words);
    command
}

/// The PATH with a folder at its beginning: the system's kubectl may be years older than the node.
fn before_path(folder: &Path) -> Option<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path))).ok()
}

/// Runs a command to its end; its exit code.
fn end_with(command: &mut Command) -> Result<ExitCode> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|cause| Error::Start { program, cause })?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn print(line: &str) {
    println!("{line}");
}
