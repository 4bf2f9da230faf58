//! One customer never sees a byte of another's.

use sageapi_server::model::Entity;
use serde_json::json;

use crate::authorization::{Caller, Proof, callers_of, with_login};
use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Customer, Row, Site, on_every_database_with};

/// Stands in everything that the other customer has. No path of a request has it.
const MARK: &str = "zebra-7f3a";

/// Ids of what a customer has, by the names of path parameters.
struct Ids {
    record: String,
    hold: String,
    user: String,
    group: String,
    session: String,
}

/// Fills a customer with data that can be recognised.
async fn fill(site: &Site, customer: &Customer, mark: &str) -> Ids {
    let id = |reply: &Reply| {
        assert!(reply.status < 300, "{}", reply.text());
        reply.data()["id"].as_str().unwrap().to_owned()
    };
    let details = json!({
        "transno": format!("{mark}-t"), "amount": "0.25", "user_id": format!("{mark}-u"), "llmid": format!("{mark}-l"),
        "model": format!("{mark}-m"), "request_id": format!("{mark}-r"), "note": format!("{mark} note"),
    });
    let record = id(&site.post(&customer.key, "/accounting", &details).await);
    let hold = json!({
        "transno": format!("{mark}-h"), "amount": "0.1", "user_id": format!("{mark}-u"), "note": format!("{mark} hold"),
    });
    let hold = id(&site.post(&customer.key, "/holds", &hold).await);
    let (name, mail) = (format!("{mark}-name"), format!("{mark}@example.com"));
    let columns = [("username", name.as_str()), ("orgid", &customer.id), ("email", &mail)];
    site.mirror(Entity::Users, &[Row::new(&format!("mirrored-{}", customer.id), &columns)]).await;
    let group = json!({"customer_id": customer.id, "name": format!("{mark}-group")});
    let group = id(&site.post(&site.platform, "/admin/groups", &group).await);
    let user = json!({
        "customer_id": customer.id, "username": format!("{mark}-user"), "password": crate::authorization::PASSWORD,
        "group_id": group,
    });
    let user = id(&site.post(&site.platform, "/admin/users", &user).await);
    let login = json!({
        "customer_id": customer.id, "username": format!("{mark}-user"), "password": crate::authorization::PASSWORD,
        "device_name": format!("{mark} device"),
    });
    assert_eq!(Ask::post("/auth/login", &login).send(site.http()).await.status, 200);
    let sessions = site.get(&site.platform, &format!("/admin/sessions?user_id={user}")).await;
    let session = sessions.rows()[0]["id"].as_str().unwrap().to_owned();
    Ids { record, hold, user, group, session }
}

/// What a caller is told, without the path that it asked for itself.
fn told(mut reply: Reply) -> String {
    if reply.status >= 400
        && let Some(problem) = reply.json.as_object_mut()
    {
        problem.remove("instance");
        return format!("{:?} {}", reply.headers, reply.json);
    }
    format!("{:?} {}", reply.headers, reply.text())
}

#[test]
fn no_principal_of_a_customer_sees_a_byte_of_another_one() {
    on_every_database_with(with_login, async |site| {
        let (own, other) = (site.customer("10").await, site.customer("10").await);
        fill(&site, &own, "antelope-51c9").await;
        let theirs = fill(&site, &other, MARK).await;
        let mut callers = callers_of(&site, &own.id).await;
        callers.push(Caller {
            name: "a customer's key with many scopes".to_owned(),
            proof: Proof::Key(Credentials::from(&site.app.key(
                Some(&own.id),
                "balance:read,accounting:read,accounting:write,users:read,pricing:read,usage:read,usage:write,quota:read,manage",
            ).await)),
            scopes: vec![],
            platform: false,
            ended: false,
        });
        let document = Ask::get("/openapi.json").send(site.http()).await.json;
        let mirrored = format!("mirrored-{}", other.id);
        let mut answered = 0;
        for (pattern, methods) in document["paths"].as_object().unwrap() {
            if !methods.as_object().unwrap().contains_key("get") {
                continue;
            }
            let mut paths = vec![pattern.clone()];
            if pattern.contains('{') {
                let ids = [
                    &theirs.record,
                    &theirs.hold,
                    &theirs.user,
                    &theirs.group,
                    &theirs.session,
                    &other.id,
                    &other.key.key_id,
                    &mirrored,
                ];
                let with = |id: &String| {
                    let parts =
                        pattern.split('/').map(|part| if part.starts_with('{') { id.as_str() } else { part });
                    parts.collect::<Vec<_>>().join("/")
                };
                paths = ids.into_iter().map(with).collect();
            } else if pattern.ends_with("/summary") {
                paths = vec![format!("{pattern}?group_by=day,model,kind")];
            }
            let parameters = methods["get"]["parameters"].as_array().cloned().unwrap_or_default();
            if parameters.iter().any(|parameter| parameter["name"] == "customer_id") {
                let joint = if paths[0].contains('?') { '&' } else { '?' };
                paths.push(format!("{}{joint}customer_id={}", paths[0], other.id));
            }
            for path in paths {
                for caller in &callers {
                    let reply = caller.send(&site, Ask::raw(http::Method::GET, &path)).await;
                    assert!(reply.status < 500, "{} {path}: {}", caller.name, reply.text());
                    answered += u32::from(reply.status == 200);
                    let text = told(reply);
                    for secret in [MARK, other.id.as_str(), &other.key.key_id, &theirs.user, &theirs.record] {
                        assert!(!text.contains(secret), "{} {path}: {secret} is in {text}", caller.name);
                    }
                }
            }
        }
        assert!(answered > 50, "{answered}");
        // The marks are what the platform sees.
        let seen = site.get(&site.platform, "/accounting").await.text()
            + &site.get(&site.platform, "/users").await.text();
        assert!(seen.contains(MARK) && seen.contains("antelope-51c9"));
    });
}
