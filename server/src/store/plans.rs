//! How the database would run every statement of ours: by an index, without sorting.
//!
//! Each case below runs a function of the store; the statements that it sends are noted and then
//! explained on tables of some thousand rows.

use std::cell::RefCell;
use std::time::Duration;

use sageapi_test_support::database::{TestDatabase, kinds};
use sqlx::Row as _;

use super::sql::{Row, Sql};
use super::{
    Change, Context, Dialect, HoldFilter, Keyring, Lease, LedgerRows, Migrate, MirrorFilter, NewCustomer,
    NonceUse, Op, Page, RecordFilter, RecordOrder, ReplayTable, Reversal, Store, Validity,
};
use crate::model::{
    Cell, ColumnKind, Currency, Customer, CustomerId, CustomerStatus, Entity, Hold, HoldState, KeyId, Kind,
    Money, Record, RecordId, Secret, SystemClock, SystemEntropy, TextId, Timestamp, Transno, new_uuid,
};

thread_local! {
    /// The statements that were sent from this thread since somebody asked for them. Tests run on a
    /// runtime of one thread.
    static NOTED: RefCell<Option<Vec<Sql<'static>>>> = const { RefCell::new(None) };
}

/// Keeps a statement, if somebody wants it.
pub(super) fn note(sql: &Sql<'_>) {
    NOTED.with_borrow_mut(|noted| {
        if let Some(noted) = noted {
            noted.push(sql.kept());
        }
    });
}

/// Cases in which a few rows, found by an index, are sorted, and why they are few.
const FEW: [(&str, &str); 6] = [
    ("pricing of a program", "a program has a row for each of its validities"),
    ("pricing of a model", "a model is offered under some programs"),
    ("pricing published of a model", "the same"),
    ("pricing current of a program", "the same"),
    ("records of all by request_id", "a request is booked a few times"),
    ("records of all by transno", "few customers use the same name"),
];

/// Filters of records that walk the list until the page is full, and why no index is spent on them: each is
/// written with every booking.
const WALKED: [(&str, &str, &str); 4] = [
    ("records of", "kind", "most records are charges, and the rest is soon found"),
    ("records of", "llmid", "a customer uses few models, and `model` has an index"),
    ("records of all", "user_id", "a person belongs to a customer, whose records have an index by person"),
    ("records of all", "model_name", "a model of a customer has one; over all, few models are rare"),
];

const ROWS: i64 = 5000;
const BASE: i64 = 1_780_000_000_000_000;

struct Bench {
    store: Store,
    _database: TestDatabase,
    wrong: Vec<String>,
    statements: usize,
}

fn time(n: i64) -> Timestamp {
    Timestamp::from_micros(BASE + n * 1_000_000)
}

fn customer(n: i64) -> CustomerId {
    CustomerId::parse(&format!("org_{n:04}")).unwrap()
}

impl Bench {
    async fn new(kind: sageapi_test_support::database::Kind) -> Self {
        let database = TestDatabase::fresh(kind).await;
        let env = [("SAGEAPI_DATABASE_URL", database.url()), ("SAGEAPI_AUTH_ENCRYPTION_KEY", key_text())];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let target = crate::config::load(None, &env, &nothing).unwrap().config.database.target;
        let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
        let context = Context {
            instance: new_uuid(time(0), &*entropy),
            keyring: Keyring::new(&Secret::new(key_text()), &[]).unwrap(),
            clock,
            entropy,
            sole_cache: false,
        };
        let store = Store::open(&target, 5, context).unwrap();
        store.migrate(&Migrate::default()).await.unwrap();
        let bench = Self { store, _database: database, wrong: Vec::new(), statements: 0 };
        bench.fill().await;
        bench
    }

