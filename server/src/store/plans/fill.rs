//! What the tables hold: some thousand rows each, spread so that filters find few of them, many, or half.

use super::super::columns::{self, TableRow};
use super::super::sql::Sql;
use super::super::{Change, Dialect, LedgerChanges, NewCustomer, Op, Page, Reversal};
use super::Bench;
use crate::model::{
    ActorKind, AuditEntry, BookingDetails, Cell, ColumnKind, Currency, Customer, CustomerId, Entity, GroupId,
    Hold, HoldState, Kind, Money, ObjectKind, Owner, Record, RecordId, TextId, Timestamp, Transno, UserId,
};

pub(super) const ROWS: i64 = 5000;
const BASE: i64 = 1_780_000_000_000_000;

pub(super) fn time(n: i64) -> Timestamp {
    Timestamp::from_micros(BASE + n * 1_000_000)
}

pub(super) fn customer(n: i64) -> CustomerId {
    CustomerId::parse(&format!("org_{n:04}")).unwrap()
}

impl Bench {
    pub(super) async fn fill(&self) {
        let new = NewCustomer { id: customer(0), currency: cny(), credit_limit: Money::ZERO };
        self.store.create_customer(new).await.unwrap();
        let first = self.store.customer(&customer(0)).await.unwrap().unwrap();
        let customers: Vec<_> = (0..ROWS).map(|n| Customer { id: customer(n), ..first.clone() }).collect();
        self.store
            .write("test.ledger", move |tx| {
                let changes = LedgerChanges {
                    records: (0..ROWS).map(record).collect(),
                    customers: customers.clone(),
                    audit: (0..ROWS).map(audited).collect(),
                    ..LedgerChanges::default()
                };
                Box::pin(async move { tx.write(&changes).await })
            })
            .await
            .unwrap();
        self.rows((0..ROWS).map(reversal)).await;
        self.rows((0..ROWS).map(hold)).await;
        for entity in Entity::ALL {
            let changes: Vec<_> = (0..ROWS).map(|n| change(entity, n)).collect();
            for changes in changes.chunks(500) {
                let page = Page { changes: changes.to_vec(), ..Page::default() };
                self.store.apply_page(entity, None, page).await.unwrap();
            }
        }
        let columns = "key_id, name, customer_id, scopes, auth_mode, token_hash, previous_token_hash, enabled, \
                       allowed_cidrs, version, created_at, updated_at";
        self.insert("dapi_keys", columns, ROWS, |n, sql| {
            sql.add(format!("ak_{n:016}"))
                .add(format!("key {n}"))
                .add(format!("org_{:04}", n % 60))
                .add("users:read");
            sql.add("bearer").add(hash(n)).add(hash(n + ROWS)).add(true).add("").add(1).add(BASE).add(BASE);
        })
        .await;
        for (table, columns) in [("nonces", "nonce_hash, expires_at"), ("webhook_ids", "id_hash, expires_at")]
        {
            self.insert(table, columns, ROWS, |n, sql| {
                sql.add(hash(n)[..16].to_vec()).add(4 * BASE + n);
            })
            .await;
        }
        self.insert("cache_events", "id, origin, keys_changed, created_at", ROWS, |n, sql| {
            sql.add(hash(n)[..16].to_vec()).add(vec![7_u8; 16]).add("{}").add(BASE + n * 1_000_000);
        })
        .await;
        self.insert("leases", "name, lease_until, fencing_token", 20, |n, sql| {
            sql.add(format!("work {n}")).add(0).add(0);
        })
        .await;
        self.fill_people().await;
        if self.store.dialect() == Dialect::MySql {
            let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()";
            for row in self.store.fetch_all(Sql::new(tables)).await.unwrap() {
                self.analyze(&row.text(0).unwrap()).await;
            }
        }
    }

