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
        assert_eq!(names, ["demo-customer", "demo-gateway", "demo-platform"]);
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
        assert_eq!(installation.json(&["key", "list"]).await.as_array().unwrap().len(), 3);
        assert_eq!(installation.json(&["customer", "show", "org_demo_0001"]).await["balance"], "1000");
        assert_eq!(installation.json(&["customer", "show", "org_demo_0002"]).await["available"], "150.5");
        assert_eq!(installation.json(&["customer", "show", "org_demo_0003"]).await["currency"], "USD");
        assert_eq!(installation.verify().await, 3);

        let server = installation.server().start().await;
        let customer = MadeKey::of(&first["keys"][0]).client(&server.http());
        assert_eq!(customer.get("/balance").await.data()["balance"], "1000");
        let platform = MadeKey::of(&first["keys"][2]).client(&server.http());
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
async fn users_groups_and_members_are_seeded_once_and_a_user_with_a_role_is_no_mirrored_row() {
    let installation = Installation::new(kinds()[0]).await;
    let seed = async |seed: Value| {
        let file = installation.file("seed.json", &seed.to_string()).display().to_string();
        installation.command(&["seed", &file, "--output", "json"]).await
    };
    let whole = json!({
        "customers": [{"id": "org_a"}],
        "groups": [{"name": "staff", "daily_tokens": 5}, {"name": "own", "customer": "org_a", "default": true}],
        "users": [
            {"username": "Ann", "customer": "org_a", "role": "user", "group": "staff", "password": "a long password"},
            {"id": "u_1", "username": "bea", "orgid": "org_a", "version": 1},
        ],
        "members": [{"user_id": "u_1", "group": "own", "customer": "org_a"}],
    });
    for made in [(2, 1), (0, 0)] {
        let ended = seed(whole.clone()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let seeded: Value = serde_json::from_str(&ended.stdout).unwrap();
        let counted = (&seeded["groups_created"], &seeded["users_created"], &seeded["rows_written"]);
        assert_eq!(counted, (&json!(made.0), &json!(made.1), &json!(1)), "{seeded}");
    }
    let ann = installation.json(&["user", "show", "ann", "--customer", "org_a"]).await;
    assert_eq!((&ann["has_password"], ann["group_id"].is_null()), (&json!(true), false), "{ann}");
    let none = seed(json!({"groups": []})).await;
    assert_eq!((none.code, none.stderr.as_str()), (0, ""), "{none:?}");
    for (wrong, names) in [
        (json!({"groups": {"staff": {}}}), "seed.json"),
        (json!({"groups": [{"name": "staff", "daily": 5}]}), "daily"),
        (json!({"groups": [{"name": "x", "daily_tokens": -5}]}), "daily_tokens"),
        (json!({"users": [{"username": "x", "role": "owner"}]}), "role"),
        (json!({"users": [{"username": "x", "role": "user", "password": "short"}]}), "password"),
        (json!({"users": [{"username": "x", "role": "user", "group": "nobody"}]}), "nobody"),
        (json!({"members": [{"user_id": "nobody", "group": "staff"}]}), "nobody"),
    ] {
        let ended = seed(wrong.clone()).await;
        assert_eq!(ended.code, 64, "{wrong}: {ended:?}");
        assert!(ended.stderr.contains(names), "{wrong}: {ended:?}");
    }
}
