//! The library's writer: usage is taken at once and recorded behind, and nothing of it is lost.

use sageapi_server::config::ClusterRole;
use sageapi_server::domain::booking::{Request, Usage};
use sageapi_server::domain::usage::{NotTaken, WriterCounts};
use sageapi_server::model::{Currency, Money, RecordId, Transno, UsageDetails};
use sageapi_test_support::database::Kind;

use crate::site::{Customer, Site, on_every_database, on_every_database_with};

fn usage(c: &Customer, name: &str, tokens: i64) -> Request {
    let details =
        UsageDetails { input_tokens: tokens, user_id: Some("u".to_owned()), ..UsageDetails::default() };
    let usage = Usage::new(Transno::parse_client(name).unwrap(), details).unwrap();
    Request::usage(c.customer_id(), usage)
}

async fn rows(site: &Site, c: &Customer) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM usage_logs WHERE customer_id = '{}'", c.id);
    site.database().int(&sql).await
}

#[test]
fn a_flush_waits_for_all_that_was_taken_and_one_without_work_for_nothing() {
    on_every_database(async |site| {
        let c = site.customer("0").await;
        let writer = site.env().usage_writer(None);
        writer.flush().await;
        for n in 0..300 {
            writer.record(usage(&c, &format!("r-{n}"), 1)).unwrap();
        }
        // The first wins; the second is reported as a replay or a conflict.
        writer.record(usage(&c, "r-0", 1)).unwrap();
        writer.record(usage(&c, "r-1", 2)).unwrap();
        writer.flush().await;
        assert_eq!(rows(&site, &c).await, 300);
        let counts = writer.counts();
        assert_eq!((counts.recorded, counts.refused), (301, 1), "{counts:?}");
        writer.record(usage(&c, "last", 1)).unwrap();
        writer.wait().await;
        assert_eq!(rows(&site, &c).await, 301);
        assert!(matches!(writer.record(usage(&c, "late", 1)), Err(NotTaken::Ended(_))));
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn a_function_of_the_programs_own_prices_usage() {
    on_every_database(async |site| {
        let c = site.customer("0").await;
        let currency = Currency::parse("CNY").unwrap();
        let writer = site.env().usage_writer(Some(Box::new(move |_, details| {
            let amount = Money::from_nanos(details.input_tokens * 1_000_000)?;
            (amount > Money::ZERO).then_some((amount, currency))
        })));
        writer.record(usage(&c, "paid", 1500)).unwrap();
        writer.record(usage(&c, "free", 0)).unwrap();
        writer.wait().await;
        let cost = format!("SELECT MAX(cost) FROM usage_totals WHERE customer_id = '{}'", c.id);
        assert_eq!(site.database().int(&cost).await, 1_500_000_000);
        let unpriced = format!("SELECT MAX(unpriced) FROM usage_totals WHERE customer_id = '{}'", c.id);
        assert_eq!(site.database().int(&unpriced).await, 1);
    });
}

#[test]
fn of_two_hundred_thousand_offered_at_once_what_is_not_taken_is_told() {
    on_every_database_with(
        |builder| builder.config(|config| config.accounting.batch_max = 1000),
        async |site| {
            // MariaDB takes as many, and the test twice as long for it.
            let offered = if site.database().kind() == Kind::Sqlite { 200_000 } else { 40_000 };
            let c = site.customer("0").await;
            let writer = site.env().usage_writer(None);
            let mut full = 0;
            for n in 0..offered {
                match writer.record(usage(&c, &format!("r-{n}"), 1)) {
                    Ok(()) => {}
                    Err(NotTaken::Full(_)) => full += 1,
                    Err(other) => panic!("{other}"),
                }
                if n % 1000 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            writer.flush().await;
            let WriterCounts { recorded, replayed, refused } = writer.counts();
            assert_eq!((recorded + full, replayed, refused), (offered, 0, 0));
            assert_eq!(rows(&site, &c).await, i64::try_from(recorded).unwrap());
            assert!(full > 0 && recorded >= 10_000, "{recorded} recorded, {full} not taken");
            assert!(site.verify().await.is_empty());
        },
    );
}

#[test]
fn what_is_out_of_bounds_is_refused_before_it_is_taken() {
    let usage = |details| Usage::new(Transno::parse_client("r").unwrap(), details);
    for details in [
        UsageDetails { input_tokens: -1, ..UsageDetails::default() },
        UsageDetails { output_tokens: i64::MAX, ..UsageDetails::default() },
        UsageDetails { user_id: Some(String::new()), ..UsageDetails::default() },
        UsageDetails { model: Some("x".repeat(65)), ..UsageDetails::default() },
    ] {
        assert!(usage(details.clone()).is_err(), "{details:?}");
    }
    assert!(usage(UsageDetails::default()).is_ok());
}

#[test]
fn an_edge_knows_what_the_primary_does_not_have_yet_the_oldest_first() {
    on_every_database_with(
        |builder| builder.config(|config| config.cluster.role = ClusterRole::Edge),
        async |site| {
            let (c, d) = (site.customer("0").await, site.customer("0").await);
            let store = site.env().store();
            assert!(store.unsynced_usage(10).await.unwrap().is_empty());
            let writer = site.env().usage_writer(None);
            for n in 0..7 {
                writer.record(usage(if n % 2 == 0 { &c } else { &d }, &format!("r-{n}"), 1)).unwrap();
                writer.flush().await;
            }
            let names = async |limit| {
                let records = store.unsynced_usage(limit).await.unwrap();
                records.iter().map(|record| record.request_id.to_string()).collect::<Vec<_>>()
            };
            assert_eq!(names(4).await, ["r-0", "r-1", "r-2", "r-3"]);
            let some = store.unsynced_usage(3).await.unwrap();
            let unknown = RecordId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
            let mut ids: Vec<_> = some.iter().map(|record| record.id).collect();
            ids.push(unknown);
            assert_eq!(store.mark_usage_synced(&ids).await.unwrap(), 3);
            assert_eq!(store.mark_usage_synced(&ids).await.unwrap(), 0, "marking again changes nothing");
            assert_eq!(names(1000).await, ["r-3", "r-4", "r-5", "r-6"]);
            // What the primary does not have stays, and with it what follows.
            let all = [(c.customer_id(), 4), (d.customer_id(), 3)].to_vec();
            assert_eq!(store.delete_usage_through(all).await.unwrap(), 3);
            assert_eq!(names(1000).await, ["r-3", "r-4", "r-5", "r-6"]);
        },
    );
}

#[test]
fn a_primary_has_nothing_to_tell() {
    on_every_database(async |site| {
        let c = site.customer("0").await;
        let writer = site.env().usage_writer(None);
        writer.record(usage(&c, "r", 1)).unwrap();
        writer.wait().await;
        assert!(site.env().store().unsynced_usage(10).await.unwrap().is_empty());
    });
}
