//! Who may call what: every route with every kind of principal. A route without a row in [`ROUTES`] fails the test.

use std::collections::BTreeSet;

use http::Method;
use sageapi_server::model::Scope;
use sageapi_test_support::app::AppBuilder;
use serde_json::{Value, json};

use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Site, on_every_database_with, until};

/// Whom a route lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: anyone.
    Nothing,
    /// A key; a user gets this status.
    Key(u16),
    /// A user who signed in.
    Session,
    /// A scope.
    Scope(Scope),
    /// A scope; a user of role user is answered about itself.
    Own(Scope),
    /// A signed event of the platform.
    Event,
}
use Needs::{Event, Key, Nothing, Session};

const fn scope(scope: Scope) -> Needs {
    Needs::Scope(scope)
}

/// Each route: who is let in, and what an empty request then gets, from a customer and from the platform. Ids in paths are
/// unknown, bodies are `{}`, and If-Match is `*`. What ends a principal's own access comes last.
#[rustfmt::skip]
const ROUTES: &[(&str, &str, Needs, u16, u16)] = &[
    ("get", "/api/v1/health", Nothing, 200, 200),
    ("get", "/api/v1/openapi.json", Nothing, 200, 200),
    ("get", "/docs", Nothing, 200, 200),
    ("post", "/api/v1/auth/login", Nothing, 400, 400),
    ("post", "/api/v1/auth/refresh", Nothing, 400, 400),
    ("get", "/api/v1/auth/me", Session, 200, 200),
    ("post", "/api/v1/auth/password", Session, 400, 400),
    ("get", "/api/v1/auth/sessions", Session, 200, 200),
    ("delete", "/api/v1/auth/sessions/{id}", Session, 404, 404),
    ("get", "/api/v1/whoami", Key(403), 200, 200),
    ("get", "/api/v1/balance", scope(Scope::BalanceRead), 200, 400),
    ("get", "/api/v1/users", scope(Scope::UsersRead), 200, 200),
    ("get", "/api/v1/users/{id}", scope(Scope::UsersRead), 404, 404),
    ("get", "/api/v1/pricing", scope(Scope::PricingRead), 200, 200),
    ("get", "/api/v1/pricing/{ppid}", scope(Scope::PricingRead), 404, 404),
    ("post", "/api/v1/pricing/quote", scope(Scope::PricingRead), 400, 400),
    ("get", "/api/v1/models", scope(Scope::PricingRead), 200, 200),
    ("get", "/api/v1/models/{id}", scope(Scope::PricingRead), 404, 404),
    ("get", "/api/v1/uapis", scope(Scope::PricingRead), 200, 200),
    ("get", "/api/v1/accounting", scope(Scope::AccountingRead), 200, 200),
    ("get", "/api/v1/accounting/summary", scope(Scope::AccountingRead), 400, 400),
    ("get", "/api/v1/accounting/export", scope(Scope::AccountingRead), 200, 200),
    ("get", "/api/v1/accounting/{id}", scope(Scope::AccountingRead), 404, 404),
    ("post", "/api/v1/accounting", scope(Scope::AccountingWrite), 400, 400),
    ("post", "/api/v1/accounting/batch", scope(Scope::AccountingWrite), 400, 400),
    ("post", "/api/v1/accounting/{id}/reverse", scope(Scope::AccountingWrite), 404, 404),
    ("get", "/api/v1/holds", scope(Scope::BalanceRead), 200, 200),
    ("get", "/api/v1/holds/{id}", scope(Scope::BalanceRead), 404, 404),
    ("post", "/api/v1/holds", scope(Scope::AccountingWrite), 400, 400),
    ("post", "/api/v1/holds/{id}/capture", scope(Scope::AccountingWrite), 404, 404),
    ("post", "/api/v1/holds/{id}/release", scope(Scope::AccountingWrite), 404, 404),
    ("post", "/api/v1/usage", scope(Scope::UsageWrite), 400, 400),
    ("post", "/api/v1/usage/batch", scope(Scope::UsageWrite), 400, 400),
    ("get", "/api/v1/usage", scope(Scope::UsageRead), 200, 200),
    ("get", "/api/v1/usage/stats", scope(Scope::UsageRead), 200, 200),
    ("get", "/api/v1/usage/export", scope(Scope::UsageRead), 200, 200),
    ("get", "/api/v1/usage/{id}", scope(Scope::UsageRead), 404, 404),
    ("get", "/api/v1/quota", Needs::Own(Scope::QuotaRead), 400, 400),
    ("post", "/api/v1/quota/check", scope(Scope::UsageWrite), 400, 400),
    ("post", "/api/v1/quota/release", scope(Scope::UsageWrite), 400, 400),
    ("post", "/api/v1/quota/extend", scope(Scope::UsageWrite), 400, 400),
    ("get", "/api/v1/admin/customers", scope(Scope::Admin), 403, 200),
    ("post", "/api/v1/admin/customers", scope(Scope::Admin), 403, 400),
    ("get", "/api/v1/admin/customers/{id}", scope(Scope::Admin), 403, 404),
    ("patch", "/api/v1/admin/customers/{id}", scope(Scope::Admin), 403, 404),
    ("post", "/api/v1/admin/customers/{id}/credit", scope(Scope::Admin), 403, 400),
    ("get", "/api/v1/admin/keys", scope(Scope::Admin), 403, 200),
    ("post", "/api/v1/admin/keys", scope(Scope::Admin), 403, 400),
    ("get", "/api/v1/admin/keys/{id}", scope(Scope::Admin), 403, 404),
    ("patch", "/api/v1/admin/keys/{id}", scope(Scope::Admin), 403, 404),
    ("delete", "/api/v1/admin/keys/{id}", scope(Scope::Admin), 403, 404),
    ("post", "/api/v1/admin/keys/{id}/rotate", scope(Scope::Admin), 403, 404),
    ("get", "/api/v1/admin/audit", scope(Scope::Admin), 403, 200),
    ("get", "/api/v1/admin/audit/export", scope(Scope::Admin), 403, 200),
    ("get", "/api/v1/admin/users", scope(Scope::Manage), 200, 200),
    ("post", "/api/v1/admin/users", scope(Scope::Manage), 400, 400),
    ("get", "/api/v1/admin/users/{id}", scope(Scope::Manage), 404, 404),
    ("patch", "/api/v1/admin/users/{id}", scope(Scope::Manage), 404, 404),
    ("delete", "/api/v1/admin/users/{id}", scope(Scope::Manage), 404, 404),
    ("post", "/api/v1/admin/users/{id}/password", scope(Scope::Manage), 400, 400),
    ("post", "/api/v1/admin/users/{id}/revoke", scope(Scope::Manage), 404, 404),
    ("get", "/api/v1/admin/groups", scope(Scope::Manage), 200, 200),
    ("post", "/api/v1/admin/groups", scope(Scope::Manage), 400, 400),
    ("get", "/api/v1/admin/groups/{id}", scope(Scope::Manage), 404, 404),
    ("patch", "/api/v1/admin/groups/{id}", scope(Scope::Manage), 404, 404),
    ("delete", "/api/v1/admin/groups/{id}", scope(Scope::Manage), 404, 404),
    ("put", "/api/v1/admin/groups/{id}/members/{user_id}", scope(Scope::Manage), 404, 404),
    ("delete", "/api/v1/admin/groups/{id}/members/{user_id}", scope(Scope::Manage), 404, 404),
    ("get", "/api/v1/admin/sessions", scope(Scope::Manage), 200, 200),
    ("delete", "/api/v1/admin/sessions/{id}", scope(Scope::Manage), 404, 404),
    ("post", "/api/v1/admin/sessions/revoke", scope(Scope::Manage), 400, 400),
    ("post", "/api/v1/events", Event, 401, 401),
    ("post", "/api/v1/keys/rotate", Key(403), 200, 200),
    ("post", "/api/v1/auth/logout", Session, 204, 204),
];

