//! Rows whose newest version cannot be read: no old version of them goes on in silence.

use sageapi_server::model::Entity;
use sageapi_test_support::app::App;
use sageapi_test_support::client::Answer;
use serde_json::{Value, json};

use crate::feed::{Liar, TIMEOUT, mirroring, pull};
use crate::victim::on_every_database;

struct World {
    liar: Liar,
    app: App,
}

impl World {
    /// The platform says this of one row.
    async fn says(&self, entity: Entity, id: &str, version: impl Into<Value>, data: Value) {
        let row = json!({"id": id, "op": "upsert", "version": version.into(), "data": data});
        let page = json!({"status": "ok", "data": {"rows": [row], "next": "c", "has_more": false}});
        self.liar.says(page.to_string());
        pull(&self.app, entity).await.unwrap();
    }

    /// One of these programs, of the given discount.
    async fn price_list(&self, version: i64, change: Value) {
        self.says(Entity::Pricing, "row-1", version, program(&change)).await;
    }

    async fn quote(&self, of: &Value) -> Answer {
        let mut body = json!({"usage": {"n": 10}, "event_time": "2026-07-01T00:00:00Z"});
        body.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        self.app.platform.post("/pricing/quote", &body).await
    }

    /// What ten cost by the program.
    async fn price(&self) -> Value {
        self.quote(&json!({"pricing_id": "pp-1"})).await.data()["amount"].clone()
    }

    async fn unpriced(&self, of: &Value) {
        let answer = self.quote(of).await;
        assert_eq!(answer.problem(), (422, "price_not_found"), "{answer}");
        assert!(answer.text().contains("cannot be read"), "{answer}");
        assert!(!answer.text().contains("discount"), "the reason is for the log: {answer}");
    }

    /// The standing of the whole, and how many rows of an entity cannot be read.
    async fn health(&self, entity: Entity) -> (Value, Value) {
        let health = self.app.platform.get("/health").await;
        let data = health.data();
        (data["status"].clone(), data["sync"][entity.as_str()]["quarantined"].clone())
    }
}

fn program(change: &Value) -> Value {
    let mut program = json!({
        "ppid": "pp-1", "discount": "0.9", "currency": "CNY",
        "pricing_data": "pricings: [{price_factors: n, unit_prices: 1}]",
        "enabled_date": "2026-01-01", "expired_date": "9999-12-31",
    });
    program.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    program
}

fn in_front_of_a_platform(test: impl AsyncFn(World)) {
    on_every_database(async |kind| {
        let liar = Liar::start().await;
        let app = mirroring(kind, &liar.url, TIMEOUT).await;
        test(World { liar, app }).await;
    });
}

fn good() -> (Value, Value) {
    (json!("ok"), json!(0))
}

fn bad() -> (Value, Value) {
    (json!("degraded"), json!(1))
}

#[test]
fn a_program_is_not_priced_by_an_old_version_of_its_list() {
    in_front_of_a_platform(async |world| {
        world.price_list(1, json!({})).await;
        assert_eq!((world.price().await, world.health(Entity::Pricing).await), (json!("9"), good()));
        let program = json!({"pricing_id": "pp-1"});
        let wrong = [
            json!({"discount": "0.85000000000000000001"}),
            json!({"pricing_data": "pricings: ["}),
            json!({"pricing_data": [1]}),
            json!({"currency": "x".repeat(9)}),
            json!({"enabled_date": "soon"}),
            json!({"expired_date": "never"}),
            json!({"ppid": "a b"}),
            json!({"name": "x".repeat(256)}),
        ];
        for (n, wrong) in (1..).zip(wrong) {
            world.price_list(2 * n, wrong.clone()).await;
            world.unpriced(&program).await;
            assert_eq!(world.health(Entity::Pricing).await, bad(), "{wrong}");
            assert_eq!(world.app.platform.get("/pricing").await.rows(), [Value::Null; 0], "{wrong}");
            let shown = world.app.platform.get("/pricing/pp-1?at=2026-07-01T00:00:00Z").await;
            assert_eq!(shown.problem(), (404, "not_found"), "{wrong}");
            // Older than what cannot be read.
            world.price_list(2 * n - 1, json!({"discount": "0.5"})).await;
            world.unpriced(&program).await;
            // The same version, corrected.
            world.price_list(2 * n, json!({"discount": "0.8"})).await;
            assert_eq!(
                (world.price().await, world.health(Entity::Pricing).await),
                (json!("8"), good()),
                "{wrong}"
            );
            // What cannot be read of an older version changes nothing.
            world.price_list(2 * n - 1, wrong.clone()).await;
            assert_eq!(
                (world.price().await, world.health(Entity::Pricing).await),
                (json!("8"), good()),
                "{wrong}"
            );
        }
    });
}

