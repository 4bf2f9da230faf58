//! /admin/groups: groups of users.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::Error;
use crate::domain::admin::groups::{GroupRequest, GroupSettings, GroupsQuery};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::params::encode_segment;
use crate::http::problem::Code;
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::parameters::ParameterKind::{Flag, Text};
use crate::http::routes::parameters::{CREATED, CUSTOMER, PAGE, Parameter};
use crate::http::routes::{Access, Body, IfMatch, Payload, Route, Verb};
use crate::http::schema::{self, IdText, OnStoreFailureText, TimeText};
use crate::http::tag::Tag;
use crate::model::{
    Group, GroupId, GroupLimits, GroupName, OnStoreFailure, Owner, Patch, Scope, Timestamp, ZoneName,
};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listGroups",
        path: "/api/v1/admin/groups",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        parameters: &[CUSTOMER, &[Parameter::new("name", Text, "The name, in full.")], CREATED, PAGE],
        answer: Payload::List(schema::of::<GroupBody<'static>>),
        summary: "Groups of users and their limits.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "createGroup",
        path: "/api/v1/admin/groups",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        body: Body::Json(create_schema),
        status: 201,
        answer: Payload::One(schema::of::<GroupBody<'static>>),
        summary: "Creates a group.",
        problems: &[Code::CustomerForbidden, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Post, |call| Box::pin(create(call)))
    },
    Route {
        id: "getGroup",
        path: "/api/v1/admin/groups/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        answer: Payload::One(schema::of::<GroupBody<'static>>),
        summary: "One group.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
    Route {
        id: "updateGroup",
        path: "/api/v1/admin/groups/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        body: Body::MergePatch(change_schema),
        if_match: IfMatch::Required,
        answer: Payload::One(schema::of::<GroupBody<'static>>),
        summary: "Changes a group. Null lifts a limit; one that is left out stays.",
        problems: &[Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Patch, |call| Box::pin(change(call)))
    },
    Route {
        id: "deleteGroup",
        path: "/api/v1/admin/groups/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        parameters: &[&[Parameter::new("force", Flag, "Whether to delete it although it has members.")]],
        if_match: IfMatch::Optional,
        status: 204,
        answer: Payload::Nothing,
        summary: "Deletes a group. With force=true its members are then without one.",
        problems: &[Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Delete, |call| Box::pin(delete(call)))
    },
];

/// A group of users. A limit that is null is unlimited, 0 allows nothing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Group")]
struct GroupBody<'a> {
    #[schemars(with = "IdText")]
    id: &'a GroupId,
    /// Its customer; null for a group of the platform, which users of any customer may be members of.
    #[schemars(with = "Option<IdText>")]
    customer_id: &'a Owner,
    #[schemars(with = "String")]
    name: &'a GroupName,
    daily_tokens: Option<i64>,
    monthly_tokens: Option<i64>,
    requests_per_minute: Option<i64>,
    max_tokens_per_request: Option<i64>,
    concurrent_requests: Option<i64>,
    /// Tokens reserved for a request that does not say how many it may use.
    default_reservation: Option<i64>,
    /// Where its days and months begin; null: as quota.timezone says.
    #[schemars(with = "Option<String>")]
    time_zone: Option<&'a ZoneName>,
    /// What is decided while the database cannot be asked.
    #[schemars(with = "OnStoreFailureText")]
    on_store_failure: OnStoreFailure,
    /// Whether it counts for users of its customer, or of every customer, who have no group.
    is_default: bool,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    #[schemars(with = "TimeText")]
    updated_at: Timestamp,
    /// Rises with every change.
    version: i64,
}

impl<'a> GroupBody<'a> {
    fn of(group: &'a Group) -> Self {
        let GroupLimits {
            daily_tokens,
            monthly_tokens,
            requests_per_minute,
            max_tokens_per_request,
            concurrent_requests,
        } = group.limits;
        Self {
            id: &group.id,
            customer_id: &group.owner,
            name: &group.name,
            daily_tokens,
            monthly_tokens,
            requests_per_minute,
            max_tokens_per_request,
            concurrent_requests,
            default_reservation: group.default_reservation,
            time_zone: group.time_zone.as_ref(),
            on_store_failure: group.on_store_failure,
            is_default: group.is_default(),
            created_at: group.created_at,
            updated_at: group.updated_at,
            version: group.version,
        }
    }
}

/// The fields that are null or a count, in the order of [`GroupPatch::counts`].
const COUNTS: [&str; 6] = [
    "daily_tokens",
    "monthly_tokens",
    "requests_per_minute",
    "max_tokens_per_request",
    "concurrent_requests",
    "default_reservation",
];
/// The largest count: a JSON number of any language holds it exactly.
const MAX_COUNT: i64 = 1_000_000_000_000_000;

fn settings(g: &mut SchemaGenerator) -> Value {
    let mut properties = json!({
        "name": { "type": "string", "minLength": 1, "maxLength": 128 },
        "time_zone": { "type": ["string", "null"], "examples": ["Asia/Shanghai"] },
        "on_store_failure": g.subschema_for::<OnStoreFailureText>(),
        "is_default": { "type": "boolean" },
    });
    for name in COUNTS {
        properties[name] =
            json!({ "type": ["integer", "null"], "format": "int64", "minimum": 0, "maximum": MAX_COUNT });
    }
    properties
}

fn create_schema(g: &mut SchemaGenerator) -> Schema {
    let mut properties = settings(g);
    properties["id"] = json!(g.subschema_for::<IdText>());
    properties["customer_id"] = json!(g.subschema_for::<IdText>());
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["name"], "properties": properties,
        "description": "By default the id is made, the customer is the caller's own, nothing is limited, and calls are \
                        denied while the database cannot be asked.",
    });
    schema::defined(g, "NewGroup", schema)
}

