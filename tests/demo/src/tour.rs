//! The tour: real requests, as `sageapi-server sign` prints them, and their real answers.

mod people;
mod quota;

use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::credentials::{Credential, Credentials};
use crate::curl::{Answer, Curl};
use crate::place::Place;
use crate::setup::{client, server};
use crate::show::{self, say};

/// The key of a customer, who sees and books what is its own.
const CUSTOMER_KEY: &str = "demo-customer";
/// The key of the platform, which may name any customer and book credits.
const PLATFORM_KEY: &str = "demo-platform";
/// A user of the simulated platform who belongs to the customer.
const USER: &str = "user_demo_0001";
/// How often a change is looked for, and how many times.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const LOOKS: u32 = 500;

struct Tour<'a> {
    place: &'a Place,
    keys: &'a Credentials,
    client: reqwest::Client,
    step: u32,
    unexpected: Vec<String>,
}

/// Takes the tour; gives what was not as expected.
pub async fn take(place: &Place, keys: &Credentials) -> Result<Vec<String>, Failure> {
    let mut tour = Tour { place, keys, client: client()?, step: 0, unexpected: Vec::new() };
    tour.balance().await?;
    tour.bookings().await?;
    tour.records().await?;
    tour.mirror().await?;
    tour.event().await?;
    let user = tour.people().await?;
    tour.quota(&user).await?;
    tour.verify().await?;
    Ok(tour.unexpected)
}

