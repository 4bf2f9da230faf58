//! A hostile request, who sends it, and what it may get.

use sageapi_server::signing::webhook::{ID, SIGNATURE, TIMESTAMP, WebhookSecret, sign};
use sageapi_test_support::app::UAPI_SECRET;

use crate::raw::{Ask, Connection, Reply, nonce};
use crate::victim::Victim;

/// What is sent.
#[derive(Clone)]
pub enum Attack {
    /// A request that the customer's key signs: what gets furthest.
    Signed(Ask),
    /// The same by the platform's key.
    Platform(Ask),
    /// A request that nobody signs.
    Stranger(Ask),
    /// A genuine event with this body.
    Event(Vec<u8>),
    /// Bytes, and whether the client then ends its half of the connection.
    Bytes(Vec<u8>, bool),
}

/// A hostile request.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub attack: Attack,
    /// The statuses that it may get; none: it only has to end.
    pub statuses: &'static [u16],
    /// Whether the server may close the connection without an answer.
    pub may_close: bool,
}

impl Case {
    pub fn new(name: impl Into<String>, attack: Attack, statuses: &'static [u16]) -> Self {
        Self { name: name.into(), attack, statuses, may_close: false }
    }

    /// The server may also just hang up.
    pub fn or_closed(self) -> Self {
        Self { may_close: true, ..self }
    }

    /// The bytes of one such request; each is signed again.
    pub fn bytes(&self, victim: &Victim) -> Vec<u8> {
        let now = victim.now_s();
        match &self.attack {
            Attack::Signed(ask) => ask.clone().signed(&victim.key, now).bytes(),
            Attack::Platform(ask) => ask.clone().signed(&victim.platform, now).bytes(),
            Attack::Stranger(ask) => ask.bytes(),
            Attack::Bytes(bytes, _) => bytes.clone(),
            Attack::Event(body) => {
                let id = nonce();
                let signature = sign(&WebhookSecret::parse(UAPI_SECRET).unwrap(), &id, now, body);
                let ask = Ask::post_bytes("/events", body.as_slice())
                    .header(ID, &id)
                    .header(TIMESTAMP, &now.to_string());
                ask.header(SIGNATURE, &signature).bytes()
            }
        }
    }

    /// Whether the server may answer before it has read all of the body, and close after that.
    pub fn has_unread_body(&self) -> bool {
        match &self.attack {
            Attack::Signed(ask) | Attack::Platform(ask) | Attack::Stranger(ask) => !ask.body.is_empty(),
            Attack::Event(_) | Attack::Bytes(..) => true,
        }
    }

    /// Sends it on a connection of its own, and judges the answer.
    pub async fn run(&self, victim: &Victim) {
        let mut connection = Connection::open(victim.server.http_address()).await;
        self.run_on(&mut connection, victim).await;
    }

    /// The same on a connection that is there. Whether the connection is still good.
    pub async fn run_on(&self, connection: &mut Connection, victim: &Victim) -> bool {
        // A server that refuses early may close while we write; what it answered is read all the same.
        let _ = connection.write(&self.bytes(victim)).await;
        if matches!(self.attack, Attack::Bytes(_, true)) {
            let _ = connection.finish_writing().await;
        }
        if self.statuses.is_empty() {
            // Not HTTP/1: all that matters is that it ends.
            connection.rest().await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
            return false;
        }
        let to_head = match &self.attack {
            Attack::Signed(ask) | Attack::Platform(ask) | Attack::Stranger(ask) => {
                ask.method == http::Method::HEAD
            }
            Attack::Event(_) | Attack::Bytes(..) => false,
        };
        let reply = connection.reply(to_head).await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self.judge(victim, reply.as_ref());
        reply.is_some_and(|reply| reply.header("connection") != "close")
            && !matches!(self.attack, Attack::Bytes(..))
    }

    #[track_caller]
    fn judge(&self, victim: &Victim, reply: Option<&Reply>) {
        let Some(reply) = reply else {
            assert!(self.may_close, "{}: closed without an answer", self.name);
            return;
        };
        victim.assert_harmless(&self.name, reply);
        assert!(self.statuses.contains(&reply.status), "{}: {} {}", self.name, reply.status, reply.text());
    }
}
