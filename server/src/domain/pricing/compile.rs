use std::collections::HashSet;
use std::sync::Arc;

use super::condition::Filter;
use super::error::{PricingDataError, member};
use super::usage::Field;
use super::yaml::Node;
use crate::model::Decimal;
use crate::model::shown;

/// The most rules of a price list, and the most prices in all of them.
pub const MAX_RULES: usize = 1_000;
/// The most units of a price list.
pub const MAX_UNITS: usize = 64;
/// The factor that counts once, whatever was used.
const FLAT: &str = "flat";

/// A price list, ready to price with. Cheap to share, never changed.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) rules: Vec<Rule>,
}

/// A member of `pricings`; its place in the list is its index.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) filters: Vec<Filter>,
    pub(super) prices: Vec<UnitPrice>,
}

#[derive(Debug, Clone)]
pub(super) struct UnitPrice {
    pub(super) name: Arc<str>,
    /// `None` for a flat price.
    pub(super) factor: Option<Field>,
    pub(super) price: Number,
    pub(super) unit: Number,
}

/// A number of the list and its text.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) value: Decimal,
    pub(super) text: Arc<str>,
}

impl From<Decimal> for Number {
    fn from(value: Decimal) -> Self {
        Self { value, text: value.to_string().into() }
    }
}

impl Program {
    /// Reads a price list: `unit_values` {name: number above 0}, `fields` (descriptive, not needed for a price) and
    /// `pricings`, a list of `price_factors` and `unit_prices` (one each, or lists of one length), `unit` (a name of
    /// `unit_values`; absent: 1) and `filters`. Other members of a rule are refused, for one that was meant as a
    /// filter would make the rule apply always.
    pub fn compile(yaml: &str) -> Result<Self, PricingDataError> {
        let root = Node::parse(yaml)?;
        let Node::Map(root) = &root else {
            return Err(PricingDataError::value(
                "pricing_data",
                "must be a mapping with the member pricings",
            ));
        };
        let units = units(get(root, "unit_values"))?;
        match get(root, "fields") {
            Node::Null | Node::Map(_) => {}
            Node::Scalar(_) | Node::List(_) => {
                return Err(PricingDataError::value("fields", "must be a mapping"));
            }
        }
        let Node::List(rules) = get(root, "pricings") else {
            return Err(PricingDataError::value("pricings", "must be a list of rules"));
        };
        if rules.len() > MAX_RULES {
            return Err(PricingDataError::value("pricings", format!("must have at most {MAX_RULES} rules")));
        }
        let drafts = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| Draft::read(rule, &units, &format!("pricings[{index}]")))
            .collect::<Result<Vec<_>, _>>()?;
        if drafts.iter().map(|draft| draft.prices.len()).sum::<usize>() > MAX_RULES {
            return Err(PricingDataError::value(
                "pricings",
                format!("must have at most {MAX_RULES} prices in all"),
            ));
        }
        // Which other names the list uses is known only now.
        let names: HashSet<&str> = drafts.iter().flat_map(Draft::names).collect();
        let rules = drafts.iter().map(|draft| draft.finish(&names)).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Whether it has no rules, so that nothing has a price.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// A rule that was read but for the meaning of its names.
struct Draft<'a> {
    prices: Vec<(&'a str, Decimal)>,
    unit: Decimal,
    filters: Vec<(String, &'a str, &'a Node)>,
}

impl<'a> Draft<'a> {
    fn read(rule: &'a Node, units: &[(&str, Decimal)], path: &str) -> Result<Self, PricingDataError> {
        let Node::Map(members) = rule else {
            return Err(PricingDataError::value(
                path,
                "must be a mapping of price_factors, unit_prices, unit and filters",
            ));
        };
        for (key, _) in members {
            if !matches!(
                &**key,
                "price_factors" | "unit_prices" | "unit" | "filters" | "name" | "label" | "description"
            ) {
                return Err(PricingDataError::value(
                    member(path, key),
                    "is unknown; a rule has price_factors, unit_prices, unit, filters, name, label, description",
                ));
            }
        }
        let unit = match get(members, "unit") {
            Node::Null => Some(Decimal::ONE),
            Node::Scalar(name) => units.iter().find(|(unit, _)| unit == name).map(|(_, value)| *value),
            Node::List(_) | Node::Map(_) => None,
        };
        let unit = unit.ok_or_else(|| {
            let reason = "must be a name of unit_values; add it there or correct it";
            PricingDataError::value(member(path, "unit"), reason)
        })?;
        let prices = prices(members, path)?;
        let filters = filters(get(members, "filters"), member(path, "filters"))?;
        Ok(Self { prices, unit, filters })
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.prices.iter().map(|(factor, _)| *factor).chain(self.filters.iter().map(|(_, field, _)| *field))
    }