impl Tour<'_> {
    async fn balance(&mut self) -> Result<(), Failure> {
        self.title("Ask for a balance. `sign` prints the whole curl command:");
        let url = self.place.api("/balance");
        let signed = self.signed(CUSTOMER_KEY, &url, None).await?;
        say(&format!("$ {}", self.sign_command(CUSTOMER_KEY, &url, None)?));
        say(signed.trim_end());
        say("Executed, it gives (from here on in one go, by eval):");
        let answer = self.send(&signed).await?;
        self.expect(answer.status == 200, "the balance is answered with 200");
        self.expect(answer.data("customer_id") == "org_demo_0001", "the customer is the key's own");

        self.title("The same without a signature: errors are problem documents");
        say(&format!("$ curl -sS '{url}'"));
        let answer = self.send(&format!("curl '{url}'")).await?;
        self.expect(answer.status == 401 && answer.body["code"] == "auth_missing", "it is 401 auth_missing");
        Ok(())
    }

    async fn bookings(&mut self) -> Result<(), Failure> {
        let url = self.place.api("/accounting");
        let transno = format!("tour-{}", unix_time());
        let charge = json!({"transno": transno, "amount": "0.0125", "model": "aurora-chat-0001", "input_tokens": 812, "output_tokens": 96});

        self.title("Book a charge: 201 means that it is durable");
        let booked = self.ask(CUSTOMER_KEY, &url, Some(&charge)).await?;
        self.expect(
            booked.status == 201 && booked.data("replayed") == false,
            "the charge is booked with 201",
        );

        self.title("Send it again, say because the answer was lost: booked once, answered twice");
        let again = self.ask(CUSTOMER_KEY, &url, Some(&charge)).await?;
        self.expect(
            again.status == 200 && again.data("replayed") == true,
            "the repetition is a replay with 200",
        );
        self.expect(again.data("seq") == booked.data("seq"), "the replay names the same record");

        self.title("Charge more than there is: 402, and nothing is booked");
        let dear = json!({"transno": format!("{transno}-dear"), "amount": "1000000"});
        let refused = self.ask(CUSTOMER_KEY, &url, Some(&dear)).await?;
        let is_refusal = refused.status == 402 && refused.body["code"] == "insufficient_balance";
        self.expect(is_refusal, "it is 402 insufficient_balance");

        self.title("Credits are the platform's: its key names the customer");
        let credit = json!({"transno": format!("{transno}-credit"), "customer_id": "org_demo_0001", "kind": "credit", "amount": "0.0125"});
        let credited = self.ask(PLATFORM_KEY, &url, Some(&credit)).await?;
        self.expect(credited.status == 201, "the credit is booked with 201");
        let gap_free = credited.data("seq").as_i64() == booked.data("seq").as_i64().map(|seq| seq + 1);
        self.expect(gap_free, "the credit is the record right after the charge");
        Ok(())
    }

    async fn records(&mut self) -> Result<(), Failure> {
        self.title("List records, newest first, one to a page");
        let first = self.ask(CUSTOMER_KEY, &self.place.api("/accounting?limit=1"), None).await?;
        let cursor = first.data("next_cursor").as_str().unwrap_or_default().to_owned();
        self.expect(first.status == 200 && !cursor.is_empty(), "there is a next page");

        self.title("And the next page, by its cursor");
        let next = self
            .ask(CUSTOMER_KEY, &self.place.api(&format!("/accounting?limit=1&cursor={cursor}")), None)
            .await?;
        let seq = |answer: &Answer| answer.data("rows")[0]["seq"].as_i64();
        let follows = next.status == 200 && seq(&next).zip(seq(&first)).is_some_and(|(n, f)| n + 1 == f);
        self.expect(follows, "the next page goes on where the first one ended");
        Ok(())
    }

    async fn mirror(&mut self) -> Result<(), Failure> {
        for (title, path) in [
            ("Users, mirrored from the platform: a customer sees its own", "/users?limit=1&count=true"),
            ("Price lists", "/pricing?limit=1&type=token&status=current"),
            ("Models", "/models?limit=1&status=published"),
        ] {
            self.title(title);
            let answer = self.ask(CUSTOMER_KEY, &self.place.api(path), None).await?;
            let rows = answer.data("rows").as_array().map_or(0, Vec::len);
            self.expect(answer.status == 200 && rows == 1, &format!("{path} has a row"));
        }
        Ok(())
    }

    async fn event(&mut self) -> Result<(), Failure> {
        let name = format!("Ada {}", unix_time());
        let (change, event) = (self.place.control("/change"), self.place.control("/event"));
        let url = self.place.api(&format!("/users/{USER}"));
        let look = Curl::parse(&self.signed(CUSTOMER_KEY, &url, None).await?)?;

        self.title("The platform renames a user, and says so by a signed event");
        let body = json!({"entity": "users", "ids": [USER], "set": {"nick_name": name}});
        self.command(&change, &body).await?;
        let sent = self.command(&event, &json!({"entity": "users", "ids": [USER]})).await?;
        let started = monotonic();
        self.expect(sent.data("status") == 202, "the event is taken with 202");
        let mut seen = look.run(&self.client).await?;
        for _ in 0..LOOKS {
            if seen.data("nick_name") == name.as_str() {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            seen = look.run(&self.client).await?;
        }
        let waited = started.elapsed().as_millis();
        self.title(&format!("The change is visible {waited} ms after the event was answered"));
        say(&self.short(CUSTOMER_KEY, &url, None)?);
        show::answer(&seen);
        self.expect(seen.data("nick_name") == name.as_str(), "the new name is visible within 5 s");
        Ok(())
    }

    async fn verify(&mut self) -> Result<(), Failure> {
        self.title("Recompute every balance from the records, beside the live server");
        let config = self.place.file("config.yaml");
        say(&format!("$ {} --config {} verify", self.place.server.display(), config.display()));
        let report: Value = serde_json::from_str(&server(self.place, &["verify"]).await?)?;
        say(&show::brief(&report));
        self.expect(report["difference"].is_null(), "every balance is what its records say");
        Ok(())
    }

    /// Signs a request, shows it, sends it and shows the answer.
    async fn ask(&self, key: &str, url: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let body = body.map(Value::to_string);
        say(&self.short(key, url, body.as_deref())?);
        let signed = self.signed(key, url, body.as_deref()).await?;
        self.send(&signed).await
    }

    /// Sends a command to the simulated platform.
    async fn command(&self, url: &str, body: &Value) -> Result<Answer, Failure> {
        let command = format!("curl -sS -H 'content-type: application/json' -d '{body}' '{url}'");
        say(&format!("$ {command}"));
        self.send(&command).await
    }

    async fn send(&self, command: &str) -> Result<Answer, Failure> {
        let answer = Curl::parse(command)?.run(&self.client).await?;
        show::answer(&answer);
        Ok(answer)
    }

    /// The curl command that `sign` prints.
    async fn signed(&self, key: &str, url: &str, body: Option<&str>) -> Result<String, Failure> {
        let Credential { key_id, .. } = self.keys.get(key)?;
        let secret_file = Credentials::secret_file(self.place, key);
        let secret_file = secret_file.to_str().ok_or("the folder's name is not UTF-8")?;
        let mut args = vec!["sign", "--key-id", key_id, "--secret-file", secret_file];
        args.extend(body.into_iter().flat_map(|body| ["-d", body]));
        args.push(url);
        let signed: Value = serde_json::from_str(&server(self.place, &args).await?)?;
        Ok(signed["curl"].as_str().ok_or("`sign` gave no command")?.to_owned())
    }

    /// What executes the printed command at once.
    fn short(&self, key: &str, url: &str, body: Option<&str>) -> Result<String, Failure> {
        Ok(format!("$ eval \"$({})\"", self.sign_command(key, url, body)?))
    }

    fn sign_command(&self, key: &str, url: &str, body: Option<&str>) -> Result<String, Failure> {
        let (server, key_id) = (self.place.server.display(), &self.keys.get(key)?.key_id);
        let secret_file = Credentials::secret_file(self.place, key);
        let body = body.map_or_else(String::new, |body| format!(" \\\n    -d '{body}'"));
        let secret_file = secret_file.display();
        Ok(format!("{server} sign --key-id {key_id} --secret-file {secret_file}{body} \\\n    '{url}'"))
    }

    fn title(&mut self, text: &str) {
        self.step += 1;
        say(&format!("\n== {}. {text} ==", self.step));
    }

    fn expect(&mut self, holds: bool, what: &str) {
        if !holds {
            self.unexpected.push(format!("step {}: {what}", self.step));
        }
    }
}

/// Seconds since 1970: what one run books has other names than what another one does.
fn unix_time() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the demo is a client: its clock is the machine's")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn monotonic() -> std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "measures how long a change takes to be seen")]
    std::time::Instant::now()
}
