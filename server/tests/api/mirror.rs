//! GET /users, /pricing, /models and /uapis: who sees which rows and which columns of them.

use sageapi_server::model::Entity;
use serde_json::{Value, json};

use crate::raw::{Ask, Credentials};
use crate::site::{Row, Site, clock_at, on_every_database, on_every_database_with};

async fn ids(site: &Site, key: &Credentials, path: &str) -> Vec<String> {
    let mut ids: Vec<_> =
        site.get(key, path).await.rows().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

fn names(row: &Value) -> Vec<&str> {
    row.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn users_are_seen_by_their_own_organization_and_the_platform() {
    on_every_database(async |site| {
        let (a, b) = (site.customer("0").await, site.customer("0").await);
        let in_a: Vec<(&str, &str)> =
            vec![("username", "ann"), ("orgid", &a.id), ("user_status", "0"), ("email", "Ann@Example.com")];
        let also_a: Vec<(&str, &str)> =
            vec![("username", "al_x%"), ("orgid", &a.id), ("user_status", "1"), ("nick_name", "阿里!")];
        let in_b: Vec<(&str, &str)> =
            vec![("username", "ann"), ("orgid", &b.id), ("user_status", "0"), ("mobile", "555")];
        let rows = [
            Row { created_s: Some(100), ..Row::new("u-1", &in_a) },
            Row { created_s: Some(200), ..Row::new("u-2", &also_a) },
            Row { created_s: Some(300), ..Row::new("u-3", &in_b) },
            Row::new("u/4", &[("username", "nobody's")]),
        ];
        site.mirror(Entity::Users, &rows).await;

        assert_eq!(ids(&site, &a.key, "/users").await, ["u-1", "u-2"]);
        assert_eq!(ids(&site, &b.key, "/users").await, ["u-3"]);
        assert_eq!(ids(&site, &site.platform, "/users").await, ["u-1", "u-2", "u-3", "u/4"]);
        assert_eq!(ids(&site, &site.platform, &format!("/users?customer_id={}", b.id)).await, ["u-3"]);
        assert_eq!(ids(&site, &a.key, &format!("/users?customer_id={}", a.id)).await, ["u-1", "u-2"]);
        let foreign = site.get(&a.key, &format!("/users?customer_id={}", b.id)).await;
        assert_eq!(foreign.refusal(), (403, "customer_forbidden"));
        assert_eq!(
            site.get(&a.key, "/users?customer_id=nobody").await.refusal(),
            (403, "customer_forbidden")
        );
        assert_eq!(ids(&site, &site.platform, "/users?customer_id=nobody").await, [""; 0]);

        for (filter, expected) in [
            ("username=ann", vec!["u-1"]),
            ("username=ANN", vec![]),
            ("username=an", vec![]),
            ("status=1", vec!["u-2"]),
            ("status=0&username=ann", vec!["u-1"]),
            ("q=EXAMPLE", vec!["u-1"]),
            ("q=example.com", vec!["u-1"]),
            ("q=%25", vec!["u-2"]),
            ("q=_", vec!["u-2"]),
            ("q=!", vec!["u-2"]),
            ("q=%E9%98%BF", vec!["u-2"]),
            ("q=555", vec![]),
            ("q=%27%20OR%201%3D1%20--", vec![]),
            ("from=1970-01-01T00:03:20Z", vec!["u-2"]),
            ("to=1970-01-01T00:03:20Z", vec!["u-1"]),
            ("from=1970-01-01T00:01:40Z&to=1970-01-01T00:03:21Z", vec!["u-1", "u-2"]),
        ] {
            assert_eq!(ids(&site, &a.key, &format!("/users?{filter}")).await, expected, "{filter}");
        }

        let one = site.get(&a.key, "/users/u-1").await;
        assert_eq!(
            names(one.data()),
            [
                "id",
                "username",
                "nick_name",
                "email",
                "mobile",
                "orgid",
                "orgname",
                "user_status",
                "sync_from",
                "created_at",
                "cached_at",
                "sync_version",
                "version"
            ]
        );
        assert_eq!(
            (&one.data()["email"], &one.data()["nick_name"]),
            (&json!("Ann@Example.com"), &Value::Null)
        );
        assert_eq!(one.data()["created_at"], "1970-01-01T00:01:40.000000Z");
        assert_eq!(site.get(&a.key, "/users?username=ann").await.rows()[0], *one.data());
        assert_eq!(site.get(&site.platform, "/users/u-3").await.status, 200);
        let (foreign, absent) = (site.get(&a.key, "/users/u-3").await, site.get(&a.key, "/users/u-9").await);
        assert_eq!((foreign.refusal(), absent.refusal()), ((404, "not_found"), (404, "not_found")));
        assert_eq!(
            foreign.json["detail"], absent.json["detail"],
            "another's user is as if it were not there"
        );
        // The other way about, once it is in the cache.
        assert_eq!(site.get(&b.key, "/users/u-3").await.status, 200);
        assert_eq!(site.get(&a.key, "/users/u-3").await.refusal(), (404, "not_found"));
        assert_eq!(site.get(&site.platform, "/users/u%2F4").await.data()["id"], "u/4");
        assert!(site.get(&site.platform, "/users/u%2F4").await.data()["created_at"].is_null());
    });
}

const PROGRAMS: &[(&str, &[(&str, &str)])] = &[
    (
        "pp-1-old",
        &[
            ("ppid", "pp-1"),
            ("pricing_type", "token"),
            ("name", "old"),
            ("ownerid", "own"),
            ("providerid", "prov"),
            ("discount", "0.9"),
            ("currency", "CNY"),
            ("pricing_data", "pricings: [{unit_prices: 0.002}]"),
            ("enabled_date", "2026-01-01"),
            ("expired_date", "2026-03-01"),
        ],
    ),
    (
        "pp-1-now",
        &[
            ("ppid", "pp-1"),
            ("pricing_type", "token"),
            ("enabled_date", "2026-03-01"),
            ("expired_date", "2026-09-01"),
        ],
    ),
    (
        "pp-1-next",
        &[
            ("ppid", "pp-1"),
            ("pricing_type", "token"),
            ("enabled_date", "2026-09-01"),
            ("expired_date", "9999-12-31"),
        ],
    ),
    ("pp-2-now", &[("ppid", "pp-2"), ("pricing_type", "images"), ("enabled_date", "2026-01-01")]),
    ("pp-3-now", &[("ppid", "pp-3"), ("pricing_belong", "provider"), ("enabled_date", "2026-01-01")]),
    ("pp-4-now", &[("ppid", "pp-4"), ("enabled_date", "2026-01-01")]),
];

const MODELS: &[(&str, &[(&str, &str)])] = &[
    (
        "map-1",
        &[
            ("llmid", "llm-1"),
            ("name", "One"),
            ("model", "one"),
            ("providerid", "prov"),
            ("ownerid", "own"),
            ("upappid", "up"),
            ("ppid", "pp-1"),
            ("min_balance", "1.5"),
            ("status", "published"),
        ],
    ),
    ("map-2", &[("llmid", "llm-1"), ("model", "one"), ("ppid", "pp-3"), ("status", "published")]),
    ("map-3", &[("llmid", "llm-2"), ("model", "two"), ("ppid", "pp-4"), ("status", "draft")]),
];

async fn stocked(site: &Site) {
    let rows = |rows: &'static [(&'static str, &'static [(&'static str, &'static str)])]| {
        rows.iter().map(|(id, columns)| Row::new(id, columns)).collect::<Vec<_>>()
    };
    site.mirror(Entity::Pricing, &rows(PROGRAMS)).await;
    site.mirror(Entity::Llmage, &rows(MODELS)).await;
}

/// 2026-05-28, which the second row of pp-1 is for.
const TODAY: i64 = 1_780_000_000;

fn on_that_day(test: impl AsyncFn(Site)) {
    on_every_database_with(|builder| builder.clock(clock_at(TODAY)), test);
}

#[test]
fn a_customer_sees_the_programs_that_published_models_name() {
    on_that_day(async |site| {
        stocked(&site).await;
        let c = site.customer("0").await;
        let published = ["pp-1-next", "pp-1-now", "pp-1-old"];
        assert_eq!(ids(&site, &c.key, "/pricing").await, published);
        assert_eq!(ids(&site, &site.platform, "/pricing").await.len(), PROGRAMS.len());
        for (filter, by_customer, by_platform) in [
            (
                "ppid=pp-1",
                vec!["pp-1-next", "pp-1-now", "pp-1-old"],
                vec!["pp-1-next", "pp-1-now", "pp-1-old"],
            ),
            ("ppid=pp-2", vec![], vec!["pp-2-now"]),
            ("ppid=pp-3", vec![], vec!["pp-3-now"]),
            ("ppid=pp-4", vec![], vec!["pp-4-now"]),
            (
                "llmid=llm-1",
                vec!["pp-1-next", "pp-1-now", "pp-1-old"],
                vec!["pp-1-next", "pp-1-now", "pp-1-old", "pp-3-now"],
            ),
            ("llmid=llm-2", vec![], vec!["pp-4-now"]),
            ("type=images", vec![], vec!["pp-2-now"]),
            ("status=current", vec!["pp-1-now"], vec!["pp-1-now", "pp-2-now", "pp-3-now", "pp-4-now"]),
            ("status=future", vec!["pp-1-next"], vec!["pp-1-next"]),
            ("status=expired", vec!["pp-1-old"], vec!["pp-1-old"]),
            ("ppid=pp-1&at=2026-02-28T23:59:59Z", vec!["pp-1-old"], vec!["pp-1-old"]),
            ("ppid=pp-1&at=2026-03-01T00:00:00Z", vec!["pp-1-now"], vec!["pp-1-now"]),
            ("ppid=pp-1&at=9999-12-30T00:00:00Z", vec!["pp-1-next"], vec!["pp-1-next"]),
            (
                "ppid=pp-1&at=1970-01-01T00:00:00Z&status=future",
                vec!["pp-1-next", "pp-1-now", "pp-1-old"],
                vec!["pp-1-next", "pp-1-now", "pp-1-old"],
            ),
        ] {
            assert_eq!(ids(&site, &c.key, &format!("/pricing?{filter}")).await, by_customer, "{filter}");
            assert_eq!(
                ids(&site, &site.platform, &format!("/pricing?{filter}")).await,
                by_platform,
                "{filter}"
            );
        }
    });
}

#[test]
fn one_program_is_the_row_valid_at_an_instant() {
    on_that_day(async |site| {
        stocked(&site).await;
        let c = site.customer("0").await;
        for (path, id) in [
            ("/pricing/pp-1", "pp-1-now"),
            ("/pricing/pp-1?at=2026-02-28T23:59:59Z", "pp-1-old"),
            ("/pricing/pp-1?at=2026-03-01T00:00:00Z", "pp-1-now"),
            ("/pricing/pp-1?at=2026-03-01T00:00:00%2B08:00", "pp-1-old"),
            ("/pricing/pp-1?at=2027-01-01T00:00:00Z", "pp-1-next"),
        ] {
            for key in [&c.key, &site.platform] {
                assert_eq!(site.get(key, path).await.data()["id"], id, "{path}");
            }
        }
        assert_eq!(
            site.get(&c.key, "/pricing/pp-1?at=2025-12-31T00:00:00Z").await.refusal(),
            (404, "not_found")
        );
        assert_eq!(site.get(&c.key, "/pricing/pp-1?at=soon").await.refusal(), (400, "invalid_request"));
        for hidden in ["pp-2", "pp-3", "pp-4"] {
            // First by the platform, so that the answer is in the cache.
            assert_eq!(site.get(&site.platform, &format!("/pricing/{hidden}")).await.status, 200);
            assert_eq!(
                site.get(&c.key, &format!("/pricing/{hidden}")).await.refusal(),
                (404, "not_found"),
                "{hidden}"
            );
        }
        assert_eq!(site.get(&site.platform, "/pricing/nothing").await.refusal(), (404, "not_found"));
    });
}

#[test]
fn columns_of_the_platform_are_not_shown_to_customers() {
    on_that_day(async |site| {
        stocked(&site).await;
        let uapi = [
            ("upappid", "up"),
            ("upappname", "App"),
            ("baseurl", "https://internal.example"),
            ("name", "chat"),
            ("path", "/v1/chat"),
            ("httpmethod", "POST"),
            ("stream", "yes"),
            ("need_auth", "1"),
            ("ioid", "io"),
            ("input_fields", "[]"),
        ];
        site.mirror(Entity::Uapi, &[Row::new("ua-1", &uapi)]).await;
        let c = site.customer("0").await;
        for (path, internal) in [
            ("/pricing?ppid=pp-1&at=2026-02-01T00:00:00Z", &["ownerid", "providerid"][..]),
            ("/models?llmid=llm-1&ppid=pp-1", &["ownerid", "providerid", "upappid"]),
            ("/uapis?name=chat", &["upappid", "baseurl"]),
        ] {
            let (own, all) = (site.get(&c.key, path).await, site.get(&site.platform, path).await);
            for column in internal {
                assert!(own.rows()[0].get(column).is_none(), "{path}: {column}");
                assert!(all.rows()[0][column].is_string(), "{path}: {column}");
            }
            let secret = ["internal.example", "\"prov\"", "\"own\""];
            assert!(secret.iter().all(|word| !own.text().contains(word)), "{}", own.text());
            for column in ["generation", "deleted", "hash"] {
                assert!(all.rows()[0].get(column).is_none(), "{path}: {column}");
            }
            assert_eq!(all.rows()[0]["version"], 1);
        }
        let program = site.get(&c.key, "/pricing/pp-1?at=2026-02-01T00:00:00Z").await;
        assert_eq!(
            program.data()["pricing_data"],
            json!({"pricings": [{"unit_prices": 0.002}]}),
            "YAML there, JSON here"
        );
        assert_eq!(
            (&program.data()["discount"], &program.data()["expired_date"]),
            (&json!("0.9"), &json!("2026-03-01"))
        );
        let model = site.get(&c.key, "/models/map-1").await;
        assert_eq!(
            (&model.data()["min_balance"], &model.data()["status"]),
            (&json!("1.5"), &json!("published"))
        );
    });
}

#[test]
fn models_are_found_by_row_and_by_model() {
    on_that_day(async |site| {
        stocked(&site).await;
        let c = site.customer("0").await;
        assert_eq!(ids(&site, &c.key, "/models?llmid=llm-1").await, ["map-1", "map-2"]);
        assert_eq!(ids(&site, &c.key, "/models?model=two").await, ["map-3"]);
        assert_eq!(ids(&site, &c.key, "/models?status=published&ppid=pp-3").await, ["map-2"]);
        assert_eq!(ids(&site, &c.key, "/models?model=TWO").await, [""; 0]);
        assert_eq!(site.get(&c.key, "/models/map-2").await.data()["id"], "map-2");
        assert_eq!(site.get(&c.key, "/models/llm-2").await.data()["id"], "map-3");
        assert_eq!(site.get(&c.key, "/models/nothing").await.refusal(), (404, "not_found"));
        assert_eq!(ids(&site, &c.key, "/uapis?name=nothing").await, [""; 0]);
    });
}

#[test]
fn a_list_that_the_client_has_is_not_sent_again() {
    on_that_day(async |site| {
        stocked(&site).await;
        let c = site.customer("0").await;
        for path in [
            "/pricing?limit=2",
            "/models",
            "/users",
            "/uapis",
            "/pricing/pp-1",
            "/models/map-1",
            "/accounting",
            "/whoami",
        ] {
            let first = site.get(&c.key, path).await;
            let tag = first.header("etag");
            assert!(tag.starts_with("W/\""), "{path}: {tag}");
            let again = site.send(Ask::get(path).header("if-none-match", tag), &c.key).await;
            assert_eq!((again.status, again.bytes.len(), again.header("etag")), (304, 0, tag), "{path}");
            let head = site.send(Ask::head(path), &c.key).await;
            assert_eq!((head.status, head.bytes.len(), head.header("etag")), (200, 0, tag), "{path}");
        }
    });
}

#[test]
fn texts_of_any_alphabet_filter_without_harm() {
    on_every_database(async |site| {
        site.mirror(Entity::Users, &[Row::new("u-1", &[("username", "张三 😀"), ("user_status", "0")])])
            .await;
        site.mirror(Entity::Llmage, &[Row::new("m-1", &[("model", "模型"), ("status", "published")])]).await;
        let found = ids(&site, &site.platform, "/users?username=%E5%BC%A0%E4%B8%89%20%F0%9F%98%80").await;
        assert_eq!(found, ["u-1"]);
        assert_eq!(ids(&site, &site.platform, "/users?q=%F0%9F%98%80").await, ["u-1"]);
        assert_eq!(ids(&site, &site.platform, "/models?model=%E6%A8%A1%E5%9E%8B").await, ["m-1"]);
        for path in [
            "/users?username=%F0%9F%98%80",
            "/users?status=%F0%9F%98%80",
            "/users?status=%C3%BC",
            "/models?status=%C3%BC",
            "/models?model=%C3%BC",
            "/pricing?type=%C3%BC",
            "/uapis?name=%C3%BC",
        ] {
            assert_eq!(ids(&site, &site.platform, path).await, [""; 0], "{path}");
        }
    });
}
