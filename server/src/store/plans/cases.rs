//! The cases: what the store is asked for. Their names are what the exceptions are for.

use std::time::Duration;

use super::super::{
    AuditFilter, CustomerFilter, Error, Filter, GroupFilter, HoldFilter, KeyFilter, Lease, MirrorFilter,
    NonceUse, Page, RecordFilter, ReplayTable, SyncOutcome, UserFilter, Validity, Window,
};
use super::Bench;
use super::fill::{ROWS, change, customer, group_id, hash, hold, id, record, time, user_id};
use crate::model::{
    Actor, CustomerStatus, Entity, GroupName, HoldState, KeyId, Kind, ObjectKind, Owner, RecordId,
    RecordStatus, UserRole, Username,
};

impl Bench {
    /// Pages of a list in both directions, and its count.
    pub(super) async fn list<F: Filter>(&mut self, what: &str, filter: F) {
        let store = self.store.clone();
        self.declared_by(&filter);
        for ascending in [false, true] {
            let window = |limit| Window { after: None, ascending, limit };
            let rows = self.look(what, store.list(&filter, &window(11))).await;
            assert!(!rows.is_empty(), "{what}: the case finds nothing");
            // A page of one row reads two: for so few, a database may find it cheaper to sort the whole table.
            self.look(&format!("{what}, small page"), store.list(&filter, &window(2))).await;
            let after = Some(filter.place(&rows[rows.len() / 2]));
            let next = Window { after, ..window(11) };
            self.look(&format!("{what}, next page"), store.list(&filter, &next)).await;
        }
        self.look(&format!("{what}, counted"), store.count(&filter, 10_000)).await;
    }

    /// A list of records, and the walk that sums are made by.
    async fn records(&mut self, what: &str, filter: RecordFilter) {
        let store = self.store.clone();
        self.list(&format!("records {what}"), filter.clone()).await;
        let until = store.newest_record(filter.customer_id.as_ref());
        let until = self.look(&format!("records {what}, newest"), until).await;
        let (filter, what) = (RecordFilter { until, ..filter }, format!("sums of records {what}"));
        let rows = self.look(&what, store.record_figures(&filter, &Window::oldest(11))).await;
        let last = &rows[rows.len() / 2];
        let after = Some(filter.position(last.seq, last.created_at, last.id));
        self.look(&what, store.record_figures(&filter, &Window { after, ..Window::oldest(11) })).await;
    }

    async fn mirrored(&mut self, what: &str, filter: MirrorFilter) {
        self.list(&format!("{} {what}", filter.entity), filter).await;
    }
}

/// All cases but those of upkeep.
pub(super) async fn reads_and_bookings(bench: &mut Bench) {
    lists_of_records(bench).await;
    lists_of_the_mirror(bench).await;
    single_rows(bench).await;
    lists_of_holds(bench).await;
    lists_of_customers(bench).await;
    lists_of_keys(bench).await;
    lists_of_the_audit_log(bench).await;
    holds_and_reversals(bench).await;
    lists_of_people(bench).await;
    people(bench).await;
    bookings(bench).await;
    verify(bench).await;
    super::sign_in::lists_of_sessions(bench).await;
    super::usage::lists_of_usage(bench).await;
    super::usage::sums_of_usage(bench).await;
}

