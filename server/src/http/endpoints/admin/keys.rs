//! /admin/keys: keys, for the platform. A key's own rotation is here too.

mod body;

use std::time::Duration;

use crate::domain::Error;
use crate::domain::keys::{KeyChange, KeyRequest, MAX_OVERLAP, MadeKey};
use crate::domain::principal::Identity;
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::params::encode_segment;
use crate::http::problem::Code;
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::parameters::{PAGE, Parameter, ParameterKind};
use crate::http::routes::{Access, Body, IfMatch, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::{AuthMode, KeyId, Patch, Reach, Scope, Scopes, parse_network};
use crate::store::KeyFilter;

use body::{AdministeredKeyBody, MadeKeyBody, change_schema, create_schema, rotation_schema};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listKeys",
        path: "/api/v1/admin/keys",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        parameters: &[FILTERS, PAGE],
        answer: Payload::List(schema::of::<AdministeredKeyBody<'static>>),
        summary: "Keys, without their secrets.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "createKey",
        path: "/api/v1/admin/keys",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        body: Body::Json(create_schema),
        status: 201,
        answer: Payload::One(schema::of::<MadeKeyBody<'static>>),
        summary: "Creates a key. Its secret is shown this once.",
        problems: &[Code::CustomerForbidden, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Post, |call| Box::pin(create(call)))
    },
    Route {
        id: "getKey",
        path: "/api/v1/admin/keys/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        answer: Payload::One(schema::of::<AdministeredKeyBody<'static>>),
        summary: "One key, without its secret.",
        problems: &[Code::CustomerForbidden, Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
    Route {
        id: "updateKey",
        path: "/api/v1/admin/keys/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        body: Body::MergePatch(change_schema),
        if_match: IfMatch::Required,
        answer: Payload::One(schema::of::<AdministeredKeyBody<'static>>),
        summary: "Changes a key.",
        problems: &[Code::CustomerForbidden, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Patch, |call| Box::pin(change(call)))
    },
    Route {
        id: "revokeKey",
        path: "/api/v1/admin/keys/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        if_match: IfMatch::Optional,
        status: 204,
        answer: Payload::Nothing,
        summary: "Disables a key; can be repeated.",
        problems: &[Code::CustomerForbidden, Code::NotFound],
        ..Route::new(Verb::Delete, |call| Box::pin(revoke(call)))
    },
    Route {
        id: "rotateKey",
        path: "/api/v1/admin/keys/{id}/rotate",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        body: Body::OptionalJson(rotation_schema),
        answer: Payload::One(schema::of::<MadeKeyBody<'static>>),
        summary: "Gives a key a new secret, which is shown this once.",
        problems: &[Code::CustomerForbidden, Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(rotate(call)))
    },
    Route {
        id: "rotateOwnKey",
        path: "/api/v1/keys/rotate",
        tag: Tag::Keys,
        body: Body::OptionalJson(rotation_schema),
        answer: Payload::One(schema::of::<MadeKeyBody<'static>>),
        summary: "Gives the calling key a new secret, which is shown this once.",
        problems: &[Code::KeyRequired, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Post, |call| Box::pin(rotate_own(call)))
    },
];

const FILTERS: &[Parameter] = &[
    Parameter::new("customer_id", ParameterKind::Id(64), "Keys of this customer."),
    Parameter::new("enabled", ParameterKind::Flag, "Keys that are enabled, or those that are not."),
    Parameter::new("name", ParameterKind::Text, "The key of this name."),
];

/// For how long the secret before a rotation stays valid, unless the request says.
const DEFAULT_OVERLAP_S: i64 = 86_400;
/// The most networks of a key.
const MAX_NETWORKS: usize = 64;

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let filter = KeyFilter {
        customer_id: params.customer(),
        enabled: params.flag("enabled"),
        name: params.text("name"),
    };
    let page = params.page();
    params.finish()?;
    call.demand_platform()?;
    let page = call.env.keys().query(&filter, &page).await?;
    Answer::list(&page, AdministeredKeyBody::of)
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let key = call.env.keys().get(&named(&call)?).await?;
    Ok(Answer::ok(&AdministeredKeyBody::of(&key))?.tagged(EntityTag::Version(key.version)))
}

async fn create(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let request = read_request(&call.body)?;
    if let Reach::Customer(id) = &request.reach
        && call.env.store().customer(id).await?.is_none()
    {
        return Err(Error::NotFound("customer"));
    }
    call.spend_nonce().await?;
    let made = call.env.keys().create(request, &call.actor()?).await?;
    let location = format!("/api/v1/admin/keys/{}", encode_segment(made.key_id.as_str()));
    let answer = Answer::created(&MadeKeyBody::of(&made), location, false)?;
    Ok(answer.tagged(EntityTag::Version(made.key.version)).secret())
}

async fn change(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let (id, expected) = (named(&call)?, call.expected_version()?);
    let change = read_change(&call.body)?;
    call.spend_nonce().await?;
    let key = call.env.keys().change(&id, expected, change, &call.actor()?).await?;
    Ok(Answer::done(&AdministeredKeyBody::of(&key))?.tagged(EntityTag::Version(key.version)))
}

async fn revoke(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let (id, expected) = (named(&call)?, call.expected_version()?);
    call.spend_nonce().await?;
    call.env.keys().revoke(&id, expected, &call.actor()?).await?;
    Ok(Answer::no_content())
}

async fn rotate(call: Call<'_>) -> Result<Answer, Error> {
    call.demand_platform()?;
    let (id, overlap) = (named(&call)?, read_overlap(&call.body)?);
    call.spend_nonce().await?;
    rotated(&call.env.keys().rotate(&id, overlap, &call.actor()?).await?)
}

async fn rotate_own(call: Call<'_>) -> Result<Answer, Error> {
    let overlap = read_overlap(&call.body)?;
    let principal = call.principal()?;
    if !matches!(principal.identity, Identity::Key(_)) {
        return Err(Error::KeyRequired);
    }
    call.spend_nonce().await?;
    rotated(&call.env.keys().rotate_own(principal, overlap, &call.actor()?).await?)
}

fn rotated(made: &MadeKey) -> Result<Answer, Error> {
    let answer = Answer::done(&MadeKeyBody::of(made))?;
    Ok(answer.tagged(EntityTag::Version(made.key.version)).secret())
}

fn named(call: &Call<'_>) -> Result<KeyId, Error> {
    let id = call.path_id("id", "key")?;
    KeyId::parse(id.as_str()).map_err(|_| Error::NotFound("key"))
}

fn read_overlap(body: &[u8]) -> Result<Duration, Error> {
    let mut body = Object::parse(if body.is_empty() { b"{}" } else { body })?;
    let most = i64::try_from(MAX_OVERLAP.as_secs()).unwrap_or(i64::MAX);
    let seconds = body.integer("overlap_s", 0, most).unwrap_or(DEFAULT_OVERLAP_S);
    body.finish()?;
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}

/// A key is a customer's, or the platform's if the body says so: leaving the customer out by mistake must not make a key
/// that reaches everything.
fn read_request(body: &[u8]) -> Result<KeyRequest, Error> {
    let mut body = Object::parse(body)?;
    let (named, customer_id) = (body.has("customer_id"), body.customer("customer_id"));
    let platform = body.boolean("platform").unwrap_or(false);
    if named == platform && !body.is_refused() {
        body.refuse("customer_id", "is required, unless platform is true");
    }
    let name = name(&mut body, "name");
    let has_scopes = body.has("scopes");
    let scopes = scopes(&mut body, "scopes");
    if !has_scopes {
        body.refuse("scopes", "is required");
    }
    let auth_mode = body.parsed("auth_mode", |text| match AuthMode::parse(text) {
        Some(mode @ (AuthMode::Signed | AuthMode::Bearer)) => Ok(mode),
        _ => Err("must be signed or bearer"),
    });
    let allowed_cidrs = networks(&mut body, "allowed_cidrs").unwrap_or_default();
    let enabled = body.boolean("enabled").unwrap_or(true);
    let expires_at = body.time("expires_at");
    body.finish()?;
    Ok(KeyRequest {
        name,
        reach: customer_id.map_or(Reach::Everything, Reach::Customer),
        scopes: required(scopes)?,
        auth_mode: auth_mode.unwrap_or(AuthMode::Signed),
        enabled,
        expires_at,
        allowed_cidrs,
    })
}

fn read_change(body: &[u8]) -> Result<KeyChange, Error> {
    let mut body = Object::parse(body)?;
    let change = KeyChange {
        name: body.patch("name", name),
        scopes: body.change("scopes", scopes),
        enabled: body.change("enabled", Object::boolean),
        expires_at: body.patch("expires_at", Object::time),
        allowed_cidrs: match body.patch("allowed_cidrs", networks) {
            Patch::Keep => None,
            Patch::Clear => Some(Vec::new()),
            Patch::Set(networks) => Some(networks),
        },
    };
    body.finish()?;
    Ok(change)
}

fn name(body: &mut Object<'_>, member: &str) -> Option<String> {
    let name = body.text(member, 128)?;
    if name.is_empty() {
        body.refuse(member, "must not be empty");
    }
    Some(name)
}

fn scopes(body: &mut Object<'_>, member: &str) -> Option<Scopes> {
    let scopes = body.list(member, Scope::ALL.len(), |text| Scope::parse(text).ok_or("must be scopes"))?;
    Some(scopes.into_iter().collect())
}

fn networks(body: &mut Object<'_>, member: &str) -> Option<Vec<ipnet::IpNet>> {
    body.list(member, MAX_NETWORKS, |text| {
        parse_network(text).ok_or("must be networks such as 192.0.2.0/24 or 2001:db8::/32")
    })
}