const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
pub const PASSWORD: &str = "correct horse battery staple";

/// What a principal proves itself by.
#[derive(Debug, Clone)]
pub enum Proof {
    None,
    Key(Credentials),
    Token(String),
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    pub name: String,
    pub proof: Proof,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whether it reaches everything.
    pub platform: bool,
    /// Whether its access has ended.
    pub ended: bool,
}

impl Caller {
    pub async fn send(&self, site: &Site, ask: Ask) -> Reply {
        match &self.proof {
            Proof::None => ask.send(site.http()).await,
            Proof::Key(key) => site.send(ask, key).await,
            Proof::Token(token) => ask.bearer(token).send(site.http()).await,
        }
    }

    fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || (scope == Scope::Manage && self.scopes.contains(&Scope::Admin))
    }

    /// The status that it gets.
    fn expected(&self, needs: Needs, customer: u16, platform: u16) -> u16 {
        let within = if self.platform { platform } else { customer };
        match (&self.proof, needs) {
            (_, Nothing | Event) => customer,
            (Proof::None, _) => 401,
            _ if self.ended => 401,
            (Proof::Key(_), Session) => 403,
            (Proof::Token(_), Key(status)) => status,
            (_, Needs::Scope(scope) | Needs::Own(scope)) if !self.has(scope) => 403,
            (_, Needs::Own(_)) if self.name.ends_with("of role user") => 200,
            _ => within,
        }
    }
}

pub fn with_login(builder: AppBuilder) -> AppBuilder {
    builder.set("SAGEAPI_AUTH_JWT_SECRET", "a secret of tokens that only tests know")
}

