//! The table of routes. The router, the check for unknown parameters, the labels of metrics and
//! `openapi.json` are all made from it.

use http::Method;
use schemars::{Schema, SchemaGenerator};

use crate::domain::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::model::Scope;

use super::problem::Code;
use super::wire::schema;

/// One thing that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// GET /health
    Health,
    /// GET /openapi.json
    OpenApi,
    /// GET /docs, the only one that is not under /api/v1
    Docs,
    /// GET /whoami
    WhoAmI,
    /// GET /balance
    GetBalance,
    /// GET /users
    ListUsers,
    /// GET /users/{id}
    GetUser,
    /// GET /pricing
    ListPricing,
    /// GET /pricing/{ppid}
    GetPricing,
    /// POST /pricing/quote
    QuotePrice,
    /// GET /models
    ListModels,
    /// GET /models/{id}
    GetModel,
    /// GET /uapis
    ListUapis,
    /// GET /accounting
    ListAccounting,
    /// GET /accounting/summary
    SummarizeAccounting,
    /// GET /accounting/export
    ExportAccounting,
    /// GET /accounting/{id}
    GetAccounting,
    /// POST /accounting
    CreateAccounting,
    /// POST /accounting/batch
    CreateBatch,
    /// POST /accounting/{id}/reverse
    ReverseAccounting,
    /// GET /holds
    ListHolds,
    /// GET /holds/{id}
    GetHold,
    /// POST /holds
    CreateHold,
    /// POST /holds/{id}/capture
    CaptureHold,
    /// POST /holds/{id}/release
    ReleaseHold,
    /// POST /events
    ReceiveEvent,
}

/// A method that routes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
}

impl Verb {
    /// The method of this name; HEAD is GET without the body.
    pub fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            _ => None,
        }
    }
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// The holder of a dapi key, with a scope if one is named.
    Key(Option<Scope>),
    /// The platform, by a signed event.
    Event,
}

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: ParameterKind,
    /// What it does.
    pub description: &'static str,
}

/// What a query parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum ParameterKind {
    /// `[!-~]` of at most so many characters.
    Id(u32),
    /// Any text of 1 to 255 characters.
    Text,
    /// What `next_cursor` said.
    Cursor,
    /// RFC 3339.
    Time,
    /// An integer from 1 to so many, and its default.
    Count(u16, u16),
    /// true or false.
    Flag,
    /// One of some names.
    Choice(&'static [&'static str]),
    /// At least one of some names, each once, with commas between them.
    Several(&'static [&'static str]),
}

/// Makes the schema of a body.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One row of the table.
#[derive(Debug)]
pub struct Route {
    /// What it does.
    pub operation: Operation,
    /// The name of the operation in `openapi.json`.
    pub id: &'static str,
    /// Its method.
    pub verb: Verb,
    /// The path; a part in braces stands for one segment.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    /// The query parameters, in groups.
    pub parameters: &'static [&'static [Parameter]],
    /// The JSON body, for writes.
    pub body: Option<SchemaOf>,
    /// The status of success.
    pub status: u16,
    /// The body of success.
    pub answer: Payload,
    /// One line about it.
    pub summary: &'static str,
    /// What can go wrong besides what can go wrong everywhere.
    pub problems: &'static [Code],
}

/// The body of success.
#[derive(Debug, Clone, Copy)]
pub enum Payload {
    /// The envelope around one thing.
    One(SchemaOf),
    /// The envelope around a page of rows.
    List(SchemaOf),
    /// No envelope.
    Bare(SchemaOf),
    /// Records one a line, as CSV or NDJSON.
    Export(SchemaOf),
    /// HTML.
    Page,
}

impl Route {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        self.verb != Verb::Get
    }

    /// Whether it takes many things at once: a larger body, and NDJSON too.
    pub fn is_bulk(&self) -> bool {
        self.operation == Operation::CreateBatch
    }

    /// Whether it can be asked what it would do.
    pub fn has_dry_run(&self) -> bool {
        self.operation == Operation::CreateAccounting
    }

    /// Whether the body may be left out.
    pub fn is_body_optional(&self) -> bool {
        self.operation == Operation::ReleaseHold
    }

    /// Its query parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().copied().flatten()
    }
}

