//! What is mirrored from Sage: four entities, each a table whose columns are listed once, here.
//! The feed parser, the SQL and the wire form are all made from these lists.

use super::{TextId, Timestamp};

/// A mirrored entity, by the name that feed, events and metrics use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// People of customers.
    Users,
    /// Pricing programs with their validity.
    Pricing,
    /// Models and where they are offered.
    Llmage,
    /// Upstream APIs.
    Uapi,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text of at most so many characters.
    Text(usize),
    /// An id of the platform, or nothing.
    Id,
    /// Money at nine decimals.
    Money,
    /// A decimal number kept as text.
    Decimal,
    /// A calendar day, `YYYY-MM-DD`.
    Date,
    /// Pricing data: YAML text in the database, JSON on the wire.
    PricingData,
}

/// A column of a mirror table, besides `id`, `created_at` and the sync columns.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in the feed, the database and the wire.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether only the platform's own keys see it.
    pub internal: bool,
}

const fn column(name: &'static str, kind: ColumnKind) -> Column {
    Column { name, kind, internal: false }
}

const fn internal(name: &'static str, kind: ColumnKind) -> Column {
    Column { name, kind, internal: true }
}

use ColumnKind::{Date, Decimal, Id, Money, PricingData, Text};

const USERS: &[Column] = &[
    column("username", Text(255)),
    column("nick_name", Text(255)),
    column("email", Text(255)),
    column("mobile", Text(64)),
    column("orgid", Id),
    column("orgname", Text(255)),
    column("user_status", Text(16)),
    column("sync_from", Text(64)),
];

const PRICING: &[Column] = &[
    column("ppid", Id),
    column("pricing_type", Text(64)),
    column("name", Text(255)),
    internal("ownerid", Id),
    internal("providerid", Id),
    column("pricing_belong", Text(64)),
    column("discount", Decimal),
    column("currency", Text(8)),
    column("pricing_spec", Text(65_535)),
    column("pricing_data", PricingData),
    column("enabled_date", Date),
    column("expired_date", Date),
];

const LLMAGE: &[Column] = &[
    column("llmid", Id),
    column("name", Text(255)),
    column("model", Text(255)),
    internal("providerid", Id),
    internal("ownerid", Id),
    internal("upappid", Id),
    column("llmcatelogid", Id),
    column("catelogname", Text(255)),
    column("apiname", Text(255)),
    column("ppid", Id),
    column("isdefaultcatelog", Text(8)),
    column("min_balance", Money),
    column("status", Text(32)),
    column("enabled_date", Date),
    column("expired_date", Date),
];

const UAPI: &[Column] = &[
    internal("upappid", Id),
    column("upappname", Text(255)),
    internal("baseurl", Text(1024)),
    column("name", Text(255)),
    column("path", Text(1024)),
    column("httpmethod", Text(16)),
    column("stream", Text(16)),
    column("need_auth", Text(8)),
    column("ioid", Id),
    column("input_fields", Text(65_535)),
];

impl Entity {
    /// Every entity.
    pub const ALL: [Self; 4] = [Self::Users, Self::Pricing, Self::Llmage, Self::Uapi];

    /// The name in the feed, in events and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Pricing => "pricing",
            Self::Llmage => "llmage",
            Self::Uapi => "uapi",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.as_str() == text)
    }

    /// The mirror table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Users => "users_cache",
            Self::Pricing => "pricing_cache",
            Self::Llmage => "llmage_cache",
            Self::Uapi => "uapi_cache",
        }
    }

    /// Its columns, in the order in which every SQL statement and [`MirrorRow::cells`] name them.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Users => USERS,
            Self::Pricing => PRICING,
            Self::Llmage => LLMAGE,
            Self::Uapi => UAPI,
        }
    }

    /// Whether its rows decide what a charge costs. A row of these that cannot be read in its newest version counts for
    /// nothing until it can: no price is made of an old version, nor of one with gaps.
    pub const fn decides_prices(self) -> bool {
        matches!(self, Self::Pricing | Self::Llmage)
    }
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value of a mirror column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// No value.
    Null,
    /// Text, ids, decimals, dates, YAML.
    Text(Box<str>),
    /// Money in 10^-9 units.
    Int(i64),
}

/// A row of a mirror table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRow {
    /// The upstream's id.
    pub id: TextId,
    /// Upstream's creation time where the feed gives one, else when it was first seen here.
    pub created_at: Timestamp,
    /// The upstream's version.
    pub version: i64,
    /// When it was written here last.
    pub cached_at: Timestamp,
    /// One per [`Entity::columns`].
    pub cells: Vec<Cell>,
    /// Whether its newest version cannot be read. The cells are then what could be read of it, or of the one before.
    pub unreadable: bool,
}

impl MirrorRow {
    /// What it takes in memory, in bytes.
    pub fn size(&self) -> usize {
        let text = |cell: &Cell| match cell {
            Cell::Text(text) => text.len(),
            Cell::Null | Cell::Int(_) => 0,
        };
        self.cells.iter().map(|cell| size_of::<Cell>() + text(cell)).sum::<usize>() + size_of::<Self>()
    }

    /// The text of a column, by name; `None` where it is null, a number or unknown.
    pub fn text(&self, entity: Entity, name: &str) -> Option<&str> {
        let index = entity.columns().iter().position(|c| c.name == name)?;
        match self.cells.get(index)? {
            Cell::Text(text) => Some(text),
            Cell::Null | Cell::Int(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_column_is_mirrored() {
        for entity in Entity::ALL {
            for column in entity.columns() {
                for word in ["password", "secret", "apikey", "headers", "upappkey"] {
                    assert!(!column.name.contains(word), "{entity}.{}", column.name);
                }
            }
        }
    }
}