#[test]
fn a_version_that_ends_the_validity_is_honoured_though_another_field_is_wrong() {
    in_front_of_a_platform(async |world| {
        world.price_list(1, json!({})).await;
        world.price_list(2, json!({"discount": "?", "expired_date": "2026-06-01 00:00:00"})).await;
        let ended = world.quote(&json!({"pricing_id": "pp-1"})).await;
        assert_eq!(ended.problem(), (422, "price_not_found"));
        assert!(ended.text().contains("no price list for 2026-07-01"), "{ended}");
        world.unpriced(&json!({"pricing_id": "pp-1", "event_time": "2026-05-31T00:00:00Z"})).await;
    });
}

#[test]
fn a_list_that_was_never_read_is_not_passed_over_for_an_older_one() {
    in_front_of_a_platform(async |world| {
        world.price_list(1, json!({})).await;
        let newer = |change: Value| {
            let mut newer = program(&json!({"enabled_date": "2026-06-01"}));
            newer.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            newer
        };
        world.says(Entity::Pricing, "row-2", 1, newer(json!({"discount": "?"}))).await;
        world.unpriced(&json!({"pricing_id": "pp-1"})).await;
        let before = world.quote(&json!({"pricing_id": "pp-1", "event_time": "2026-05-31T00:00:00Z"})).await;
        assert_eq!(before.data()["amount"], "9", "the day before is priced by the list of that day");
        // From which day on it counts cannot be read: it may be any.
        world.says(Entity::Pricing, "row-2", 2, newer(json!({}))).await;
        world.says(Entity::Pricing, "row-3", 1, newer(json!({"enabled_date": "?"}))).await;
        world.unpriced(&json!({"pricing_id": "pp-1", "event_time": "2026-05-31T00:00:00Z"})).await;
        world.says(Entity::Pricing, "row-3", 2, newer(json!({"ppid": "pp-3"}))).await;
        assert_eq!(world.price().await, "9");
    });
}

#[test]
fn a_row_that_tells_nothing_but_its_id_casts_doubt_on_what_is_there() {
    in_front_of_a_platform(async |world| {
        let program = json!({"pricing_id": "pp-1"});
        world.price_list(5, json!({})).await;
        for doubt in [json!("x"), json!(null), json!(-1), json!(5.5)] {
            world.says(Entity::Pricing, "row-1", doubt.clone(), json!({})).await;
            world.says(Entity::Pricing, "row-1", doubt, json!({})).await;
            world.unpriced(&program).await;
            assert_eq!(world.health(Entity::Pricing).await, bad());
            world.price_list(4, json!({"discount": "0.5"})).await;
            world.unpriced(&program).await;
            world.price_list(5, json!({})).await;
            assert_eq!((world.price().await, world.health(Entity::Pricing).await), (json!("9"), good()));
        }
        world.says(Entity::Pricing, "row-1", 6, json!("no object")).await;
        world.unpriced(&program).await;
        let gone =
            r#"{"status":"ok","data":{"rows":[{"id":"row-1","op":"delete","version":6}],"has_more":false}}"#;
        world.liar.says(gone);
        pull(&world.app, Entity::Pricing).await.unwrap();
        assert!(world.quote(&program).await.text().contains("no price list for"));
        assert_eq!(world.health(Entity::Pricing).await, good());
    });
}

#[test]
fn a_model_whose_offer_cannot_be_read_is_not_priced_by_another_one() {
    in_front_of_a_platform(async |world| {
        world.price_list(1, json!({})).await;
        let offer = |ppid: &str, change: Value| {
            let mut offer = json!({"llmid": "llm-1", "model": "m", "ppid": ppid, "status": "published"});
            offer.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            offer
        };
        world.says(Entity::Llmage, "m-1", 1, offer("pp-1", json!({"isdefaultcatelog": "1"}))).await;
        world.says(Entity::Llmage, "m-2", 1, offer("pp-1", json!({}))).await;
        let model = json!({"llmid": "llm-1"});
        assert_eq!(world.quote(&model).await.data()["amount"], "9");
        for (n, wrong) in
            (1..).zip([json!({"ppid": "a b"}), json!({"min_balance": "?"}), json!({"llmid": []})])
        {
            world.says(Entity::Llmage, "m-1", 2 * n, offer("pp-1", wrong.clone())).await;
            // It may not be the default any more, but it was.
            world.unpriced(&model).await;
            world.unpriced(&json!({"llmid": "llm-1", "pricing_id": "pp-1"})).await;
            assert_eq!(world.price().await, "9", "who names the program alone does not ask for the model");
            assert_eq!(world.health(Entity::Llmage).await, bad(), "{wrong}");
            assert_eq!(world.app.platform.get("/models").await.rows().len(), 1);
            assert_eq!(world.app.platform.get("/models/m-1").await.problem(), (404, "not_found"));
            world.says(Entity::Llmage, "m-1", 2 * n, offer("pp-1", json!({"isdefaultcatelog": "1"}))).await;
            assert_eq!(world.quote(&model).await.data()["amount"], "9");
            assert_eq!(world.health(Entity::Llmage).await, good());
        }
    });
}

