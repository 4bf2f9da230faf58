use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::tz::{Offset, TimeZone};
use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::config;
use crate::domain::pricing::tests::properties::case;
use crate::domain::pricing::tests::reference::{Case, Num};
use crate::model::{Cell, Clock, ManualClock, TextId};
use crate::store::test_store::TestStore;
use crate::store::{Change, Op, Page};
use crate::telemetry::metrics::Metrics;

const DAY_S: i64 = 86_400;
/// 2026-01-01T00:00:00Z.
const YEAR: i64 = 1_767_225_600;

/// What programs are in that name no currency.
fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn prices(db: &TestStore, zone: TimeZone, scale: u8) -> Prices {
    with_caches(db, zone, scale).0
}

fn with_caches(db: &TestStore, zone: TimeZone, scale: u8) -> (Prices, Caches) {
    let mut config = config::defaults();
    config.accounting = config::Accounting { zone, scale, currency: eur(), ..config.accounting };
    let config = LiveConfig::new(config);
    let clock: Arc<dyn Clock> = ManualClock::new(Timestamp::from_seconds(YEAR));
    let caches = Caches::new(&config, &clock, &Metrics::new("0"));
    (Prices::new(db.store.clone(), &caches, config), caches)
}

async fn mirror(db: &TestStore, entity: Entity, rows: &[(&str, Vec<(&str, &str)>)]) {
    let change = |(id, columns): &(&str, Vec<(&str, &str)>)| {
        let cell = |column: &crate::model::Column| {
            let given = columns.iter().find(|(name, _)| *name == column.name);
            given.map_or(Cell::Null, |(_, text)| Cell::Text((*text).into()))
        };
        let cells = entity.columns().iter().map(cell).collect();
        Change { id: TextId::parse(id).unwrap(), version: 7, op: Op::Upsert { created_at: None, cells } }
    };
    let page = Page { changes: rows.iter().map(change).collect(), ..Page::default() };
    db.store.apply_page(entity, None, page).await.unwrap();
}

async fn quoted(prices: &Prices, request: &PriceRequest) -> Result<Quote, String> {
    prices.quote(request).await.unwrap().map_err(|no_price| Error::from(no_price).to_string())
}

const IMAGES: &str = "pricings:\n- {price_factors: images, unit_prices: 0.2, filters: [{size: small}]}\n\
                      - {price_factors: images, unit_prices: 0.4, filters: [{size: large, model: m-1}]}\n";

async fn sample(db: &TestStore) {
    let row = |ppid, from, to| {
        vec![("ppid", ppid), ("pricing_data", IMAGES), ("enabled_date", from), ("expired_date", to)]
    };
    let more = |columns: Vec<(&'static str, &'static str)>, more: &[(&'static str, &'static str)]| {
        columns.into_iter().chain(more.iter().copied()).collect::<Vec<_>>()
    };
    let rows = [
        ("p-old", more(row("p", "2025-01-01", "2026-05-28"), &[("discount", "0.5"), ("currency", "CNY")])),
        ("p-now", row("p", "2026-05-28", "9999-12-31")),
        ("cost-now", more(row("cost", "2025-01-01", "9999-12-31"), &[("pricing_belong", "provider")])),
        ("draft-now", row("draft", "2025-01-01", "9999-12-31")),
        ("broken-now", more(row("broken", "2025-01-01", "9999-12-31"), &[("pricing_data", "")])),
    ];
    let mut rows = rows.to_vec();
    rows[4].1.retain(|(name, value)| *name != "pricing_data" || value.is_empty());
    mirror(db, Entity::Pricing, &rows).await;
    let offer = |llmid, ppid, status, standard| {
        vec![
            ("llmid", llmid),
            ("model", "m-1"),
            ("ppid", ppid),
            ("status", status),
            ("isdefaultcatelog", standard),
        ]
    };
    let rows = [
        ("o-1", offer("l-1", "cost", "published", "1")),
        ("o-2", offer("l-1", "p", "published", "0")),
        ("o-3", offer("l-2", "draft", "draft", "1")),
        ("o-4", offer("l-3", "broken", "published", "1")),
        ("o-5", vec![("llmid", "l-4"), ("status", "published")]),
    ];
    mirror(db, Entity::Llmage, &rows).await;
}

/// 2026-05-28T12:00:00Z.
const NOON: Timestamp = Timestamp::from_seconds(1_779_969_600);

fn asked(pricing_id: &str, llmid: &str, usage: &str, published_only: bool) -> PriceRequest {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PriceRequest {
        pricing_id: given(pricing_id),
        llmid: given(llmid),
        usage: given(usage),
        at: NOON,
        published_only,
        ..PriceRequest::default()
    }
}

const SMALL: &str = r#"{"images":3,"size":"small"}"#;

