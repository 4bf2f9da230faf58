//! The command line.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use sageapi_upstream_sim::world::Counts;
use sageapi_upstream_sim::{DEMO_KEY, DEMO_SECRET, Options, system_now};

/// A simulated Sage platform, for tests: it serves the pull feed that SageAPI mirrors, changes its data on command,
/// sends signed events, and misbehaves when told to.
#[derive(Parser)]
#[command(name = "sageapi-upstream-sim", version, after_long_help = COMMANDS)]
pub struct Args {
    /// Where the feed listens (SageAPI's upstream.url is http:// and this). Port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where the control port listens. It asks nobody who they are: keep it on loopback
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    control: SocketAddr,
    /// What all rows are computed from
    #[arg(long, default_value_t = Counts::default().seed, value_name = "N")]
    seed: u64,
    /// Users, spread evenly over the customers
    #[arg(long, default_value_t = Counts::default().users, value_name = "N")]
    users: u64,
    /// Customers: org_demo_0001, org_demo_0002, ...
    #[arg(long, default_value_t = Counts::default().customers, value_name = "N")]
    customers: u64,
    /// Rows of llmage
    #[arg(long, default_value_t = Counts::default().models, value_name = "N")]
    models: u64,
    /// Rows of uapi
    #[arg(long, default_value_t = Counts::default().apis, value_name = "N")]
    apis: u64,
    /// Pricing programs; every fifth has a past and a future price list besides the current one
    #[arg(long, default_value_t = Counts::default().programs, value_name = "N")]
    programs: u64,
    /// Key id of signed pulls (SageAPI's upstream.dapi_key)
    #[arg(long, env = "UPSTREAM_SIM_DAPI_KEY", default_value = DEMO_KEY, value_name = "ID")]
    dapi_key: String,
    /// Secret of signed pulls (SageAPI's upstream.dapi_secret)
    #[arg(long, env = "UPSTREAM_SIM_DAPI_SECRET", default_value = DEMO_SECRET, hide_env_values = true, value_name = "SECRET")]
    dapi_secret: String,
    /// Also accept pulls with this key in clear (Authorization: Bearer, or X-Api-Key)
    #[arg(long, env = "UPSTREAM_SIM_DAPI_APIKEY", hide_env_values = true, value_name = "KEY")]
    dapi_apikey: Option<String>,
    /// Where events go unless the command says otherwise, for example http://127.0.0.1:8080/api/v1/events
    #[arg(long, env = "UPSTREAM_SIM_EVENT_URL", value_name = "URL")]
    event_url: Option<String>,
    /// What signs events unless the command says otherwise: whsec_ and base64 (SageAPI's upstream.uapi_secret)
    #[arg(long, env = "UPSTREAM_SIM_EVENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    event_secret: Option<String>,
    /// Print the world's counts and first ids, and exit
    #[arg(long, value_name = "FORMAT")]
    pub print_world: Option<Format>,
    /// How much to log to stderr: error, warn, info, debug or trace
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub log_level: tracing::Level,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON document.
    Json,
}

const COMMANDS: &str = r#"When ready, it prints one line: {"listen":"127.0.0.1:...","control":"127.0.0.1:..."}

Feed (signed with RFC 9421 hmac-sha256, tag "sageapi", @authority covered):
  GET /sync/v1/{users|pricing|llmage|uapi|balances}?since=&limit=&snapshot=1   or   ?ids=a,b,c

Commands on the control port (bodies and answers are JSON; E is an entity as in the feed):
  GET  /control/state           counts, highest version, requests served, faults
  GET  /control/world           counts and some ids
  POST /control/change          {"entity":E, "count":10 | "ids":[...], "set":{"nick_name":"..."}}
  POST /control/delete          {"entity":E, "count":10 | "ids":[...]}
  POST /control/add             {"entity":E, "count":10 | "ids":[...], "set":{...}}
  POST /control/expire-cursors  {"entity":E?, "older_than":VERSION?}   410 for cursors given out so far
  POST /control/fault           {"mode":M, "entity":E?, "count":N?, ...}
       M: none | slow delay_ms | down | status status | truncated | cut | wrong-content | huge bytes |
          redirect location | garbage | stall delay_ms |
          bad-row what (data, no-data, version, op, id, null)
  POST /control/event           {"entity":E, "ids":[...], "type"?, "url"?, "secret"?, "bad_signature"?,
                                 "timestamp_offset"?, "webhook_id"?}   answers the server's status

For example:
  curl -d '{"entity":"users","ids":["user_demo_0001"],"set":{"nick_name":"Ada"}}' http://CONTROL/control/change
  curl -d '{"mode":"status","status":500,"entity":"users","count":3}' http://CONTROL/control/fault"#;

impl Args {
    /// The world asked for.
    pub const fn counts(&self) -> Counts {
        Counts {
            seed: self.seed,
            users: self.users,
            customers: self.customers,
            models: self.models,
            apis: self.apis,
            programs: self.programs,
        }
    }

    /// Everything that the simulator needs to start.
    pub fn into_options(self) -> Options {
        Options {
            listen: self.listen,
            control: self.control,
            counts: self.counts(),
            dapi_key: self.dapi_key,
            dapi_secret: self.dapi_secret,
            dapi_apikey: self.dapi_apikey,
            event_url: self.event_url,
            event_secret: self.event_secret,
            now: system_now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_names_every_command() {
        Args::command().debug_assert();
        let help = Args::command().render_long_help().to_string();
        for command in ["change", "delete", "add", "expire-cursors", "fault", "event", "state", "world"] {
            assert!(help.contains(&format!("/control/{command}")), "{command}");
        }
    }

    #[test]
    fn secrets_given_by_environment_do_not_show_in_the_help() {
        let help = Args::command().render_long_help().to_string();
        assert!(!help.contains("UPSTREAM_SIM_DAPI_SECRET="), "{help}");
    }
}
