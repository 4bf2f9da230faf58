//! `sageapi-test-database mariadb|mysql -- COMMAND ARGS...`: runs a command beside a database server
//! that is made for it, named by SAGEAPI_TEST_MYSQL_URL, and passes its exit code on.

use std::process::{Command, ExitCode};

use sageapi_test_support::{Mysqld, Vendor, database};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let vendor = match args.first().and_then(|arg| arg.to_str()) {
        Some("mariadb") => Vendor::MariaDb,
        Some("mysql") => Vendor::MySql,
        _ => return complain("usage: sageapi-test-database mariadb|mysql -- COMMAND ARGS..."),
    };
    let command = match args.get(1..) {
        Some([dashes, program, rest @ ..]) if dashes == "--" => (program, rest),
        _ => return complain("usage: sageapi-test-database mariadb|mysql -- COMMAND ARGS..."),
    };
    let server = match Mysqld::start_in_memory(vendor) {
        Ok(server) => server,
        Err(why) => return complain(&why),
    };
    let status = Command::new(command.0).args(command.1).env(database::MYSQL_URL, server.url()).status();
    drop(server);
    match status {
        Ok(status) => {
            status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => complain(&format!("{}: {error}", command.0.display())),
    }
}

fn complain(why: &str) -> ExitCode {
    eprintln!("sageapi-test-database: {why}");
    ExitCode::from(64)
}
