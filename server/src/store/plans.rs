//! How the database would run every statement of ours: by an index, without sorting.
//!
//! Each case runs a function of the store; the statements that it sends are noted and then explained on tables of some
//! thousand rows. Whatever column stands in a condition of a SELECT must be one that the key in use has: a walk that
//! LIMIT would end is else as long as the table, where few rows fit. What may be otherwise is named in `exceptions`.

mod cases;
mod exceptions;
mod fill;
mod judge;
mod quota;
mod retention;
mod sign_in;
mod usage;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use sageapi_test_support::database::{Kind, TestDatabase, kinds};

use super::list::Conditions;
use super::sql::Sql;
use super::test_store::migrated;
use super::{Dialect, Filter, Store};
use exceptions::{FEW, WALKED, WALKED_IN_UPKEEP};
use fill::customer;
use judge::{Exception, Step, Taken, missing_of, selects, stale};

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

struct Bench {
    store: Store,
    _database: TestDatabase,
    exceptions: &'static [Exception],
    taken: Taken,
    /// The conditions that lists declare, and those that cases have asked for.
    declared: BTreeSet<(&'static str, &'static str)>,
    asked: BTreeSet<(&'static str, &'static str)>,
    /// The types of the filters that cases have listed by.
    filters: BTreeSet<&'static str>,
    wrong: Vec<String>,
    statements: usize,
}

impl Bench {
    async fn new(kind: Kind, exceptions: &'static [Exception]) -> Self {
        let database = TestDatabase::fresh(kind).await;
        let store = migrated(&database).await;
        let bench = Self {
            store,
            _database: database,
            exceptions,
            taken: Taken::new(),
            declared: BTreeSet::new(),
            asked: BTreeSet::new(),
            filters: BTreeSet::new(),
            wrong: Vec::new(),
            statements: 0,
        };
        bench.fill().await;
        bench
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
            self.judge(what, &text, sql).await;
        }
        result
    }

    /// Notes which conditions a list declares, and which of them a case asks for.
    fn declared_by<F: Filter>(&mut self, filter: &F) {
        self.filters.insert(std::any::type_name::<F>().rsplit("::").next().unwrap_or_default());
        let conditions = Conditions::of(filter, self.store.dialect());
        self.declared.extend(conditions.declared.iter().map(|name| (filter.name(), *name)));
        self.asked.extend(conditions.named.iter().map(|(name, _)| (filter.name(), *name)));
    }

    /// Notes which filters of the source no case lists by.
    fn every_filter_has_a_case(&mut self) {
        let written = filters_under(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        assert!(written.len() >= self.filters.len(), "{written:?}");
        let missing = written.iter().filter(|name| !self.filters.contains(name.as_str()));
        self.wrong.extend(missing.map(|name| format!("no case lists by {name}")));
    }

    /// Notes what is wrong with the plan of a statement.
    async fn judge(&mut self, what: &str, text: &str, sql: Sql<'static>) {
        let few = FEW.iter().any(|(case, _)| what.contains(case));
        // What is counted has no order: a walk through the table itself is as good as one by an index. It ends at the
        // cap, and where few rows fit it is as long as that of the list, for which its columns are among the exceptions.
        let counts = text.ends_with(" counted");
        let selects = selects(text);
        let rows = self.store.fetch_all(sql.after(self.store.dialect().explain())).await.unwrap();
        let mut steps = Vec::new();
        for row in &rows {
            steps.push(Step::read(&self.store, row, &selects, text.contains("LIMIT ?")).await);
        }
        for step in &steps {
            let line = format!("{what}: {}\n      {}", step.text, &text[text.find(" FROM ").unwrap_or(0)..]);
            if std::env::var_os("SAGEAPI_TEST_SHOW_PLANS").is_some() {
                eprintln!("{} {line}", self.store.dialect().as_str());
            }
            if step.whole && !counts || step.sorts && !few {
                self.wrong.push(line);
            }
        }
        for column in missing_of(what, &selects, &steps, self.exceptions, &mut self.taken) {
            self.wrong.push(format!("{what}: no key in use has {column}\n      {text}"));
        }
    }

    /// Fails with all plans that are not as they should be, with conditions of lists that no case asks for, and with
    /// exceptions that none of them needs. Those are looked for on SQLite, whose plans never vary.
    fn done(mut self) {
        assert!(self.statements > 0, "no statement was looked at");
        let unasked = self.declared.difference(&self.asked);
        self.wrong.extend(unasked.map(|(list, condition)| format!("no case asks {list} by {condition}")));
        if self.store.dialect() == Dialect::Sqlite {
            let stale = stale(self.exceptions, &self.taken);
            self.wrong.extend(stale.into_iter().map(|exception| format!("no case needs {exception}")));
        }
        assert!(
            self.wrong.is_empty(),
            "{} faults in {} statements on {}:\n  {}",
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
        let mut bench = Bench::new(kind, WALKED).await;
        a_walk_is_reported(&mut bench).await;
        cases::reads_and_bookings(&mut bench).await;
        retention::verify(&mut bench).await;
        quota::checks(&mut bench).await;
        bench.every_filter_has_a_case();
        bench.done();
    }
}

#[tokio::test]
async fn leases_caches_sweeps_and_purges_use_an_index() {
    for kind in kinds() {
        let mut bench = Bench::new(kind, WALKED_IN_UPKEEP).await;
        cases::upkeep(&mut bench).await;
        sign_in::sessions_and_throttle(&mut bench).await;
        retention::purges(&mut bench).await;
        quota::expiry(&mut bench).await;
        bench.done();
    }
}

/// The types for which a source file in this directory implements [`Filter`].
fn filters_under(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(filters_under(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let implementations = text.lines().filter(|line| line.starts_with("impl"));
            let types = implementations.filter_map(|line| line.split_once(" Filter for "));
            let name = |rest: &str| rest.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned);
            found.extend(types.filter_map(|(_, rest)| name(rest)));
        }
    }
    found
}

/// The check itself can fail: nobody has allowed this list to be walked for its notes.
async fn a_walk_is_reported(bench: &mut Bench) {
    let store = bench.store.clone();
    let sql =
        Sql::new("SELECT id FROM holds WHERE customer_id = ? AND note = ? ORDER BY created_at, id LIMIT ?");
    let sql = sql.bind(customer(0).as_str().to_owned()).bind("rare").bind(11_i64);
    bench.look("holds of a customer by note", store.fetch_all(sql)).await;
    let wrong = std::mem::take(&mut bench.wrong);
    assert!(wrong.iter().any(|line| line.contains("no key in use has holds.note")), "{wrong:?}");
}