    fn finish(&self, names: &HashSet<&str>) -> Result<Rule, PricingDataError> {
        let field = |name: &str| Field::new(name, |other| names.contains(other));
        let unit = Number::from(self.unit);
        let one = Number::from(Decimal::ONE);
        let price = |(name, price): &(&str, Decimal)| {
            let factor = (*name != FLAT).then(|| field(name));
            let unit = if factor.is_some() { &unit } else { &one }.clone();
            UnitPrice { name: (*name).into(), factor, price: Number::from(*price), unit }
        };
        let filters = self
            .filters
            .iter()
            .map(|(path, name, condition)| Filter::compile(field(name), condition, path))
            .collect::<Result<_, _>>()?;
        Ok(Rule { filters, prices: self.prices.iter().map(price).collect() })
    }
}

fn units(node: &Node) -> Result<Vec<(&str, Decimal)>, PricingDataError> {
    let path = "unit_values";
    let units = match node {
        Node::Null => return Ok(Vec::new()),
        Node::Map(units) => units,
        Node::Scalar(_) | Node::List(_) => {
            return Err(PricingDataError::value(path, "must be a mapping of names to numbers"));
        }
    };
    if units.len() > MAX_UNITS {
        return Err(PricingDataError::value(path, format!("must have at most {MAX_UNITS} units")));
    }
    let unit = |(name, value): &'_ (String, Node)| number(value, &member(path, name));
    let value = |entry: &(String, Node)| match unit(entry)? {
        value if value > Decimal::ZERO => Ok(value),
        _ => Err(PricingDataError::value(member(path, &entry.0), "must be above 0")),
    };
    units.iter().map(|entry| Ok((&*entry.0, value(entry)?))).collect()
}

/// The factors of a rule with their prices.
fn prices<'a>(
    members: &'a [(String, Node)],
    path: &str,
) -> Result<Vec<(&'a str, Decimal)>, PricingDataError> {
    let (factors_path, prices_path) = (member(path, "price_factors"), member(path, "unit_prices"));
    let factors = some(get(members, "price_factors"), &factors_path)?;
    let prices = some(get(members, "unit_prices"), &prices_path)?;
    if factors.len() != prices.len() {
        let reason = format!("must have one price for each of the {} price_factors", factors.len());
        return Err(PricingDataError::value(prices_path, reason));
    }
    let pair = |(index, (factor, price)): (usize, (&'a Node, &'a Node))| {
        let at =
            |path: &str, list: usize| if list > 1 { format!("{path}[{index}]") } else { path.to_owned() };
        let Node::Scalar(factor) = factor else {
            return Err(PricingDataError::value(
                at(&factors_path, factors.len()),
                "must be the name of a factor, or flat",
            ));
        };
        let path = at(&prices_path, prices.len());
        match number(price, &path)? {
            price if price.is_negative() => Err(PricingDataError::value(path, "must not be negative")),
            price => Ok((&**factor, price)),
        }
    };
    factors.iter().zip(prices).enumerate().map(pair).collect()
}

/// One value or a list of them, but at least one.
fn some<'a>(node: &'a Node, path: &str) -> Result<&'a [Node], PricingDataError> {
    match node {
        Node::Scalar(_) => Ok(std::slice::from_ref(node)),
        Node::List(nodes) if !nodes.is_empty() => Ok(nodes),
        Node::Null | Node::List(_) | Node::Map(_) => {
            Err(PricingDataError::value(path, "must be one value, or a list of them"))
        }
    }
}

/// The fields of a rule's filters, each with the path of its condition. All must hold, whether they stand in a list of
/// mappings or in one mapping.
fn filters(node: &Node, path: String) -> Result<Vec<(String, &str, &Node)>, PricingDataError> {
    let of = |path: String, fields| {
        let fields: &[(String, Node)] = fields;
        fields.iter().map(move |(field, condition)| (member(&path, field), &**field, condition))
    };
    match node {
        Node::Null => Ok(Vec::new()),
        Node::Map(fields) => Ok(of(path, fields).collect()),
        Node::List(items) => {
            let mut filters = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                let Node::Map(fields) = item else {
                    return Err(PricingDataError::value(
                        path,
                        "must be a mapping of a field to its condition",
                    ));
                };
                filters.extend(of(path, fields));
            }
            Ok(filters)
        }
        Node::Scalar(_) => {
            Err(PricingDataError::value(path, "must be a list of mappings of a field to its condition"))
        }
    }
}

/// A member of a mapping; one that is absent is null.
fn get<'a>(members: &'a [(String, Node)], key: &str) -> &'a Node {
    members.iter().find(|(k, _)| k == key).map_or(&Node::Null, |(_, value)| value)
}

fn number(node: &Node, path: &str) -> Result<Decimal, PricingDataError> {
    let Node::Scalar(text) = node else { return Err(PricingDataError::value(path, "must be a number")) };
    Decimal::parse(text)
        .map_err(|error| PricingDataError::value(path, format!("{error}, not {}", shown(text))))
}
