use std::collections::BTreeMap;

use super::AccountingQuery;
use crate::domain::{Error, FieldError};
use crate::model::{Currency, Kind, Reach, Timestamp};
use crate::store::{RecordFigures, Store, Window};

/// Groups of one summary; beyond that it is refused, so that its memory is bounded.
const MAX_GROUPS: usize = 10_000;
/// Records read at once.
const ROWS_AT_ONCE: i64 = 4000;
const DAY_MICROS: i64 = 86_400_000_000;

/// By what records are put together. The currency always divides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupBy {
    /// By the UTC day on which they were booked.
    pub day: bool,
    /// By the model's name.
    pub model: bool,
    /// By what they are.
    pub kind: bool,
}

/// What some records come to. The sums may leave the range of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// The first instant of the UTC day, if grouped by day.
    pub day: Option<Timestamp>,
    /// The model's name, if grouped by model; records may have none.
    pub model: Option<Option<String>>,
    /// What they are, if grouped by kind.
    pub kind: Option<Kind>,
    /// Their currency.
    pub currency: Currency,
    /// How many there are.
    pub count: u64,
    /// What they took, positive, in 10^-9 units.
    pub charged: i128,
    /// What they brought, in 10^-9 units.
    pub credited: i128,
    /// Tokens in.
    pub input_tokens: i128,
    /// Tokens out.
    pub output_tokens: i128,
}

impl SummaryRow {
    /// What they changed the balance by, in 10^-9 units.
    pub fn net(&self) -> i128 {
        self.credited - self.charged
    }

    fn add(&mut self, record: &RecordFigures) {
        let delta = record.delta.wide();
        self.count += 1;
        if delta < 0 {
            self.charged -= delta;
        } else {
            self.credited += delta;
        }
        self.input_tokens += i128::from(record.input_tokens.unwrap_or(0));
        self.output_tokens += i128::from(record.output_tokens.unwrap_or(0));
    }
}

/// Sums up the records within reach that a query finds, whose own page does not matter: the groups in the order of day,
/// model, kind and currency. Covers the records until the newest one there is when it begins.
///
/// Fails with [`Error::Invalid`] for an unknown status, for no grouping, and for more than 10,000 groups.
pub async fn summarize(
    store: &Store,
    reach: &Reach,
    q: AccountingQuery,
    by: GroupBy,
) -> Result<Vec<SummaryRow>, Error> {
    let bounded = q.bounded(store, reach).await?;
    if by == GroupBy::default() {
        return Err(invalid("must name at least one of day, model and kind"));
    }
    let Some(filter) = bounded else { return Ok(Vec::new()) };
    let mut window = Window::oldest(ROWS_AT_ONCE);
    let mut groups = Groups::new(by, MAX_GROUPS);
    loop {
        let rows = store.record_figures(&filter, &window).await?;
        let full = i64::try_from(rows.len()) == Ok(ROWS_AT_ONCE);
        if let Some(last) = rows.last() {
            window.after = Some(filter.position(last.seq, last.created_at, last.id));
        }
        for record in rows {
            groups.add(record)?;
        }
        if !full {
            return Ok(groups.rows.into_values().collect());
        }
    }
}

/// Day since the epoch, model, kind, currency: what is not grouped by is the same for all.
type Key = (Option<i64>, Option<String>, Option<&'static str>, String);

struct Groups {
    by: GroupBy,
    most: usize,
    rows: BTreeMap<Key, SummaryRow>,
}

impl Groups {
    fn new(by: GroupBy, most: usize) -> Self {
        Self { by, most, rows: BTreeMap::new() }
    }

    fn add(&mut self, mut record: RecordFigures) -> Result<(), Error> {
        let GroupBy { day, model, kind } = self.by;
        let day = day.then(|| record.created_at.micros() / DAY_MICROS);
        let name = if model { record.model_name.take() } else { None };
        let kind = kind.then_some(record.kind);
        let key = (day, name.clone(), kind.map(Kind::as_str), record.currency.as_str().to_owned());
        if let Some(row) = self.rows.get_mut(&key) {
            row.add(&record);
            return Ok(());
        }
        if self.rows.len() == self.most {
            let most = self.most;
            return Err(invalid(format!(
                "makes more than {most} groups; narrow the filters or group by less"
            )));
        }
        let mut row = SummaryRow {
            day: day.map(|day| Timestamp::from_micros(day * DAY_MICROS)),
            model: model.then_some(name),
            kind,
            currency: record.currency,
            count: 0,
            charged: 0,
            credited: 0,
            input_tokens: 0,
            output_tokens: 0,
        };
        row.add(&record);
        self.rows.insert(key, row);
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid(vec![FieldError::new("group_by", message)])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{Money, RecordId};

    fn figures(day: i64, model: Option<&str>, delta: Money) -> RecordFigures {
        RecordFigures {
            seq: 1,
            created_at: Timestamp::from_micros(day * DAY_MICROS + DAY_MICROS - 1),
            id: RecordId(Uuid::nil()),
            model_name: model.map(str::to_owned),
            kind: Kind::Charge,
            currency: Currency::parse("CNY").unwrap(),
            delta,
            input_tokens: Some(i64::MAX),
            output_tokens: None,
        }
    }

    #[test]
    fn sums_leave_the_range_of_money_without_a_fault() {
        let mut groups = Groups::new(GroupBy { kind: true, ..GroupBy::default() }, 1);
        for _ in 0..100 {
            groups.add(figures(1, None, Money::MAX.negated())).unwrap();
            groups.add(figures(2, Some("m"), Money::MAX)).unwrap();
        }
        let row = groups.rows.into_values().next().unwrap();
        let sum = 100 * Money::MAX.wide();
        assert_eq!((row.count, row.charged, row.credited, row.net()), (200, sum, sum, 0));
        assert_eq!((row.input_tokens, row.output_tokens), (200 * i128::from(i64::MAX), 0));
        assert_eq!((row.day, row.model, row.kind), (None, None, Some(Kind::Charge)));
    }

    #[test]
    fn no_name_is_a_group_of_its_own_and_a_day_ends_before_midnight() {
        let mut groups = Groups::new(GroupBy { day: true, model: true, kind: false }, 3);
        for (day, model) in [(7, Some("b")), (7, None), (6, Some("b")), (7, None)] {
            groups.add(figures(day, model, Money::ZERO)).unwrap();
        }
        let rows = groups.rows.values();
        let found: Vec<_> =
            rows.map(|r| (r.day.unwrap().seconds() / 86_400, r.model.clone(), r.count)).collect();
        let name = Some(Some("b".to_owned()));
        assert_eq!(found, [(6, name.clone(), 1), (7, Some(None), 2), (7, name, 1)]);
        let more = groups.add(figures(8, None, Money::ZERO));
        assert!(matches!(more, Err(Error::Invalid(errors)) if errors[0].field == "group_by"));
        groups.add(figures(6, Some("b"), Money::ZERO)).unwrap();
    }
}
