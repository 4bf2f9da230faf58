//! Pricing programs and their dated price lists.

use std::fmt::Write;

use serde::Serialize;

use super::World;
use super::ids::{Kind, mix};

/// A row of `pricing`, with the columns of `pricing_cache`.
#[derive(Debug, Serialize)]
pub struct PricingRow {
    id: String,
    ppid: String,
    pricing_type: Option<&'static str>,
    name: String,
    ownerid: &'static str,
    providerid: String,
    pricing_belong: &'static str,
    discount: Option<&'static str>,
    currency: &'static str,
    pricing_spec: &'static str,
    pricing_data: String,
    enabled_date: &'static str,
    expired_date: &'static str,
}

/// What a program sells. The models that name the program are of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goods {
    /// Tokens at tiers of the prompt's length.
    Text,
    /// Tokens at a price per model.
    TextByModel,
    /// Images by size.
    Image,
    /// Speech by characters.
    Speech,
    /// Video by seconds and resolution.
    Video,
}

pub(super) const fn goods_of(program: u64) -> Goods {
    match program % 5 {
        0 => Goods::Text,
        1 => Goods::TextByModel,
        2 => Goods::Image,
        3 => Goods::Speech,
        _ => Goods::Video,
    }
}

/// The programs that models may name: the last tenth is what providers charge, which no model names.
pub(super) const fn sold(programs: u64) -> u64 {
    programs - programs / 10
}

/// Rows of the untouched world: one current price list per program; every fifth program also has last and next.
pub(super) const fn base_rows(programs: u64) -> u64 {
    programs + 2 * programs.div_ceil(5)
}

#[derive(Clone, Copy)]
enum When {
    Past,
    Current,
    Next,
}

/// The program and period of a row. Rows after the untouched world's are current lists of new programs.
const fn place(programs: u64, index: u64) -> (u64, When) {
    let extra = base_rows(programs) - programs;
    if index < programs {
        (index, When::Current)
    } else if index < programs + extra {
        let nth = index - programs;
        (nth / 2 * 5, if nth.is_multiple_of(2) { When::Past } else { When::Next })
    } else {
        (index - extra, When::Current)
    }
}

pub(super) fn row(world: &World, index: u64, revision: u32) -> PricingRow {
    let programs = world.counts.programs;
    let (program, when) = place(programs, index);
    let has_neighbours = program < programs && program.is_multiple_of(5);
    let (enabled_date, expired_date) = match when {
        When::Past => ("2024-01-01", "2025-01-01"),
        When::Current if has_neighbours => ("2025-01-01", "2036-01-01"),
        When::Current => ("2025-01-01", "9999-12-31"),
        When::Next => ("2036-01-01", "9999-12-31"),
    };
    let goods = goods_of(program);
    let suffix = if revision == 0 { String::new() } else { format!(" v{revision}") };
    PricingRow {
        id: world.id_of(Kind::Timing, index),
        ppid: world.id_of(Kind::Program, program),
        pricing_type: match goods {
            // The platform does not always say.
            Goods::TextByModel if program % 10 == 6 => None,
            Goods::Text | Goods::TextByModel => Some("token"),
            Goods::Image => Some("image"),
            Goods::Speech => Some("audio"),
            Goods::Video => Some("video"),
        },
        name: format!("示例定价 {:04}{suffix}", program + 1),
        ownerid: "0",
        providerid: super::models::provider(program),
        pricing_belong: if program >= sold(programs) && program < programs { "provider" } else { "customer" },
        discount: match program % 4 {
            0 => None,
            1 => Some("1"),
            2 => Some("0.9"),
            _ => Some("0.85"),
        },
        currency: "CNY",
        pricing_spec: "fields:\n  model:\n    type: str\n    label: 模型\n",
        pricing_data: data(world, goods, program, cents(world.counts.seed, program, when, revision)),
        enabled_date,
        expired_date,
    }
}

/// The program's basic price in hundredths: next year's list and a changed one cost more.
const fn cents(seed: u64, program: u64, when: When, revision: u32) -> u64 {
    let rise = match when {
        When::Past => 0,
        When::Current => 10,
        When::Next => 20,
    };
    50 + mix(seed ^ program) % 400 + rise + revision as u64
}

fn data(world: &World, goods: Goods, program: u64, cents: u64) -> String {
    let mut yaml = String::with_capacity(1024);
    yaml.push_str(match goods {
        Goods::Text | Goods::TextByModel => "unit_values:\n  百万: 1000000\n",
        Goods::Image => "unit_values:\n  张: 1\n",
        Goods::Speech => "unit_values:\n  万字符: 10000\n",
        Goods::Video => "unit_values:\n  秒: 1\n",
    });
    yaml.push_str("fields:\n");
    let fields: &[(&str, &str, &str, &str)] = match goods {
        Goods::Text => &[
            ("prompt_tokens", "int", "factor", "输入"),
            ("completion_tokens", "int", "factor", "输出"),
            ("cached_tokens", "int", "factor", "缓存"),
        ],
        Goods::TextByModel => &[
            ("prompt_tokens", "int", "factor", "输入"),
            ("completion_tokens", "int", "factor", "输出"),
            ("model", "str", "filter", "模型"),
        ],
        Goods::Image => &[("images", "int", "factor", "张数"), ("size", "str", "filter", "尺寸")],
        Goods::Speech => &[("characters", "int", "factor", "字符")],
        Goods::Video => &[("duration", "float", "factor", "时长"), ("SR", "int", "filter", "分辨率")],
    };
    for (name, kind, role, label) in fields {
        // Writing to a String cannot fail.
        let _ = writeln!(yaml, "  {name}:\n    type: {kind}\n    role: {role}\n    label: {label}");
    }
    yaml.push_str("pricings:\n");
    let mut rule = |factor: &str, cents: u64, unit: &str, filters: &[String]| {
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let _ = writeln!(yaml, "- price_factors: {factor}\n  unit_prices: {price}\n  unit: {unit}");
        if !filters.is_empty() {
            yaml.push_str("  filters:\n");
        }
        for filter in filters {
            let _ = writeln!(yaml, "  - {filter}");
        }
    };
    match goods {
        Goods::Text => {
            let (short, long) =
                (["prompt_tokens: \"<= 32000\"".to_owned()], ["prompt_tokens: \"> 32000\"".to_owned()]);
            rule("prompt_tokens", cents, "百万", &short);
            rule("completion_tokens", cents * 4, "百万", &short);
            rule("prompt_tokens", cents * 2, "百万", &long);
            rule("completion_tokens", cents * 6, "百万", &long);
            rule("cached_tokens", cents.div_ceil(5), "百万", &[]);
        }
        Goods::TextByModel => {
            for (nth, model) in super::models::names_of(world, program).enumerate() {
                let filters = [format!("model: {model}")];
                let cents = cents + 10 * nth as u64;
                rule("prompt_tokens", cents, "百万", &filters);
                rule("completion_tokens", cents * 4, "百万", &filters);
            }
            // A price per call on top, whatever the model.
            rule("flat", 1, "百万", &[]);
        }
        Goods::Image => {
            rule("images", cents, "张", &["size: 1024x1024".to_owned()]);
            rule("images", cents * 2, "张", &["size: 2048x2048".to_owned()]);
        }
        Goods::Speech => {
            rule("characters", cents, "万字符", &[]);
            rule("flat", 5, "万字符", &[]);
        }
        Goods::Video => {
            rule("duration", cents, "秒", &["SR: 720".to_owned()]);
            rule("duration", cents * 2, "秒", &["SR: 1080".to_owned()]);
        }
    }
    yaml
}
