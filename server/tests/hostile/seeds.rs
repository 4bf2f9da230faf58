//! Hostile seed files: refused whole, with the file's name and a reason, and nothing of them in the database.

use std::path::{Path, PathBuf};

use sageapi_test_support::database::TestDatabase;
use sageapi_test_support::server::cli;

use crate::victim::on_every_database;

/// Files that are wrong in one thing; everything else in them could be seeded.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let customer = r#"{"id":"org-1","currency":"CNY","credit":"5"}"#;
    let with = |more: &str| format!(r#"{{"customers":[{customer},{more}]}}"#).into_bytes();
    let keyed = |key: &str| format!(r#"{{"customers":[{customer}],"keys":[{key}]}}"#).into_bytes();
    let users = |row: &str| format!(r#"{{"customers":[{customer}],"users":[{row}]}}"#).into_bytes();
    vec![
        ("nothing", vec![]),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("members by their place", br#"[[{"id":"org-1"}],[],[],[],[],[]]"#.to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("YAML", b"customers:\n- id: org-1\n".to_vec()),
        ("half a file", format!(r#"{{"customers":[{customer}"#).into_bytes()),
        ("a tail", format!(r#"{{"customers":[{customer}]}} x"#).into_bytes()),
        ("bytes that are no text", b"{\"customers\":[{\"id\":\"\xff\xfe\"}]}".to_vec()),
        ("NUL", vec![0; 100_000]),
        ("depth", "[".repeat(100_000).into_bytes()),
        ("depth in a row", users(&"[".repeat(100_000))),
        ("an unknown member", format!(r#"{{"customers":[{customer}],"surprise":[]}}"#).into_bytes()),
        ("a member twice", format!(r#"{{"customers":[{customer}],"customers":[]}}"#).into_bytes()),
        ("customers that are an object", br#"{"customers":{"id":"org-1"}}"#.to_vec()),
        ("a customer without an id", with("{}")),
        ("a customer of another type", with("5")),
        ("an unknown member of a customer", with(r#"{"id":"b","admin":true}"#)),
        ("an empty id", with(r#"{"id":""}"#)),
        ("an id with a space", with(r#"{"id":"a b"}"#)),
        ("an id with a NUL", with("{\"id\":\"a\\u0000\"}")),
        ("an id of 65", with(&format!(r#"{{"id":"{}"}}"#, "i".repeat(65)))),
        ("an id of another alphabet", with(r#"{"id":"组织"}"#)),
        ("a currency in small letters", with(r#"{"id":"b","currency":"cny"}"#)),
        ("a credit that is a number", with(r#"{"id":"b","credit":5}"#)),
        ("a negative credit", with(r#"{"id":"b","credit":"-5"}"#)),
        ("a credit that is no amount", with(r#"{"id":"b","credit":"1e9"}"#)),
        ("a credit beyond all", with(r#"{"id":"b","credit":"9000000001"}"#)),
        ("a negative limit", with(r#"{"id":"b","credit_limit":"-1"}"#)),
        ("a key without a name", keyed(r#"{"scopes":["balance:read"]}"#)),
        ("a key without scopes", keyed(r#"{"name":"k","scopes":[]}"#)),
        ("an unknown scope", keyed(r#"{"name":"k","scopes":["everything"]}"#)),
        ("an admin of a customer", keyed(r#"{"name":"k","customer":"org-1","scopes":["admin"]}"#)),
        ("an unknown mode", keyed(r#"{"name":"k","scopes":["balance:read"],"auth_mode":"none"}"#)),
        ("a mode that is not built", keyed(r#"{"name":"k","scopes":["balance:read"],"auth_mode":"deerer"}"#)),
        ("a name of 200", keyed(&format!(r#"{{"name":"{}","scopes":["balance:read"]}}"#, "n".repeat(200)))),
        (
            "a key's customer that is none",
            keyed(r#"{"name":"k","customer":"a b","scopes":["balance:read"]}"#),
        ),
        ("a row without an id", users("{}")),
        ("a row of another type", users("5")),
        ("a row with a column of another type", users(r#"{"id":"u","username":{}}"#)),
        (
            "a row with a text too long",
            users(&format!(r#"{{"id":"u","username":"{}"}}"#, "x".repeat(100_000))),
        ),
        ("a row with a NUL", users("{\"id\":\"u\",\"username\":\"a\\u0000\"}")),
        ("a row with a column twice", users(r#"{"id":"u","username":"a","username":"b"}"#)),
    ]
}

async fn seed(database: &TestDatabase, what: &str, file: &Path) -> (Option<i32>, String) {
    let (url, file) = (database.url(), file.to_str().unwrap());
    let output = cli(&["seed", file], [("SAGEAPI_DATABASE_URL", url.as_str())]).await;
    assert!(output.stdout.is_empty(), "{what}: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn assert_refused(what: &str, (code, said): &(Option<i32>, String)) {
    assert_eq!(*code, Some(64), "{what}: {said}");
    assert!(!said.contains("panicked") && said.len() < 4000 && !said.trim().is_empty(), "{what}: {said}");
}

#[test]
fn a_hostile_seed_file_is_refused_whole() {
    on_every_database(async |kind| {
        let database = TestDatabase::fresh(kind).await;
        let url = database.url();
        let migrated = cli(&["migrate"], [("SAGEAPI_DATABASE_URL", url.as_str())]).await;
        assert!(migrated.status.success(), "{migrated:?}");
        let file: PathBuf = database.folder().join("seed.json");
        for (what, bytes) in files() {
            std::fs::write(&file, bytes).unwrap();
            let said = seed(&database, what, &file).await;
            assert_refused(what, &said);
            assert!(said.1.contains("seed.json"), "{what}: the file is named: {}", said.1);
        }
        std::fs::remove_file(&file).unwrap();
        for (what, path) in [
            ("no file", file.clone()),
            ("a folder", database.folder()),
            ("a device without end", PathBuf::from("/dev/zero")),
            ("an empty device", PathBuf::from("/dev/null")),
        ] {
            assert_refused(what, &seed(&database, what, &path).await);
        }
        let sparse = std::fs::File::create(&file).unwrap();
        sparse.set_len(1 << 40).unwrap();
        assert_refused("a terabyte", &seed(&database, "a terabyte", &file).await);
        for table in ["customer_balance", "accounting_records", "dapi_keys", "users_cache"] {
            assert_eq!(database.int(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
        }
    });
}

#[test]
fn a_price_list_that_no_charge_can_be_priced_by_is_told_when_it_is_seeded() {
    on_every_database(async |kind| {
        let database = TestDatabase::fresh(kind).await;
        let url = database.url();
        let migrated = cli(&["migrate"], [("SAGEAPI_DATABASE_URL", url.as_str())]).await;
        assert!(migrated.status.success(), "{migrated:?}");
        let file = database.folder().join("seed.json");
        let list = |id: &str, price: &str| {
            format!(
                r#"{{"id":"{id}","ppid":"pp","pricing_data":"pricings: [{{price_factors: n, unit_prices: {price}}}]"}}"#
            )
        };
        let lists = [list("good", "1"), list("negative", "-1"), list("spelt", "1_000")].join(",");
        std::fs::write(&file, format!(r#"{{"pricing":[{lists}]}}"#)).unwrap();
        let seeded = cli(
            &["seed", file.to_str().unwrap(), "--output", "json"],
            [("SAGEAPI_DATABASE_URL", url.as_str())],
        )
        .await;
        assert!(seeded.status.success(), "{seeded:?}");
        let told: serde_json::Value = serde_json::from_slice(&seeded.stdout).unwrap();
        let warnings: Vec<_> =
            told["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        let logged = String::from_utf8_lossy(&seeded.stderr);
        for (warning, reason) in warnings.iter().zip([
            "price list negative: pricings[0].unit_prices: must not be negative",
            "price list spelt: pricings[0].unit_prices: must be a decimal number",
        ]) {
            assert!(warning.contains(reason) && logged.contains(reason), "{warning}; {logged}");
        }
        assert_eq!(warnings.len(), 2);
    });
}
