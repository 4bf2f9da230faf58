//! May this user go on? A check, the call's usage, what it adds up to, and a refusal.

use serde_json::{Value, json};

use super::{Tour, unix_time};
use crate::Failure;
use crate::curl::Answer;

/// The key of a gateway that calls models for users.
const GATEWAY_KEY: &str = "demo-gateway";

impl Tour<'_> {
    /// For a user with 200,000 tokens a day.
    pub(super) async fn quota(&mut self, user: &str) -> Result<(), Failure> {
        let check_url = self.place.api("/quota/check");
        self.title("Before a call to a model: may this user go on? What it may use is reserved");
        let check = json!({"user_id": user, "model": "aurora-chat-0001", "tokens": 150_000});
        let checked = self.ask(GATEWAY_KEY, &check_url, Some(&check)).await?;
        self.expect(checked.status == 200 && checked.data("allowed") == true, "the check is allowed");
        let reservation = checked.data("reservation").as_str().unwrap_or_default().to_owned();

        self.title("After the call: tell what it used. The record is priced, and settles the reservation");
        let usage = json!({
            "request_id": format!("tour-{}", unix_time()), "user_id": user, "model": "aurora-chat-0001",
            "input_tokens": 812, "output_tokens": 96, "status_code": 200, "duration_ms": 1430,
            "reservation": reservation,
        });
        let used = self.ask(GATEWAY_KEY, &self.place.api("/usage"), Some(&usage)).await?;
        self.expect(used.status == 201, "the usage is recorded with 201");
        self.expect(used.data("reservation_use") == "settled", "the reservation is settled");
        let again = self.ask(GATEWAY_KEY, &self.place.api("/usage"), Some(&usage)).await?;
        self.expect(again.status == 200 && again.data("replayed") == true, "told twice, it counts once");

        self.title("What it adds up to, by model");
        let stats = self.place.api(&format!("/usage/stats?group_by=model&user_id={user}"));
        let stats = self.ask(GATEWAY_KEY, &stats, None).await?;
        self.expect(stats.data("rows")[0]["total_tokens"] == 908, "the sums have the record");

        self.title("What is left of the user's limits: what was used, not what was reserved");
        let left = self.ask(GATEWAY_KEY, &self.place.api(&format!("/quota?user_id={user}")), None).await?;
        let daily = limit(&left, "daily_tokens");
        self.expect(daily["used"] == 908 && daily["reserved"] == 0, "908 tokens are used, none reserved");

        self.title("More than is left: refused, with the limit's name and when to come back");
        let check = json!({"user_id": user, "tokens": 200_000});
        let refused = self.ask(GATEWAY_KEY, &check_url, Some(&check)).await?;
        let is_refusal = refused.data("allowed") == false && refused.data("refused_by") == "daily_tokens";
        self.expect(refused.status == 200 && is_refusal, "the daily limit refuses it");
        Ok(())
    }
}

fn limit(answer: &Answer, kind: &str) -> Value {
    let limits = answer.data("limits").as_array().into_iter().flatten();
    limits.clone().find(|limit| limit["kind"] == kind).cloned().unwrap_or_default()
}