    async fn fill(&self) {
        let new = NewCustomer { id: customer(0), currency: cny(), credit_limit: Money::ZERO };
        self.store.create_customer(new).await.unwrap();
        let first = self.store.customer(&customer(0)).await.unwrap().unwrap();
        let customers: Vec<_> = (0..ROWS).map(|n| Customer { id: customer(n), ..first.clone() }).collect();
        self.store
            .write("test.ledger", move |tx| {
                let customers = customers.clone();
                Box::pin(async move {
                    let records: Vec<_> = (0..ROWS).map(record).collect();
                    let holds: Vec<_> = (0..ROWS).map(hold).collect();
                    let reversals: Vec<_> = (0..ROWS).map(reversal).collect();
                    let (records, reversals, holds) = (&*records, &*reversals, &*holds);
                    let rows = LedgerRows { nonces: &[], records, reversals, holds, customers: &customers };
                    tx.write(&rows).await
                })
            })
            .await
            .unwrap();
        for entity in Entity::ALL {
            let changes: Vec<_> = (0..ROWS).map(|n| change(entity, n)).collect();
            for changes in changes.chunks(500) {
                let page = Page { changes: changes.to_vec(), ..Page::default() };
                self.store.apply_page(entity, None, page).await.unwrap();
            }
        }
        self.insert("dapi_keys", ROWS, |n, sql| {
            sql.add(format!("ak_{n:016}"))
                .add(format!("key {n}"))
                .add(format!("org_{:04}", n % 60))
                .add("users:read");
            sql.add("bearer").add(hash(n)).add(hash(n + ROWS)).add(true).add("").add(1).add(BASE).add(BASE);
        })
        .await;
        for table in ["nonces", "webhook_ids"] {
            self.insert(table, ROWS, |n, sql| {
                sql.add(hash(n)[..16].to_vec()).add(4 * BASE + n);
            })
            .await;
        }
        self.insert("cache_events", ROWS, |n, sql| {
            sql.add(hash(n)[..16].to_vec()).add(vec![7_u8; 16]).add("{}").add(BASE + n * 1_000_000);
        })
        .await;
        self.insert("leases", 20, |n, sql| {
            sql.add(format!("work {n}")).add(0).add(0);
        })
        .await;
        if self.store.dialect() == Dialect::MySql {
            let mut conn = self.store.writing().await.unwrap();
            for table in [
                "customer_balance",
                "accounting_records",
                "record_reversals",
                "users_cache",
                "pricing_cache",
                "llmage_cache",
                "uapi_cache",
                "dapi_keys",
                "nonces",
                "webhook_ids",
                "cache_events",
                "leases",
                "sync_state",
            ] {
                conn.run(&format!("ANALYZE TABLE {table}")).await.unwrap();
            }
        }
    }

    /// The columns of the key that a step uses on records.
    async fn used(&self, row: &Row) -> Vec<String> {
        match row {
            Row::Sqlite(row) => {
                let step: String = row.get("detail");
                let by =
                    step.strip_prefix("SEARCH accounting_records ").and_then(|step| step.split_once('('));
                let by = by.map_or("", |(_, columns)| columns.trim_end_matches(')'));
                by.split(" AND ").filter_map(|part| Some(part.split_once('=')?.0.to_owned())).collect()
            }
            Row::MySql(row) => {
                let text = |name: &str| {
                    row.try_get_unchecked::<Option<String>, _>(name).unwrap().unwrap_or_default()
                };
                let sql = Sql::new(
                    "SELECT column_name FROM information_schema.statistics \
                     WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?",
                );
                let rows = self.store.fetch_all(sql.bind(text("table")).bind(text("key"))).await.unwrap();
                rows.iter().map(|row| row.text(0).unwrap()).collect()
            }
        }
    }

    async fn insert(&self, table: &str, rows: i64, bind: impl Fn(i64, &mut Sql<'static>)) {
        let columns = match table {
            "dapi_keys" => {
                "key_id, name, customer_id, scopes, auth_mode, token_hash, previous_token_hash, enabled, \
                 allowed_cidrs, version, created_at, updated_at"
            }
            "nonces" => "nonce_hash, expires_at",
            "webhook_ids" => "id_hash, expires_at",
            "cache_events" => "id, origin, keys_changed, created_at",
            "leases" => "name, lease_until, fencing_token",
            other => panic!("{other}"),
        };
        let width = columns.split(',').count();
        let all: Vec<_> = (0..rows).collect();
        for slice in all.chunks(500) {
            let mut sql = Sql::new(format!("INSERT INTO {table} ({columns}) VALUES "));
            sql.push_rows(slice.len(), width);
            for n in slice {
                bind(*n, &mut sql);
            }
            self.store.writing().await.unwrap().execute(sql).await.unwrap();
        }
    }

    /// Runs a call of the store, and looks at the plan of each statement that it sent.
    async fn look<T, E: std::fmt::Debug>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<T, E>>,
    ) -> T {
        NOTED.set(Some(Vec::new()));
        let result = call.await;
        let noted = NOTED.take().unwrap();
        let result = result.unwrap_or_else(|e| panic!("{what}: {e:?}"));
        for sql in noted {
            let text = sql.text().to_owned();
            if !text.contains(" FROM ") && !text.starts_with("UPDATE") || text.starts_with("INSERT") {
                continue;
            }
            self.statements += 1;
            let mut missing = missing_of(what, &text);
            for (step, fault) in self.explain(what, sql, &mut missing).await {
                let line = format!("{what}: {step}\n      {}", &text[text.find(" FROM ").unwrap_or(0)..]);
                if std::env::var_os("SAGEAPI_TEST_SHOW_PLANS").is_some() {
                    eprintln!("{} {line}", self.store.dialect().as_str());
                }
                if fault {
                    self.wrong.push(line);
                }
            }
            for column in missing {
                self.wrong.push(format!("{what}: no key used has {column}\n      {text}"));
            }
        }
        result
    }