#[tokio::test]
async fn the_day_of_the_event_decides_which_row_of_the_program_counts() {
    let db = TestStore::new().await;
    sample(&db).await;
    let shanghai = TimeZone::fixed(Offset::constant(8));
    for (zone, before, since) in
        [(TimeZone::UTC, DAY_S / 2 + 1, DAY_S / 2), (shanghai, 20 * 3600 + 1, 20 * 3600)]
    {
        let prices = prices(&db, zone, 6);
        let at = |seconds_ago: i64| PriceRequest {
            at: Timestamp::from_seconds(NOON.seconds() - seconds_ago),
            ..asked("p", "", SMALL, true)
        };
        let old = quoted(&prices, &at(before)).await.unwrap();
        assert_eq!((old.amount.to_string().as_str(), old.version), ("0.3", 7));
        let arithmetic = Arithmetic::parse(&old.arithmetic).unwrap();
        assert_eq!((arithmetic.row.as_str(), arithmetic.date.as_str()), ("p-old", "2026-05-27"));
        assert_eq!((arithmetic.discount.as_deref(), arithmetic.scale), (Some("0.5"), 6));
        assert_eq!(old.currency, Currency::parse("CNY").unwrap());
        let now = quoted(&prices, &at(since)).await.unwrap();
        assert_eq!((now.amount.to_string().as_str(), now.currency), ("0.6", eur()));
        assert_eq!(Arithmetic::parse(&now.arithmetic).unwrap().row, "p-now");
    }
    let prices = prices(&db, TimeZone::UTC, 6);
    let ever = PriceRequest { at: Timestamp::from_micros(i64::MAX), ..asked("p", "", SMALL, true) };
    assert!(quoted(&prices, &ever).await.is_ok(), "9999-12-31 means never");
    let early = PriceRequest { at: Timestamp::from_seconds(0), ..asked("p", "", SMALL, true) };
    let none = quoted(&prices, &early).await.unwrap_err();
    assert_eq!(
        none,
        "no price was found: program p has no price list for 1970-01-01; usage: images=3, size=\"small\""
    );
}

#[tokio::test]
async fn a_model_is_priced_by_the_first_program_that_its_caller_may_pay_by() {
    let db = TestStore::new().await;
    sample(&db).await;
    let prices = prices(&db, TimeZone::UTC, 6);
    for published_only in [true, false] {
        let quote = quoted(&prices, &asked("", "l-1", SMALL, published_only)).await.unwrap();
        assert_eq!(
            (quote.pricing_id.as_str(), quote.model.as_deref()),
            ("p", Some("m-1")),
            "not by the cost"
        );
    }
    let unpublished = quoted(&prices, &asked("", "l-2", SMALL, true)).await.unwrap_err();
    assert!(unpublished.contains("model l-2") && unpublished.contains("images=3"), "{unpublished}");
    assert_eq!(quoted(&prices, &asked("", "l-2", SMALL, false)).await.unwrap().pricing_id, "draft");
    for hidden in ["cost", "draft"] {
        assert!(quoted(&prices, &asked(hidden, "", SMALL, true)).await.unwrap_err().contains(hidden));
        assert_eq!(quoted(&prices, &asked(hidden, "", SMALL, false)).await.unwrap().pricing_id, hidden);
    }
    for nothing in ["l-4", "l-5", "没有", ""] {
        assert!(
            quoted(&prices, &asked("", nothing, SMALL, false)).await.unwrap_err().contains(nothing),
            "{nothing}"
        );
    }
    // The program named goes before the model, which still tells its name.
    let both = quoted(&prices, &asked("draft", "l-2", SMALL, false)).await.unwrap();
    assert_eq!((both.pricing_id.as_str(), both.model.as_deref()), ("draft", Some("m-1")));
}

#[tokio::test]
async fn price_lists_see_the_name_of_the_model_and_texts_of_the_usage() {
    let db = TestStore::new().await;
    sample(&db).await;
    let prices = prices(&db, TimeZone::UTC, 6);
    let large = r#"{"images":3,"size":"large"}"#;
    assert_eq!(quoted(&prices, &asked("", "l-1", large, true)).await.unwrap().amount.to_string(), "1.2");
    let without = quoted(&prices, &asked("p", "", large, true)).await.unwrap_err();
    assert_eq!(
        without,
        "no price was found: program p of 2026-05-28: no rule of the price list matches the usage \
         images=3, size=\"large\""
    );
    let named = |model: &str, usage: &str| PriceRequest {
        model: Some(model.to_owned()),
        ..asked("p", "", usage, true)
    };
    assert_eq!(quoted(&prices, &named("m-1", large)).await.unwrap().amount.to_string(), "1.2");
    assert!(quoted(&prices, &named("m-2", large)).await.is_err());
    // What the usage itself says goes first.
    let inside = r#"{"images":3,"model":"m-1","size":"large"}"#;
    assert_eq!(quoted(&prices, &named("m-2", inside)).await.unwrap().amount.to_string(), "1.2");
}