    /// A user of each customer, and a group. Half of the users are members of the first group, which is the platform's
    /// default one; the platform has none.
    async fn fill_people(&self) {
        self.insert(
            "users",
            "id, customer_id, username, role, is_active, security_version, version, created_at, updated_at",
            ROWS,
            |n, sql| {
                sql.add(user_id(n).to_string()).add(format!("org_{:04}", n % 60)).add(format!("user-{n}"));
                sql.add(if n % 50 == 0 { "admin" } else { "user" }).add(n % 70 != 0).add(1).add(1);
                sql.add(BASE + n * 1_000_000).add(BASE);
            },
        )
        .await;
        self.insert(
            "user_groups",
            "id, customer_id, name, on_store_failure, default_of, version, created_at, updated_at",
            300,
            |n, sql| {
                let owner = if n == 0 { String::new() } else { format!("org_{:04}", n % 60) };
                sql.add(group_id(n).to_string()).add(owner.clone()).add(format!("group {n}"));
                sql.add("deny").add((n == 0).then_some(owner)).add(1).add(BASE + n * 1_000_000).add(BASE);
            },
        )
        .await;
        self.insert("group_members", "customer_id, user_id, group_id", ROWS, |n, sql| {
            let group = if n % 2 == 0 && n > 100 { 0 } else { n % 60 };
            sql.add(format!("org_{:04}", n % 60))
                .add(user_id(n).to_string())
                .add(group_id(group).to_string());
        })
        .await;
    }

    /// Has the database look at what a table holds now. SQLite never does.
    async fn analyze(&self, table: &str) {
        if self.store.dialect() == Dialect::MySql {
            let mut conn = self.store.writing().await.unwrap();
            conn.run(&format!("ANALYZE TABLE {table}")).await.unwrap();
        }
    }

    /// Fills a table with rows. A case of a list can begin with it.
    pub(super) async fn rows<R: TableRow>(&self, rows: impl Iterator<Item = R>) {
        let rows: Vec<_> = rows.collect();
        for rows in rows.chunks(500) {
            let sql = columns::insert("INSERT INTO", rows);
            self.store.writing().await.unwrap().execute(sql).await.unwrap();
        }
        self.analyze(R::TABLE).await;
    }

    /// Rows of a table without a row type that has all its columns.
    pub(super) async fn insert(
        &self,
        table: &str,
        columns: &str,
        rows: i64,
        bind: impl Fn(i64, &mut Sql<'static>),
    ) {
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
}

pub(super) fn user_id(n: i64) -> UserId {
    UserId::parse(&format!("user_{n:05}")).unwrap()
}

pub(super) fn group_id(n: i64) -> GroupId {
    GroupId::parse(&format!("group_{n:05}")).unwrap()
}

pub(super) fn cny() -> Currency {
    Currency::parse("CNY").unwrap()
}

pub(super) fn hash(n: i64) -> Vec<u8> {
    let mut hash = n.to_be_bytes().repeat(4);
    hash[0] = 1;
    hash
}

/// Half of the records are the first customer's.
pub(super) fn record(n: i64) -> Record {
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
        details: BookingDetails {
            user_id: Some(format!("user_{}", n % 200)),
            llmid: Some(format!("llm_{}", n % 40)),
            model_name: Some(if n % 500 == 104 { "rare".to_owned() } else { format!("model-{}", n % 40) }),
            request_id: Some(format!("r{n}")),
            ..BookingDetails::default()
        },
        pricing_version: None,
        unrounded: None,
        arithmetic: None,
        reverses: None,
        hold_id: None,
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
pub(super) fn hold(n: i64) -> Hold {
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

pub(super) fn id(n: i64) -> RecordId {
    RecordId(uuid::Uuid::from_bytes(hash(n)[..16].try_into().unwrap()))
}

/// Every fiftieth row is a tombstone.
pub(super) fn change(entity: Entity, n: i64) -> Change {
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

/// One in ten is of a user, the others of some keys; half are of the first customer.
pub(super) fn audited(n: i64) -> AuditEntry {
    let by_user = n % 10 == 0;
    AuditEntry {
        id: id(n),
        created_at: time(n),
        actor_kind: if by_user { ActorKind::User } else { ActorKind::Key },
        actor_id: if by_user { "u-1".to_owned() } else { format!("ak_{}", n % 40) },
        action: if n % 5 == 0 { "create" } else { "update" }.to_owned(),
        object_kind: if n % 2 == 0 { ObjectKind::Customer } else { ObjectKind::Key },
        object_id: format!("object_{}", n % 100),
        owner: if n % 2 == 0 { Owner::Customer(customer(0)) } else { Owner::Platform },
        diff: "{}".to_owned(),
        request_id: None,
        address: None,
    }
}
