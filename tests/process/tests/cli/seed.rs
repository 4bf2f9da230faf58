use sageapi_process_tests::Installation;
use sageapi_process_tests::installation::MadeKey;
use sageapi_test_support::database::kinds;
use serde_json::{Value, json};

/// The sample that ships with the product.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../init/data.json");

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_loaded_once_however_often_it_is_seeded() {
    for kind in kinds() {
        let installation = Installation::new(kind).await;
        let first = installation.json(&["seed", SAMPLE]).await;
        assert_eq!((&first["customers_created"], &first["credits_booked"]), (&json!(3), &json!(3)));
        let names: Vec<_> = first["keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
        assert_eq!(names, ["demo-customer", "demo-platform"]);
        for _ in 0..2 {
            let again = installation.json(&["seed", SAMPLE]).await;
            assert_eq!((&again["customers_created"], &again["credits_booked"]), (&json!(0), &json!(0)));
            for (before, after) in
                first["keys"].as_array().unwrap().iter().zip(again["keys"].as_array().unwrap())
            {
                assert_eq!(before["key_id"], after["key_id"]);
                assert_eq!(after["secret"], Value::Null, "a secret is shown once");
            }
        }
        assert_eq!(installation.json(&["key", "list"]).await.as_array().unwrap().len(), 2);
        assert_eq!(installation.json(&["customer", "show", "org_demo_0001"]).await["balance"], "1000");
        assert_eq!(installation.json(&["customer", "show", "org_demo_0002"]).await["available"], "150.5");
        assert_eq!(installation.json(&["customer", "show", "org_demo_0003"]).await["currency"], "USD");
        assert_eq!(installation.verify().await, 3);

        let server = installation.server().start().await;
        let customer = MadeKey::of(&first["keys"][0]).client(&server.http());
        assert_eq!(customer.get("/balance").await.data()["balance"], "1000");
        let platform = MadeKey::of(&first["keys"][1]).client(&server.http());
        assert_eq!(platform.get("/balance?customer_id=org_demo_0003").await.data()["balance"], "0.25");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_with_anything_wrong_changes_nothing() {
    for kind in kinds() {
        let installation = Installation::new(kind).await;
        let good = json!({"id": "org_good", "credit": "5"});
        let wrong = [
            (json!({"customers": [good, {"id": "org bad"}]}), "org bad"),
            (json!({"customers": [good, {"id": "org_bad", "credit": "ten"}]}), "credit"),
            (json!({"customers": [good, {"id": "org_bad", "credit": 10}]}), "string"),
            (json!({"customers": [good, {"id": "org_bad", "currency": "yuan"}]}), "yuan"),
            (json!({"customers": [good, {"id": "org_bad", "colour": "red"}]}), "colour"),
            (json!({"customers": [good], "keys": [{"name": "k", "scopes": ["users:write"]}]}), "users:write"),
            (json!({"customers": [good], "keys": [{"scopes": ["users:read"]}]}), "name"),
            (json!({"customers": [good], "users": [{"username": "without an id"}]}), "id"),
            (json!({"customers": [good], "unknown": []}), "unknown"),
            (json!([good]), "seed.json"),
        ];
        for (seed, names) in wrong {
            let file = installation.file("seed.json", &seed.to_string()).display().to_string();
            let ended = installation.command(&["seed", &file]).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (64, ""), "{seed}: {ended:?}");
            assert!(
                ended.stderr.contains("seed.json") && ended.stderr.contains(names),
                "{seed} should name {names}: {ended:?}"
            );
            assert_eq!(
                installation.command(&["customer", "show", "org_good"]).await.code,
                64,
                "{seed}: nothing was made"
            );
        }
        let free =
            json!({"customers": [{"id": "org_free", "credit": "0"}, {"id": "org_poor", "credit": "0.00"}]});
        let file = installation.file("seed.json", &free.to_string()).display().to_string();
        let seeded = installation.json(&["seed", &file]).await;
        assert_eq!((&seeded["customers_created"], &seeded["credits_booked"]), (&json!(2), &json!(0)));
        assert_eq!(installation.json(&["customer", "show", "org_free"]).await["seq"], 0);
        let rows =
            json!({"customers": [good], "users": [{"id": "u-1", "username": "ann", "orgid": "org_good"}]});
        let file = installation.file("seed.json", &rows.to_string()).display().to_string();
        assert_eq!(installation.json(&["seed", &file]).await["rows_written"], 1);
        let changed = json!({"customers": [{"id": "org_good", "credit": "6"}]});
        let file = installation.file("seed.json", &changed.to_string()).display().to_string();
        let ended = installation.command(&["seed", &file]).await;
        assert_eq!(ended.code, 64, "another credit under the same transno: {ended:?}");
        assert!(ended.stderr.contains("org_good"), "{ended:?}");
        assert_eq!(installation.json(&["customer", "show", "org_good"]).await["balance"], "5");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_taken_with_a_warning() {
    let installation = Installation::new(kinds()[0]).await;
    let seed = async |seed: Value| {
        let file = installation.file("seed.json", &seed.to_string()).display().to_string();
        installation.command(&["seed", &file]).await
    };
    let ended =
        seed(json!({"customers": [{"id": "org_a"}], "groups": [{"name": "staff", "daily": 5}]})).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("groups are not implemented yet"), "{ended:?}");
    assert!(ended.stdout.contains("1 customer(s) created"), "{ended:?}");
    let none = seed(json!({"groups": []})).await;
    assert_eq!((none.code, none.stderr.as_str()), (0, ""), "{none:?}");
    let wrong = seed(json!({"groups": {"staff": {}}})).await;
    assert_eq!(wrong.code, 64, "{wrong:?}");
}
