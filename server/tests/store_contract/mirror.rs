use std::time::Duration;

use sageapi_server::model::{Cell, Entity, TextId, Timestamp};
use sageapi_server::store::{
    Change, Error, MirrorFilter, Op, Page, Quarantined, Store, SyncOutcome, Validity, Window,
};

use crate::contract;

fn id(text: &str) -> TextId {
    TextId::parse(text).unwrap()
}

fn upsert(entity: Entity, row: &str, version: i64, cells: &[(&str, &str)]) -> Change {
    let cells = entity.columns().iter().map(|column| {
        let given = cells.iter().find(|(name, _)| *name == column.name);
        given.map_or(Cell::Null, |(_, text)| Cell::Text((*text).into()))
    });
    // Users are created in the order of the numbers in their ids.
    let number: i64 = row.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    let created_at = Some(Timestamp::from_micros(1_700_000_000_000_000 + number));
    Change { id: id(row), version, op: Op::Upsert { created_at, cells: cells.collect() } }
}

/// A user of a customer.
pub(crate) fn user(row: &str, version: i64, orgid: &str) -> Change {
    upsert(Entity::Users, row, version, &[("orgid", orgid), ("username", &format!("{row} v{version}"))])
}

fn delete(row: &str, version: i64) -> Change {
    Change { id: id(row), version, op: Op::Delete }
}

fn page(changes: Vec<Change>) -> Page {
    Page { changes, ..Page::default() }
}

async fn names(store: &Store) -> Vec<String> {
    let rows = store.list(&MirrorFilter::of(Entity::Users), &Window::oldest(1000)).await.unwrap();
    rows.iter().map(|row| row.text(Entity::Users, "username").unwrap().to_owned()).collect()
}

async fn ids(store: &Store, filter: MirrorFilter) -> Vec<String> {
    let rows = store.list(&filter, &Window::oldest(1000)).await.unwrap();
    let count = store.count(&filter, 1000).await.unwrap();
    assert_eq!(count, i64::try_from(rows.len()).unwrap(), "{filter:?}");
    rows.into_iter().map(|row| row.id.to_string()).collect()
}

