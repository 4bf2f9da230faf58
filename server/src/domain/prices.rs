//! What a usage costs by the mirrored price lists, on the day of the event.

mod lists;
mod offers;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use tracing::Instrument as _;

pub use lists::{List, Lists};
pub use offers::{Offer, Offers};

use super::caches::{CacheSpec, Caches, Invalidated, STALE_LIMIT, Versioned};
use super::mirror::{PricingQuery, day_at, query_pricing};
use super::page::ListPage;
use super::pricing::{Arithmetic, PriceError, Priced, Program, Usage};
use super::{Error, FieldError};
use crate::config::{Accounting, LiveConfig};
use crate::model::{Cell, Currency, Decimal, Entity, MirrorRow, Money, TextId, Timestamp};
use crate::store::{Changed, MirrorFilter, Store, Window};
use crate::telemetry::tracing::child_span;

/// Rows of one model that are looked at.
const MAX_OFFERS: i64 = 100;
/// Programs of what the platform itself is charged; no customer pays by them.
const PROVIDERS: &str = "provider";

/// What is to be priced: by a program, or by the programs that a model is offered under.
#[derive(Debug, Clone, Default)]
pub struct PriceRequest {
    /// The program (`ppid`). It goes before the model.
    pub pricing_id: Option<String>,
    /// The model.
    pub llmid: Option<String>,
    /// The model's name, which price lists may ask for; that of `llmid` if absent.
    pub model: Option<String>,
    /// Tokens in.
    pub input_tokens: Option<i64>,
    /// Tokens out.
    pub output_tokens: Option<i64>,
    /// A JSON object of quantities by factor, and of texts that price lists ask for.
    pub usage: Option<String>,
    /// When it was used; that day's price list counts.
    pub at: Timestamp,
    /// The name that the model is offered under, or its id, where neither the program nor the id is known.
    pub offered_as: Option<String>,
    /// What a customer may see: programs that a published model names, none of a provider's costs.
    pub published_only: bool,
}

impl PriceRequest {
    /// Whether it says how much was used, even if zero.
    pub fn is_counted(&self) -> bool {
        self.usage.is_some() || self.input_tokens.is_some() || self.output_tokens.is_some()
    }
}

/// A price, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The amount, rounded.
    pub amount: Money,
    /// The program's currency.
    pub currency: Currency,
    /// The program.
    pub pricing_id: String,
    /// The version of its row that was valid.
    pub version: i64,
    /// The amount before rounding.
    pub unrounded: String,
    /// An [`Arithmetic`] as JSON text.
    pub arithmetic: String,
    /// The model's name that the price list was asked with.
    pub model: Option<String>,
}

/// Why there is no price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPrice {
    /// No program, or none of its rules, fits.
    NotFound(String),
    /// The price is beyond the range of money.
    OutOfRange,
}

impl From<NoPrice> for Error {
    fn from(no_price: NoPrice) -> Self {
        match no_price {
            NoPrice::NotFound(why) => Self::PriceNotFound(why),
            NoPrice::OutOfRange => Self::AmountOutOfRange,
        }
    }
}

/// Pricing by the mirror.
pub struct Prices {
    store: Store,
    /// By program, day, and whether the caller sees published programs only.
    rows: Arc<Versioned<(String, String, bool), MirrorRow>>,
    /// By a column that names models, and its text.
    offers: Arc<Versioned<(&'static str, String), Offers>>,
    lists: Arc<Lists>,
    config: LiveConfig,
}

/// The program to price by, and the name of the model if that was looked up.
struct Chosen {
    row: Arc<MirrorRow>,
    model: Option<String>,
}

impl Prices {
    /// Days, rounding and the currency of programs that name none are those of the `accounting` section.
    pub fn new(store: Store, caches: &Caches, config: LiveConfig) -> Self {
        // Which programs a customer sees depends on which models are published.
        let rows = caches.make(&CacheSpec {
            name: "prices",
            share: 1,
            stale_limit: STALE_LIMIT,
            weigh: MirrorRow::size,
            invalidated: |changed| all_if_changed(changed, &[Entity::Pricing, Entity::Llmage]),
        });
        let offers = caches.make(&CacheSpec {
            name: "offers",
            share: 1,
            stale_limit: STALE_LIMIT,
            weigh: Offers::size,
            invalidated: |changed| all_if_changed(changed, &[Entity::Llmage]),
        });
        let lists = Lists::register(caches);
        Self { store, rows, offers, lists, config }
    }

    /// A page of pricing rows; `now` decides what is valid today.
    pub async fn list(&self, query: PricingQuery, now: Timestamp) -> Result<ListPage<MirrorRow>, Error> {
        query_pricing(&self.store, query, now, &self.config.current().accounting.zone).await
    }

    /// The row of a program that is valid at an instant.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none that the caller may see.
    pub async fn get(
        &self,
        ppid: &str,
        at: Timestamp,
        published_only: bool,
    ) -> Result<Arc<MirrorRow>, Error> {
        let row = self.row(ppid, at, published_only).await?;
        row.ok_or(Error::NotFound("pricing program"))
    }

