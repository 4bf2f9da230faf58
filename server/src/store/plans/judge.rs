//! Reading plans: what walks, what sorts, and which columns a statement names that no key in use has.

use std::collections::BTreeSet;

use sqlx::Row as _;

use super::super::Store;
use super::super::sql::{Row, Sql};

/// What one step of a plan finds its rows by.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: it walks through a table or an index.
    Walking,
    /// These columns, as SQLite tells.
    By(Vec<String>),
    /// Some of the columns of these keys, from the first one on: MySQL names its keys alone.
    Keys(Vec<Vec<String>>),
    /// A unique key: there is one row at most, and whatever else is asked is asked of it.
    OneRow,
}

/// One step of a plan.
#[derive(Debug)]
pub(super) struct Step {
    /// The database's words.
    pub text: String,
    /// What the statement calls the table that it reads; empty where the optimizer has read it already.
    pub name: String,
    /// What it finds rows by.
    pub found: Found,
    /// Whether it walks through a whole table or index. A walk through an index is good only in the order of a list,
    /// where LIMIT ends it.
    pub whole: bool,
    /// Whether it sorts.
    pub sorts: bool,
}

impl Step {
    /// Reads a row of EXPLAIN. `selects` are those of the statement, which is `limited` or not.
    pub async fn read(store: &Store, row: &Row, selects: &[Select], limited: bool) -> Self {
        match row {
            Row::Sqlite(row) => Self::of_sqlite(row.get("detail"), limited),
            Row::MySql(row) => {
                let text = |name: &str| {
                    row.try_get_unchecked::<Option<String>, _>(name).unwrap().unwrap_or_default()
                };
                let (name, kind, key, extra) = (text("table"), text("type"), text("key"), text("Extra"));
                // A query that the optimizer answers without a table, or an inner one that is materialised.
                let inner = name.is_empty() || name.starts_with('<');
                let whole = !inner && (kind == "ALL" || key.is_empty() || (kind == "index" && !limited));
                let sorts = extra.contains("filesort") || extra.contains("temporary");
                // The optimizer has read the one row that may be meant, and needs nothing more.
                let answered = extra.contains("after reading const tables")
                    || extra.contains("no matching row in const table");
                let found = match &*kind {
                    _ if answered => Found::OneRow,
                    "system" | "const" | "eq_ref" => Found::OneRow,
                    "" | "ALL" | "index" => Found::Walking,
                    _ => {
                        let select = selects.iter().find(|select| select.name == name);
                        let table = select.map_or("", |select| select.table.as_str());
                        let mut keys = Vec::new();
                        // MariaDB may filter what one key finds by another one, and either may merge several.
                        for key in key.split([',', '|']) {
                            keys.push(columns_of(store, table, key).await);
                        }
                        Found::Keys(keys)
                    }
                };
                let text = format!("{name} {kind} {key} ({extra})");
                Self { text, name, found, whole, sorts }
            }
        }
    }

