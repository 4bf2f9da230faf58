//! /admin/customers: customers and their settings, for the platform.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::Error;
use crate::domain::admin::customers::{self, CustomerChange};
use crate::domain::booking::{Action, Amount, Entry, Request};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::endpoints::bookings::{BookedBody, entry_hash};
use crate::http::endpoints::transno::transno;
use crate::http::params::encode_segment;
use crate::http::problem::Code;
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::parameters::{PAGE, Parameter, ParameterKind};
use crate::http::routes::{Access, Body, IfMatch, Payload, Route, Verb};
use crate::http::schema::{self, CurrencyText, IdText, MoneyText, StatusText, TimeText};
use crate::http::tag::Tag;
use crate::model::{
    BookingDetails, Currency, Customer, CustomerId, CustomerStatus, Kind, Mode, Money, Scope, Timestamp,
    UsageBilling,
};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listCustomers",
        path: "/api/v1/admin/customers",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        parameters: &[&[STATUS], PAGE],
        answer: Payload::List(schema::of::<CustomerBody<'static>>),
        summary: "Customers and their settings.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "createCustomer",
        path: "/api/v1/admin/customers",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        body: Body::Json(create_schema),
        status: 201,
        answer: Payload::One(schema::of::<CustomerBody<'static>>),
        summary: "Creates a customer.",
        problems: &[
            Code::AmountNotString,
            Code::AmountInvalid,
            Code::AmountOutOfRange,
            Code::CustomerForbidden,
            Code::Conflict,
        ],
        ..Route::new(Verb::Post, |call| Box::pin(create(call)))
    },
    Route {
        id: "getCustomer",
        path: "/api/v1/admin/customers/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        answer: Payload::One(schema::of::<CustomerBody<'static>>),
        summary: "One customer's settings.",
        problems: &[Code::CustomerForbidden, Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
    Route {
        id: "updateCustomer",
        path: "/api/v1/admin/customers/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        body: Body::MergePatch(change_schema),
        if_match: IfMatch::Required,
        answer: Payload::One(schema::of::<CustomerBody<'static>>),
        summary: "Changes a customer's settings.",
        problems: &[
            Code::AmountNotString,
            Code::AmountInvalid,
            Code::AmountOutOfRange,
            Code::CustomerForbidden,
            Code::NotFound,
        ],
        ..Route::new(Verb::Patch, |call| Box::pin(change(call)))
    },
    Route {
        id: "creditCustomer",
        path: "/api/v1/admin/customers/{id}/credit",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        body: Body::Json(credit_schema),
        status: 201,
        answer: Payload::One(schema::of::<BookedBody<'static>>),
        replays: true,
        summary: "Books a credit, exactly once per transno, with an entry of the audit log.",
        problems: &[
            Code::AmountNotString,
            Code::AmountInvalid,
            Code::AmountOutOfRange,
            Code::CustomerForbidden,
            Code::NotFound,
            Code::TransnoInProgress,
            Code::TransnoConflict,
        ],
        ..Route::new(Verb::Post, |call| Box::pin(credit(call)))
    },
];

const STATUS: Parameter =
    Parameter::new("status", ParameterKind::Choice(&["active", "suspended"]), "Customers with this status.");

/// A customer as administrators see it. What bookings move is not shown, because the entity tag does not move with it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Customer")]
struct CustomerBody<'a> {
    #[schemars(with = "IdText")]
    id: &'a CustomerId,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// strict, allow_negative, or null: as accounting.mode says.
    #[schemars(with = "Option<schema::ModeText>")]
    mode: Option<Mode>,
    #[schemars(with = "MoneyText")]
    credit_limit: Money,
    #[schemars(with = "schema::UsageBillingText")]
    usage_billing: UsageBilling,
    #[schemars(with = "StatusText")]
    status: CustomerStatus,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    /// Rises with every change of these settings.
    version: i64,
}

impl<'a> CustomerBody<'a> {
    fn of(customer: &'a Customer) -> Self {
        Self {
            id: &customer.id,
            currency: customer.currency,
            mode: customer.mode,
            credit_limit: customer.credit_limit,
            usage_billing: customer.usage_billing,
            status: customer.status,
            created_at: customer.created_at,
            version: customer.settings_version,
        }
    }
}

/// The members of a body that are settings.
fn settings(g: &mut SchemaGenerator, nullable: bool) -> Value {
    let (money, status) = (g.subschema_for::<MoneyText>(), g.subschema_for::<StatusText>());
    let billing = g.subschema_for::<schema::UsageBillingText>();
    let mode = if nullable {
        json!(g.subschema_for::<Option<schema::ModeText>>())
    } else {
        json!(g.subschema_for::<schema::ModeText>())
    };
    json!({ "mode": mode, "credit_limit": money, "usage_billing": billing, "status": status })
}

fn create_schema(g: &mut SchemaGenerator) -> Schema {
    let mut properties = settings(g, false);
    properties["id"] = json!(g.subschema_for::<IdText>());
    properties["currency"] = json!(g.subschema_for::<CurrencyText>());
    let schema = json!({ "type": "object", "required": ["id"], "properties": properties });
    schema::defined(g, "NewCustomer", schema)
}

fn change_schema(g: &mut SchemaGenerator) -> Schema {
    let properties = settings(g, true);
    schema::defined(g, "CustomerChange", json!({ "type": "object", "properties": properties }))
}

fn credit_schema(g: &mut SchemaGenerator) -> Schema {
    let money = g.subschema_for::<MoneyText>();
    let schema = json!({
        "type": "object", "required": ["amount"],
        "properties": {
            "transno": schema::client_name(), "amount": money,
            "note": { "type": "string", "maxLength": 1024 },
        },
    });
    schema::defined(g, "Credit", schema)
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let status =
        call.params.parsed("status", |text| CustomerStatus::parse(text).ok_or("must be active or suspended"));
    let page = call.params.page();
    call.params.finish()?;
    call.demand_platform()?;
    let page = customers::query_customers(call.env.store(), status, &page).await?;
    Answer::list(&page, CustomerBody::of)
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let customer = customers::get_customer(call.env.store(), &named(&call)?).await?;
    Ok(Answer::ok(&CustomerBody::of(&customer))?.tagged(EntityTag::Version(customer.settings_version)))
}

async fn create(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let mut body = Object::parse(&call.body)?;
    let id = body.customer("id");
    if id.is_none() && !body.is_refused() {
        body.refuse("id", "is required");
    }
    let currency = body.currency("currency").unwrap_or(call.env.config().accounting.currency);
    let change = read_settings(&mut body);
    body.finish()?;
    call.spend_nonce().await?;
    let (store, id) = (call.env.store(), required(id)?);
    let customer = customers::create_customer(store, id, currency, change, &call.actor()?).await?;
    let location = format!("/api/v1/admin/customers/{}", encode_segment(customer.id.as_str()));
    let answer = Answer::created(&CustomerBody::of(&customer), location, false)?;
    Ok(answer.tagged(EntityTag::Version(customer.settings_version)))
}

async fn change(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let (id, expected) = (named(&call)?, call.expected_version()?);
    let mut body = Object::parse(&call.body)?;
    let change = read_settings(&mut body);
    body.finish()?;
    call.spend_nonce().await?;
    let customer =
        customers::change_customer(call.env.store(), &id, expected, change, &call.actor()?).await?;
    Ok(Answer::done(&CustomerBody::of(&customer))?.tagged(EntityTag::Version(customer.settings_version)))
}

async fn credit(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let customer_id = named(&call)?;
    let mut body = Object::parse(&call.body)?;
    let transno = transno(&mut body, call.headers);
    let (amount, note) = (body.amount("amount", false), body.note());
    if amount.is_none() && !body.has_wrong_amount() {
        body.refuse("amount", "is required");
    }
    body.finish()?;
    let entry = Entry {
        transno: required(transno)?,
        kind: Kind::Credit,
        amount: Amount::Given(required(amount)?),
        currency: None,
        event_time: None,
        details: BookingDetails { note, ..BookingDetails::default() },
    };
    let body_hash = entry_hash(&entry, &customer_id);
    let request = Request { customer_id, body_hash, nonce: call.nonce(), action: Action::Book(entry) };
    BookedBody::created(&call.env.bookings().book_as(request, call.actor()?).await?)
}

fn named(call: &Call<'_>) -> Result<CustomerId, Error> {
    let id = call.path_id("id", "customer")?;
    CustomerId::parse(id.as_str()).map_err(|_| Error::NotFound("customer"))
}

fn read_settings(body: &mut Object<'_>) -> CustomerChange {
    let mode = |body: &mut Object<'_>, name: &str| {
        body.parsed(name, |text| Mode::parse(text).ok_or("must be strict or allow_negative"))
    };
    let billing = |body: &mut Object<'_>, name: &str| {
        body.parsed(name, |text| UsageBilling::parse(text).ok_or("must be log or book"))
    };
    let status = |body: &mut Object<'_>, name: &str| {
        body.parsed(name, |text| CustomerStatus::parse(text).ok_or("must be active or suspended"))
    };
    CustomerChange {
        mode: body.patch("mode", mode),
        credit_limit: body.change("credit_limit", |body, name| body.money(name, false)),
        usage_billing: body.change("usage_billing", billing),
        status: body.change("status", status),
    }
}
