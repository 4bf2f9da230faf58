//! GET /balance.

use http::Method;
use sageapi_server::model::{Kind as RecordKind, Timestamp};
use serde_json::{Value, json};

use crate::raw::Ask;
use crate::site::on_every_database;

#[test]
fn a_balance_has_its_members_and_says_when_and_where_it_was_read() {
    on_every_database(async |site| {
        let c = site.customer("12.5").await;
        let fresh = site.send(Ask::get("/balance").header("cache-control", "no-cache"), &c.key).await;
        assert_eq!(fresh.status, 200, "{}", fresh.text());
        let data = fresh.data().as_object().unwrap();
        let names: Vec<_> = data.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "customer_id",
                "balance",
                "held",
                "available",
                "credit_limit",
                "currency",
                "status",
                "seq",
                "version",
                "as_of",
                "source"
            ]
        );
        for (member, value) in [
            ("customer_id", json!(c.id)),
            ("balance", json!("12.5")),
            ("held", json!("0")),
            ("available", json!("12.5")),
            ("credit_limit", json!("0")),
            ("currency", json!("CNY")),
            ("status", json!("active")),
            ("seq", json!(1)),
            ("source", json!("database")),
        ] {
            assert_eq!(data[member], value, "{member}");
        }
        let cached = site.get(&c.key, "/balance").await;
        assert_eq!(cached.data()["source"], "cache");
        let time = |value: &Value| Timestamp::parse(value.as_str().unwrap()).unwrap();
        assert_eq!(
            time(&cached.data()["as_of"]),
            time(&data["as_of"]),
            "the cached answer is as old as it is"
        );
        let mut last = time(&data["as_of"]);
        for (name, value) in [
            ("cache-control", "max-age=0"),
            ("cache-control", "no-store"),
            ("cache-control", "max-age=0, No-Cache"),
            ("pragma", "no-cache"),
        ] {
            let again = site.send(Ask::get("/balance").header(name, value), &c.key).await;
            assert_eq!(again.data()["source"], "database", "{name}: {value}");
            assert!(time(&again.data()["as_of"]) > last, "{name}: {value}");
            last = time(&again.data()["as_of"]);
        }
    });
}

#[test]
fn the_entity_tag_is_the_version_and_rises_with_every_change() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let read = site.get(&c.key, "/balance").await;
        let version = read.data()["version"].as_i64().unwrap();
        let tag = format!("W/\"{version}\"");
        assert_eq!(read.header("etag"), tag);
        for known in [tag.clone(), format!("\"{version}\""), "*".to_owned(), format!("\"x\", {tag}")] {
            let unchanged = site.send(Ask::get("/balance").header("if-none-match", &known), &c.key).await;
            assert_eq!((unchanged.status, unchanged.bytes.len()), (304, 0), "{known}");
            assert_eq!(unchanged.header("etag"), tag);
        }
        for unknown in [format!("W/\"{}\"", version + 1), "x".into(), String::new(), format!("W/\"{version}")]
        {
            let reply = site.send(Ask::get("/balance").header("if-none-match", &unknown), &c.key).await;
            assert_eq!(reply.status, 200, "{unknown}");
        }
        site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        let after = site.send(Ask::get("/balance").header("if-none-match", &tag), &c.key).await;
        assert_eq!((after.status, &after.data()["balance"]), (200, &json!("9")));
        assert!(after.data()["version"].as_i64().unwrap() > version);
        let replay = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        assert_eq!(replay.status, 200);
        assert_eq!(
            site.get(&c.key, "/balance").await.header("etag"),
            after.header("etag"),
            "a repetition changes nothing"
        );
    });
}

#[test]
fn head_is_get_without_the_body() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let get = site.send(Ask::get("/balance").header("cache-control", "no-cache"), &c.key).await;
        let head = site.send(Ask::head("/balance").header("cache-control", "no-cache"), &c.key).await;
        assert_eq!((head.status, head.bytes.len()), (200, 0));
        for name in ["content-type", "etag", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
        assert_eq!(head.header("content-length"), get.bytes.len().to_string());
        // A signature of GET is none of HEAD.
        let mut swapped = Ask::get("/balance").signed(&c.key, site.now_s());
        swapped.method = Method::HEAD;
        assert_eq!(swapped.send(site.http()).await.status, 401);
    });
}

#[test]
fn one_reads_ones_own_balance_and_the_platform_any() {
    on_every_database(async |site| {
        let (mine, other) = (site.customer("1").await, site.customer("2").await);
        let of = |id: &str| format!("/balance?customer_id={id}");
        assert_eq!(site.get(&mine.key, &of(&mine.id)).await.data()["balance"], "1");
        let foreign = site.get(&mine.key, &of(&other.id)).await;
        let nobody = site.get(&mine.key, &of("nobody")).await;
        assert_eq!(foreign.refusal(), (403, "customer_forbidden"));
        assert_eq!(nobody.refusal(), (403, "customer_forbidden"));
        assert_eq!(foreign.json["detail"], nobody.json["detail"]);
        assert_eq!(site.get(&site.platform, &of(&other.id)).await.data()["balance"], "2");
        assert_eq!(site.get(&site.platform, &of("nobody")).await.refusal(), (404, "not_found"));
        let unnamed = site.get(&site.platform, "/balance").await;
        assert_eq!(unnamed.refusal(), (400, "invalid_request"));
        assert_eq!(unnamed.json["errors"][0]["field"], "customer_id");
        for odd in ["", "a%20b", "%00", "%ff", "%zz", &"x".repeat(65), "%C3%BC"] {
            let reply = site.get(&site.platform, &of(odd)).await;
            assert_eq!(reply.refusal(), (400, "invalid_request"), "{odd}");
        }
        let early = site.customer_key("nobody-yet").await;
        assert_eq!(site.get(&early, "/balance").await.refusal(), (404, "not_found"));
    });
}

#[test]
fn what_was_booked_is_read_at_once() {
    on_every_database(async |site| {
        let c = site.customer("100").await;
        for n in 1..=20 {
            let booked =
                site.post(&c.key, "/accounting", &json!({"transno": format!("t-{n}"), "amount": "1"})).await;
            let read = site.get(&c.key, "/balance").await;
            assert_eq!(read.data()["balance"], booked.data()["balance"]);
            assert_eq!(read.data()["seq"], booked.data()["seq"]);
        }
        site.app.book(&c.id, RecordKind::Credit, "5").await;
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "85");
        assert!(site.get(&c.key, "/balance").await.data().get("arrears").is_none());
    });
}
