use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use sageapi_contract::{ExitCode, Verdict};
use sageapi_runtime::lifecycle::{ExitReason, Lifecycle, Signals};
use sageapi_runtime::listener::{self, Limits};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::config::{Config, Server};
use crate::env::{OpenError, Role, ServerEnv};
use crate::http::Api;
use crate::http::admin::AdminService;

/// How often an unready instance looks whether its schema has arrived.
const SCHEMA_CHECK_INTERVAL: Duration = Duration::from_secs(5);

pub async fn run(config: Config) -> Result<ExitCode, Failure> {
    // First of all: process 1 of a container ignores signals without a handler.
    let signals = Signals::install().map_err(|e| Failure::internal(format!("signals: {e}")))?;
    let (grace, database) = (config.server.shutdown_grace, config.database.target.display());
    let (http_address, admin_address) = (config.server.listen, config.admin.listen);
    let limits = limits(&config.server);
    let env = ServerEnv::open(config, Role::Serve)?;
    let http = bind(http_address, "server.listen")?;
    let admin = bind(admin_address, "admin.listen")?;
    let api = Api::new(env.clone()).map_err(|e| Failure::internal(format!("routes: {e}")))?;
    let lifecycle = Lifecycle::new();
    let (refuse, mut refused) = oneshot::channel();

    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %local(&http),
        admin = %local(&admin),
        database,
        "serving"
    );
    let serving = lifecycle.spawn("http", {
        let (soft, hard) = (lifecycle.soft(), lifecycle.hard());
        listener::serve(http, limits, soft, hard, move |peer| TowerToHyperService::new(api.for_peer(peer)))
    });
    // The admin port answers until the very end: probes and metrics matter most while draining.
    let admin_stop = CancellationToken::new();
    let admin_task = tokio::spawn({
        let (stop, hard, service) = (admin_stop.clone(), lifecycle.hard(), AdminService::new(env.clone()));
        listener::serve(admin, Limits::default(), stop, hard, move |_| {
            TowerToHyperService::new(service.clone())
        })
    });
    let schema = lifecycle.spawn("schema", {
        let (env, soft) = (env.clone(), lifecycle.soft());
        async move {
            await_schema(&env, &soft, refuse).await;
            // Ending before the soft stop would count as a failure.
            soft.cancelled().await;
        }
    });

    let booking = lifecycle.spawn("booking", {
        let (env, soft) = (env.clone(), lifecycle.soft());
        async move {
            tokio::select! {
                biased;
                () = soft.cancelled() => {}
                () = env.bookings().engine().broken() => {}
            }
        }
    });

    let drain = async {
        env.begin_draining();
        serving.ended().await;
        schema.ended().await;
        booking.ended().await;
        env.shut_down().await;
    };
    let reason = lifecycle.run(signals, grace, drain).await;
    admin_stop.cancel();
    admin_task.abort();
    if let Ok(error) = refused.try_recv() {
        return Err(error.into());
    }
    match reason {
        ExitReason::Stopped => Ok(ExitCode::Done),
        ExitReason::Forced => Err(Failure::internal("the grace period ended before everything was drained")),
        ExitReason::Failed(task) => Err(Failure::internal(format!("the task {task} ended unexpectedly"))),
    }
}

/// Tries until the schema fits, then starts what runs beside requests. A wrong encryption key ends the
/// process, since waiting does not help.
async fn await_schema(env: &ServerEnv, soft: &CancellationToken, refuse: oneshot::Sender<OpenError>) {
    let mut said = String::new();
    loop {
        let why = match env.prepare().await {
            Ok(state) => {
                env.start_background().await;
                tracing::info!(schema = state.from, "ready");
                return;
            }
            Err(OpenError::Schema(state)) if state.verdict == Verdict::KeyMismatch => {
                tracing::error!("{}", state.message);
                // The receiver waits for as long as the process runs.
                let _received = refuse.send(OpenError::Schema(state));
                soft.cancel();
                return;
            }
            Err(error) => error.to_string(),
        };
        if why != said {
            tracing::warn!(why, "not ready");
            said = why;
        }
        tokio::select! {
            () = soft.cancelled() => return,
            () = tokio::time::sleep(SCHEMA_CHECK_INTERVAL) => {}
        }
    }
}

/// Limits of the REST listener.
fn limits(server: &Server) -> Limits {
    Limits { idle_timeout: server.idle_timeout, ..Limits::default() }
}

fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    listener::bind(address).map_err(|e| Failure::unavailable(format!("{key} {address}: {e}")))
}

fn local(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|e| e.to_string(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_time_is_the_configured_one_and_the_rest_as_it_is() {
        let absent = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let given = [("SAGEAPI_SERVER_IDLE_TIMEOUT".to_owned(), "620s".to_owned())].into();
        let config = crate::config::load(None, &given, &absent).unwrap().config;
        let limits = limits(&config.server);
        assert_eq!(limits.idle_timeout, Duration::from_secs(620));
        assert_eq!(limits.header_read_timeout, Limits::default().header_read_timeout);
    }
}
