//! /admin/users: users who sign in here.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::Error;
use crate::domain::admin::users::{UserRequest, UserSettings, UsersQuery};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::params::encode_segment;
use crate::http::problem::Code;
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::parameters::ParameterKind::{Choice, Flag, Id, Text};
use crate::http::routes::parameters::{CREATED, CUSTOMER, PAGE, Parameter};
use crate::http::routes::{Access, Body, IfMatch, Payload, Route, Verb};
use crate::http::schema::{self, IdText, TimeText, UserRoleText};
use crate::http::tag::Tag;
use crate::model::{GroupId, Owner, Patch, Scope, Timestamp, User, UserId, UserRole, Username};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listAdminUsers",
        path: "/api/v1/admin/users",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        parameters: &[
            CUSTOMER,
            &[
                Parameter::new("username", Text, "The login name, in any case, width and composition."),
                Parameter::new("role", Choice(&["user", "admin"]), "Users with this role."),
                Parameter::new("is_active", Flag, "Whether they may sign in."),
                Parameter::new("group_id", Id(64), "The members of this group."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema::of::<UserBody<'static>>),
        summary: "Users who sign in here.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "createUser",
        path: "/api/v1/admin/users",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        body: Body::Json(create_schema),
        status: 201,
        answer: Payload::One(schema::of::<UserBody<'static>>),
        summary: "Creates a user.",
        problems: &[Code::CustomerForbidden, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Post, |call| Box::pin(create(call)))
    },
    Route {
        id: "getAdminUser",
        path: "/api/v1/admin/users/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        answer: Payload::One(schema::of::<UserBody<'static>>),
        summary: "One user.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
    Route {
        id: "updateUser",
        path: "/api/v1/admin/users/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        body: Body::MergePatch(change_schema),
        if_match: IfMatch::Required,
        answer: Payload::One(schema::of::<UserBody<'static>>),
        summary: "Changes a user. Disabling one ends its sessions.",
        problems: &[Code::CustomerForbidden, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Patch, |call| Box::pin(change(call)))
    },
    Route {
        id: "deleteUser",
        path: "/api/v1/admin/users/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        if_match: IfMatch::Optional,
        status: 204,
        answer: Payload::Nothing,
        summary: "Deletes a user and ends its sessions. Its usage and the audit log stay.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Delete, |call| Box::pin(delete(call)))
    },
    Route {
        id: "setUserPassword",
        path: "/api/v1/admin/users/{id}/password",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        body: Body::Json(password_schema),
        status: 204,
        answer: Payload::Nothing,
        summary: "Sets a user's password, which ends its sessions.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(set_password(call)))
    },
    Route {
        id: "revokeUserSessions",
        path: "/api/v1/admin/users/{id}/revoke",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        body: Body::OptionalJson(revoke_schema),
        status: 204,
        answer: Payload::Nothing,
        summary: "Ends all sessions of a user.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(revoke(call)))
    },
];

/// A user who signs in here.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AdminUser")]
struct UserBody<'a> {
    #[schemars(with = "IdText")]
    id: &'a UserId,
    /// Its customer; null for a user of the platform.
    #[schemars(with = "Option<IdText>")]
    customer_id: &'a Owner,
    /// The login name, folded: case, width and composition make no difference.
    #[schemars(with = "String")]
    username: &'a Username,
    #[schemars(with = "UserRoleText")]
    role: UserRole,
    /// Whether it may sign in.
    is_active: bool,
    /// Whether it can, having a password.
    has_password: bool,
    /// Its group; without one, the default group of its customer counts, or else that of the platform.
    #[schemars(with = "Option<IdText>")]
    group_id: Option<&'a GroupId>,
    /// When it last signed in, which changes no version.
    #[schemars(with = "Option<TimeText>")]
    last_login_at: Option<Timestamp>,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    #[schemars(with = "TimeText")]
    updated_at: Timestamp,
    /// Rises with every change.
    version: i64,
}

impl<'a> UserBody<'a> {
    fn of(user: &'a User) -> Self {
        Self {
            id: &user.id,
            customer_id: &user.owner,
            username: &user.username,
            role: user.role,
            is_active: user.is_active,
            has_password: user.password_hash.is_some(),
            group_id: user.group_id.as_ref(),
            last_login_at: user.last_login_at,
            created_at: user.created_at,
            updated_at: user.updated_at,
            version: user.version,
        }
    }
}

fn settings(g: &mut SchemaGenerator) -> Value {
    json!({
        "username": { "type": "string", "minLength": 1, "description":
            "1 to 64 characters once it is folded, without spaces, control characters and invisible characters." },
        "role": g.subschema_for::<UserRoleText>(),
        "is_active": { "type": "boolean" },
        "group_id": g.subschema_for::<Option<IdText>>(),
    })
}

fn password() -> Value {
    json!({ "type": "string", "format": "password" })
}

fn create_schema(g: &mut SchemaGenerator) -> Schema {
    let mut properties = settings(g);
    properties["id"] = json!(g.subschema_for::<IdText>());
    properties["customer_id"] = json!(g.subschema_for::<IdText>());
    properties["password"] = password();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["username"], "properties": properties,
        "description": "By default the id is made, the customer is the caller's own, the role is user, the user is \
                        active and has no group. Without a password it cannot sign in.",
    });
    schema::defined(g, "NewUser", schema)
}

fn change_schema(g: &mut SchemaGenerator) -> Schema {
    let properties = settings(g);
    let schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    schema::defined(g, "UserChange", schema)
}

fn password_schema(g: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["password"],
        "properties": { "password": password() },
    });
    schema::defined(g, "NewPassword", schema)
}

