use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use sageapi_server::model::Money;

use crate::ledger::{fill, nanos, on_every_database, reverse, walk};

/// Count, charged, credited, tokens in and out.
type Sums = (u64, i128, i128, i64, i64);

fn recomputed(records: &[Value], by: &[&str]) -> BTreeMap<String, Sums> {
    let mut groups: BTreeMap<String, Sums> = BTreeMap::new();
    for record in records {
        let mut key = Map::new();
        for name in by {
            let value = match *name {
                "day" => json!(&record["created_at"].as_str().unwrap()[..10]),
                "model" => record["model_name"].clone(),
                other => record[other].clone(),
            };
            key.insert((*name).to_owned(), value);
        }
        key.insert("currency".into(), record["currency"].clone());
        let sums = groups.entry(Value::Object(key).to_string()).or_default();
        let delta = nanos(record, "delta");
        sums.0 += 1;
        sums.1 += (-delta).max(0);
        sums.2 += delta.max(0);
        sums.3 += record["input_tokens"].as_i64().unwrap_or(0);
        sums.4 += record["output_tokens"].as_i64().unwrap_or(0);
    }
    groups
}

fn summed(rows: &[Value], by: &[&str]) -> BTreeMap<String, Sums> {
    let group = |row: &Value| {
        let mut key = Map::new();
        for name in by.iter().chain(&["currency"]) {
            key.insert((*name).to_owned(), row[*name].clone());
        }
        let (charged, credited) = (nanos(row, "charged"), nanos(row, "credited"));
        assert_eq!(nanos(row, "net"), credited - charged, "{row}");
        let tokens = |member: &str| row[member].as_i64().unwrap();
        let sums = (
            row["count"].as_u64().unwrap(),
            charged,
            credited,
            tokens("input_tokens"),
            tokens("output_tokens"),
        );
        assert_eq!(row.as_object().unwrap().len(), by.len() + 7, "{row}");
        (Value::Object(key).to_string(), sums)
    };
    let groups: BTreeMap<_, _> = rows.iter().map(group).collect();
    assert_eq!(groups.len(), rows.len(), "a group twice");
    groups
}

#[test]
fn a_summary_is_what_a_reader_of_the_list_would_compute() {
    on_every_database(async |app| {
        let key = app.customer("org-s", "0").await;
        app.customer("org-o", "0").await;
        // More than is read at once, over several days.
        fill(&app.env, "org-s", 0, 4100).await;
        fill(&app.env, "org-o", 0, 30).await;
        let first = walk(&key, "/accounting?order=asc&limit=3", async || ()).await;
        reverse(&app.env, "org-s", first[1]["id"].as_str().unwrap(), None).await;
        for (day, seqs) in [(0, 1..=1500), (1, 1501..=2500), (400, 2501..=4101)] {
            let time = 1_780_000_000_000_000_i64 + day * 86_400_000_000;
            app.database
                .execute(&format!(
                    "UPDATE accounting_records SET created_at = {time} + seq WHERE seq BETWEEN {} AND {}",
                    seqs.start(),
                    seqs.end()
                ))
                .await;
        }
        for filter in [
            "",
            "customer_id=org-s",
            "customer_id=org-s&kind=charge",
            "customer_id=org-s&model=model-1&from=2026-05-29T00:00:00Z",
            "user_id=u-2&to=2026-05-29T23:00:00Z",
            "customer_id=org-s&status=reversed",
            "status=accounted",
            "status=failed",
            "kind=opening",
        ] {
            let records = walk(&app.platform, &format!("/accounting?limit=1000&{filter}"), async || ()).await;
            for by in [&["day"][..], &["model"], &["kind"], &["day", "kind"], &["day", "model", "kind"]] {
                let path = format!("/accounting/summary?group_by={}&{filter}", by.join(","));
                let summary = app.platform.get(&path).await;
                assert_eq!(summed(summary.rows(), by), recomputed(&records, by), "{path}");
                assert!(summary.data()["next_cursor"].is_null());
            }
        }
        let days = key.get("/accounting/summary?group_by=day").await;
        let days: Vec<_> = days
            .rows()
            .iter()
            .map(|row| (row["day"].as_str().unwrap().to_owned(), row["count"].clone()))
            .collect();
        let wanted = [("2026-05-28", 1500), ("2026-05-29", 1000), ("2027-07-02", 1601)];
        assert_eq!(days, wanted.map(|(day, count)| (day.to_owned(), json!(count))));
        let own = key.get("/accounting/summary?group_by=kind").await;
        assert_eq!(own.rows().iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), 4101);
    });
}

#[test]
fn sums_beyond_the_range_of_money_are_exact() {
    on_every_database(async |app| {
        for n in 0..3 {
            app.customer(&format!("rich-{n}"), "9000000000").await;
        }
        let summary = app.platform.get("/accounting/summary?group_by=kind").await;
        assert_eq!(summary.rows()[0]["credited"], "27000000000");
        assert_eq!(Money::parse("27000000000").ok(), None);
    });
}

#[test]
fn a_summary_needs_a_grouping_that_it_knows_and_not_too_many_groups() {
    on_every_database(async |app| {
        let key = app.customer("org-g", "0").await;
        for wrong in [
            "",
            "?group_by=",
            "?group_by=week",
            "?group_by=day,day",
            "?group_by=Day",
            "?group_by=day&status=gone",
        ] {
            let answer = key.get(&format!("/accounting/summary{wrong}")).await;
            assert_eq!(answer.problem(), (400, "invalid_request"), "{wrong}");
            let field = if wrong.contains("gone") { "status" } else { "group_by" };
            assert_eq!(answer.body["errors"][0]["field"], field, "{wrong}");
        }
        assert_eq!(
            key.get("/accounting/summary?group_by=day&limit=5").await.problem(),
            (400, "unknown_parameter")
        );
        assert_eq!(
            key.get("/accounting/summary?group_by=day&customer_id=org-x").await.problem(),
            (403, "customer_forbidden")
        );
        assert_eq!(key.get("/accounting/summary?group_by=day").await.rows().len(), 0);

        fill(&app.env, "org-g", 0, 10_001).await;
        let names = match app.database.kind() {
            sageapi_test_support::database::Kind::Sqlite => "'m' || seq",
            sageapi_test_support::database::Kind::MySql => "CONCAT('m', seq)",
        };
        app.database.execute(&format!("UPDATE accounting_records SET model_name = {names}")).await;
        let answer = key.get("/accounting/summary?group_by=model").await;
        assert_eq!(answer.problem(), (400, "invalid_request"));
        assert_eq!(answer.body["errors"][0]["field"], "group_by");
        assert_eq!(key.get("/accounting/summary?group_by=kind").await.rows().len(), 2);
    });
}
