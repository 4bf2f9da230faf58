//! One YAML file and the environment become a validated [`Config`].
//!
//! The table of keys is in `sageapi_contract`; every step uses it. [`source`] finds what is set
//! and where, [`value`] reads one value, [`assemble`] puts the sections together and checks what
//! concerns several keys. All errors are found at once. Nothing here touches the process: the
//! environment and the reader of files are parameters.

mod assemble;
mod database;
mod docs;
mod error;
mod lines;
mod live;
mod origin;
mod report;
mod schedule;
mod schema;
mod source;
mod types;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use sageapi_contract::{CONFIG_VARIABLE, VARIABLE_PREFIX};

pub use database::{DatabaseHost, DatabaseTarget};
pub use docs::docs;
pub use error::{ConfigError, ConfigErrors};
pub use live::LiveConfig;
pub use origin::Origin;
pub use report::{Loaded, Setting, check_report, print, values};
pub use schedule::{Schedule, parse_cron};
pub use schema::schema;
pub use source::{FILE_MAX_BYTES, ReadFile, read_file};
pub use types::{
    Accounting, Admin, Auth, BootstrapAdmin, BootstrapPassword, Cache, Cluster, ClusterRole, Config,
    Database, EntitySync, Log, LogFormat, PublicUrl, Quota, Server, Sync, SyncMode, SyncSource, Telemetry,
    TlsFiles, UnknownUser, Upstream, UpstreamAuth,
};
pub use value::decode_encryption_key;

/// Loads the configuration: the file at `path`, else at `SAGEAPI_CONFIG`, else `conf/config.yaml` if there
/// is one; then the environment, which wins. A file that is named and absent is an error.
///
/// Of `env` only names that begin with `SAGEAPI_` count. `read` should bound what it reads, as
/// [`read_file`] does.
pub fn load(
    path: Option<&Path>,
    env: &BTreeMap<String, String>,
    read: &ReadFile<'_>,
) -> Result<Loaded, ConfigErrors> {
    let mut errors = Vec::new();
    let mut given = BTreeMap::new();
    let by_variable = || env.get(CONFIG_VARIABLE).map(|path| (Path::new(path), CONFIG_VARIABLE));
    let named = path.map(|path| (path, "--config")).or_else(by_variable);
    let file = match source::open(named, read) {
        Ok(Some((path, text))) => {
            source::from_file(&path, &text, &mut given, &mut errors).map(|()| Some(path))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    source::from_env(env, read, &mut given, &mut errors);
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            // Without the file, missing keys cannot be reported.
            errors.insert(0, error);
            return Err(ConfigErrors(errors));
        }
    };
    let settings = report::settings(&given);
    let mut reader = value::Reader::new(&given, errors);
    let config = assemble::config(&mut reader);
    let (errors, warnings) = reader.finish();
    match config {
        Some(config) if errors.is_empty() => Ok(Loaded { config, warnings, file, settings }),
        _ => Err(ConfigErrors(errors)),
    }
}

/// The variables of a process that [`load`] wants. One that is not UTF-8 is an error naming it.
pub fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigErrors> {
    let mut env = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
        match value.into_string() {
            Ok(value) => {
                env.insert(name.to_owned(), value);
            }
            Err(_) => errors.push(ConfigError::VariableNotUtf8 { variable: name.to_owned() }),
        }
    }
    if errors.is_empty() { Ok(env) } else { Err(ConfigErrors(errors)) }
}

/// The configuration where nothing is set.
#[cfg(test)]
pub(crate) fn defaults() -> Config {
    load(None, &BTreeMap::new(), &|_: &Path| Err(std::io::ErrorKind::NotFound.into())).unwrap().config
}