/// Creates a user, and signs it in.
pub async fn signed_in(site: &Site, customer: Option<&str>, name: &str, role: &str) -> (String, String) {
    let mut body = json!({"username": name, "role": role, "password": PASSWORD});
    let mut login = json!({"username": name, "password": PASSWORD});
    if let Some(customer) = customer {
        body["customer_id"] = customer.into();
        login["customer_id"] = customer.into();
    }
    let made = site.post(&site.platform, "/admin/users", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let tokens = Ask::post("/auth/login", &login).send(site.http()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made.data()["id"]), text(&tokens.data()["access_token"]))
}

/// A key for each scope of a customer, a user of it and an administrator.
pub async fn callers_of(site: &Site, customer: &str) -> Vec<Caller> {
    let mut callers = Vec::new();
    for scope in Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Admin) {
        let key = Credentials::from(&site.app.key(Some(customer), scope.as_str()).await);
        callers.push(Caller {
            name: format!("a customer's key with {scope}"),
            proof: Proof::Key(key),
            scopes: vec![scope],
            platform: false,
            ended: false,
        });
    }
    let admin = [
        Scope::BalanceRead,
        Scope::AccountingRead,
        Scope::UsersRead,
        Scope::PricingRead,
        Scope::UsageRead,
        Scope::QuotaRead,
        Scope::Manage,
    ];
    for (role, scopes) in [("user", &[Scope::UsageRead, Scope::QuotaRead][..]), ("admin", &admin)] {
        let (_, token) = signed_in(site, Some(customer), &format!("some-{role}"), role).await;
        callers.push(Caller {
            name: format!("a customer's user of role {role}"),
            proof: Proof::Token(token),
            scopes: scopes.to_vec(),
            platform: false,
            ended: false,
        });
    }
    callers
}

async fn callers(site: &Site) -> Vec<Caller> {
    let customer = site.customer("1").await;
    let mut callers = callers_of(site, &customer.id).await;
    let all: Vec<_> = Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Manage).collect();
    let admin = Credentials::from(&site.app.key(None, "admin").await);
    let (_, token) = signed_in(site, None, "platform-admin", "admin").await;
    let (disabled, ended) = signed_in(site, Some(&customer.id), "disabled", "admin").await;
    let path = format!("/admin/users/{disabled}");
    let mut disable =
        Ask::new(Method::PATCH, &path).header("if-match", "*").header("content-type", "application/json");
    disable.body = br#"{"is_active":false}"#.to_vec();
    assert_eq!(site.send(disable, &site.platform).await.status, 200);
    until("the user is disabled", async || {
        Ask::get("/auth/me").bearer(&ended).send(site.http()).await.status != 200
    })
    .await;
    for (name, proof, scopes, platform, ended) in [
        ("nobody", Proof::None, vec![], false, false),
        ("a key of the platform with admin", Proof::Key(admin), vec![Scope::Admin], true, false),
        ("a key of the platform with all", Proof::Key(site.platform.clone()), all.clone(), true, false),
        ("an administrator of the platform", Proof::Token(token), all, true, false),
        ("a disabled user", Proof::Token(ended), vec![], false, true),
    ] {
        callers.push(Caller { name: name.to_owned(), proof, scopes, platform, ended });
    }
    callers
}

/// An empty request to a route.
fn empty_request(method: &str, path: &str) -> Ask {
    let path = path.split('/').map(|part| if part.starts_with('{') { UNKNOWN } else { part });
    let path = path.collect::<Vec<_>>().join("/");
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
    let mut ask = Ask::raw(method.clone(), &path);
    if !method.is_safe() {
        ask.body = b"{}".to_vec();
        ask = ask.header("content-type", "application/json").header("if-match", "*");
    }
    ask
}

#[test]
fn every_route_lets_in_who_may_call_it_and_nobody_else() {
    on_every_database_with(with_login, async |site| {
        let document = Ask::get("/openapi.json").send(site.http()).await.json;
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
            })
            .collect();
        let listed: BTreeSet<_> =
            ROUTES.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, listed, "each route has its row");
        let mut wrong = Vec::new();
        let callers = callers(&site).await;
        for (method, path, needs, customer, platform) in ROUTES {
            for caller in &callers {
                let reply = caller.send(&site, empty_request(method, path)).await;
                let expected = caller.expected(*needs, *customer, *platform);
                if reply.status != expected {
                    wrong.push(format!(
                        "{} {method} {path}: {} not {expected}: {}",
                        caller.name,
                        reply.status,
                        reply.text()
                    ));
                }
                let code = reply.json["code"].as_str().unwrap_or_default();
                if reply.status == 403 {
                    let codes = ["scope_missing", "session_required", "key_required"];
                    assert!(codes.contains(&code), "{} {method} {path}: {code}", caller.name);
                }
            }
        }
        assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    });
}