async fn lists_of_records(bench: &mut Bench) {
    let whole = RecordFilter::default;
    let filters = [
        ("", whole()),
        (" by user_id", RecordFilter { user_id: Some("user_4".into()), ..whole() }),
        (" by model_name", RecordFilter { model_name: Some("model-4".into()), ..whole() }),
        (" by model_name", RecordFilter { model_name: Some("rare".into()), ..whole() }),
        (" by llmid", RecordFilter { llmid: Some("llm_4".into()), ..whole() }),
        (" by transno", RecordFilter { transno: Some("t104".into()), ..whole() }),
        (" by request_id", RecordFilter { request_id: Some("r104".into()), ..whole() }),
        (" by kind", RecordFilter { kind: Some(Kind::Credit), ..whole() }),
    ];
    let ranges = |filter: &RecordFilter| {
        let (from, to) = (Some(time(100)), Some(time(300)));
        [
            ("", filter.clone()),
            (" of a time", RecordFilter { from, to, ..filter.clone() }),
            (" of an event time", RecordFilter { event_from: from, event_to: to, ..filter.clone() }),
        ]
    };
    for (whose, customer_id) in [("of a customer", Some(customer(0))), ("of all", None)] {
        for (by, filter) in &filters {
            let filter = RecordFilter { customer_id: customer_id.clone(), ..filter.clone() };
            for (when, filter) in ranges(&filter) {
                bench.records(&format!("{whose}{by}{when}"), filter).await;
            }
        }
        for status in [RecordStatus::Accounted, RecordStatus::Reversed] {
            let filter = RecordFilter { status: Some(status), customer_id: customer_id.clone(), ..whole() };
            bench.records(&format!("{whose}, {status}"), filter).await;
        }
    }
    let user_id = Some("user_4".into());
    let filter =
        RecordFilter { customer_id: Some(customer(0)), user_id, kind: Some(Kind::Charge), ..whole() };
    bench.records("of a customer by two", filter).await;
}

