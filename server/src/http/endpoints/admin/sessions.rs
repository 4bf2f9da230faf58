//! The sessions of users, for administrators.

use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use crate::domain::Error;
use crate::domain::list;
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::endpoints::auth::SessionBody;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::{Choice, Id};
use crate::http::routes::parameters::{CREATED, CUSTOMER, PAGE, Parameter};
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema::{self, IdText};
use crate::http::tag::Tag;
use crate::model::{RevokedReason, Scope, SessionKind, UserId};
use crate::store::SessionFilter;

pub const ROUTES: &[Route] = &[
    Route {
        id: "listSessions",
        path: "/api/v1/admin/sessions",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        parameters: &[
            CUSTOMER,
            &[
                Parameter::new("user_id", Id(64), "The user."),
                Parameter::new("kind", Choice(&["api", "console"]), "What the session is for."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema::of::<SessionBody<'static>>),
        summary: "Sessions of users.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list_all(call)))
    },
    Route {
        id: "revokeSession",
        path: "/api/v1/admin/sessions/{id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        status: 204,
        answer: Payload::Nothing,
        summary: "Ends a session; its access ends within a second.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Delete, |call| Box::pin(revoke(call)))
    },
    Route {
        id: "revokeSessions",
        path: "/api/v1/admin/sessions/revoke",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        body: Body::Json(revoke_schema),
        status: 204,
        answer: Payload::Nothing,
        summary: "Ends all sessions of a user.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(revoke_all(call)))
    },
];

fn revoke_schema(g: &mut SchemaGenerator) -> Schema {
    let id = g.subschema_for::<IdText>();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["user_id"], "properties": { "user_id": id },
    });
    schema::defined(g, "RevokeSessions", schema)
}

async fn list_all(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let named = params.customer();
    let filter = SessionFilter {
        user_id: params.parsed("user_id", UserId::parse),
        kind: params.parsed("kind", |text| SessionKind::parse(text).ok_or("must be api or console")),
        from: params.time("from"),
        to: params.time("to"),
        ..SessionFilter::default()
    };
    let page = params.page();
    params.finish()?;
    let filter = SessionFilter {
        customer_id: call.reach()?.narrowed_to(named.as_ref())?.customer().cloned(),
        ..filter
    };
    let page = list::page(call.env.store(), &filter, &page).await?;
    Answer::list(&page, |session| SessionBody::of(session, None))
}

async fn revoke(call: Call<'_>) -> Result<Answer, Error> {
    let id = call.path_record_id("id", "session")?;
    let session = call.env.store().session(id).await?;
    let reach = call.reach()?;
    session.filter(|session| reach.includes_owned_by(&session.owner)).ok_or(Error::NotFound("session"))?;
    call.spend_nonce().await?;
    call.env.store().revoke_session(id, RevokedReason::Revoked, &call.actor()?).await?;
    Ok(Answer::no_content())
}

async fn revoke_all(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let user_id = body.parsed("user_id", UserId::parse);
    body.require("user_id", user_id.as_ref());
    body.finish()?;
    let user_id = required(user_id)?;
    call.spend_nonce().await?;
    call.env.admin_users().revoke(call.principal()?, &call.actor()?, &user_id).await?;
    Ok(Answer::no_content())
}
