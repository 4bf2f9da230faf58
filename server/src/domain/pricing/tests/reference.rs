//! The same prices computed the slow way: from a description instead of YAML, on fractions that are never reduced,
//! with conditions decided by scaling to integers and roundings by measuring both neighbours.

use num_bigint::BigInt;

/// digits / 10^decimals.
#[derive(Debug, Clone, Copy)]
pub struct Num {
    pub digits: u64,
    pub decimals: u32,
}

#[derive(Debug, Clone)]
pub enum Condition {
    AtMost(Num),
    Above(Num),
    Between(Num, Num),
    OneOf(Vec<Num>),
    Text(&'static str),
}

#[derive(Debug, Clone)]
pub struct Rule {
    /// Factor and price.
    pub prices: Vec<(&'static str, Num)>,
    /// Index of a unit.
    pub unit: Option<usize>,
    pub filters: Vec<(&'static str, Condition)>,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub units: Vec<Num>,
    pub rules: Vec<Rule>,
    pub quantities: Vec<(&'static str, Num)>,
    pub model: Option<&'static str>,
    pub discount: Option<Num>,
    pub scale: u8,
}

type Fraction = (BigInt, BigInt);

impl Num {
    pub fn text(self) -> String {
        if self.decimals == 0 {
            return self.digits.to_string();
        }
        let (decimals, width) = (self.decimals as usize, self.decimals as usize + 1);
        let digits = format!("{:0>width$}", self.digits);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        format!("{whole}.{fraction}")
    }

    fn fraction(self) -> Fraction {
        (BigInt::from(self.digits), BigInt::from(10u32).pow(self.decimals))
    }

    /// In units of 10^-30.
    fn scaled(self) -> BigInt {
        BigInt::from(self.digits) * BigInt::from(10u32).pow(30 - self.decimals)
    }
}

impl Case {
    pub fn yaml(&self) -> String {
        let mut yaml = String::from("unit_values:\n");
        for (index, unit) in self.units.iter().enumerate() {
            yaml += &format!("  单位{index}: {}\n", unit.text());
        }
        yaml += "pricings:\n";
        for rule in &self.rules {
            let list = |items: Vec<String>| {
                if items.len() == 1 { items[0].clone() } else { format!("[{}]", items.join(", ")) }
            };
            yaml += &format!(
                "- price_factors: {}\n",
                list(rule.prices.iter().map(|(f, _)| (*f).to_owned()).collect())
            );
            yaml +=
                &format!("  unit_prices: {}\n", list(rule.prices.iter().map(|(_, p)| p.text()).collect()));
            if let Some(unit) = rule.unit {
                yaml += &format!("  unit: 单位{unit}\n");
            }
            yaml += if rule.filters.is_empty() { "" } else { "  filters:\n" };
            for (field, condition) in &rule.filters {
                let condition = match condition {
                    Condition::AtMost(n) => format!("\"<= {}\"", n.text()),
                    Condition::Above(n) => format!("{{'>': {}}}", n.text()),
                    Condition::Between(a, b) => format!("{{between: [{}, {}]}}", a.text(), b.text()),
                    Condition::OneOf(ns) => {
                        format!("[{}]", ns.iter().map(|n| n.text()).collect::<Vec<_>>().join(", "))
                    }
                    Condition::Text(text) => (*text).to_owned(),
                };
                yaml += &format!("  - {field}: {condition}\n");
            }
        }
        yaml
    }

    /// The price before rounding; `None` if no rule applies.
    pub fn exact(&self) -> Option<Fraction> {
        let quantity = |name: &str| self.quantities.iter().find(|(n, _)| *n == name).map(|(_, q)| *q);
        let mut parts: Vec<Fraction> = Vec::new();
        for rule in &self.rules {
            let applies = rule.filters.iter().all(|(field, condition)| match (condition, quantity(field)) {
                (Condition::Text(text), None) => *field == "model" && self.model == Some(*text),
                (Condition::Text(_), Some(_)) | (_, None) => false,
                (Condition::AtMost(n), Some(q)) => q.scaled() <= n.scaled(),
                (Condition::Above(n), Some(q)) => q.scaled() > n.scaled(),
                (Condition::Between(a, b), Some(q)) => a.scaled() <= q.scaled() && q.scaled() <= b.scaled(),
                (Condition::OneOf(ns), Some(q)) => ns.iter().any(|n| n.scaled() == q.scaled()),
            });
            for (factor, price) in rule.prices.iter().filter(|_| applies) {
                let (n, d) = price.fraction();
                if *factor == "flat" {
                    parts.push((n, d));
                } else if let Some(q) = quantity(factor) {
                    let (qn, qd) = q.fraction();
                    let (un, ud) = rule.unit.map_or((1.into(), 1.into()), |unit| self.units[unit].fraction());
                    parts.push((n * qn * ud, d * qd * un));
                }
            }
        }
        let sum = parts.into_iter().reduce(|(a, b), (c, d)| (a * &d + c * &b, b * d))?;
        let (n, d) = self.discount.map_or((1.into(), 1.into()), Num::fraction);
        Some((sum.0 * n, sum.1 * d))
    }

    /// The price in units of 10^-9.
    pub fn rounded(&self) -> Option<BigInt> {
        let (n, d) = self.exact()?;
        let n = n * BigInt::from(10u32).pow(u32::from(self.scale));
        let below = &n / &d;
        let above: BigInt = &below + 1;
        let (to_below, to_above) = (&n - &below * &d, &above * &d - &n);
        let even = if (&below % 2) == BigInt::from(0) { &below } else { &above };
        let nearest = match to_below.cmp(&to_above) {
            std::cmp::Ordering::Less => &below,
            std::cmp::Ordering::Equal => even,
            std::cmp::Ordering::Greater => &above,
        };
        Some(nearest * BigInt::from(10u32).pow(9 - u32::from(self.scale)))
    }
}

/// The bounds that a text of an exact value sets: equal ones, or what the digits before `...` leave open.
pub fn bounds(text: &str) -> (Fraction, Fraction) {
    if let Some((n, d)) = text.split_once('/') {
        let exact: Fraction = (n.parse().unwrap(), d.parse().unwrap());
        return (exact.clone(), exact);
    }
    let open = text.ends_with("...");
    let (whole, fraction) =
        text.trim_end_matches("...").split_once('.').unwrap_or((text.trim_end_matches("..."), ""));
    let low: BigInt = format!("{whole}{fraction}").parse().unwrap();
    let d = BigInt::from(10u32).pow(u32::try_from(fraction.len()).unwrap());
    let high = if open { &low + 1 } else { low.clone() };
    ((low, d.clone()), (high, d))
}

pub fn at_most(a: &Fraction, b: &Fraction) -> bool {
    &a.0 * &b.1 <= &b.0 * &a.1
}