#[tokio::test]
async fn a_list_that_cannot_be_used_and_a_usage_that_is_none_are_told_apart() {
    let db = TestStore::new().await;
    sample(&db).await;
    let prices = prices(&db, TimeZone::UTC, 6);
    let broken = quoted(&prices, &asked("", "l-3", SMALL, true)).await.unwrap_err();
    assert!(broken.contains("program broken of 2026-05-28"), "{broken}");
    let huge = r#"{"images":1000000000000,"size":"small"}"#;
    let quote = prices.quote(&asked("p", "", huge, true)).await.unwrap();
    assert_eq!(quote, Err(NoPrice::OutOfRange), "2 x 10^11 does not wrap");
    for usage in ["[]", "1", r#"{"a":-1}"#, r#"{"a":true}"#, r#"{"a":1e13}"#, r#"{"a":null}"#] {
        let refused = prices.quote(&asked("p", "", usage, true)).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{usage}");
    }
}

#[tokio::test]
async fn a_changed_price_list_is_heard_of_and_an_unchanged_one_is_read_once() {
    let db = TestStore::new().await;
    sample(&db).await;
    let (prices, caches) = with_caches(&db, TimeZone::UTC, 6);
    let row = prices.row("p", NOON, true).await.unwrap().unwrap();
    let list = prices.lists.get(&row).await.unwrap();
    quoted(&prices, &asked("p", "", SMALL, true)).await.unwrap();
    assert!(Arc::ptr_eq(&list, &prices.lists.get(&row).await.unwrap()));
    let dearer = Change {
        id: TextId::parse("p-now").unwrap(),
        version: 8,
        op: Op::Upsert {
            created_at: None,
            cells: Entity::Pricing
                .columns()
                .iter()
                .map(|column| match column.name {
                    "ppid" => Cell::Text("p".into()),
                    "pricing_data" => Cell::Text(IMAGES.replace("0.2", "0.3").into()),
                    _ => Cell::Null,
                })
                .collect(),
        },
    };
    let page = Page { changes: vec![dearer], ..Page::default() };
    db.store.apply_page(Entity::Pricing, None, page).await.unwrap();
    caches.invalidate(&crate::store::Changed::whole(Entity::Pricing));
    // The old row is still valid on the day before, the new one on any other.
    let quote = quoted(&prices, &asked("p", "", SMALL, true)).await.unwrap();
    assert_eq!((quote.amount.to_string().as_str(), quote.version), ("0.9", 8));
}

/// A row of the one program: from the first day on, until before the second, and its price list.
#[derive(Debug, Clone)]
struct Dated {
    from: Option<i64>,
    until: Option<i64>,
    list: Case,
}

/// Days are counted from 2026-01-01.
#[derive(Debug, Clone)]
struct Whole {
    rows: Vec<Dated>,
    used: Case,
    /// Seconds after 2026-01-01T00:00Z.
    at: i64,
    /// The zone, in quarters of an hour.
    quarters: i32,
    published: bool,
    provider: bool,
    published_only: bool,
    by_model: bool,
    /// How the model's name comes in: with the usage, with the request, from the mirror.
    model_by: usize,
}

fn whole() -> impl Strategy<Value = Whole> {
    let day = || prop::option::weighted(0.8, 0..20i64);
    let dated = (day(), day(), case()).prop_map(|(from, until, list)| Dated { from, until, list });
    let second = prop_oneof![Just(0), Just(1), Just(DAY_S - 1), 0..DAY_S];
    let at = (0..20i64, second).prop_map(|(day, second)| day * DAY_S + second);
    let seldom = || prop::bool::weighted(0.15);
    (
        prop::collection::vec(dated, 1..4),
        case(),
        at,
        -48..56i32,
        seldom(),
        seldom(),
        any::<(bool, bool)>(),
        0..3usize,
    )
        .prop_map(
            |(rows, used, at, quarters, hidden, provider, (published_only, by_model), model_by)| Whole {
                rows,
                used,
                at,
                quarters,
                published: !hidden,
                provider,
                published_only,
                by_model,
                model_by,
            },
        )
}