fn revoke_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object", "additionalProperties": false })
}

/// What a body sets of a user.
#[derive(Debug, Clone)]
struct UserPatch {
    username: Option<Username>,
    role: Option<UserRole>,
    is_active: Option<bool>,
    group_id: Patch<GroupId>,
}

impl UserPatch {
    fn read(body: &mut Object<'_>) -> Self {
        let role = |body: &mut Object<'_>, name: &str| {
            body.parsed(name, |text| UserRole::parse(text).ok_or("must be user or admin"))
        };
        Self {
            username: body.change("username", |body, name| body.parsed(name, Username::parse)),
            role: body.change("role", role),
            is_active: body.change("is_active", Object::boolean),
            group_id: body.patch("group_id", |body, name| body.parsed(name, GroupId::parse)),
        }
    }

    fn apply(&self, user: &mut UserSettings) {
        if let Some(username) = &self.username {
            user.username = username.clone();
        }
        user.role = self.role.unwrap_or(user.role);
        user.is_active = self.is_active.unwrap_or(user.is_active);
        self.group_id.clone().apply(&mut user.group_id);
    }
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let query = UsersQuery {
        customer_id: params.customer(),
        username: params.parsed("username", Username::parse),
        role: params.parsed("role", |text| UserRole::parse(text).ok_or("must be user or admin")),
        is_active: params.flag("is_active"),
        group_id: params.parsed("group_id", GroupId::parse),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    params.finish()?;
    let page = call.env.admin_users().list(call.principal()?, query).await?;
    Answer::list(&page, UserBody::of)
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let user = call.env.admin_users().get(call.principal()?, &user_id(&call, "id")?).await?;
    Ok(Answer::ok(&UserBody::of(&user))?.tagged(EntityTag::Version(user.version)))
}

async fn create(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let id = body.parsed("id", UserId::parse);
    let customer_id = body.customer("customer_id");
    let password = body.secret("password");
    if !body.has("username") {
        body.refuse("username", "is required");
    }
    let patch = UserPatch::read(&mut body);
    body.finish()?;
    let mut settings = UserSettings {
        username: required(patch.username.clone())?,
        role: UserRole::User,
        is_active: true,
        group_id: None,
    };
    patch.apply(&mut settings);
    call.spend_nonce().await?;
    let request = UserRequest { id, customer_id, settings, password };
    let user = call.env.admin_users().create(call.principal()?, &call.actor()?, request).await?;
    let location = format!("/api/v1/admin/users/{}", encode_segment(user.id.as_str()));
    let answer = Answer::created(&UserBody::of(&user), location, false)?;
    Ok(answer.tagged(EntityTag::Version(user.version)))
}

async fn change(call: Call<'_>) -> Result<Answer, Error> {
    let (id, expected) = (user_id(&call, "id")?, call.expected_version()?);
    let mut body = Object::parse(&call.body)?;
    let patch = UserPatch::read(&mut body);
    body.finish()?;
    call.spend_nonce().await?;
    let change = move |user: &mut UserSettings| patch.apply(user);
    let user =
        call.env.admin_users().update(call.principal()?, &call.actor()?, &id, expected, change).await?;
    Ok(Answer::done(&UserBody::of(&user))?.tagged(EntityTag::Version(user.version)))
}

async fn delete(call: Call<'_>) -> Result<Answer, Error> {
    let (id, expected) = (user_id(&call, "id")?, call.expected_version()?);
    call.spend_nonce().await?;
    call.env.admin_users().delete(call.principal()?, &call.actor()?, &id, expected).await?;
    Ok(Answer::no_content())
}

async fn set_password(call: Call<'_>) -> Result<Answer, Error> {
    let id = user_id(&call, "id")?;
    let mut body = Object::parse(&call.body)?;
    if !body.has("password") {
        body.refuse("password", "is required");
    }
    let password = body.secret("password");
    body.finish()?;
    let password = required(password)?;
    call.spend_nonce().await?;
    call.env.admin_users().set_password(call.principal()?, &call.actor()?, &id, password).await?;
    Ok(Answer::no_content())
}

async fn revoke(call: Call<'_>) -> Result<Answer, Error> {
    let id = user_id(&call, "id")?;
    if !call.body.is_empty() {
        Object::parse(&call.body)?.finish()?;
    }
    call.spend_nonce().await?;
    call.env.admin_users().revoke(call.principal()?, &call.actor()?, &id).await?;
    Ok(Answer::no_content())
}

/// The user that a parameter of the path names.
pub(super) fn user_id(call: &Call<'_>, name: &str) -> Result<UserId, Error> {
    let id = call.path_id(name, "user")?;
    UserId::parse(id.as_str()).map_err(|_| Error::NotFound("user"))
}
