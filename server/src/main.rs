//! The program `sageapi-server`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Two providers are possible in one binary; the first one installed is everybody's.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    sageapi_server::cli::run(std::env::args_os(), std::env::vars_os()).into()
}
