//! The program `sageapi-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two providers are possible in one binary; the first one installed is everybody's.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    sageapi_operator::cli::run(std::env::args_os()).into()
}
