use std::time::Duration;

use sageapi_contract::ExitCode;
use serde::Serialize;

use super::args::Key as Command;
use super::failure::Failure;
use super::output::Output;
use crate::domain::keys::{KeyRequest, MadeKey};
use crate::env::ServerEnv;
use crate::model::{Actor, AuthMode, CustomerId, Key, KeyId, Reach, Scopes, Timestamp, parse_network, shown};

#[derive(Serialize)]
struct Made<'a> {
    key_id: &'a str,
    secret: &'a str,
}

#[derive(Serialize)]
struct Listed {
    key_id: KeyId,
    name: Option<String>,
    customer_id: Option<CustomerId>,
    scopes: String,
    auth_mode: AuthMode,
    enabled: bool,
    expires_at: Option<Timestamp>,
    rotating_until: Option<Timestamp>,
    allowed_cidrs: Vec<String>,
    version: i64,
    created_at: Timestamp,
}

impl From<Key> for Listed {
    fn from(key: Key) -> Self {
        Self {
            key_id: key.key_id,
            name: key.name,
            customer_id: key.reach.customer().cloned(),
            scopes: key.scopes.to_string(),
            auth_mode: key.auth_mode,
            enabled: key.enabled,
            expires_at: key.expires_at,
            rotating_until: key.previous_until,
            allowed_cidrs: key.allowed_cidrs.iter().map(ToString::to_string).collect(),
            version: key.version,
            created_at: key.created_at,
        }
    }
}

pub async fn run(env: &ServerEnv, command: Command, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Create { customer, platform, scopes, auth_mode, name, expires, cidrs } => {
            let request = KeyRequest {
                name,
                reach: reach_of(customer.as_deref(), platform)?,
                scopes: Scopes::parse(&scopes).map_err(|bad| {
                    Failure::usage(format!("--scopes: unknown scope {bad:?}; known are {}", known_scopes()))
                })?,
                auth_mode: auth_mode_of(&auth_mode)?,
                enabled: true,
                expires_at: expires.as_deref().map(expiry_of).transpose()?,
                allowed_cidrs: cidrs.as_deref().map(cidrs_of).transpose()?.unwrap_or_default(),
            };
            let made = env.keys().create(request, &Actor::command_line()).await;
            show_secret(&made.map_err(|error| Failure::from(error).about("key"))?, out)
        }
        Command::List => {
            let keys: Vec<_> = env.keys().list().await?.into_iter().map(Listed::from).collect();
            out.result(&keys, |keys| keys.iter().fold(String::new(), |text, key| text + &line(key) + "\n"))
        }
        Command::Rotate { key_id, overlap_hours } => {
            let overlap = Duration::from_secs(u64::from(overlap_hours) * 3600);
            show_secret(&env.keys().rotate(&key_of(&key_id)?, overlap, &Actor::command_line()).await?, out)
        }
        Command::Revoke { key_id } => {
            env.keys().revoke(&key_of(&key_id)?, None, &Actor::command_line()).await?;
            out.result(&serde_json::json!({"key_id": key_id, "enabled": false}), |_| {
                format!("{key_id} is revoked")
            })
        }
        Command::Reencrypt => {
            let progress = out.progress("keys");
            let tell = |done, of| {
                progress.expect(of);
                progress.reached(done);
            };
            let count = env.keys().reencrypt(tell).await;
            drop(progress);
            let count = count?;
            out.result(&serde_json::json!({"reencrypted": count}), |_| format!("{count} key(s) re-encrypted"))
        }
    }
}

fn line(key: &Listed) -> String {
    let whose = key.customer_id.as_ref().map_or("(platform)", CustomerId::as_str);
    let state = if key.enabled { "enabled" } else { "revoked" };
    let name = key.name.as_deref().unwrap_or("-");
    format!("{}  {whose}  {}  {state}  {name}  {}", key.key_id, key.auth_mode, key.scopes)
}

fn show_secret(made: &MadeKey, out: &Output) -> Result<ExitCode, Failure> {
    let shown = Made { key_id: made.key_id.as_str(), secret: made.secret.expose() };
    out.result(&shown, |m| format!("key_id  {}\nsecret  {}   (shown only once)", m.key_id, m.secret))
}

fn known_scopes() -> String {
    crate::model::Scope::ALL.iter().copied().collect::<Scopes>().to_string()
}

fn expiry_of(text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text).map_err(|e| Failure::usage(format!("--expires: {e}, not {}", shown(text))))
}

pub(super) fn auth_mode_of(text: &str) -> Result<AuthMode, Failure> {
    AuthMode::parse(text)
        .ok_or_else(|| Failure::usage(format!("auth mode {text:?}: must be signed or bearer")))
}

fn reach_of(customer: Option<&str>, platform: bool) -> Result<Reach, Failure> {
    match customer {
        Some(customer) => Ok(Reach::Customer(customer_of(customer)?)),
        None if platform => Ok(Reach::Everything),
        None => Err(Failure::usage("name a customer with --customer, or give --platform")),
    }
}

pub(super) fn customer_of(text: &str) -> Result<CustomerId, Failure> {
    CustomerId::parse(text).map_err(|e| Failure::usage(format!("customer {text:?}: {e}")))
}

fn key_of(text: &str) -> Result<KeyId, Failure> {
    KeyId::parse(text).map_err(|e| Failure::usage(format!("key {text:?}: {e}")))
}

fn cidrs_of(list: &str) -> Result<Vec<ipnet::IpNet>, Failure> {
    let bad = |net: &str| {
        Failure::usage(format!("--cidrs: {net:?} is not a network; write 192.0.2.0/24 or 2001:db8::/32"))
    };
    list.split(',').map(|net| parse_network(net.trim()).ok_or_else(|| bad(net))).collect()
}