    /// The day of an instant in the calendar that decides which row of a program is valid.
    fn day_of(&self, at: Timestamp) -> String {
        day_at(at, &self.config.current().accounting.zone)
    }

    /// The row of a program that is valid at an instant; `None` if there is none that the caller may see, or one whose
    /// newest version cannot be read.
    pub async fn row(
        &self,
        ppid: &str,
        at: Timestamp,
        published_only: bool,
    ) -> Result<Option<Arc<MirrorRow>>, Error> {
        let row = self.row_on(ppid, &self.day_of(at), published_only).await?;
        Ok(row.filter(|row| !row.unreadable))
    }

    async fn row_on(
        &self,
        ppid: &str,
        day: &str,
        published_only: bool,
    ) -> Result<Option<Arc<MirrorRow>>, Error> {
        // What is no id names nothing, and a database need not be able to compare it.
        if TextId::parse(ppid).is_err() {
            return Ok(None);
        }
        let load = || async {
            let row = self.store.pricing_on(ppid, day, published_only).await?;
            Ok(row.map(|row| (row.version, row)).map(|(version, row)| (row, version)))
        };
        let key = (ppid.to_owned(), day.to_owned(), published_only);
        Ok(self.rows.get(&key, load).await?.value)
    }

    /// What a usage costs. Fails with [`Error::Invalid`] if it is no usage.
    pub async fn quote(&self, request: &PriceRequest) -> Result<Result<Quote, NoPrice>, Error> {
        self.compute(request).instrument(child_span!("price")).await
    }

    async fn compute(&self, request: &PriceRequest) -> Result<Result<Quote, NoPrice>, Error> {
        let members = Members::parse(request.usage.as_deref())?;
        let mut usage = members.usage()?;
        let tokens = [request.input_tokens, request.output_tokens].map(|n| n.map(i64::cast_unsigned));
        usage.tokens(tokens[0], tokens[1]).map_err(|(name, e)| invalid(name, &e))?;
        // Of two texts under one name the first counts.
        if let Some(model) = &request.model {
            usage.attribute("model", model);
        }
        // One for both the day and the rounding.
        let config = self.config.current();
        let day = day_at(request.at, &config.accounting.zone);
        let chosen = match self.choose(request, &day, &usage).await? {
            Ok(chosen) => chosen,
            Err(no_price) => return Ok(Err(no_price)),
        };
        if let Some(model) = &chosen.model {
            usage.attribute("model", model);
        }
        let list = self.lists.get(&chosen.row).await?;
        let model = request.model.clone().or_else(|| chosen.model.clone());
        Ok(priced(&chosen.row, &list, &usage, &day, &config.accounting).map(|quote| Quote { model, ..quote }))
    }

    /// The program named; else the first one that the model is offered under and that has a row for the day.
    async fn choose(
        &self,
        request: &PriceRequest,
        day: &str,
        usage: &Usage<'_>,
    ) -> Result<Result<Chosen, NoPrice>, Error> {
        let published_only = request.published_only;
        let offers = match (&request.llmid, &request.offered_as) {
            (Some(llmid), _) => Some(self.offers("llmid", llmid).await?),
            (None, Some(name)) => match self.offers("llmid", name).await? {
                offers if offers.is_empty() => Some(self.offers("model", name).await?),
                offers => Some(offers),
            },
            (None, None) => None,
        };
        if let Some(ppid) = &request.pricing_id {
            let offer = offers.and_then(|offers| offers.under(ppid, day, published_only).cloned());
            if let Some(offer) = offer.as_ref().filter(|offer| offer.unreadable) {
                return Ok(Err(unreadable("model", &offer.row)));
            }
            return Ok(match self.row_on(ppid, day, published_only).await? {
                Some(row) if row.unreadable => Err(unreadable("price list", &row.id)),
                Some(row) => Ok(Chosen { row, model: offer.and_then(|offer| offer.model) }),
                None => Err(NoPrice::NotFound(format!(
                    "program {ppid} has no price list for {day}; usage: {usage}"
                ))),
            });
        }
        for offer in offers.iter().flat_map(|offers| offers.on(day, published_only)) {
            if offer.unreadable {
                return Ok(Err(unreadable("model", &offer.row)));
            }
            let Some(ppid) = &offer.ppid else { continue };
            let row = self.row_on(ppid, day, published_only).await?;
            // A provider's cost is a price only to who names it.
            let row = row.filter(|row| row.text(Entity::Pricing, "pricing_belong") != Some(PROVIDERS));
            match row {
                Some(row) if row.unreadable => return Ok(Err(unreadable("price list", &row.id))),
                Some(row) => return Ok(Ok(Chosen { row, model: offer.model.clone() })),
                None => {}
            }
        }
        let llmid = request.llmid.as_deref().or(request.offered_as.as_deref()).unwrap_or_default();
        Ok(Err(NoPrice::NotFound(format!(
            "model {llmid} is offered under no program with a price list for {day}; usage: {usage}"
        ))))
    }