contract! {
    async fn a_row_is_read_as_it_was_written(db: ready) {
        let cells = [("username", "Ada ✓ 艾达 'quoted' \\ % _"), ("orgid", "org_a"), ("email", "")];
        let change = upsert(Entity::Users, "u7", 3, &cells);
        db.store.apply_page(Entity::Users, None, page(vec![change.clone()])).await.unwrap();
        let row = db.another().mirror_row(Entity::Users, "u7").await.unwrap().unwrap();
        let Op::Upsert { created_at, cells } = change.op else { unreachable!() };
        assert_eq!((row.id.as_str(), row.version, row.cells), ("u7", 3, cells));
        assert_eq!(Some(row.created_at), created_at);
        assert_eq!(db.store.mirror_row(Entity::Users, "U7").await.unwrap(), None);
    }

    async fn a_row_keeps_its_money_to_the_last_digit(db: ready) {
        let columns = Entity::Llmage.columns();
        for (n, nanos) in [0, 1, -1, 9_000_000_000_000_000_000].into_iter().enumerate() {
            let cell = |name: &str| if name == "min_balance" { Cell::Int(nanos) } else { Cell::Null };
            let cells = columns.iter().map(|c| cell(c.name)).collect::<Vec<_>>();
            let change = Change { id: id(&format!("m{n}")), version: 1, op: Op::Upsert { created_at: None, cells } };
            db.store.apply_page(Entity::Llmage, None, page(vec![change])).await.unwrap();
            let row = db.store.mirror_row(Entity::Llmage, &format!("m{n}")).await.unwrap().unwrap();
            let at = columns.iter().position(|c| c.name == "min_balance").unwrap();
            assert_eq!(row.cells[at], Cell::Int(nanos));
        }
    }

    async fn only_a_newer_version_is_applied(db: ready) {
        for (version, shown) in [(5, 5), (4, 5), (5, 5), (6, 6)] {
            db.store.apply_page(Entity::Users, None, page(vec![user("u1", version, "org_a")])).await.unwrap();
            assert_eq!(names(&db.store).await, [format!("u1 v{shown}")]);
        }
        let backwards = vec![user("u1", 9, "org_a"), user("u1", 8, "org_a"), user("u2", 1, "org_a")];
        db.store.apply_page(Entity::Users, None, page(backwards)).await.unwrap();
        assert_eq!(names(&db.store).await, ["u1 v9", "u2 v1"], "within a page too");
    }

    async fn a_tombstone_keeps_its_version_and_only_a_newer_row_replaces_it(db: ready) {
        let apply = async |change| db.store.apply_page(Entity::Users, None, page(vec![change])).await.unwrap();
        apply(user("u1", 3, "org_a")).await;
        apply(delete("u1", 2)).await;
        assert_eq!(names(&db.store).await, ["u1 v3"], "an older deletion changes nothing");
        apply(delete("u1", 5)).await;
        assert_eq!(names(&db.store).await, Vec::<String>::new());
        assert_eq!(db.store.mirror_row(Entity::Users, "u1").await.unwrap(), None);
        apply(user("u1", 4, "org_a")).await;
        assert_eq!(names(&db.store).await, Vec::<String>::new(), "an older row does not come back");
        apply(user("u1", 6, "org_a")).await;
        assert_eq!(names(&db.store).await, ["u1 v6"]);
        apply(delete("u2", 1)).await;
        assert_eq!(names(&db.store).await, ["u1 v6"], "what never was there can be deleted");
    }

    async fn pages_that_arrive_in_any_order_lead_to_the_same_rows(db: ready) {
        let stores: Vec<_> = (0..4).map(|_| db.another()).collect();
        let tasks: Vec<_> = stores.into_iter().enumerate().map(|(task, store)| tokio::spawn(async move {
            for round in 0..10_i64 {
                let version = |n: i64| 1 + (n + round + i64::try_from(task).unwrap()) % 10;
                let changes = (0..20).map(|n| match version(n) {
                    10 if n % 2 == 0 => delete(&format!("u{n}"), 10),
                    version => user(&format!("u{n}"), version, "org_a"),
                });
                store.apply_page(Entity::Users, None, page(changes.collect())).await.unwrap();
            }
        })).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let expected: Vec<_> = (0..20).filter(|n| n % 2 == 1).map(|n| format!("u{n} v10")).collect();
        assert_eq!(names(&db.store).await, expected);
    }

    async fn the_cursor_is_saved_with_the_rows_or_not_at_all(db: ready) {
        let lease = db.lease(Entity::Users).await;
        let good = Page { cursor: Some("c1".into()), ..page(vec![user("u1", 1, "org_a")]) };
        let counts = db.store.apply_page(Entity::Users, Some(&lease), good).await.unwrap();
        assert_eq!((counts.upserts, counts.deletes, counts.quarantined), (1, 0, 0));
        let too_long = upsert(Entity::Users, "u2", 1, &[("sync_from", "x")]);
        let cursor = Some("y".repeat(2000));
        let bad = Page { cursor, ..page(vec![too_long]) };
        let refused = db.store.apply_page(Entity::Users, Some(&lease), bad).await;
        let state = db.store.sync_state(Entity::Users).await.unwrap().unwrap();
        if refused.is_err() {
            assert_eq!((state.cursor.as_deref(), state.rows_applied), (Some("c1"), 1));
            assert_eq!(names(&db.store).await, ["u1 v1"]);
        } else {
            assert_eq!(state.cursor.map(|c| c.len()), Some(2000));
        }
        let by_id = page(vec![user("u3", 1, "org_a")]);
        db.store.apply_page(Entity::Users, Some(&lease), by_id).await.unwrap();
        let after = db.store.sync_state(Entity::Users).await.unwrap().unwrap();
        assert_eq!(after.rows_applied, state.rows_applied, "a pull by id moves nothing");
    }

    async fn a_bad_row_is_set_aside_and_replaced_by_its_next_appearance(db: ready) {
        let bad = |id: &str, version, error: &str| Quarantined {
            id: id.to_owned(),
            version,
            error: error.to_owned(),
            text: "{\"id\":…}".to_owned(),
        };
        let quarantined = vec![bad("u1", 1, "no name"), bad("u2", 1, "no version")];
        let one = Page { quarantined, ..page(vec![user("u3", 1, "org_a")]) };
        let counts = db.store.apply_page(Entity::Users, None, one).await.unwrap();
        assert_eq!((counts.upserts, counts.quarantined), (1, 2));
        let two = Page { quarantined: vec![bad("u1", 2, "no id")], ..Page::default() };
        db.store.apply_page(Entity::Users, None, two).await.unwrap();
        let kept = "SELECT error_msg FROM sync_quarantine ORDER BY entity_id";
        assert_eq!(db.database.texts(kept).await, ["no id", "no version"]);
        assert_eq!(names(&db.store).await, ["u3 v1"]);
    }

    async fn a_snapshot_deletes_what_it_did_not_touch(db: ready) {
        let lease = db.lease(Entity::Users).await;
        let first = (0..10).map(|n| user(&format!("u{n}"), 5, "org_a")).collect();
        db.store.apply_page(Entity::Users, Some(&lease), page(first)).await.unwrap();
        assert_eq!(db.store.finish_snapshot(Entity::Users, &lease, 0.3).await.unwrap(), 0);
        let state = db.store.sync_state(Entity::Users).await.unwrap().unwrap();
        assert!(!state.snapshot && state.last_snapshot_time.is_some());

        db.store.start_snapshot(&lease).await.unwrap();
        let state = db.store.sync_state(Entity::Users).await.unwrap().unwrap();
        assert_eq!((state.snapshot, state.cursor, state.generation), (true, None, 2));
        // An unchanged row, one that an event wrote meanwhile, a new one, one that is a tombstone already.
        let seen = (0..7).map(|n| user(&format!("u{n}"), 5, "org_a")).collect();
        db.store.apply_page(Entity::Users, Some(&lease), page(seen)).await.unwrap();
        db.another().apply_page(Entity::Users, None, page(vec![user("u10", 1, "org_a")])).await.unwrap();
        db.store.apply_page(Entity::Users, None, page(vec![delete("u9", 6)])).await.unwrap();
        assert_eq!(db.store.finish_snapshot(Entity::Users, &lease, 0.3).await.unwrap(), 2);
        let left: Vec<_> = (0..7).chain([10]).map(|n| format!("u{n}")).collect();
        assert_eq!(ids(&db.store, MirrorFilter::of(Entity::Users)).await, left);
        db.store.apply_page(Entity::Users, None, page(vec![user("u8", 5, "org_a")])).await.unwrap();
        assert_eq!(ids(&db.store, MirrorFilter::of(Entity::Users)).await, left, "a sweep keeps versions");
    }

    async fn a_sweep_that_would_delete_too_much_is_refused(db: ready) {
        let lease = db.lease(Entity::Users).await;
        let all = (0..10).map(|n| user(&format!("u{n}"), 1, "org_a")).collect();
        db.store.apply_page(Entity::Users, Some(&lease), page(all)).await.unwrap();
        db.store.start_snapshot(&lease).await.unwrap();
        let some = (0..6).map(|n| user(&format!("u{n}"), 1, "org_a")).collect();
        db.store.apply_page(Entity::Users, Some(&lease), page(some)).await.unwrap();
        let refused = db.store.finish_snapshot(Entity::Users, &lease, 0.3).await;
        assert!(matches!(refused, Err(Error::SweepRefused { gone: 4, total: 10 })), "{refused:?}");
        assert_eq!(ids(&db.store, MirrorFilter::of(Entity::Users)).await.len(), 10);
        assert!(db.store.sync_state(Entity::Users).await.unwrap().unwrap().snapshot, "it is still under way");
        assert_eq!(db.store.finish_snapshot(Entity::Users, &lease, 0.4).await.unwrap(), 4);
    }

    async fn a_large_sweep_deletes_in_slices(db: ready) {
        let lease = db.lease(Entity::Users).await;
        for start in [0, 900, 1800] {
            let rows = (start..start + 900).map(|n| user(&format!("u{n}"), 1, "org_a")).collect();
            db.store.apply_page(Entity::Users, Some(&lease), page(rows)).await.unwrap();
        }
        db.store.start_snapshot(&lease).await.unwrap();
        db.store.apply_page(Entity::Users, Some(&lease), page(vec![user("u5", 1, "org_a")])).await.unwrap();
        assert_eq!(db.store.finish_snapshot(Entity::Users, &lease, 1.0).await.unwrap(), 2699);
        assert_eq!(ids(&db.store, MirrorFilter::of(Entity::Users)).await, ["u5"]);
    }

    async fn old_tombstones_are_forgotten_and_rows_are_not(db: ready) {
        let rows = (0..4).map(|n| user(&format!("u{n}"), 1, "org_a")).chain((4..9).map(|n| delete(&format!("u{n}"), 1)));
        db.store.apply_page(Entity::Users, None, page(rows.collect())).await.unwrap();
        let now = db.store.now().await.unwrap();
        assert_eq!(db.store.purge_tombstones(Entity::Users, now.minus(Duration::from_hours(1)), 3).await.unwrap(), 0);
        let later = now.plus(Duration::from_hours(1));
        for expected in [3, 2, 0] {
            assert_eq!(db.store.purge_tombstones(Entity::Users, later, 3).await.unwrap(), expected);
        }
        assert_eq!(db.database.int("SELECT COUNT(*) FROM users_cache").await, 4);
    }

    async fn how_a_run_ended_is_written_down(db: ready) {
        assert_eq!(db.store.sync_state(Entity::Uapi).await.unwrap(), None);
        let lease = db.lease(Entity::Uapi).await;
        let failed = |message: &str| SyncOutcome::Failed { class: "timeout", message: message.to_owned() };
        db.store.finish_run(&lease, failed("slow")).await.unwrap();
        db.store.finish_run(&lease, failed(&"ü".repeat(5000))).await.unwrap();
        let state = db.store.sync_state(Entity::Uapi).await.unwrap().unwrap();
        assert_eq!((state.status.as_str(), state.retry_count), ("failed", 2));
        assert_eq!((state.error_class.as_deref(), state.last_sync_time), (Some("timeout"), None));
        assert!(state.error_msg.unwrap().chars().count() <= 1000);
        db.store.finish_run(&lease, SyncOutcome::Success).await.unwrap();
        let state = db.store.sync_state(Entity::Uapi).await.unwrap().unwrap();
        assert_eq!((state.status.as_str(), state.retry_count), ("success", 0));
        assert_eq!((state.error_class, state.error_msg), (None, None));
        assert!(state.last_sync_time.is_some());
    }

    async fn lists_are_filtered_and_walked_in_both_directions(db: ready) {
        let rows = (0..30).map(|n| user(&format!("u{n}"), 1, if n % 3 == 0 { "org_a" } else { "org_b" })).collect();
        db.store.apply_page(Entity::Users, None, page(rows)).await.unwrap();
        let of_a = MirrorFilter { equals: vec![("orgid", "org_a".into())], ..MirrorFilter::of(Entity::Users) };
        let all: Vec<_> = (0..30).filter(|n| n % 3 == 0).map(|n| format!("u{n}")).collect();
        assert_eq!(ids(&db.store, of_a.clone()).await, all);
        for ascending in [true, false] {
            let mut walked = Vec::new();
            let mut after = None;
            loop {
                let rows = db.store.list(&of_a, &Window { after, ascending, limit: 3 }).await.unwrap();
                let Some(last) = rows.last() else { break };
                after = Some((last.created_at, last.id.clone()));
                walked.extend(rows.into_iter().map(|row| row.id.to_string()));
            }
            if !ascending {
                walked.reverse();
            }
            assert_eq!(walked, all);
        }
        let at = |n: i64| Some(Timestamp::from_micros(1_700_000_000_000_000 + n));
        let ranged = MirrorFilter { from: at(3), to: at(9), ..of_a.clone() };
        assert_eq!(ids(&db.store, ranged).await, ["u3", "u6"]);
        assert_eq!(db.store.count(&of_a, 4).await.unwrap(), 4, "counting stops at its cap");
    }

    async fn a_text_is_searched_for_without_wildcards_and_without_case(db: ready) {
        let rows = ["Ada", "50% off", "5000", "under_score", "underscore", "bang!", "ÉMILE"];
        let rows = rows.iter().enumerate().map(|(n, name)| {
            upsert(Entity::Users, &format!("u{n}"), 1, &[("username", name), ("orgid", "org_a")])
        });
        db.store.apply_page(Entity::Users, None, page(rows.collect())).await.unwrap();
        let found = async |text: &str| {
            let contains = Some((["username", "email"].as_slice(), text.to_owned()));
            ids(&db.store, MirrorFilter { contains, ..MirrorFilter::of(Entity::Users) }).await
        };
        assert_eq!(found("aDA").await, ["u0"]);
        assert_eq!(found("0%").await, ["u1"]);
        assert_eq!(found("r_s").await, ["u3"]);
        assert_eq!(found("!").await, ["u5"]);
        assert_eq!(found("ÉM").await, ["u6"]);
        assert_eq!(found("'; DROP TABLE users_cache; --").await, Vec::<String>::new());
    }

    async fn prices_are_found_by_their_validity_and_by_their_models(db: ready) {
        let price = |row: &str, ppid: &str, from: Option<&str>, to: Option<&str>, belong: &str| {
            let mut cells = vec![("ppid", ppid), ("pricing_belong", belong)];
            cells.extend(from.map(|day| ("enabled_date", day)));
            cells.extend(to.map(|day| ("expired_date", day)));
            upsert(Entity::Pricing, row, 1, &cells)
        };
        let prices = vec![
            price("p1", "pp_a", Some("2026-01-01"), Some("2026-06-01"), "customer"),
            price("p2", "pp_a", Some("2026-06-01"), Some("9999-12-31"), "customer"),
            price("p3", "pp_b", None, None, "customer"),
            price("p4", "pp_c", Some("2027-01-01"), None, "customer"),
            price("p5", "pp_d", None, None, "provider"),
        ];
        db.store.apply_page(Entity::Pricing, None, page(prices)).await.unwrap();
        let model = |row: &str, llmid: &str, ppid: &str, status: &str| {
            upsert(Entity::Llmage, row, 1, &[("llmid", llmid), ("ppid", ppid), ("status", status)])
        };
        let models = vec![
            model("m1", "llm_1", "pp_a", "published"),
            model("m2", "llm_1", "pp_b", "hidden"),
            model("m3", "llm_2", "pp_d", "published"),
        ];
        db.store.apply_page(Entity::Llmage, None, page(models)).await.unwrap();
        let of = async |filter| ids(&db.store, filter).await;
        let valid = |validity, day: &str| MirrorFilter {
            validity: Some((validity, day.to_owned())),
            ..MirrorFilter::of(Entity::Pricing)
        };
        assert_eq!(of(valid(Validity::Current, "2026-05-31")).await, ["p1", "p3", "p5"]);
        assert_eq!(of(valid(Validity::Current, "2026-06-01")).await, ["p2", "p3", "p5"]);
        assert_eq!(of(valid(Validity::Future, "2026-06-01")).await, ["p4"]);
        assert_eq!(of(valid(Validity::Expired, "2026-06-01")).await, ["p1"]);
        let llmid = Some("llm_1".to_owned());
        assert_eq!(of(MirrorFilter { llmid: llmid.clone(), ..MirrorFilter::of(Entity::Pricing) }).await, ["p1", "p2", "p3"]);
        assert_eq!(of(MirrorFilter { published_only: true, ..MirrorFilter::of(Entity::Pricing) }).await, ["p1", "p2"]);
        let on = async |ppid: &str, day: &str, published| {
            let row = db.store.pricing_on(ppid, day, published).await.unwrap();
            row.map(|row| row.id.to_string())
        };
        assert_eq!(on("pp_a", "2026-03-01", false).await.as_deref(), Some("p1"));
        assert_eq!(on("pp_a", "2026-06-01", true).await.as_deref(), Some("p2"));
        assert_eq!(on("pp_a", "2025-12-31", false).await, None);
        assert_eq!(on("pp_b", "2026-03-01", true).await, None, "no published model names it");
        assert_eq!(on("pp_d", "2026-03-01", true).await, None, "it is what a provider is paid");
        assert_eq!(on("pp_d", "2026-03-01", false).await.as_deref(), Some("p5"));
    }
}