fn change_schema(g: &mut SchemaGenerator) -> Schema {
    let properties = settings(g);
    let schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    schema::defined(g, "GroupChange", schema)
}

/// What a body sets of a group.
#[derive(Debug, Clone)]
struct GroupPatch {
    name: Option<GroupName>,
    counts: [Patch<i64>; COUNTS.len()],
    time_zone: Patch<ZoneName>,
    on_store_failure: Option<OnStoreFailure>,
    is_default: Option<bool>,
}

impl GroupPatch {
    fn read(body: &mut Object<'_>) -> Self {
        let on_store_failure = |body: &mut Object<'_>, name: &str| {
            body.parsed(name, |text| OnStoreFailure::parse(text).ok_or("must be deny or allow"))
        };
        Self {
            name: body.change("name", |body, name| body.parsed(name, GroupName::parse)),
            counts: COUNTS.map(|name| body.patch(name, |body, name| body.integer(name, 0, MAX_COUNT))),
            time_zone: body.patch("time_zone", |body, name| body.parsed(name, ZoneName::parse)),
            on_store_failure: body.change("on_store_failure", on_store_failure),
            is_default: body.change("is_default", Object::boolean),
        }
    }

    fn apply(&self, group: &mut GroupSettings) {
        if let Some(name) = &self.name {
            group.name = name.clone();
        }
        let limits = &mut group.limits;
        let counts = [
            &mut limits.daily_tokens,
            &mut limits.monthly_tokens,
            &mut limits.requests_per_minute,
            &mut limits.max_tokens_per_request,
            &mut limits.concurrent_requests,
            &mut group.default_reservation,
        ];
        for (patch, count) in self.counts.into_iter().zip(counts) {
            patch.apply(count);
        }
        self.time_zone.clone().apply(&mut group.time_zone);
        group.on_store_failure = self.on_store_failure.unwrap_or(group.on_store_failure);
        group.is_default = self.is_default.unwrap_or(group.is_default);
    }
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let query = GroupsQuery {
        customer_id: params.customer(),
        name: params.text("name"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    params.finish()?;
    let page = call.env.groups().list(call.principal()?, query).await?;
    Answer::list(&page, GroupBody::of)
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let group = call.env.groups().get(call.principal()?, &group_id(&call)?).await?;
    Ok(Answer::ok(&GroupBody::of(&group))?.tagged(EntityTag::Version(group.version)))
}

async fn create(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let id = body.parsed("id", GroupId::parse);
    let customer_id = body.customer("customer_id");
    if !body.has("name") {
        body.refuse("name", "is required");
    }
    let patch = GroupPatch::read(&mut body);
    body.finish()?;
    let mut settings = GroupSettings::named(required(patch.name.clone())?);
    patch.apply(&mut settings);
    call.spend_nonce().await?;
    let request = GroupRequest { id, customer_id, settings };
    let group = call.env.groups().create(call.principal()?, &call.actor()?, request).await?;
    let location = format!("/api/v1/admin/groups/{}", encode_segment(group.id.as_str()));
    let answer = Answer::created(&GroupBody::of(&group), location, false)?;
    Ok(answer.tagged(EntityTag::Version(group.version)))
}

async fn change(call: Call<'_>) -> Result<Answer, Error> {
    let (id, expected) = (group_id(&call)?, call.expected_version()?);
    let mut body = Object::parse(&call.body)?;
    let patch = GroupPatch::read(&mut body);
    body.finish()?;
    call.spend_nonce().await?;
    let change = move |group: &mut GroupSettings| patch.apply(group);
    let group = call.env.groups().update(call.principal()?, &call.actor()?, &id, expected, change).await?;
    Ok(Answer::done(&GroupBody::of(&group))?.tagged(EntityTag::Version(group.version)))
}

async fn delete(mut call: Call<'_>) -> Result<Answer, Error> {
    let force = call.params.flag("force").unwrap_or(false);
    call.params.finish()?;
    let (id, expected) = (group_id(&call)?, call.expected_version()?);
    call.spend_nonce().await?;
    call.env.groups().delete(call.principal()?, &call.actor()?, &id, expected, force).await?;
    Ok(Answer::no_content())
}

/// The group that the path names.
pub(super) fn group_id(call: &Call<'_>) -> Result<GroupId, Error> {
    let id = call.path_id("id", "group")?;
    GroupId::parse(id.as_str()).map_err(|_| Error::NotFound("group"))
}
