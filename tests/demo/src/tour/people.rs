//! Signing in as an administrator, and what it can do.

use serde_json::{Value, json};

use super::{Tour, unix_time};
use crate::Failure;
use crate::curl::{Answer, Curl};
use crate::setup::{ADMIN_NAME, ADMIN_PASSWORD};
use crate::show::{self, say};

impl Tour<'_> {
    /// Gives the user that it makes.
    pub(super) async fn people(&mut self) -> Result<String, Failure> {
        self.title("People sign in with a password: the administrator of this demonstration");
        let login = self.place.api("/auth/login");
        let body = json!({"username": ADMIN_NAME, "password": ADMIN_PASSWORD, "device_name": "tour"});
        let signed_in = self.command(&login, &body).await?;
        self.expect(signed_in.status == 200, "the administrator signs in");
        let token = signed_in.data("access_token").as_str().unwrap_or_default().to_owned();

        self.title("Make a group, and a user in it");
        let name = format!("tour-{}", unix_time());
        let group = json!({"name": name, "customer_id": "org_demo_0001", "daily_tokens": 100_000});
        let group = self.admin(&token, "POST", "/admin/groups", None, Some(&group)).await?;
        self.expect(group.status == 201, "the group is created with 201");
        let group_id = group.data("id").as_str().unwrap_or_default().to_owned();
        let user = json!({
            "username": name, "customer_id": "org_demo_0001", "group_id": group_id, "password": "a password of the tour",
        });
        let user = self.admin(&token, "POST", "/admin/users", None, Some(&user)).await?;
        self.expect(user.status == 201, "the user is created with 201");

        self.title("Change a limit: what is left out stays, and If-Match keeps two administrators apart");
        let path = format!("/admin/groups/{group_id}");
        let read = self.admin(&token, "GET", &path, None, None).await?;
        let tag = read.header("etag").to_owned();
        let change = json!({"daily_tokens": 200_000, "requests_per_minute": 60});
        let changed = self.admin(&token, "PATCH", &path, Some(&tag), Some(&change)).await?;
        let is_changed = changed.status == 200 && changed.data("daily_tokens") == 200_000;
        self.expect(is_changed, "the limit is changed");
        let stale = self.admin(&token, "PATCH", &path, Some(&tag), Some(&change)).await?;
        self.expect(stale.status == 412, "a change that is based on the version before is 412");

        self.title("Every change is in the audit log, with what was different before");
        let log =
            self.admin(&token, "GET", &format!("/admin/audit?object=group:{group_id}"), None, None).await?;
        let actions: Vec<_> =
            log.data("rows").as_array().into_iter().flatten().map(|row| &row["action"]).collect();
        self.expect(actions == ["update", "create"], "the log has both changes, the newest first");
        Ok(user.data("id").as_str().unwrap_or_default().to_owned())
    }

    /// Sends a request with an access token, shows it and the answer.
    async fn admin(
        &self,
        token: &str,
        method: &str,
        path: &str,
        tag: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let url = self.place.api(path);
        let mut options = if method == "GET" { String::new() } else { format!("-X {method} ") };
        if let Some(tag) = tag {
            options += &format!("-H 'if-match: {tag}' ");
        }
        if let Some(body) = body {
            options += &format!("-H 'content-type: application/json' -d '{body}' ");
        }
        say(&format!("$ curl -sS -H \"authorization: Bearer $TOKEN\" {options}'{url}'"));
        let command = format!("curl -sS -H 'authorization: Bearer {token}' {options}'{url}'");
        let answer = Curl::parse(&command)?.run(&self.client).await?;
        show::answer(&answer);
        Ok(answer)
    }
}