const fn parameter(name: &'static str, kind: ParameterKind, description: &'static str) -> Parameter {
    Parameter { name, kind, description }
}

use ParameterKind::{Choice, Count, Cursor, Flag, Id, Several, Text, Time};

const CUSTOMER: &[Parameter] = &[parameter(
    "customer_id",
    Id(64),
    "The customer; defaults to the key's own. A key of the platform may name any.",
)];

const PAGE: &[Parameter] = &[
    parameter("limit", Count(MAX_LIMIT, DEFAULT_LIMIT), "Rows of a page at most."),
    parameter("order", Choice(&["asc", "desc"]), "Oldest or newest first; newest by default."),
    parameter("cursor", Cursor, "The next_cursor of the page before, with the same filters and order."),
    parameter("count", Flag, "Whether to count the whole list; counting stops at 10,000."),
];

const CREATED: &[Parameter] =
    &[parameter("from", Time, "Created at or after."), parameter("to", Time, "Created before.")];

const RECORDS: &[Parameter] = &[
    parameter("user_id", Id(64), "The person who caused it."),
    parameter("model", Id(64), "The model's name as the booking gave it."),
    parameter("llmid", Id(64), "The model's id."),
    parameter("kind", Choice(KINDS), "What the record is."),
    parameter("status", Choice(STATUSES), "What became of it."),
    parameter("transno", Id(160), "The caller's name for the booking."),
    parameter("request_id", Id(160), "The caller's request."),
    parameter("event_from", Time, "Happened at or after."),
    parameter("event_to", Time, "Happened before."),
];

const AT: Parameter =
    parameter("at", Time, "The instant whose calendar day decides which row is valid; now by default.");

/// What POST /accounting and its readers share.
const BOOKING_PROBLEMS: &[Code] = &[
    Code::AmountNotString,
    Code::AmountInvalid,
    Code::InsufficientBalance,
    Code::CustomerForbidden,
    Code::KindForbidden,
    Code::CustomerSuspended,
    Code::NotFound,
    Code::TransnoInProgress,
    Code::TransnoConflict,
    Code::CurrencyMismatch,
    Code::PriceNotFound,
    Code::AmountOutOfRange,
];

const REVERSE_PROBLEMS: &[Code] = &[
    Code::AmountNotString,
    Code::AmountInvalid,
    Code::InsufficientBalance,
    Code::KindForbidden,
    Code::NotFound,
    Code::TransnoInProgress,
    Code::TransnoConflict,
    Code::AmountOutOfRange,
    Code::ReversalExceeds,
];

const HOLD_PROBLEMS: &[Code] = &[
    Code::AmountNotString,
    Code::AmountInvalid,
    Code::InsufficientBalance,
    Code::CustomerForbidden,
    Code::CustomerSuspended,
    Code::NotFound,
    Code::TransnoInProgress,
    Code::TransnoConflict,
    Code::CurrencyMismatch,
    Code::AmountOutOfRange,
    Code::HoldClosed,
];

/// A read by the holder of a key; what differs is given per row.
const READ: Route = Route {
    operation: Operation::WhoAmI,
    id: "",
    verb: Verb::Get,
    path: "",
    access: Access::Key(None),
    parameters: &[],
    body: None,
    status: 200,
    answer: Payload::One(schema::key),
    summary: "",
    problems: &[],
};