    /// The steps of a plan, and whether each is one that we do not want. Takes from `missing` the columns of the
    /// keys that it uses.
    async fn explain(&self, what: &str, sql: Sql<'static>, missing: &mut Vec<String>) -> Vec<(String, bool)> {
        let few = FEW.iter().any(|(case, _)| what.starts_with(case));
        let limited = sql.text().contains("LIMIT ?");
        // What is counted up to a cap has no order; a walk through the table itself is as good as one by an index.
        let counts = sql.text().ends_with(" counted");
        let explain = sql.after(self.store.dialect().explain());
        let rows = self.store.fetch_all(explain).await.unwrap();
        for row in &rows {
            if read_by_unique_key(row) {
                missing.clear();
            }
            let used = self.used(row).await;
            missing.retain(|column| !used.contains(column));
        }
        let judged = rows.iter().map(|row| {
            let (step, whole, sorts) = judge(row, limited);
            (step, whole && !counts || sorts && !few)
        });
        judged.collect()
    }
}

/// The columns that a statement about records compares with one value each, but for those that may be walked.
fn missing_of(what: &str, text: &str) -> Vec<String> {
    if !text.contains(" FROM accounting_records") {
        return Vec::new();
    }
    let conditions = text.split(" WHERE ").skip(1).flat_map(|part| part.split(" AND "));
    let columns = conditions.filter_map(|condition| condition.split_once(" = ?").map(|(column, _)| column));
    let plain = columns.filter(|column| column.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let walked =
        |column: &str| WALKED.iter().any(|(case, walked, _)| what.starts_with(case) && *walked == column);
    plain.filter(|column| !walked(column)).map(str::to_owned).collect()
}

/// Whether the optimizer has read the one row that may be meant, by a unique key, and needs nothing more.
fn read_by_unique_key(row: &Row) -> bool {
    let Row::MySql(row) = row else { return false };
    let extra = row.try_get_unchecked::<Option<String>, _>("Extra").unwrap().unwrap_or_default();
    extra.contains("after reading const tables") || extra.contains("no matching row in const table")
}

/// What a step does; whether it walks a whole table or index, and whether it sorts. A walk over an index is
/// good only in the order of a list, where LIMIT ends it.
fn judge(row: &Row, limited: bool) -> (String, bool, bool) {
    match row {
        Row::Sqlite(row) => {
            let step: String = row.get("detail");
            let walks = limited && step.contains("USING") && step.contains("INDEX");
            // Inner queries have lines of their own.
            let inner = step == "SCAN counted";
            let whole = step.starts_with("SCAN") && !walks && !inner;
            let sorts = step.contains("TEMP B-TREE") || step.contains("AUTOMATIC");
            (step, whole, sorts)
        }
        Row::MySql(row) => {
            let text =
                |name: &str| row.try_get_unchecked::<Option<String>, _>(name).unwrap().unwrap_or_default();
            let (table, kind, key, extra) = (text("table"), text("type"), text("key"), text("Extra"));
            // A query that the optimizer answers without a table, or an inner one that is materialised.
            let inner = table.is_empty() || table.starts_with('<');
            let whole = !inner && (kind == "ALL" || key.is_empty() || (kind == "index" && !limited));
            let sorts = extra.contains("filesort") || extra.contains("temporary");
            (format!("{table} {kind} {key} ({extra})"), whole, sorts)
        }
    }
}

fn cny() -> Currency {
    Currency::parse("CNY").unwrap()
}

fn key_text() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode([7; 32])
}

