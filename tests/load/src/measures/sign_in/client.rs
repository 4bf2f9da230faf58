//! What a user's client sends, and the tokens that it gets.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{CUSTOMER, PASSWORD};
use crate::Failure;
use crate::child::exchange;

/// Signs users in from addresses of their own, so that the throttle of an address does not count.
pub struct Client {
    server: SocketAddr,
    network: u8,
    addresses: u32,
}

/// The tokens of a session.
#[derive(Deserialize)]
pub struct Tokens {
    /// For requests.
    pub access_token: String,
    /// For the next tokens.
    pub refresh_token: String,
    /// Whether an earlier refresh had the same answer.
    pub replayed: bool,
}

#[derive(Deserialize)]
struct Envelope {
    data: Tokens,
}

impl Tokens {
    /// From an answer's body.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        Ok(serde_json::from_slice::<Envelope>(body)?.data)
    }
}

impl Client {
    /// Of a server that trusts this machine as a proxy. Clients of one database have networks of their own.
    pub fn new(server: SocketAddr, network: u8) -> Self {
        Self { server, network, addresses: 0 }
    }

    /// `POST /auth/login` from an address that this client did not use before.
    pub fn login(&mut self, username: &str, password: &str) -> Bytes {
        self.addresses += 1;
        let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, self.network, 0, 0)) + self.addresses);
        let body = json!({"username": username, "password": password, "customer_id": CUSTOMER}).to_string();
        format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: {}\r\nx-forwarded-for: {from}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.server,
            body.len()
        )
        .into()
    }

    /// Signs a user in.
    pub fn log_in(&mut self, username: &str) -> Result<Tokens, Failure> {
        let (status, body) = exchange(self.server, &self.login(username, PASSWORD))?;
        if status != 200 {
            return Err(format!("POST /auth/login was answered by {status}: {body}").into());
        }
        Tokens::parse(body.as_bytes())
    }
}

/// `POST /auth/refresh`.
pub fn refresh(server: SocketAddr, token: &str) -> String {
    let body = json!({"refresh_token": token}).to_string();
    format!(
        "POST /api/v1/auth/refresh HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
