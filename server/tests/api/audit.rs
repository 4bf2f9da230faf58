//! /admin/audit: lists, exports, and how long entries are kept.

use serde_json::{Value, json};

use crate::raw::{Ask, Reply};
use crate::site::{Site, new_id, on_every_database};

async fn customers(site: &Site, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = new_id("audited");
        assert_eq!(site.post(&site.platform, "/admin/customers", &json!({"id": id})).await.status, 201);
        ids.push(id);
    }
    ids
}

async fn list(site: &Site, query: &str) -> Reply {
    site.get(&site.platform, &format!("/admin/audit{query}")).await
}

#[test]
fn the_log_is_filtered_by_who_did_what_to_what_and_when() {
    on_every_database(async |site| {
        let ids = customers(&site, 3).await;
        let count = async |query: &str| list(&site, query).await.rows().len();
        assert_eq!(count(&format!("?object=customer:{}", ids[0])).await, 1);
        assert_eq!(count("?object=customer").await, 3);
        assert_eq!(count(&format!("?customer_id={}", ids[1])).await, 1);
        assert_eq!(count(&format!("?actor={}", site.platform.key_id)).await, 3);
        assert_eq!(count("?actor=ak_none").await, 0);
        assert_eq!(count("?action=create&object=customer").await, 3);
        assert_eq!(count("?action=delete").await, 0);
        let newest = list(&site, "?object=customer&limit=1").await.rows()[0].clone();
        assert_eq!(newest["object_id"], ids[2]);
        let at = newest["created_at"].as_str().unwrap();
        assert_eq!(count(&format!("?object=customer&from={at}&to=2099-01-01T00:00:00Z")).await, 1);
        assert!(count(&format!("?object=customer&to={at}")).await >= 2);
        for query in ["?object=dog", "?object=user:", "?object=", "?actor=", "?action=a%20b", "?from=now"] {
            assert_eq!(list(&site, query).await.refusal(), (400, "invalid_request"), "{query}");
        }
        assert_eq!(list(&site, "?user=x").await.refusal(), (400, "unknown_parameter"));
    });
}

#[test]
fn an_export_has_every_entry_and_ends_with_their_count() {
    on_every_database(async |site| {
        let ids = customers(&site, 103).await;
        let export = async |accept: &str, query: &str| {
            let ask = Ask::get(&format!("/admin/audit/export{query}")).header("accept", accept);
            site.send(ask, &site.platform).await
        };
        let lines = export("application/x-ndjson", "?object=customer").await;
        assert!(lines.header("content-disposition").contains("audit.ndjson"));
        let lines: Vec<Value> =
            lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let exported: Vec<_> =
            lines[..ids.len()].iter().map(|entry| entry["object_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(exported, ids);
        assert_eq!(lines.last().unwrap(), &json!({"_end": true, "count": ids.len()}));
        let csv = export("text/csv", &format!("?object=customer:{}", ids[7])).await.text();
        let csv: Vec<_> = csv.lines().collect();
        assert_eq!(csv.len(), 3, "{csv:?}");
        assert!(
            csv[0].starts_with("id,created_at,actor_kind") && csv[1].contains(&ids[7]) && csv[2] == "#end,1"
        );
        let none = export("text/csv", "?object=session").await.text();
        assert!(none.ends_with("\r\n#end,0\r\n"), "{none}");
        assert_eq!(export("image/png", "").await.refusal(), (400, "invalid_request"));
    });
}

#[test]
fn old_entries_are_forgotten_a_slice_at_a_time() {
    on_every_database(async |site| {
        customers(&site, 5).await;
        let all = site.database().int("SELECT COUNT(*) FROM audit_log").await;
        let rows = list(&site, "?order=asc&limit=1000").await;
        let third = rows.rows()[2]["created_at"].as_str().unwrap().to_owned();
        let before = sageapi_server::model::Timestamp::parse(&third).unwrap();
        let older =
            rows.rows().iter().filter(|row| row["created_at"].as_str().unwrap() < third.as_str()).count();
        let store = site.env().store();
        let mut forgotten = 0;
        loop {
            let slice = store.purge_audit(before, 1).await.unwrap();
            if slice == 0 {
                break;
            }
            assert_eq!(slice, 1);
            forgotten += slice;
        }
        assert_eq!(forgotten, older as u64);
        assert_eq!(
            site.database().int("SELECT COUNT(*) FROM audit_log").await,
            all - i64::try_from(older).unwrap()
        );
    });
}
