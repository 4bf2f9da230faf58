//! What SageAPI's operator and server must agree on: configuration keys and their environment
//! names, where files lie in a pod, ports, exit codes, and what a migration reports.
//!
//! Nothing here does I/O and nothing here knows the server or the operator, so that a
//! configuration rendered by one is read by the other from the same table.

mod cron;
mod exit;
mod install;
mod key;
mod migration;
mod table;

pub use cron::cron_step_fault;
pub use exit::ExitCode;
pub use install::{
    ADMIN_PORT, CONFIG_PATH, CONFIG_VARIABLE, DATA_DIRECTORY, DEFAULT_CONFIG_FILE, DEFAULT_DATABASE_URL,
    HTTP_PORT, LIVENESS_PATH, METRICS_PATH, OPERATOR_ADMIN_PORT, READINESS_PATH, SECRET_FILES,
    SECRETS_DIRECTORY, STARTUP_PATH, SecretFile, TEST_VARIABLE_PREFIX,
};
pub use key::{Key, Kind, VARIABLE_PREFIX};
pub use migration::{MIGRATION_RESULT_MAX_BYTES, MigrationResult, Verdict};
pub use table::{SECTIONS, Section, find, keys};