/// Every route.
pub static ROUTES: &[Route] = &[
    Route {
        operation: Operation::Health,
        id: "getHealth",
        path: "/api/v1/health",
        access: Access::Open,
        answer: Payload::One(schema::health),
        summary: "Whether this instance works, and how fresh its data is; 503 when it cannot serve.",
        ..READ
    },
    Route {
        operation: Operation::OpenApi,
        id: "getOpenApi",
        path: "/api/v1/openapi.json",
        access: Access::Open,
        answer: Payload::Bare(schema::any_object),
        summary: "This description of the interface.",
        ..READ
    },
    Route {
        operation: Operation::Docs,
        id: "getDocs",
        path: "/docs",
        access: Access::Open,
        answer: Payload::Page,
        summary: "openapi.json as a page for people.",
        ..READ
    },
    Route {
        operation: Operation::WhoAmI,
        id: "getWhoAmI",
        path: "/api/v1/whoami",
        summary: "The key that signed the request: its customer, scopes and expiry.",
        ..READ
    },
    Route {
        operation: Operation::GetBalance,
        id: "getBalance",
        path: "/api/v1/balance",
        access: Access::Key(Some(Scope::BalanceRead)),
        parameters: &[
            CUSTOMER,
            &[parameter("at", Time, "The balance after the last record that was booked until then.")],
        ],
        answer: Payload::One(schema::balance),
        summary: "A customer's balance. With Cache-Control: no-cache, no-store or max-age=0 it is read from the database.",
        problems: &[Code::CustomerForbidden, Code::NotFound],
        ..READ
    },
    Route {
        operation: Operation::ListUsers,
        id: "listUsers",
        path: "/api/v1/users",
        access: Access::Key(Some(Scope::UsersRead)),
        parameters: &[
            CUSTOMER,
            &[
                parameter("username", Text, "The login name, in full."),
                parameter("status", Text, "The user_status: 0 usable, 1 disabled."),
                parameter("q", Text, "A text that occurs in a name, an address or a number."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema::user),
        summary: "The mirrored users of a customer.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..READ
    },
    Route {
        operation: Operation::GetUser,
        id: "getUser",
        path: "/api/v1/users/{id}",
        access: Access::Key(Some(Scope::UsersRead)),
        answer: Payload::One(schema::user),
        summary: "One mirrored user.",
        problems: &[Code::NotFound],
        ..READ
    },
    Route {
        operation: Operation::ListPricing,
        id: "listPricing",
        path: "/api/v1/pricing",
        access: Access::Key(Some(Scope::PricingRead)),
        parameters: &[
            &[
                parameter("ppid", Id(64), "The program."),
                parameter("llmid", Id(64), "A model that is offered under the program."),
                parameter("type", Text, "The pricing_type."),
                parameter(
                    "status",
                    Choice(&["current", "future", "expired"]),
                    "Where `at` lies in the row's validity.",
                ),
                AT,
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema::pricing),
        summary: "The mirrored pricing programs; a customer sees those that a published model names.",
        problems: &[Code::InvalidCursor],
        ..READ
    },
    Route {
        operation: Operation::GetPricing,
        id: "getPricing",
        path: "/api/v1/pricing/{ppid}",
        access: Access::Key(Some(Scope::PricingRead)),
        parameters: &[&[AT]],
        answer: Payload::One(schema::pricing),
        summary: "The row of a pricing program that is valid at an instant.",
        problems: &[Code::NotFound],
        ..READ
    },
    Route {
        operation: Operation::QuotePrice,
        id: "quotePrice",
        verb: Verb::Post,
        path: "/api/v1/pricing/quote",
        access: Access::Key(Some(Scope::PricingRead)),
        body: Some(schema::pricing_request),
        answer: Payload::One(schema::quote),
        summary: "What a usage of a model costs, by the price list of its day; nothing is booked.",
        problems: &[Code::PriceNotFound, Code::AmountOutOfRange],
        ..READ
    },
    Route {
        operation: Operation::ListModels,
        id: "listModels",
        path: "/api/v1/models",
        access: Access::Key(Some(Scope::PricingRead)),
        parameters: &[
            &[
                parameter("llmid", Id(64), "The model's id."),
                parameter("model", Text, "The name by which the model is called."),
                parameter("status", Text, "The model's status, such as published."),
                parameter("ppid", Id(64), "The pricing program."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema::model),
        summary: "The mirrored models.",
        problems: &[Code::InvalidCursor],
        ..READ
    },
    Route {
        operation: Operation::GetModel,
        id: "getModel",
        path: "/api/v1/models/{id}",
        access: Access::Key(Some(Scope::PricingRead)),
        answer: Payload::One(schema::model),
        summary: "One mirrored model, by the id of its row or of the model.",
        problems: &[Code::NotFound],
        ..READ
    },
    Route {
        operation: Operation::ListUapis,
        id: "listUapis",
        path: "/api/v1/uapis",
        access: Access::Key(Some(Scope::PricingRead)),
        parameters: &[&[parameter("name", Text, "The API's name.")], CREATED, PAGE],
        answer: Payload::List(schema::uapi),
        summary: "The mirrored upstream APIs.",
        problems: &[Code::InvalidCursor],
        ..READ
    },
    Route {
        operation: Operation::ListAccounting,
        id: "listAccounting",
        path: "/api/v1/accounting",
        access: Access::Key(Some(Scope::AccountingRead)),
        parameters: &[CUSTOMER, RECORDS, CREATED, PAGE],
        answer: Payload::List(schema::record),
        summary: "Accounting records.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..READ
    },
    Route {
        operation: Operation::SummarizeAccounting,
        id: "summarizeAccounting",
        path: "/api/v1/accounting/summary",
        access: Access::Key(Some(Scope::AccountingRead)),
        parameters: &[
            CUSTOMER,
            &[parameter(
                "group_by",
                Several(GROUPS),
                "Required. Days are those of created_at in UTC; the currency always divides.",
            )],
            RECORDS,
            CREATED,
        ],
        answer: Payload::List(schema::summary),
        summary: "What records come to, in at most 10,000 groups ordered by day, model and kind; on one page.",
        problems: &[Code::CustomerForbidden],
        ..READ
    },
    Route {
        operation: Operation::ExportAccounting,
        id: "exportAccounting",
        path: "/api/v1/accounting/export",
        access: Access::Key(Some(Scope::AccountingRead)),
        parameters: &[CUSTOMER, RECORDS, CREATED],
        answer: Payload::Export(schema::record),
        summary: "Every record until the newest one at the start, oldest first, as Accept says. Only an export \
                  whose last line is #end,n or {\"_end\":true,\"count\":n} is complete.",
        problems: &[Code::CustomerForbidden],
        ..READ
    },
    Route {
        operation: Operation::GetAccounting,
        id: "getAccounting",
        path: "/api/v1/accounting/{id}",
        access: Access::Key(Some(Scope::AccountingRead)),
        answer: Payload::One(schema::record),
        summary: "One accounting record.",
        problems: &[Code::NotFound],
        ..READ
    },
    Route {
        operation: Operation::CreateAccounting,
        id: "createAccounting",
        verb: Verb::Post,
        path: "/api/v1/accounting",
        access: Access::Key(Some(Scope::AccountingWrite)),
        parameters: &[&[parameter("dry_run", Flag, "Decides and tells, but books nothing; answers 200.")]],
        body: Some(schema::booking),
        status: 201,
        answer: Payload::One(schema::booked),
        summary: "Books one charge, credit or adjustment, exactly once per transno. 200 repeats the first answer.",
        problems: BOOKING_PROBLEMS,
    },
    Route {
        operation: Operation::CreateBatch,
        id: "createAccountingBatch",
        verb: Verb::Post,
        path: "/api/v1/accounting/batch",
        access: Access::Key(Some(Scope::AccountingWrite)),
        parameters: &[&[parameter("atomic", Flag, "All items or none: the first failure is the answer.")]],
        body: Some(schema::batch),
        answer: Payload::One(schema::batched),
        summary: "Books up to 1,000 items, each for itself, and says for each what became of it.",
        problems: BOOKING_PROBLEMS,
        ..READ
    },
    Route {
        operation: Operation::ReverseAccounting,
        id: "reverseAccounting",
        verb: Verb::Post,
        path: "/api/v1/accounting/{id}/reverse",
        access: Access::Key(Some(Scope::AccountingWrite)),
        body: Some(schema::reverse),
        status: 201,
        answer: Payload::One(schema::booked),
        summary: "Takes a record back, whole or in part, by a record of its own.",
        problems: REVERSE_PROBLEMS,
        ..READ
    },
    Route {
        operation: Operation::ListHolds,
        id: "listHolds",
        path: "/api/v1/holds",
        access: Access::Key(Some(Scope::BalanceRead)),
        parameters: &[
            CUSTOMER,
            &[
                parameter("user_id", Id(64), "The person they were made for."),
                parameter("state", Choice(HOLD_STATES), "What became of it."),
                parameter("transno", Id(160), "The caller's name for it."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema::hold),
        summary: "Holds.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..READ
    },
    Route {
        operation: Operation::GetHold,
        id: "getHold",
        path: "/api/v1/holds/{id}",
        access: Access::Key(Some(Scope::BalanceRead)),
        answer: Payload::One(schema::hold),
        summary: "One hold.",
        problems: &[Code::NotFound],
        ..READ
    },
    Route {
        operation: Operation::CreateHold,
        id: "createHold",
        verb: Verb::Post,
        path: "/api/v1/holds",
        access: Access::Key(Some(Scope::AccountingWrite)),
        body: Some(schema::reserve),
        status: 201,
        answer: Payload::One(schema::hold),
        summary: "Reserves money before an expensive call; it expires by itself.",
        problems: HOLD_PROBLEMS,
        ..READ
    },
    Route {
        operation: Operation::CaptureHold,
        id: "captureHold",
        verb: Verb::Post,
        path: "/api/v1/holds/{id}/capture",
        access: Access::Key(Some(Scope::AccountingWrite)),
        body: Some(schema::capture),
        status: 201,
        answer: Payload::One(schema::booked),
        summary: "Settles a hold: books what was used and frees the rest.",
        problems: HOLD_PROBLEMS,
        ..READ
    },
    Route {
        operation: Operation::ReleaseHold,
        id: "releaseHold",
        verb: Verb::Post,
        path: "/api/v1/holds/{id}/release",
        access: Access::Key(Some(Scope::AccountingWrite)),
        body: Some(schema::nothing),
        answer: Payload::One(schema::hold),
        summary: "Lets a hold go; can be repeated. The body may be left out.",
        problems: &[Code::NotFound, Code::HoldClosed],
        ..READ
    },
    Route {
        operation: Operation::ReceiveEvent,
        id: "receiveEvent",
        verb: Verb::Post,
        path: "/api/v1/events",
        access: Access::Event,
        body: Some(schema::event),
        status: 202,
        answer: Payload::Bare(schema::accepted),
        summary: "Takes a signed event of the platform (Standard Webhooks) and pulls what it names.",
        ..READ
    },
];

/// The values of `state` that holds can be filtered by.
pub const HOLD_STATES: &[&str] = &["open", "captured", "released", "expired"];
/// The values of `kind` that a list can be filtered by.
pub const KINDS: &[&str] = &["opening", "charge", "credit", "adjustment", "reversal", "capture", "sync"];
/// What a summary can be grouped by.
pub const GROUPS: &[&str] = &["day", "model", "kind"];
/// The values of `status` that a list can be filtered by.
pub const STATUSES: &[&str] = &["pending", "accounted", "failed", "reversed"];

/// The route of an operation.
#[cfg(test)]
pub fn route(operation: Operation) -> &'static Route {
    ROUTES.iter().find(|route| route.operation == operation).unwrap()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::Kind;

    #[test]
    fn every_route_has_a_name_and_parameters_of_its_own() {
        let ids: HashSet<_> = ROUTES.iter().map(|route| route.id).collect();
        assert_eq!(ids.len(), ROUTES.len());
        for route in ROUTES {
            let names: HashSet<_> = route.parameters().map(|p| p.name).collect();
            assert_eq!(names.len(), route.parameters().count(), "{}", route.id);
            let placed = route.path.starts_with("/api/v1/") || route.operation == Operation::Docs;
            assert!(!route.summary.is_empty() && placed, "{}", route.id);
        }
    }

    #[test]
    fn what_a_key_may_not_do_unsigned_needs_one() {
        for route in ROUTES {
            let open = matches!(route.operation, Operation::Health | Operation::OpenApi | Operation::Docs);
            assert_eq!(route.access == Access::Open, open, "{}", route.id);
            assert_eq!(route.is_write(), route.body.is_some(), "{}", route.id);
        }
    }

    #[test]
    fn the_kinds_are_those_of_the_model() {
        assert_eq!(Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(), KINDS);
    }
}
