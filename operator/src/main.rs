//! The program `sageapi-operator`.

use std::process::ExitCode;

// What a page of a list takes while it is decoded is given back, though what was kept of it was allocated in between.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Two providers are possible in one binary; the first one installed is everybody's.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    sageapi_operator::cli::run(std::env::args_os()).into()
}