    fn of_sqlite(text: String, limited: bool) -> Self {
        let walks = limited && text.contains("USING") && text.contains("INDEX");
        // Inner queries have lines of their own.
        let inner = text == "SCAN counted";
        let whole = text.starts_with("SCAN") && !walks && !inner;
        let sorts = text.contains("TEMP B-TREE") || text.contains("AUTOMATIC");
        let name = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let found = match text.split_once('(') {
            // SEARCH holds USING INDEX holds_customer (customer_id=? AND (created_at,id)<(?,?))
            Some((step, by)) if step.starts_with("SEARCH") => {
                let names = by.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
                Found::By(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
            }
            _ => Found::Walking,
        };
        Self { text, name, found, whole, sorts }
    }
}

/// A key's columns, in order.
async fn columns_of(store: &Store, table: &str, key: &str) -> Vec<String> {
    let sql = Sql::new(
        "SELECT column_name FROM information_schema.statistics \
         WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ? ORDER BY seq_in_index",
    );
    let rows = store.fetch_all(sql.bind(table).bind(key)).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

/// A SELECT, of which a statement may have several, one within another.
#[derive(Debug, Default)]
pub(super) struct Select {
    /// The table that it reads.
    pub table: String,
    /// What the statement calls it.
    pub name: String,
    /// The columns of this table that stand in its conditions, however they are compared.
    pub columns: BTreeSet<String>,
    depth: usize,
    part: Part,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Wanted,
    Tables,
    Conditions,
    Rest,
}

/// The SELECTs of a statement that have conditions. Our statements write keywords and functions in capitals (but for one,
/// which its parenthesis tells), and names in small letters.
pub(super) fn selects(text: &str) -> Vec<Select> {
    let outside: Vec<_> = text.split('\'').step_by(2).collect();
    let spaced = outside.join(" ").replace('(', " ( ").replace(')', " ) ");
    let words = spaced.split(|c: char| !(c.is_ascii_alphanumeric() || "_.()".contains(c)));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let (mut open, mut closed): (Vec<Select>, Vec<Select>) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for (nth, word) in words.iter().enumerate() {
        match *word {
            "SELECT" => open.push(Select { depth, ..Select::default() }),
            "(" => depth += 1,
            ")" => {
                depth -= 1;
                closed.extend(open.pop_if(|select| select.depth > depth));
            }
            word => {
                let before = nth.checked_sub(1).map_or("", |before| words[before]);
                let called = words.get(nth + 1) == Some(&"(");
                if let Some(select) = open.last_mut() {
                    select.read(word, before, called);
                }
            }
        }
    }
    closed.extend(open);
    closed.retain(|select| !select.columns.is_empty());
    closed
}

impl Select {
    fn read(&mut self, word: &str, before: &str, called: bool) {
        match word {
            "FROM" => self.part = Part::Tables,
            "WHERE" => self.part = Part::Conditions,
            "GROUP" | "ORDER" | "LIMIT" | "FOR" => self.part = Part::Rest,
            _ if called || !word.starts_with(|c: char| c.is_ascii_lowercase()) => {}
            _ if self.part == Part::Tables && self.table.is_empty() => {
                word.clone_into(&mut self.table);
                word.clone_into(&mut self.name);
            }
            _ if self.part == Part::Tables && before == self.table => word.clone_into(&mut self.name),
            _ if self.part == Part::Conditions => {
                let column = match word.split_once('.') {
                    None => Some(word),
                    // One of an outer SELECT is a value here.
                    Some((of, column)) => (of == self.name).then_some(column),
                };
                self.columns.extend(column.map(str::to_owned));
            }
            _ => {}
        }
    }

    /// Those of its columns that its rows are found by.
    fn found_by<'a>(&'a self, steps: &'a [Step]) -> BTreeSet<&'a str> {
        let named = self.columns.iter().map(String::as_str);
        let mut found = BTreeSet::new();
        for step in steps {
            match &step.found {
                Found::OneRow if step.name == self.name || step.name.is_empty() => {
                    found.extend(named.clone());
                }
                _ if step.name != self.name => {}
                Found::Walking | Found::OneRow => {}
                Found::By(columns) => found.extend(columns.iter().map(String::as_str)),
                Found::Keys(keys) => {
                    for key in keys {
                        let key = key.iter().map(String::as_str);
                        found.extend(key.take_while(|column| self.columns.contains(*column)));
                    }
                }
            }
        }
        found
    }
}

/// Columns that no key in use has, and may be looked at row by row: what the cases are called, the columns, and why.
pub(super) type Exception = (&'static str, &'static [&'static str], &'static str);

/// The exceptions that were needed: what the cases are called, and the column.
pub(super) type Taken = BTreeSet<(&'static str, &'static str)>;

/// The columns in the conditions of a statement that no key which its plan uses for their table has, but for the
/// exceptions. The first one that fits is taken.
pub(super) fn missing_of(
    what: &str,
    selects: &[Select],
    steps: &[Step],
    exceptions: &[Exception],
    taken: &mut Taken,
) -> Vec<String> {
    let mut missing = Vec::new();
    for select in selects {
        let found = select.found_by(steps);
        for column in select.columns.iter().filter(|column| !found.contains(column.as_str())) {
            let mut fitting = exceptions.iter().filter(|(case, ..)| what.contains(*case));
            let exception = fitting.find_map(|(case, columns, _)| {
                columns.iter().find(|excepted| *excepted == column).map(|excepted| (*case, *excepted))
            });
            if let Some(exception) = exception {
                taken.insert(exception);
            } else {
                missing.push(format!("{}.{column}", select.table));
            }
        }
    }
    missing
}

/// The exceptions that nothing has needed.
pub(super) fn stale(exceptions: &[Exception], taken: &Taken) -> Vec<String> {
    let each =
        exceptions.iter().flat_map(|(case, columns, _)| columns.iter().map(move |column| (*case, *column)));
    each.filter(|exception| !taken.contains(exception))
        .map(|(case, column)| format!("{case}: {column}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCEPTIONS: [Exception; 2] =
        [("holds of all", &["user_id"], "a test"), ("holds of all", &["state", "user_id"], "another one")];

    fn columns(text: &str) -> Vec<(String, String, Vec<String>)> {
        let each = selects(text).into_iter();
        each.map(|select| (select.table, select.name, select.columns.into_iter().collect())).collect()
    }

    fn select(table: &str, name: &str, columns: &[&str]) -> (String, String, Vec<String>) {
        let columns = columns.iter().map(|column| (*column).to_owned());
        (table.to_owned(), name.to_owned(), columns.collect())
    }

    fn by(name: &str, found: Found) -> Step {
        Step { text: String::new(), name: name.to_owned(), found, whole: false, sorts: false }
    }

    /// What is missing, and the exceptions taken.
    fn judged(what: &str, text: &str, steps: &[Step]) -> (Vec<String>, Taken) {
        let mut taken = Taken::new();
        let missing = missing_of(what, &selects(text), steps, &EXCEPTIONS, &mut taken);
        (missing, taken)
    }

    #[test]
    fn every_column_in_a_condition_is_seen_however_it_is_compared() {
        let text = "SELECT id, a FROM t FORCE INDEX (t_b) WHERE 1 = 1 AND b = ? AND +c >= ? AND (d, e) < (?, ?) \
                    AND f IN (?,?) AND (g IS NULL OR g <> 'x') AND LOWER(h) LIKE LOWER(?) ESCAPE '!' \
                    AND i > CAST(unixepoch('subsec') * 1000 AS INTEGER) ORDER BY j DESC LIMIT ?";
        assert_eq!(columns(text), [select("t", "t", &["b", "c", "d", "e", "f", "g", "h", "i"])]);
        let text =
            "SELECT COUNT(*) FROM (SELECT 1 FROM t INDEXED BY t_b WHERE b = 'it is c = d' LIMIT ?) counted";
        assert_eq!(columns(text), [select("t", "t", &["b"])]);
        let text = "SELECT a FROM t WHERE b IN (SELECT b FROM s WHERE c = ?) AND d = ? \
                    AND (SELECT SUM(r.n) FROM u r WHERE r.e = t.id) >= ABS(f) FOR UPDATE";
        let expected =
            [select("s", "s", &["c"]), select("u", "r", &["e"]), select("t", "t", &["b", "d", "f"])];
        assert_eq!(columns(text), expected);
        assert!(columns("UPDATE t SET a = ? WHERE b = ?").is_empty());
    }

    #[test]
    fn a_column_that_no_key_in_use_has_is_reported() {
        let text =
            "SELECT id FROM holds WHERE customer_id = ? AND note = ? AND (created_at, id) < (?, ?) LIMIT ?";
        let step = |text: &str| Step::of_sqlite(text.to_owned(), true);
        let plan = "SEARCH holds USING INDEX holds_customer (customer_id=? AND (created_at,id)<(?,?))";
        assert_eq!(judged("holds", text, &[step(plan)]).0, ["holds.note"]);
        let plan =
            "SEARCH holds USING INDEX holds_customer (customer_id=? AND created_at>? AND created_at<?)";
        assert_eq!(judged("holds", text, &[step(plan)]).0, ["holds.id", "holds.note"]);
        let all = ["holds.created_at", "holds.customer_id", "holds.id", "holds.note"];
        assert_eq!(judged("holds", text, &[step("SCAN holds USING INDEX holds_created")]).0, all);
        let other = by("records", Found::By(vec!["note".to_owned(), "customer_id".to_owned()]));
        assert_eq!(judged("holds", text, &[other]).0, all);
        assert_eq!(judged("holds", text, &[]).0, all);
    }

    #[test]
    fn a_key_serves_up_to_its_first_column_that_nothing_is_compared_with() {
        let text = "SELECT id FROM holds h WHERE customer_id = ? AND created_at < ? LIMIT ?";
        let key = |columns: &[&str]| columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>();
        let missing = |found: Found| judged("holds", text, &[by("h", found)]).0;
        assert_eq!(missing(Found::Keys(vec![key(&["customer_id", "created_at", "id"])])), [""; 0]);
        let skips = vec![key(&["customer_id", "state", "created_at"])];
        assert_eq!(missing(Found::Keys(skips)), ["holds.created_at"]);
        let two = vec![key(&["customer_id", "state"]), key(&["created_at", "id"])];
        assert_eq!(missing(Found::Keys(two)), [""; 0]);
        assert_eq!(missing(Found::OneRow), [""; 0]);
        assert_eq!(judged("holds", text, &[by("", Found::OneRow)]).0, [""; 0]);
        assert_eq!(judged("holds", text, &[by("", Found::Walking)]).0.len(), 2);
    }

    #[test]
    fn an_exception_is_for_its_own_cases_and_stale_where_none_needs_it() {
        let text = "SELECT id FROM holds WHERE user_id = ? ORDER BY created_at, id LIMIT ?";
        let (missing, taken) = judged("holds of all by user", text, &[by("holds", Found::Walking)]);
        assert_eq!(missing, [""; 0]);
        assert_eq!(stale(&EXCEPTIONS, &taken), ["holds of all: state"]);
        let (missing, taken) = judged("holds of a customer", text, &[by("holds", Found::Walking)]);
        assert_eq!(missing, ["holds.user_id"]);
        assert_eq!(stale(&EXCEPTIONS, &taken).len(), 3);
        let (missing, taken) =
            judged("holds of all", text, &[by("holds", Found::By(vec!["user_id".to_owned()]))]);
        assert_eq!((missing.len(), stale(&EXCEPTIONS, &taken).len()), (0, 3));
    }
}