/// A day after 2026-01-01 by counting months; 2026 has no leap day.
fn date(day: i64) -> String {
    let mut left = day;
    for (month, length) in (1..).zip([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if left < length {
            return format!("2026-{month:02}-{:02}", left + 1);
        }
        left -= length;
    }
    panic!("{day} is not in 2026")
}

impl Whole {
    /// The price list that counts: of those whose days the event's is among, the one that began last.
    fn list(&self) -> Option<&Case> {
        let local = self.at + i64::from(self.quarters) * 900;
        let mut best: Option<(i64, usize)> = None;
        for (index, row) in self.rows.iter().enumerate() {
            let begins = row.from.unwrap_or(-1);
            if local < begins * DAY_S && row.from.is_some() {
                continue;
            }
            if row.until.is_some_and(|until| local >= until * DAY_S) {
                continue;
            }
            if best.is_none_or(|best| (begins, index) > best) {
                best = Some((begins, index));
            }
        }
        let visible = !(self.published_only && (!self.published || self.provider));
        let payable = !(self.by_model && self.provider);
        best.filter(|_| visible && payable).map(|(_, index)| &self.rows[index].list)
    }

    /// What it should cost, in units of 10^-9.
    fn expected(&self, scale: u8) -> Option<BigInt> {
        let list = self.list()?.clone();
        Case { quantities: self.used.quantities.clone(), model: self.used.model, scale, ..list }.rounded()
    }

    async fn priced(&self, db: &TestStore, scale: u8) -> Result<Quote, NoPrice> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = COUNT.fetch_add(1, Ordering::Relaxed);
        let (ppid, llmid) = (format!("p{name}"), format!("l{name}"));
        let texts: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let discount = row.list.discount.map(Num::text);
                (row.from.map(date), row.until.map(date), row.list.yaml(), discount)
            })
            .collect();
        let ids: Vec<_> = (0..self.rows.len()).map(|index| format!("r{name}-{index}")).collect();
        let rows: Vec<_> = ids
            .iter()
            .zip(&texts)
            .map(|(id, (from, until, yaml, discount))| {
                let mut columns = vec![("ppid", ppid.as_str()), ("pricing_data", yaml)];
                columns.extend(from.as_deref().map(|from| ("enabled_date", from)));
                columns.extend(until.as_deref().map(|until| ("expired_date", until)));
                columns.extend(discount.as_deref().map(|discount| ("discount", discount)));
                columns.extend(self.provider.then_some(("pricing_belong", PROVIDERS)));
                (id.as_str(), columns)
            })
            .collect();
        mirror(db, Entity::Pricing, &rows).await;
        let status = if self.published { "published" } else { "draft" };
        let mut columns = vec![("llmid", llmid.as_str()), ("ppid", &ppid), ("status", status)];
        columns.extend(self.used.model.filter(|_| self.model_by == 2).map(|model| ("model", model)));
        mirror(db, Entity::Llmage, &[(&format!("o{name}"), columns)]).await;

        let mut members: Vec<_> =
            self.used.quantities.iter().map(|(factor, n)| format!("\"{factor}\":{}", n.text())).collect();
        members.extend(self.used.model.filter(|_| self.model_by == 0).map(|m| format!("\"model\":\"{m}\"")));
        let request = PriceRequest {
            pricing_id: (!self.by_model).then_some(ppid),
            llmid: (self.by_model || self.model_by == 2).then_some(llmid),
            model: self.used.model.filter(|_| self.model_by == 1).map(str::to_owned),
            usage: Some(format!("{{{}}}", members.join(","))),
            at: Timestamp::from_seconds(YEAR + self.at),
            published_only: self.published_only,
            ..PriceRequest::default()
        };
        let zone = TimeZone::fixed(Offset::from_seconds(self.quarters * 900).unwrap());
        prices(db, zone, scale).quote(&request).await.unwrap()
    }
}

/// The whole way from mirrored rows to an amount, against the slow reference.
#[test]
fn any_usage_on_any_day_costs_what_the_reference_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = runtime.block_on(TestStore::new());
    let most = BigInt::from(9_000_000_000u64) * BigInt::from(1_000_000_000u64);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(500));
    let found = std::cell::Cell::new(0);
    let result = runner.run(&(whole(), 0..=9u8), |(whole, scale)| {
        match (whole.expected(scale), runtime.block_on(whole.priced(&db, scale))) {
            (None, quote) => prop_assert!(matches!(quote, Err(NoPrice::NotFound(_))), "{:?}", quote),
            (Some(expected), Ok(quote)) => {
                prop_assert_eq!(BigInt::from(quote.amount.nanos()), expected);
                found.set(found.get() + 1);
                let arithmetic = Arithmetic::parse(&quote.arithmetic).unwrap();
                prop_assert_eq!(arithmetic.recompute(), Some((quote.amount, quote.unrounded)));
            }
            (Some(expected), Err(no_price)) => {
                prop_assert_eq!(no_price, NoPrice::OutOfRange);
                prop_assert!(expected > most);
            }
        }
        Ok(())
    });
    result.unwrap();
    // Most are out of range, not offered, or not counted.
    assert!(found.get() > 10, "only {} of 500 had a price", found.get());
}
