//! Starting and stopping a simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Now, system_now};
use crate::listener::serve;
use crate::platform::Control;
use crate::world::Counts;
use crate::{control, feed};

/// How to start a simulator.
#[derive(Clone)]
pub struct Options {
    /// Where the feed listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where the control port listens. Anybody who reaches it may command: keep it on loopback.
    pub control: SocketAddr,
    /// The world.
    pub counts: Counts,
    /// The key id that signed pulls carry.
    pub dapi_key: String,
    /// The secret of that key.
    pub dapi_secret: String,
    /// A key that is accepted in clear, as `Authorization: Bearer` or `X-Api-Key`; none: signatures only.
    pub dapi_apikey: Option<String>,
    /// Where events go unless they say otherwise.
    pub event_url: Option<String>,
    /// What signs events unless they say otherwise, `whsec_...`.
    pub event_secret: Option<String>,
    /// The time of day.
    pub now: Now,
}

/// The key id that a simulator knows unless told otherwise.
pub const DEMO_KEY: &str = "ak_UpstreamSimKey01";
/// Its secret: it guards invented data only.
pub const DEMO_SECRET: &str = "upstream-sim-demo-secret";

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: any,
            control: any,
            counts: Counts::default(),
            dapi_key: DEMO_KEY.to_owned(),
            dapi_secret: DEMO_SECRET.to_owned(),
            dapi_apikey: None,
            event_url: None,
            event_secret: None,
            now: system_now(),
        }
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address, or port 0 for any free one")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The client that sends events cannot be made.
    #[error("cannot make the client that sends events")]
    Client(#[from] reqwest::Error),
}

/// A simulated platform.
pub struct Sim;

/// A simulator at work. It ends when dropped; [`RunningSim::stop`] also waits until its ports are closed.
pub struct RunningSim {
    /// Where the feed listens.
    pub feed_addr: SocketAddr,
    /// Where the control port listens.
    pub control_addr: SocketAddr,
    /// What the control port does, without HTTP.
    pub control: Arc<Control>,
    stop: CancellationToken,
    servers: JoinSet<()>,
}

impl Sim {
    /// Listens and serves until stopped.
    pub async fn start(options: Options) -> Result<RunningSim, StartError> {
        let (feed_listener, feed_addr) = bind(options.listen).await?;
        let (control_listener, control_addr) = bind(options.control).await?;
        let platform = Arc::new(Control::new(&options)?);
        let stop = CancellationToken::new();
        let mut servers = JoinSet::new();
        let for_feed = Arc::clone(&platform);
        servers.spawn(serve(feed_listener, stop.clone(), move |request| {
            feed::answer(Arc::clone(&for_feed), request)
        }));
        let for_control = Arc::clone(&platform);
        servers.spawn(serve(control_listener, stop.clone(), move |request| {
            control::answer(Arc::clone(&for_control), request)
        }));
        Ok(RunningSim { feed_addr, control_addr, control: platform, stop, servers })
    }
}

impl RunningSim {
    /// The address for `upstream.url`.
    pub fn feed_url(&self) -> String {
        format!("http://{}", self.feed_addr)
    }

    /// Closes both ports and every connection.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.servers.join_next().await.is_some() {}
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let fail = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}