    /// Where models with this text in a column are offered.
    async fn offers(&self, column: &'static str, text: &str) -> Result<Arc<Offers>, Error> {
        if TextId::parse(text).is_err() {
            return Ok(Arc::default());
        }
        let load = || async {
            let filter = MirrorFilter {
                equals: vec![(column, text.to_owned())],
                with_unreadable: true,
                ..MirrorFilter::of(Entity::Llmage)
            };
            let offers = Offers::of(&self.store.list(&filter, &Window::oldest(MAX_OFFERS)).await?);
            Ok((!offers.is_empty()).then_some((offers, 0)))
        };
        Ok(self.offers.get(&(column, text.to_owned()), load).await?.value.unwrap_or_default())
    }
}

fn priced(
    row: &MirrorRow,
    list: &List,
    usage: &Usage<'_>,
    day: &str,
    accounting: &Accounting,
) -> Result<Quote, NoPrice> {
    let scale = accounting.scale;
    let cell = |name| row.text(Entity::Pricing, name).filter(|text| !text.is_empty());
    let pricing_id = cell("ppid").unwrap_or_default().to_owned();
    let none =
        |why: &dyn std::fmt::Display| NoPrice::NotFound(format!("program {pricing_id} of {day}: {why}"));
    let program = list.program.as_ref().map_err(|error| none(error))?;
    let discount = cell("discount")
        .map(Decimal::parse)
        .transpose()
        .map_err(|_| none(&"its discount is not a number"))?;
    let currency = match cell("currency") {
        Some(text) => Currency::parse(text).ok_or_else(|| none(&"its currency is not a currency code"))?,
        None => accounting.currency,
    };
    let Priced { amount, unrounded, lines } =
        program.price(usage, discount.as_ref(), scale).map_err(|error| match error {
            PriceError::OutOfRange => NoPrice::OutOfRange,
            error => none(&error),
        })?;
    let arithmetic = Arithmetic {
        row: row.id.as_str().to_owned(),
        date: day.to_owned(),
        discount: discount.map(|discount| discount.to_string()),
        scale,
        lines,
    };
    let arithmetic = arithmetic.to_json();
    let version = row.version;
    Ok(Quote { amount, currency, pricing_id, version, unrounded, arithmetic, model: None })
}

fn all_if_changed<K>(changed: &Changed, entities: &[Entity]) -> Invalidated<K> {
    let any = entities.iter().any(|entity| changed.rows_of(*entity).is_some());
    if any { Invalidated::All } else { Invalidated::Nothing }
}

/// An older version is not what the platform charges now, and another program is not what it meant.
fn unreadable(what: &str, row: &TextId) -> NoPrice {
    NoPrice::NotFound(format!(
        "the newest version of the {what} {row} cannot be read, and older ones no longer count"
    ))
}

/// Why no charge can be priced by a pricing row of these cells, if so.
pub fn flaw(cells: &[Cell]) -> Option<String> {
    let cell = |name: &str| {
        let index = Entity::Pricing.columns().iter().position(|column| column.name == name)?;
        match cells.get(index)? {
            Cell::Text(text) if !text.is_empty() => Some(&**text),
            _ => None,
        }
    };
    let discount = cell("discount").map(Decimal::parse).transpose();
    match Program::compile(cell("pricing_data").unwrap_or_default()) {
        Err(error) => Some(error.to_string()),
        Ok(program) if program.is_empty() => Some("pricings: must have at least one rule".to_owned()),
        Ok(_) => match discount {
            Err(error) => Some(format!("discount: {error}")),
            Ok(Some(discount)) if discount.is_negative() => Some("discount: must not be negative".to_owned()),
            Ok(_) if cell("currency").is_some_and(|code| Currency::parse(code).is_none()) => {
                Some("currency: must be a currency code, three capital letters".to_owned())
            }
            Ok(_) => None,
        },
    }
}

/// The members of a usage, each a number or a text.
struct Members<'a> {
    numbers: Vec<(Cow<'a, str>, &'a str)>,
    texts: Vec<(Cow<'a, str>, String)>,
}

impl<'a> Members<'a> {
    fn parse(json: Option<&'a str>) -> Result<Self, Error> {
        let mut members = Self { numbers: Vec::new(), texts: Vec::new() };
        let Some(json) = json else { return Ok(members) };
        let raw: BTreeMap<Cow<'a, str>, &'a RawValue> =
            serde_json::from_str(json).map_err(|_| invalid("usage", &"must be a JSON object"))?;
        for (name, value) in raw {
            match serde_json::from_str::<String>(value.get()) {
                Ok(text) => members.texts.push((name, text)),
                Err(_) => members.numbers.push((name, value.get())),
            }
        }
        Ok(members)
    }

    fn usage(&self) -> Result<Usage<'_>, Error> {
        let mut usage = Usage::new();
        for (name, number) in &self.numbers {
            usage.quantity(name, number).map_err(|error| invalid(&format!("usage.{name}"), &error))?;
        }
        for (name, text) in &self.texts {
            usage.attribute(name, text);
        }
        Ok(usage)
    }
}

fn invalid(field: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Invalid(vec![FieldError::new(field, why.to_string())])
}
