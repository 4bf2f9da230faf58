//! The server within the test's own process: a real listener, a real database, a clock that may be
//! moved by hand.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper_util::service::TowerToHyperService;
use sageapi_server::ServerEnv;
use sageapi_server::config::{self, Config};
use sageapi_server::domain::booking::{Booked, Request};
use sageapi_server::domain::keys::KeyRequest;
use sageapi_server::env::Role;
use sageapi_server::http::Api;
use sageapi_server::http::admin::AdminService;
use sageapi_server::http::listener::{self, Limits};
use sageapi_server::model::{
    Actor, AuthMode, Clock, CustomerId, Entropy, Kind as RecordKind, Money, Reach, Scope, Scopes,
    SystemClock, SystemEntropy, Transno,
};
use sageapi_server::store::{Migrate, NewCustomer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::database::{Kind, TestDatabase};

/// `auth.encryption_key` of tests.
pub const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// `auth.token_pepper` of tests.
pub const TOKEN_PEPPER: &str = "a pepper that only tests know, long enough";
/// `upstream.uapi_secret` of tests.
pub const UAPI_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Every scope of a customer's key.
pub const CUSTOMER_SCOPES: &str =
    "balance:read,accounting:read,accounting:write,users:read,pricing:read,usage:read,usage:write,quota:read";

/// Variables that every server of the tests is given.
pub fn variables(database_url: &str) -> BTreeMap<String, String> {
    let variables = [
        ("SAGEAPI_DATABASE_URL", database_url),
        ("SAGEAPI_AUTH_ENCRYPTION_KEY", ENCRYPTION_KEY),
        ("SAGEAPI_AUTH_TOKEN_PEPPER", TOKEN_PEPPER),
        ("SAGEAPI_UPSTREAM_UAPI_SECRET", UAPI_SECRET),
        ("SAGEAPI_SERVER_LISTEN", "127.0.0.1:0"),
        ("SAGEAPI_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The configuration that these variables make, over [`variables`].
pub fn config_of<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Config {
    let mut all = variables("sqlite:unused.db");
    all.extend(given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let nothing = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
    config::load(None, &all, &nothing).unwrap_or_else(|e| panic!("{e}")).config
}

/// A running instance. [`App::stop`] ends it in order; dropping it ends its listeners.
pub struct App {
    /// The composition root: everything can be reached from here.
    pub env: ServerEnv,
    /// Where REST is served.
    pub http: SocketAddr,
    /// Where probes and metrics are served.
    pub admin: SocketAddr,
    /// A client with a key of the platform that may do everything.
    pub platform: Client,
    /// The database, shared with other instances.
    pub database: Arc<TestDatabase>,
    clock: Arc<dyn Clock>,
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

/// A change to the configuration.
type Edit = Box<dyn FnOnce(&mut Config) + Send>;

/// An instance to be.
#[must_use = "a builder does nothing until it is started"]
pub struct AppBuilder {
    kind: Kind,
    database: Option<Arc<TestDatabase>>,
    variables: Vec<(String, String)>,
    edits: Vec<Edit>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: Limits,
    role: Role,
    migrated: bool,
    background: bool,
    platform: Option<Client>,
}

impl App {
    /// An instance on an empty database of this kind, as configured by default.
    pub async fn start(kind: Kind) -> Self {
        Self::builder(kind).start().await
    }

    /// An instance to be, on an empty database of this kind.
    pub fn builder(kind: Kind) -> AppBuilder {
        AppBuilder {
            kind,
            database: None,
            variables: Vec::new(),
            edits: Vec::new(),
            clock: SystemClock::new(),
            entropy: SystemEntropy::new(),
            limits: Limits::default(),
            role: Role::Serve,
            migrated: true,
            background: true,
            platform: None,
        }
    }

    /// Another instance on the same database, with the same platform key and clock. A SQLite file has
    /// one serving instance, so that the other one has to be given [`Role::Command`] there.
    pub fn second(&self) -> AppBuilder {
        let mut builder = Self::builder(self.database.kind());
        builder.database = Some(Arc::clone(&self.database));
        builder.clock = Arc::clone(&self.clock);
        builder.platform = Some(self.platform.clone());
        builder
    }

    /// `http://host:port` of REST.
    pub fn base(&self) -> String {
        format!("http://{}", self.http)
    }

    /// `http://host:port` of the admin port.
    pub fn admin_base(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The clock that the instance goes by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Makes a customer with this credit (`"0"`: none), and a client with a key of its own that may do
    /// whatever a customer may.
    pub async fn customer(&self, id: &str, credit: &str) -> Client {
        let customer = customer_id(id);
        let new = NewCustomer {
            id: customer.clone(),
            currency: self.env.config().accounting.currency,
            credit_limit: Money::ZERO,
        };
        self.env.store().create_customer(new).await.unwrap_or_else(|e| panic!("customer {id}: {e}"));
        let amount = Money::parse(credit).unwrap_or_else(|e| panic!("{credit}: {e}"));
        if amount != Money::ZERO {
            self.book(id, RecordKind::Credit, credit).await;
        }
        self.key(Some(id), CUSTOMER_SCOPES).await
    }

    /// Books by the library, with a transno of its own.
    pub async fn book(&self, customer: &str, kind: RecordKind, amount: &str) -> Booked {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let transno = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let request = booking(customer, &transno, kind, amount);
        self.env
            .bookings()
            .create(request)
            .await
            .unwrap_or_else(|e| panic!("{customer} {kind:?} {amount}: {e}"))
    }

    /// A client with a new key: of a customer, or of the platform.
    pub async fn key(&self, customer: Option<&str>, scopes: &str) -> Client {
        self.make_key(request(customer, scopes)).await
    }

    /// A client with a new key like this; see [`request`].
    pub async fn make_key(&self, request: KeyRequest) -> Client {
        let made = self
            .env
            .keys()
            .create(request, &Actor::command_line())
            .await
            .unwrap_or_else(|e| panic!("a key: {e}"));
        self.client(made.key_id.as_str(), made.secret.expose())
    }

    /// A client with any key id and secret, that goes by this instance's clock.
    pub fn client(&self, key_id: &str, secret: &str) -> Client {
        Client::new(self.base(), key_id, secret).with_clock(self.clock())
    }

    /// Finishes what is under way, then closes the database. The database is still there.
    pub async fn stop(self) -> Arc<TestDatabase> {
        self.soft.cancel();
        self.tasks.wait().await;
        self.env.shut_down().await;
        Arc::clone(&self.database)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.soft.cancel();
        self.hard.cancel();
    }
}

impl AppBuilder {
    /// Sets a variable, as in `SAGEAPI_SERVER_READ_ONLY`.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes the configuration as parsed.
    pub fn config(mut self, edit: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    /// Goes by this clock, and has clients go by it.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes randomness from here.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Limits of the listener.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Uses a database that is there.
    pub fn database(mut self, database: Arc<TestDatabase>) -> Self {
        self.kind = database.kind();
        self.database = Some(database);
        self
    }

    /// What the instance is for.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Leaves the database as it is: no schema, no platform key, no background.
    pub fn unmigrated(mut self) -> Self {
        self.migrated = false;
        self
    }

    /// Starts neither the mirror nor the polling of cache events.
    pub fn without_background(mut self) -> Self {
        self.background = false;
        self
    }

    /// Puts the instance together and starts it.
    pub async fn start(self) -> App {
        let database = match self.database {
            Some(database) => database,
            None => Arc::new(TestDatabase::fresh(self.kind).await),
        };
        let url = database.url();
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut config = config_of([("SAGEAPI_DATABASE_URL", url.as_str())].into_iter().chain(variables));
        for edit in self.edits {
            edit(&mut config);
        }
        let env = ServerEnv::open_with(config, self.role, Arc::clone(&self.clock), self.entropy);
        let env = env.unwrap_or_else(|e| panic!("{e}"));
        if self.migrated {
            env.store().migrate(&Migrate::default()).await.unwrap_or_else(|e| panic!("migrate: {e}"));
            env.prepare().await.unwrap_or_else(|e| panic!("{e}"));
            if self.background {
                env.start_background().await;
            }
        }
        let api = Api::new(env.clone()).expect("the routes fit together");
        let (http, admin) = (bind(), bind());
        let (soft, hard, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let mut app = App {
            http: http.local_addr().expect("it is bound"),
            admin: admin.local_addr().expect("it is bound"),
            platform: Client::new("http://unset", "ak_0000000000000000", "none"),
            env: env.clone(),
            database,
            clock: self.clock,
            soft: soft.clone(),
            hard: hard.clone(),
            tasks: tasks.clone(),
        };
        let serving = listener::serve(http, self.limits.clone(), soft.clone(), hard.clone(), move |peer| {
            TowerToHyperService::new(api.for_peer(peer))
        });
        tasks.spawn(serving);
        let service = AdminService::new(env);
        let serving = listener::serve(admin, self.limits, soft, hard, move |_| {
            TowerToHyperService::new(service.clone())
        });
        tasks.spawn(serving);
        tasks.close();
        app.platform = match self.platform {
            Some(platform) => platform.at(app.base()),
            None if self.migrated => app.key(None, &platform_scopes()).await,
            None => app.client("ak_0000000000000000", "none"),
        };
        app
    }
}

/// Every scope that a key of the platform can have.
fn platform_scopes() -> String {
    Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Manage).collect::<Scopes>().to_string()
}

/// A signed key to be made, for [`App::make_key`].
pub fn request(customer: Option<&str>, scopes: &str) -> KeyRequest {
    KeyRequest {
        name: None,
        reach: customer.map_or(Reach::Everything, |id| Reach::Customer(customer_id(id))),
        scopes: Scopes::parse(scopes).unwrap_or_else(|scope| panic!("{scope} is no scope")),
        auth_mode: AuthMode::Signed,
        enabled: true,
        expires_at: None,
        allowed_cidrs: Vec::new(),
    }
}

/// A booking to be made by the library. Its body hash is made of what is given here.
pub fn booking(customer: &str, transno: &str, kind: RecordKind, amount: &str) -> Request {
    let mut body_hash = [0_u8; 32];
    let text = format!("{customer} {transno} {} {amount}", kind.as_str());
    for (i, byte) in text.bytes().enumerate() {
        body_hash[i % 32] = body_hash[i % 32].wrapping_mul(31) ^ byte;
    }
    let transno = Transno::parse(transno).unwrap_or_else(|e| panic!("{transno}: {e}"));
    let amount = Money::parse(amount).unwrap_or_else(|e| panic!("{amount}: {e}"));
    Request { body_hash, ..Request::booking(customer_id(customer), transno, kind, amount) }
}

/// A customer's id, parsed.
pub fn customer_id(id: &str) -> CustomerId {
    CustomerId::parse(id).unwrap_or_else(|e| panic!("{id}: {e}"))
}

fn bind() -> tokio::net::TcpListener {
    listener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port on loopback")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::database::kinds;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_app_serves_signed_requests_and_stops() {
        for kind in kinds() {
            let app = App::start(kind).await;
            let client = app.customer("org_a", "10").await;
            let charge = json!({"transno": "t1", "kind": "charge", "amount": "2.5"});
            let booked = client.post("/accounting", &charge).await;
            assert_eq!(booked.status, 201, "{booked}");
            assert_eq!(client.get("/balance").await.data()["balance"], "7.5");
            assert_eq!(app.platform.get("/balance?customer_id=org_a").await.data()["balance"], "7.5");
            assert_eq!(
                client.call(http::Method::GET, "/balance").unsigned().send().await.problem(),
                (401, "auth_missing")
            );
            assert_eq!(client.fetch(&format!("{}/readyz", app.admin_base())).await.status, 200);
            let database = app.stop().await;
            assert_eq!(database.int("SELECT COUNT(*) FROM accounting_records").await, 2);
        }
    }
}