#[test]
fn of_users_and_upstream_apis_what_can_be_read_counts_and_the_rest_is_unknown() {
    in_front_of_a_platform(async |world| {
        let user = json!({"username": "ann", "orgid": "org-1", "mobile": "1", "user_status": "0"});
        world.says(Entity::Users, "u-1", 1, user).await;
        let moved = json!({"username": "ann", "orgid": "org-2", "mobile": ["2"], "user_status": "1"});
        world.says(Entity::Users, "u-1", 2, moved).await;
        let shown = world.app.platform.get("/users/u-1").await;
        let user = shown.data();
        assert_eq!(
            (&user["orgid"], &user["mobile"], &user["user_status"]),
            (&json!("org-2"), &Value::Null, &json!("1"))
        );
        assert_eq!(world.health(Entity::Users).await, bad());
        // Whose they are is not known: nobody's, and not their former organization's.
        world.says(Entity::Users, "u-1", 3, json!({"username": "ann", "orgid": "a b"})).await;
        assert_eq!(world.app.platform.get("/users?customer_id=org-2").await.rows(), [Value::Null; 0]);
        world.says(Entity::Users, "u-1", 3, json!({"username": "ann", "orgid": "org-3"})).await;
        assert_eq!(world.app.platform.get("/users?customer_id=org-3").await.rows().len(), 1);
        assert_eq!(world.health(Entity::Users).await, good());

        world.says(Entity::Uapi, "a-1", 1, json!({"name": "chat", "path": "/v1"})).await;
        world.says(Entity::Uapi, "a-1", 2, json!({"name": "chat", "path": 7, "stream": {}})).await;
        let apis = world.app.platform.get("/uapis").await;
        assert_eq!((&apis.rows()[0]["path"], &apis.rows()[0]["stream"]), (&json!("7"), &Value::Null));
        assert_eq!(world.health(Entity::Uapi).await, bad());
    });
}

#[test]
fn a_snapshot_keeps_what_cannot_be_read_and_forgets_it_when_it_is_gone() {
    in_front_of_a_platform(async |world| {
        let page =
            |rows: &[Value]| json!({"status": "ok", "data": {"rows": rows, "has_more": false}}).to_string();
        let row = |id: &str, version: i64, change: Value| json!({"id": id, "op": "upsert", "version": version, "data": program(&change)});
        let others: Vec<_> = (0..9).map(|n| row(&format!("other-{n}"), 1, json!({"ppid": "pp-2"}))).collect();
        let snapshot = async |rows: &[Value]| {
            let all: Vec<_> = others.iter().chain(rows).cloned().collect();
            world.liar.says(page(&all));
            let store = world.app.env.store();
            let lease =
                store.acquire_lease("pricing", std::time::Duration::from_secs(60)).await.unwrap().unwrap();
            store.start_snapshot(&lease).await.unwrap();
            store.release_lease(lease).await.unwrap();
            pull(&world.app, Entity::Pricing).await.unwrap()
        };
        assert_eq!(snapshot(&[row("row-1", 1, json!({}))]).await.swept, 0);
        for _ in 0..2 {
            let report = snapshot(&[row("row-1", 2, json!({"discount": "?"}))]).await;
            assert_eq!((report.quarantined, report.swept, report.deletes), (1, 0, 0));
            world.unpriced(&json!({"pricing_id": "pp-1"})).await;
            assert_eq!(world.health(Entity::Pricing).await, bad());
        }
        assert_eq!(snapshot(&[]).await.swept, 1);
        assert_eq!(world.health(Entity::Pricing).await, good());
        assert!(world.quote(&json!({"pricing_id": "pp-1"})).await.text().contains("no price list for"));
    });
}

#[test]
fn a_list_whose_days_cannot_be_read_is_not_outranked_by_another_of_its_program() {
    in_front_of_a_platform(async |world| {
        let program_of = json!({"pricing_id": "pp-1"});
        world.price_list(1, json!({})).await;
        world.says(Entity::Pricing, "row-2", 1, program(&json!({"enabled_date": "2026-03-01"}))).await;
        assert_eq!(world.price().await, "9");
        for (n, wrong) in (2..).step_by(2).zip([
            program(&json!({"enabled_date": "2026-06"})),
            program(&json!({"expired_date": "?"})),
            json!("no object"),
        ]) {
            world.says(Entity::Pricing, "row-1", n, wrong.clone()).await;
            if wrong["expired_date"] != "?" {
                world.unpriced(&program_of).await;
            }
            assert_eq!(world.health(Entity::Pricing).await, bad(), "{wrong}");
            world.price_list(n + 1, json!({})).await;
            assert_eq!((world.price().await, world.health(Entity::Pricing).await), (json!("9"), good()));
        }
    });
}

#[test]
fn a_new_row_of_which_nothing_can_be_read_shows_in_health_until_it_is_corrected() {
    in_front_of_a_platform(async |world| {
        world.price_list(1, json!({})).await;
        world.says(Entity::Pricing, "row-2", 5, json!("no object")).await;
        assert_eq!(world.health(Entity::Pricing).await, bad());
        world.says(Entity::Pricing, "row-2", 5, program(&json!({"ppid": "pp-2"}))).await;
        assert_eq!(world.health(Entity::Pricing).await, good());
    });
}