fn hash(n: i64) -> Vec<u8> {
    let mut hash = n.to_be_bytes().repeat(4);
    hash[0] = 1;
    hash
}

/// Half of the records are the first customer's.
fn record(n: i64) -> Record {
    let (owner, seq) = if n % 2 == 0 { (0, n / 2 + 1) } else { (1 + n / 2 % 50, n / 100 + 1) };
    let amount = Money::parse("1").unwrap();
    Record {
        id: id(n),
        customer_id: customer(owner),
        seq,
        transno: Transno::parse(&format!("t{n}")).unwrap(),
        kind: if n % 50 < 2 { Kind::Credit } else { Kind::Charge },
        amount,
        delta: amount,
        currency: cny(),
        user_id: Some(format!("user_{}", n % 200)),
        llmid: Some(format!("llm_{}", n % 40)),
        model_name: Some(if n % 500 == 104 { "rare".to_owned() } else { format!("model-{}", n % 40) }),
        pricing_id: None,
        pricing_version: None,
        input_tokens: None,
        output_tokens: None,
        usage: None,
        unrounded: None,
        arithmetic: None,
        request_id: Some(format!("r{n}")),
        reverses: None,
        hold_id: None,
        note: None,
        balance_after: amount,
        held_after: amount,
        available_after: amount,
        body_hash: [0; 32],
        prev_hash: [0; 32],
        hash: [0; 32],
        event_time: time(n),
        created_at: time(n),
    }
}

/// One in ten is open, and half of those are due.
fn hold(n: i64) -> Hold {
    let one = Money::parse("1").unwrap();
    Hold {
        id: id(n),
        customer_id: customer(if n % 2 == 0 { 0 } else { 1 + n / 2 % 50 }),
        transno: Transno::parse(&format!("h{n}")).unwrap(),
        amount: one,
        captured: Money::ZERO,
        currency: cny(),
        state: if n % 10 == 0 {
            HoldState::Open
        } else {
            HoldState::ALL[usize::try_from(1 + n % 3).unwrap()]
        },
        expires_at: if n % 20 == 0 { time(0) } else { Timestamp::from_micros(4 * BASE) },
        user_id: Some(format!("user_{}", n % 200)),
        note: None,
        body_hash: [0; 32],
        balance_after: one,
        held_after: one,
        available_after: one,
        created_at: time(n),
        updated_at: time(n),
    }
}

fn reversal(n: i64) -> Reversal {
    Reversal { original: id(n / 2), reversal: id(n + ROWS), amount: Money::parse("1").unwrap() }
}

fn id(n: i64) -> RecordId {
    RecordId(uuid::Uuid::from_bytes(hash(n)[..16].try_into().unwrap()))
}

/// Every fiftieth row is a tombstone.
fn change(entity: Entity, n: i64) -> Change {
    let cells = entity.columns().iter().map(|column| {
        let text = match column.name {
            "orgid" => format!("org_{:04}", n % 60),
            "user_status" => (n % 2).to_string(),
            "ppid" => format!("pp_{}", n / 3),
            "llmid" => format!("llm_{}", n % 1000),
            "status" => if n % 10 == 0 { "hidden" } else { "published" }.to_owned(),
            "enabled_date" => format!("20{:02}-01-01", 20 + n % 3 * 5),
            "expired_date" => format!("20{:02}-01-01", 25 + n % 3 * 5),
            "min_balance" => return Cell::Int(1),
            name => format!("{name} {n}"),
        };
        // No longer than the column is wide.
        let most = if let ColumnKind::Text(most) = column.kind { most } else { text.len() };
        Cell::Text(text[..most.min(text.len())].into())
    });
    let op = Op::Upsert { created_at: Some(time(n)), cells: cells.collect() };
    let op = if n % 50 == 49 { Op::Delete } else { op };
    Change { id: TextId::parse(&format!("{}_{n:05}", entity.as_str())).unwrap(), version: n + 1, op }
}

fn equal(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(column, value)| (*column, (*value).to_owned())).collect()
}

