use serde_json::{Value, json};

use crate::ledger::{fill, on_every_database, reverse, walk};

#[test]
fn records_tell_what_was_taken_back_of_them_and_lists_find_them_by_it() {
    on_every_database(async |app| {
        let key = app.customer("org-r", "0").await;
        fill(&app.env, "org-r", 0, 20).await;
        let rows = walk(&key, "/accounting?order=asc", async || ()).await;
        let id = |n: usize| rows[n]["id"].as_str().unwrap().to_owned();
        // The fourth charge in part, the fifth in two parts, the sixth whole.
        reverse(&app.env, "org-r", &id(4), Some("0.001")).await;
        reverse(&app.env, "org-r", &id(5), Some("0.001")).await;
        reverse(&app.env, "org-r", &id(5), None).await;
        let last = reverse(&app.env, "org-r", &id(6), None).await;
        assert_eq!(last.record.seq, 24);

        let state = |row: &Value| json!([row["status"], row["reversed_amount"], row["version"]]);
        let list = walk(&key, "/accounting?order=asc&limit=5", async || ()).await;
        for (n, wanted) in [
            (3, json!(["accounted", "0", 1])),
            (4, json!(["accounted", "0.001", 2])),
            (5, json!(["reversed", rows[5]["amount"], 3])),
            (6, json!(["reversed", rows[6]["amount"], 2])),
            (23, json!(["accounted", "0", 1])),
        ] {
            assert_eq!(state(&list[n]), wanted, "{n}");
            let one = key.get(&format!("/accounting/{}", list[n]["id"].as_str().unwrap())).await;
            assert_eq!(one.data(), &list[n]);
        }
        assert_eq!(list[23]["reverses"], list[6]["id"]);

        let found = async |filter: &str| {
            let rows = walk(&key, &format!("/accounting?order=asc&limit=3&{filter}"), async || ()).await;
            let counted = key.get(&format!("/accounting?count=true&{filter}")).await;
            assert_eq!(counted.data()["total"], rows.len(), "{filter}");
            rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(found("status=reversed").await, [6, 7]);
        let rest: Vec<_> = (1..=24).filter(|seq| ![6, 7].contains(seq)).collect();
        assert_eq!(found("status=accounted").await, rest);
        assert_eq!(found("status=reversed&kind=reversal").await, [0; 0]);
        assert_eq!(found("status=pending").await, [0; 0]);
        assert_eq!(found("kind=reversal").await, [21, 22, 23, 24]);
        let everywhere = walk(&app.platform, "/accounting?status=reversed&limit=1", async || ()).await;
        assert_eq!(everywhere.len(), 2);
    });
}