async fn lists_of_the_mirror(bench: &mut Bench) {
    let by = |entity, equals: &[(&'static str, &str)]| MirrorFilter {
        equals: equals.iter().map(|(column, value)| (*column, (*value).to_owned())).collect(),
        ..MirrorFilter::of(entity)
    };
    let contains = Some((["username", "nick_name", "email", "mobile"].as_slice(), "name 12".to_owned()));
    let (from, to) = (Some(time(100)), Some(time(300)));
    for entity in Entity::ALL {
        bench.mirrored("all", MirrorFilter::of(entity)).await;
        bench.mirrored("of a time", MirrorFilter { from, to, ..MirrorFilter::of(entity) }).await;
    }
    let users = |equals: &[(&'static str, &str)]| by(Entity::Users, equals);
    for (what, filter) in [
        ("of a customer", users(&[("orgid", "org_0007")])),
        ("by name", users(&[("username", "username 7")])),
        ("by status", users(&[("user_status", "1")])),
        ("of a customer by name", users(&[("orgid", "org_0007"), ("username", "username 7")])),
        ("of a customer by status", users(&[("orgid", "org_0007"), ("user_status", "1")])),
        ("of a customer and a time", MirrorFilter { from, to, ..users(&[("orgid", "org_0007")]) }),
        ("searched", MirrorFilter { contains: contains.clone(), ..users(&[]) }),
        ("searched of a customer", MirrorFilter { contains, ..users(&[("orgid", "org_0000")]) }),
    ] {
        bench.mirrored(what, filter).await;
    }
    let day = |validity| Some((validity, "2027-06-01".to_owned()));
    let pricing = |equals: &[(&'static str, &str)]| by(Entity::Pricing, equals);
    for (what, filter) in [
        ("of a program", pricing(&[("ppid", "pp_12")])),
        ("of a type", pricing(&[("pricing_type", "pricing_type 12")])),
        ("of a model", MirrorFilter { llmid: Some("llm_12".into()), ..pricing(&[]) }),
        ("published", MirrorFilter { published_only: true, ..pricing(&[]) }),
        (
            "published of a model",
            MirrorFilter { published_only: true, llmid: Some("llm_12".into()), ..pricing(&[]) },
        ),
        ("current", MirrorFilter { validity: day(Validity::Current), ..pricing(&[]) }),
        ("future", MirrorFilter { validity: day(Validity::Future), ..pricing(&[]) }),
        ("expired", MirrorFilter { validity: day(Validity::Expired), ..pricing(&[]) }),
        (
            "current of a program",
            MirrorFilter { validity: day(Validity::Current), ..pricing(&[("ppid", "pp_12")]) },
        ),
    ] {
        bench.mirrored(what, filter).await;
    }
    let models = |equals: &[(&'static str, &str)]| by(Entity::Llmage, equals);
    for (what, filter) in [
        ("of a model", models(&[("llmid", "llm_12")])),
        ("by name", models(&[("model", "model 12")])),
        ("of a program", models(&[("ppid", "pp_12")])),
        ("published", models(&[("status", "published")])),
        ("published of a model", models(&[("llmid", "llm_12"), ("status", "published")])),
    ] {
        bench.mirrored(what, filter).await;
    }
    bench.mirrored("by name", by(Entity::Uapi, &[("name", "name 12")])).await;
}

async fn single_rows(bench: &mut Bench) {
    let store = bench.store.clone();
    let id = KeyId::parse("ak_0000000000000012").unwrap();
    assert!(bench.look("a key", store.key(&id)).await.is_some());
    assert!(bench.look("a key by name", store.key_by_name("key 12")).await.is_some());
    let token = hash(12).try_into().unwrap();
    assert!(bench.look("a key by token", store.key_by_token(&token)).await.is_some());
    let token = hash(12 + ROWS).try_into().unwrap();
    bench.look("a key by its token before", store.key_by_token(&token)).await;
    assert_eq!(bench.look("keys", store.keys("ak_0000000000000012", 10)).await.len(), 10);
    bench.look("a key switched off", store.set_key_enabled(&id, false)).await;
    assert!(bench.look("a customer", store.customer(&customer(3))).await.is_some());
    bench
        .look("a customer suspended", store.set_customer_status(&customer(3), CustomerStatus::Suspended))
        .await;
    let filter = RecordFilter { customer_id: Some(customer(0)), ..RecordFilter::default() };
    let some = store.list(&filter, &Window::oldest(1)).await.unwrap().remove(0);
    assert!(bench.look("a record", store.record(some.id)).await.is_some());
    assert!(bench.look("the customer of a record", store.customer_of_record(some.id)).await.is_some());
    assert!(bench.look("a past record", store.record_at(&customer(0), time(1000))).await.is_some());
    assert_eq!(bench.look("reversals", store.reversals(&[some.id])).await.len(), 2);
    for entity in Entity::ALL {
        let id = format!("{}_00012", entity.as_str());
        assert!(bench.look(&format!("{entity} row"), store.mirror_row(entity, &id)).await.is_some());
    }
    for published in [false, true] {
        let found = bench.look("a price", store.pricing_on("pp_12", "2027-06-01", published)).await;
        assert!(found.is_some());
    }
}

async fn lists_of_customers(bench: &mut Bench) {
    for (what, status) in [("", None), (" by status", Some(CustomerStatus::Active))] {
        bench.list(&format!("customers{what}"), CustomerFilter { status }).await;
    }
}

async fn lists_of_the_audit_log(bench: &mut Bench) {
    let (from, to) = (Some(time(100)), Some(time(300)));
    let object = || AuditFilter {
        object_kind: Some(ObjectKind::Customer),
        object_id: Some("object_4".into()),
        ..AuditFilter::default()
    };
    for (what, filter) in [
        ("", AuditFilter::default()),
        (" of a time", AuditFilter { from, to, ..AuditFilter::default() }),
        (" by actor", AuditFilter { actor_id: Some("ak_4".into()), ..AuditFilter::default() }),
        (" by action", AuditFilter { action: Some("create".into()), ..AuditFilter::default() }),
        (" by kind", AuditFilter { object_kind: Some(ObjectKind::Key), ..AuditFilter::default() }),
        (" by object", object()),
        (" by object of a time", AuditFilter { from, to, ..object() }),
        (" of a customer", AuditFilter { customer_id: Some(customer(0)), ..AuditFilter::default() }),
        (" until", AuditFilter { until: Some((time(300), id(300))), ..AuditFilter::default() }),
    ] {
        bench.list(&format!("audit{what}"), filter).await;
    }
}

async fn lists_of_keys(bench: &mut Bench) {
    for (whose, customer_id) in [("of a customer", Some(customer(7))), ("of all", None)] {
        let whole = || KeyFilter { customer_id: customer_id.clone(), ..KeyFilter::default() };
        for (by, filter) in [
            ("", whole()),
            (" by enabled", KeyFilter { enabled: Some(true), ..whole() }),
            (" by name", KeyFilter { name: Some("key 7".into()), ..whole() }),
        ] {
            bench.list(&format!("keys {whose}{by}"), filter).await;
        }
    }
}

async fn bookings(bench: &mut Bench) {
    let store = bench.store.clone();
    for count in [1_i64, 2, 3, 8, 17, 64] {
        let ids: Vec<_> = (0..count.min(50)).map(customer).collect();
        let bookings: Vec<_> = (0..count).map(record).map(|r| (r.customer_id, r.transno)).collect();
        let nonces: Vec<_> =
            (0..count).map(|n| NonceUse::new("k", &format!("{count} {n}"), time(n))).collect();
        // Ended before its statements are explained: MariaDB locks rows even for that.
        let call = async {
            let mut writer = store.writer();
            let (mut tx, rows) = writer.begin(&ids).await?;
            let found = tx.find_records(bookings.iter().map(|(c, t)| (c, t))).await?;
            let fresh = tx.insert_nonces(&nonces).await?;
            let known = tx.insert_nonces(&nonces).await?;
            writer.rollback(tx).await;
            Ok::<_, Error>((rows.len(), found.len(), fresh, known))
        };
        let (locked, found, fresh, known) = bench.look(&format!("a booking of {count}"), call).await;
        assert_eq!((locked, found), (ids.len(), bookings.len()));
        assert!(fresh.iter().all(|fresh| *fresh) && known.iter().all(|fresh| !fresh));
    }
}

pub(super) async fn upkeep(bench: &mut Bench) {
    let store = bench.store.clone();
    let events = bench.look("cache events", store.cache_events(time(ROWS - 10), |_| false)).await;
    assert!(events.len() >= 10);
    assert_eq!(bench.look("audit entries forgotten", store.purge_audit(time(20), 10)).await, 10);
    assert_eq!(bench.look("cache events forgotten", store.purge_cache_events(time(20), 10)).await, 10);
    for table in [ReplayTable::Nonces, ReplayTable::WebhookIds] {
        let used = NonceUse::new("k", "n", time(1));
        assert!(bench.look("a first use", store.first_use(table, used)).await);
        assert_eq!(bench.look("uses forgotten", store.purge_uses(table, 10)).await, 1);
    }
    let ttl = Duration::from_mins(1);
    for name in ["housekeeping", "work 3"] {
        let lease = bench.look("a lease", store.acquire_lease(name, ttl)).await.unwrap();
        bench.look("a lease given back", store.release_lease(lease)).await;
    }
    for entity in Entity::ALL {
        let what = |step: &str| format!("{step} of {entity}");
        let lease: Lease =
            bench.look(&what("lease"), store.acquire_lease(entity.as_str(), ttl)).await.unwrap();
        bench.look(&what("state"), store.sync_state(entity)).await;
        bench.look(&what("snapshot"), store.start_snapshot(&lease)).await;
        let page = Page {
            changes: (0..ROWS).filter(|n| n % 10 != 0).take(500).map(|n| change(entity, n)).collect(),
            cursor: Some("next".into()),
            ..Page::default()
        };
        bench.look(&what("page"), store.apply_page(entity, Some(&lease), page)).await;
        let swept = bench.look(&what("sweep"), store.finish_snapshot(entity, &lease, 1.0)).await;
        assert!(swept > 1000, "{swept}");
        bench.look(&what("end"), store.finish_run(&lease, SyncOutcome::Success)).await;
        let before = store.now().await.unwrap();
        bench.look(&what("tombstones"), store.purge_tombstones(entity, before, 10)).await;
    }
}

async fn verify(bench: &mut Bench) {
    let mut tx = bench.store.snapshot().await.unwrap();
    let ids: Vec<_> = (0..400).map(id).collect();
    let holds: Vec<_> = (0..400).map(hold).collect();
    let captured: Vec<_> = holds.iter().collect();
    let call = async {
        let customers = tx.customers_after("org_0003", 10).await?.len();
        let records = tx.records_after(&customer(0), 5, 10).await?.len();
        let next = tx.next_customer_with_rows("org_0003").await?;
        tx.captures_of(&customer(0), &captured).await?;
        tx.namesake_of(&customer(0), &holds).await?;
        let holds = tx.holds_after(&customer(0), (time(0), id(0)), 10).await?.len();
        let named = tx.holds_named(&ids).await?.len() + tx.moved(&ids).await?.len();
        let nil = RecordId(uuid::Uuid::nil());
        let first = tx.reversals_after((nil, nil), 64).await?;
        let pairs: Vec<_> = first.iter().flatten().map(|note| (note.original, note.reversal)).collect();
        let noted = tx.reversals_noted(&pairs).await?.len();
        let more = tx.reversals_after((id(5), id(5)), 10).await?.len();
        Ok::<_, Error>(((customers, records, next), (holds, named, noted), more))
    };
    let found = bench.look("verify", call).await;
    bench.store.end_snapshot(tx).await;
    assert_eq!(found, ((10, 10, Some("org_0004".to_owned())), (10, 800, 64), 10));
}

async fn lists_of_holds(bench: &mut Bench) {
    let store = bench.store.clone();
    let (from, to) = (Some(time(100)), Some(time(300)));
    for (whose, customer_id) in [("of a customer", Some(customer(0))), ("of all", None)] {
        let whole = || HoldFilter { customer_id: customer_id.clone(), ..HoldFilter::default() };
        let state = |state| HoldFilter { state: Some(state), ..whole() };
        let user = || HoldFilter { user_id: Some("user_4".into()), ..whole() };
        for (by, filter) in [
            ("", whole()),
            (" by user", user()),
            (" by transno", HoldFilter { transno: Some("h104".into()), ..whole() }),
            (" open", state(HoldState::Open)),
            (" expired", state(HoldState::Expired)),
            (" captured", state(HoldState::Captured)),
            (" released", state(HoldState::Released)),
            (" of a time", HoldFilter { from, to, ..whole() }),
            (" by user and open", HoldFilter { user_id: Some("user_10".into()), ..state(HoldState::Open) }),
            (" by user of a time", HoldFilter { from, to, ..user() }),
            (" captured of a time", HoldFilter { from, to, ..state(HoldState::Captured) }),
        ] {
            bench.list(&format!("holds {whose}{by}"), filter).await;
        }
    }
    let (first, day) = (customer(0), Duration::from_hours(24));
    for after in [None, Some((time(2000), id(2000)))] {
        let open = store.holds_open_at(&first, time(4000), day, after, 512);
        bench.look("holds open then", open).await;
    }
}

async fn holds_and_reversals(bench: &mut Bench) {
    let store = bench.store.clone();
    assert!(bench.look("a hold", store.hold(id(12))).await.is_some());
    assert!(bench.look("the customer of a hold", store.customer_of_hold(id(12))).await.is_some());
    for but in [0, 3, 600] {
        let but: Vec<_> = (0..but).map(customer).collect();
        let found =
            bench.look("customers with due holds", store.customers_with_due_holds(but.iter(), 20)).await;
        // Those that are due are all of the first customer.
        assert_eq!(found.is_empty(), !but.is_empty());
    }
    bench.look("due holds of a customer", store.due_holds(&customer(0), time(1), 512)).await;
    assert!(bench.look("a customer and the clock", store.ledger_row(&customer(0))).await.is_some());
    for count in [1_i64, 3, 64] {
        let ids: Vec<_> = (0..count).map(id).collect();
        let named: Vec<_> = (0..count).map(hold).map(|h| (h.customer_id, h.transno)).collect();
        let customers: Vec<_> = (0..count.min(50)).map(customer).collect();
        let mut tx = store.snapshot().await.unwrap();
        bench.look(&format!("due holds, {count}"), tx.due_holds(&customers, time(1), 512)).await;
        let call = async {
            let found = tx.find_holds(named.iter().map(|(c, t)| (c, t))).await?.len();
            let by_id = tx.holds_by_id(&ids).await?.len();
            tx.records_by_id(&ids).await?;
            Ok::<_, Error>((found, by_id, tx.reversals(&ids).await?.len()))
        };
        let (found, by_id, reversals) = bench.look(&format!("{count} holds"), call).await;
        store.end_snapshot(tx).await;
        assert_eq!((found, by_id, reversals), (named.len(), ids.len(), 2 * ids.len()));
    }
}

pub(super) async fn lists_of_people(bench: &mut Bench) {
    let (from, to) = (Some(time(100)), Some(time(300)));
    let whole = UserFilter::default;
    let username = |n: i64| Username::parse(&format!("user-{n}")).ok();
    let owner = Some(Owner::Customer(customer(7)));
    for (what, filter) in [
        ("all", whole()),
        ("of a time", UserFilter { from, to, ..whole() }),
        ("of a customer", UserFilter { owner: owner.clone(), ..whole() }),
        ("of a customer and a time", UserFilter { owner: owner.clone(), from, to, ..whole() }),
        ("by name", UserFilter { username: username(7), ..whole() }),
        ("of a customer by name", UserFilter { owner: owner.clone(), username: username(7), ..whole() }),
        ("by role", UserFilter { role: Some(UserRole::Admin), ..whole() }),
        ("of a customer by role", UserFilter { owner: owner.clone(), role: Some(UserRole::User), ..whole() }),
        ("by activity", UserFilter { is_active: Some(false), ..whole() }),
        ("of a large group", UserFilter { group_id: Some(group_id(0)), ..whole() }),
        ("of a small group", UserFilter { group_id: Some(group_id(7)), ..whole() }),
        ("of a small group and a time", UserFilter { group_id: Some(group_id(7)), from, ..whole() }),
    ] {
        bench.list(&format!("people {what}"), filter).await;
    }
    let whole = GroupFilter::default;
    let name = Some("group 7".to_owned());
    for (what, filter) in [
        ("all", whole()),
        ("of a time", GroupFilter { from, to, ..whole() }),
        ("of a customer", GroupFilter { owner: owner.clone(), ..whole() }),
        ("by name", GroupFilter { name: name.clone(), ..whole() }),
        ("of a customer by name", GroupFilter { owner, name, ..whole() }),
    ] {
        bench.list(&format!("groups {what}"), filter).await;
    }
}

pub(super) async fn people(bench: &mut Bench) {
    let (store, owner) = (bench.store.clone(), Owner::Customer(customer(7)));
    assert!(bench.look("a user", store.user(&user_id(7))).await.is_some());
    let name = Username::parse("user-7").unwrap();
    assert!(bench.look("a user by name", store.user_by_name(&owner, &name)).await.is_some());
    assert!(bench.look("a group", store.group(&group_id(7))).await.is_some());
    let name = GroupName::parse("group 7").unwrap();
    assert!(bench.look("a group by name", store.group_by_name(&owner, &name)).await.is_some());
    assert!(bench.look("a membership", store.membership(&owner, &user_id(7))).await.is_some());
    for (n, group) in [(7, 7), (8, 8), (9, 0)] {
        let owner = if n == 9 { Owner::Platform } else { Owner::Customer(customer(n)) };
        let found = bench.look("a group that counts", store.effective_group(&owner, &user_id(n))).await;
        assert_eq!(found.map(|group| group.id), Some(group_id(group)), "{n}");
    }
    let members = bench.look("members", store.members(&group_id(0), None, 10)).await;
    bench.look("members, next", store.members(&group_id(0), members.last(), 10)).await;
    let (by, group) = (Actor::server(), group_id(9));
    let (first, seventh, eighth) = (user_id(1), user_id(7), user_id(8));
    let (small, other, of_mirrored) = (group_id(7), group_id(8), customer(3));
    let changed = store.change_user(&seventh, None, "update", &by, move |user| {
        user.group_id = Some(group.clone());
        Ok::<_, Error>(())
    });
    bench.look("a user changed", changed).await;
    let renamed = store.change_group(&small, None, &by, |group| {
        group.default_reservation = Some(5);
        Ok::<_, Error>(())
    });
    bench.look("a group changed", renamed).await;
    let moved = store.set_mirrored_group(&of_mirrored, &first, None, Some(group_id(9)), &by);
    bench.look("a mirrored user moved", moved).await;
    let freed = store.delete_group(&other, None, &by, |_, _| Ok::<_, Error>(()));
    bench.look("a group deleted", freed).await;
    let deleted = store.delete_user(&seventh, None, &by, |_| Ok::<_, Error>(()));
    bench.look("a user deleted", deleted).await;
    assert!(bench.look("a user who signed in", store.note_login(&eighth, time(1))).await);
}
