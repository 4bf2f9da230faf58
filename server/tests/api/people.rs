//! Users of tests, and how they sign in.

use sageapi_server::domain::admin::users::{UserRequest, UserSettings};
use sageapi_server::domain::principal::Principal;
use sageapi_server::model::{Actor, CustomerId, Secret, UserId, UserRole, Username};
use sageapi_test_support::app::AppBuilder;
use serde_json::{Value, json};

use crate::raw::{Ask, Reply};
use crate::site::{Site, new_id};

pub const JWT_SECRET: &str = "a secret of tests that signs tokens, long enough";
pub const PASSWORD: &str = "correct horse battery";

/// An instance at which users sign in, behind a proxy that tells clients' addresses.
pub fn signing_in(builder: AppBuilder) -> AppBuilder {
    builder.set("SAGEAPI_AUTH_JWT_SECRET", JWT_SECRET).set("SAGEAPI_SERVER_TRUSTED_PROXIES", "127.0.0.0/8")
}

/// A user, whose password is [`PASSWORD`].
#[derive(Debug, Clone)]
pub struct Person {
    pub id: UserId,
    pub name: String,
    pub customer: Option<String>,
}

impl Person {
    /// What it sends to sign in.
    pub fn credentials(&self, password: &str) -> Value {
        json!({"username": self.name, "password": password, "customer_id": self.customer})
    }
}

/// The tokens that a user got.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub device: String,
}

impl Tokens {
    #[track_caller]
    pub fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = |name: &str| reply.data()[name].as_str().unwrap_or_default().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token"), device: text("device_token") }
    }
}

/// A POST that comes from an address.
pub fn post_from(address: &str, path: &str, body: &Value) -> Ask {
    Ask::post(path, body).header("x-forwarded-for", address)
}

impl Site {
    /// Another instance on the same database at which users sign in.
    pub async fn second_signing_in(&self) -> Self {
        Self::new(signing_in(self.app.second()).start().await)
    }

    /// A new user of a customer, or of the platform.
    pub async fn person(&self, customer: Option<&str>, role: UserRole) -> Person {
        let (id, name) = (UserId::parse(&new_id("user")).unwrap(), new_id("name"));
        let settings =
            UserSettings { username: Username::parse(&name).unwrap(), role, is_active: true, group_id: None };
        let request = UserRequest {
            id: Some(id.clone()),
            customer_id: customer.map(|id| CustomerId::parse(id).unwrap()),
            settings,
            password: Some(Secret::new(PASSWORD)),
        };
        let by = (Principal::command_line(), Actor::command_line());
        self.env().admin_users().create(&by.0, &by.1, request).await.unwrap();
        Person { id, name, customer: customer.map(str::to_owned) }
    }

    pub async fn set_active(&self, person: &Person, active: bool) {
        let by = (Principal::command_line(), Actor::command_line());
        let users = self.env().admin_users();
        users.update(&by.0, &by.1, &person.id, None, move |user| user.is_active = active).await.unwrap();
    }

    /// Signs in from an address.
    pub async fn login_from(&self, address: &str, person: &Person, password: &str) -> Reply {
        post_from(address, "/auth/login", &person.credentials(password)).send(self.http()).await
    }

    /// Signs in rightly, from an address of its own.
    pub async fn login(&self, person: &Person) -> Tokens {
        Tokens::of(&self.login_from(&new_address(), person, PASSWORD).await)
    }

    pub async fn refresh(&self, token: &str) -> Reply {
        Ask::post("/auth/refresh", &json!({"refresh_token": token})).send(self.http()).await
    }

    /// A GET with an access token.
    pub async fn as_user(&self, access: &str, path: &str) -> Reply {
        Ask::get(path).bearer(access).send(self.http()).await
    }

    /// Whether an access token still gives access; else it has ended.
    pub async fn has_access(&self, access: &str) -> bool {
        let reply = self.as_user(access, "/auth/me").await;
        if reply.status == 200 {
            return true;
        }
        assert_eq!(reply.refusal(), (401, "token_expired"));
        false
    }

    /// Lets so many seconds pass for all sessions.
    pub async fn age_sessions(&self, seconds: i64) {
        let back = seconds * 1_000_000;
        let sql = format!(
            "UPDATE sessions SET rotated_at = rotated_at - {back}, last_seen = last_seen - {back}, \
             idle_until = idle_until - {back}, expires_at = expires_at - {back}"
        );
        assert!(self.database().execute(&sql).await > 0);
    }
}

/// An address that no other call gives.
pub fn new_address() -> String {
    let number: u32 = new_id("n").trim_start_matches("n-").parse().unwrap();
    format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255)
}