impl Bench {
    async fn records(&mut self, what: &str, filter: RecordFilter) {
        let store = self.store.clone();
        let within = filter.customer_id.is_some();
        for ascending in [false, true] {
            let first = if within { RecordOrder::Seq(None) } else { RecordOrder::Created(None) };
            let rows =
                self.look(&format!("records {what}"), store.records(&filter, &first, ascending, 11)).await;
            assert!(!rows.is_empty(), "records {what}: the case finds nothing");
            let last = &rows[rows.len() / 2];
            let next = match first {
                RecordOrder::Seq(_) => RecordOrder::Seq(Some(last.seq)),
                RecordOrder::Created(_) => RecordOrder::Created(Some((last.created_at, last.id))),
            };
            self.look(&format!("records {what}, next page"), store.records(&filter, &next, ascending, 11))
                .await;
        }
        self.look(&format!("records {what}, counted"), store.count_records(&filter, 10_000)).await;
        let until = store.newest_record(filter.customer_id.as_ref());
        let until = self.look(&format!("records {what}, newest"), until).await;
        let (filter, what) = (RecordFilter { until, ..filter }, format!("records {what}, for sums"));
        let first = if within { RecordOrder::Seq(None) } else { RecordOrder::Created(None) };
        let rows = self.look(&what, store.record_figures(&filter, &first, 11)).await;
        let last = &rows[rows.len() / 2];
        let next = if within {
            RecordOrder::Seq(Some(last.seq))
        } else {
            RecordOrder::Created(Some((last.created_at, last.id)))
        };
        self.look(&what, store.record_figures(&filter, &next, 11)).await;
    }

    async fn mirrored(&mut self, entity: Entity, what: &str, filter: MirrorFilter) {
        let store = self.store.clone();
        for ascending in [false, true] {
            let filter = MirrorFilter { ascending, limit: 11, ..filter.clone() };
            let rows = self.look(&format!("{entity} {what}"), store.mirror_rows(entity, &filter)).await;
            assert!(!rows.is_empty(), "{entity} {what}: the case finds nothing");
            let last = &rows[rows.len() / 2];
            let filter = MirrorFilter { after: Some((last.created_at, last.id.to_string())), ..filter };
            self.look(&format!("{entity} {what}, next page"), store.mirror_rows(entity, &filter)).await;
        }
        self.look(&format!("{entity} {what}, counted"), store.mirror_count(entity, &filter, 10_000)).await;
    }

    /// Fails with all plans that are not as they should be.
    fn done(self) {
        assert!(self.statements > 0, "no statement was looked at");
        assert!(
            self.wrong.is_empty(),
            "{} of {} statements on {} have a plan that we do not want:\n  {}",
            self.wrong.len(),
            self.statements,
            self.store.dialect().as_str(),
            self.wrong.join("\n  ")
        );
    }
}

/// One test, because what takes time is to fill the tables.
#[tokio::test]
async fn reads_and_bookings_use_an_index_and_sort_nothing() {
    for kind in kinds() {
        let mut bench = Bench::new(kind).await;
        lists_of_records(&mut bench).await;
        lists_of_the_mirror(&mut bench).await;
        single_rows(&mut bench).await;
        holds_and_reversals(&mut bench).await;
        bookings(&mut bench).await;
        verify(&mut bench).await;
        bench.done();
    }
}

