//! Query parameters as a route declares them, and those that several routes share.

use crate::domain::page::{DEFAULT_LIMIT, MAX_LIMIT};

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: ParameterKind,
    /// What it does.
    pub description: &'static str,
}

/// Which values a query parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum ParameterKind {
    /// `[!-~]` of at most so many characters.
    Id(u32),
    /// Any text of 1 to 255 characters.
    Text,
    /// The `next_cursor` of another page.
    Cursor,
    /// RFC 3339.
    Time,
    /// A calendar day.
    Day,
    /// An integer in a range.
    Integer(u16, u16),
    /// An integer from 1 to so many, and its default.
    Count(u16, u16),
    /// true or false.
    Flag,
    /// One of some names.
    Choice(&'static [&'static str]),
    /// At least one of some names, each once, separated by commas.
    Several(&'static [&'static str]),
    /// The same, if given.
    AnyOf(&'static [&'static str]),
}

use ParameterKind::{Choice, Count, Cursor, Flag, Id, Time};

impl Parameter {
    /// A query parameter.
    pub const fn new(name: &'static str, kind: ParameterKind, description: &'static str) -> Self {
        Self { name, kind, description }
    }
}

/// The customer that a request is about.
pub const CUSTOMER: &[Parameter] = &[Parameter::new(
    "customer_id",
    Id(64),
    "The customer; defaults to the key's own. A key of the platform may name any.",
)];

/// Which page of a list.
pub const PAGE: &[Parameter] = &[
    Parameter::new("limit", Count(MAX_LIMIT, DEFAULT_LIMIT), "Rows of a page at most."),
    Parameter::new("order", Choice(&["asc", "desc"]), "Oldest or newest first; newest by default."),
    Parameter::new("cursor", Cursor, "The next_cursor of the page before, with the same filters and order."),
    Parameter::new("count", Flag, "Whether to count the whole list; counting stops at 10,000."),
];

/// When the rows of a list were created.
pub const CREATED: &[Parameter] =
    &[Parameter::new("from", Time, "Created at or after."), Parameter::new("to", Time, "Created before.")];