async fn lists_of_records(bench: &mut Bench) {
    let of = |customer_id: Option<CustomerId>, equals: &[(&'static str, &str)]| RecordFilter {
        customer_id,
        equals: equal(equals),
        ..RecordFilter::default()
    };
    let filters: [&[(&'static str, &str)]; 8] = [
        &[],
        &[("user_id", "user_4")],
        &[("model_name", "model-4")],
        &[("model_name", "rare")],
        &[("llmid", "llm_4")],
        &[("transno", "t104")],
        &[("request_id", "r104")],
        &[("kind", "credit")],
    ];
    let ranges = |filter: &RecordFilter| {
        let (from, to) = (Some(time(100)), Some(time(300)));
        [
            ("", filter.clone()),
            (" of a time", RecordFilter { from, to, ..filter.clone() }),
            (" of an event time", RecordFilter { event_from: from, event_to: to, ..filter.clone() }),
        ]
    };
    for (whose, owner) in [("of a customer", Some(customer(0))), ("of all", None)] {
        for equals in filters {
            for (when, filter) in ranges(&of(owner.clone(), equals)) {
                let by = equals.first().map_or(String::new(), |(column, _)| format!(" by {column}"));
                bench.records(&format!("{whose}{by}{when}"), filter).await;
            }
        }
    }
    for (whose, owner) in [("of a customer", Some(customer(0))), ("of all", None)] {
        for reversed in [Some(false), Some(true)] {
            let filter = RecordFilter { reversed, ..of(owner.clone(), &[]) };
            bench.records(&format!("{whose}, reversed: {reversed:?}"), filter).await;
        }
    }
    bench
        .records("of a customer by two", of(Some(customer(0)), &[("user_id", "user_4"), ("kind", "charge")]))
        .await;
}

async fn lists_of_the_mirror(bench: &mut Bench) {
    let by =
        |equals: &[(&'static str, &str)]| MirrorFilter { equals: equal(equals), ..MirrorFilter::default() };
    let contains = Some((["username", "nick_name", "email", "mobile"].as_slice(), "name 12".to_owned()));
    let (from, to) = (Some(time(100)), Some(time(300)));
    let whole = MirrorFilter::default();
    for (what, filter) in [
        ("all", whole.clone()),
        ("of a customer", by(&[("orgid", "org_0007")])),
        ("by name", by(&[("username", "username 7")])),
        ("by status", by(&[("user_status", "1")])),
        ("of a customer by name", by(&[("orgid", "org_0007"), ("username", "username 7")])),
        ("of a customer by status", by(&[("orgid", "org_0007"), ("user_status", "1")])),
        ("of a time", MirrorFilter { from, to, ..whole.clone() }),
        ("of a customer and a time", MirrorFilter { from, to, ..by(&[("orgid", "org_0007")]) }),
        ("searched", MirrorFilter { contains: contains.clone(), ..whole.clone() }),
        ("of a customer, searched", MirrorFilter { contains, ..by(&[("orgid", "org_0000")]) }),
    ] {
        bench.mirrored(Entity::Users, what, filter).await;
    }
    let day = |validity| Some((validity, "2027-06-01".to_owned()));
    for (what, filter) in [
        ("all", whole.clone()),
        ("of a program", by(&[("ppid", "pp_12")])),
        ("of a type", by(&[("pricing_type", "pricing_type 12")])),
        ("of a model", MirrorFilter { llmid: Some("llm_12".into()), ..whole.clone() }),
        ("published", MirrorFilter { published_only: true, ..whole.clone() }),
        (
            "published of a model",
            MirrorFilter { published_only: true, llmid: Some("llm_12".into()), ..whole.clone() },
        ),
        ("current", MirrorFilter { validity: day(Validity::Current), ..whole.clone() }),
        ("future", MirrorFilter { validity: day(Validity::Future), ..whole.clone() }),
        ("expired", MirrorFilter { validity: day(Validity::Expired), ..whole.clone() }),
        (
            "current of a program",
            MirrorFilter { validity: day(Validity::Current), ..by(&[("ppid", "pp_12")]) },
        ),
    ] {
        bench.mirrored(Entity::Pricing, what, filter).await;
    }
    for (what, filter) in [
        ("all", whole.clone()),
        ("of a model", by(&[("llmid", "llm_12")])),
        ("by name", by(&[("model", "model 12")])),
        ("of a program", by(&[("ppid", "pp_12")])),
        ("published", by(&[("status", "published")])),
        ("published of a model", by(&[("llmid", "llm_12"), ("status", "published")])),
    ] {
        bench.mirrored(Entity::Llmage, what, filter).await;
    }
    bench.mirrored(Entity::Uapi, "all", whole.clone()).await;
    bench.mirrored(Entity::Uapi, "by name", by(&[("name", "name 12")])).await;
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
    let some = store.records(&filter, &RecordOrder::Seq(None), true, 1).await.unwrap().remove(0);
    assert!(bench.look("a record", store.record(some.id)).await.is_some());
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
            Ok::<_, super::Error>((rows.len(), found.len(), fresh, known))
        };
        let (locked, found, fresh, known) = bench.look(&format!("a booking of {count}"), call).await;
        assert_eq!((locked, found), (ids.len(), bookings.len()));
        assert!(fresh.iter().all(|fresh| *fresh) && known.iter().all(|fresh| !fresh));
    }
}

#[tokio::test]
async fn leases_caches_sweeps_and_purges_use_an_index() {
    for kind in kinds() {
        let mut bench = Bench::new(kind).await;
        let store = bench.store.clone();
        let events = bench.look("cache events", store.cache_events(time(ROWS - 10), |_| false)).await;
        assert!(events.len() >= 10);
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
            let what = |step: &str| format!("{entity}: {step}");
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
            bench.look(&what("end"), store.finish_run(&lease, super::SyncOutcome::Success)).await;
            let before = store.now().await.unwrap();
            bench.look(&what("tombstones"), store.purge_tombstones(entity, before, 10)).await;
        }
        bench.done();
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
        let holds = tx.holds_after(&customer(0), (time(0), id(0)), 10).await?.len();
        tx.captures_of(&customer(0), &captured).await?;
        let named = tx.holds_named(&ids).await?.len() + tx.moved(&ids).await?.len();
        let noted = tx.reversals_noted(&ids).await?.len();
        let nil = RecordId(uuid::Uuid::nil());
        let first = tx.reversals_after((nil, nil), 10).await?.len();
        let more = tx.reversals_after((id(5), id(5)), 10).await?.len();
        Ok::<_, super::Error>(((customers, records, next), (holds, named, noted), first + more))
    };
    let found = bench.look("verify", call).await;
    bench.store.end_snapshot(tx).await;
    assert_eq!(found, ((10, 10, Some("org_0004".to_owned())), (10, 800, 800), 20));
}

async fn holds_and_reversals(bench: &mut Bench) {
    let store = bench.store.clone();
    assert!(bench.look("a hold", store.hold(id(12))).await.is_some());
    for but in [0, 3, 600] {
        let but: Vec<_> = (0..but).map(customer).collect();
        let found =
            bench.look("customers with due holds", store.customers_with_due_holds(but.iter(), 20)).await;
        // Those that are due are all of the first customer.
        assert_eq!(found.is_empty(), !but.is_empty());
    }
    bench.look("due holds of a customer", store.due_holds(&customer(0), time(1), 512)).await;
    assert!(bench.look("a customer and the clock", store.ledger_row(&customer(0))).await.is_some());
    let whole = HoldFilter { limit: 11, ..HoldFilter::default() };
    let user_id = Some("user_4".to_owned());
    for (whose, customer_id) in [("of a customer", Some(customer(0))), ("of all", None)] {
        let whole = HoldFilter { customer_id, ..whole.clone() };
        let (from, to) = (Some(time(100)), Some(time(300)));
        for (by, filter) in [
            ("", whole.clone()),
            (" by user", HoldFilter { user_id: user_id.clone(), ..whole.clone() }),
            (" by transno", HoldFilter { transno: Some("h104".into()), ..whole.clone() }),
            (" open", HoldFilter { state: Some(HoldState::Open), ..whole.clone() }),
            (" expired", HoldFilter { state: Some(HoldState::Expired), ..whole.clone() }),
            (" captured", HoldFilter { state: Some(HoldState::Captured), ..whole.clone() }),
            (" of a time", HoldFilter { from, to, ..whole.clone() }),
        ] {
            for ascending in [false, true] {
                let filter = HoldFilter { ascending, ..filter.clone() };
                let rows = bench.look(&format!("holds {whose}{by}"), store.holds(&filter)).await;
                let last = &rows[rows.len() / 2].0;
                let filter = HoldFilter { after: Some((last.created_at, last.id)), ..filter };
                bench.look(&format!("holds {whose}{by}, next page"), store.holds(&filter)).await;
            }
            bench.look(&format!("holds {whose}{by}, counted"), store.count_holds(&filter, 10_000)).await;
        }
    }
    for count in [1_i64, 3, 64] {
        let ids: Vec<_> = (0..count).map(id).collect();
        let named: Vec<_> = (0..count).map(hold).map(|h| (h.customer_id, h.transno)).collect();
        let customers: Vec<_> = (0..count.min(50)).map(customer).collect();
        let mut tx = store.snapshot().await.unwrap();
        let call = async {
            tx.due_holds(&customers, time(1), 512).await?;
            let found = tx.find_holds(named.iter().map(|(c, t)| (c, t))).await?.len();
            let by_id = tx.holds_by_id(&ids).await?.len();
            tx.records_by_id(&ids).await?;
            Ok::<_, super::Error>((found, by_id, tx.reversals(&ids).await?.len()))
        };
        let (found, by_id, reversals) = bench.look(&format!("{count} holds"), call).await;
        store.end_snapshot(tx).await;
        assert_eq!((found, by_id, reversals), (named.len(), ids.len(), 2 * ids.len()));
    }
}
