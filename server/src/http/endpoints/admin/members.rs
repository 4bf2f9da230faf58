//! /admin/groups/{id}/members: who belongs to a group.

use super::groups::group_id;
use super::users::user_id;
use crate::domain::Error;
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::tag::Tag;
use crate::model::Scope;

pub const ROUTES: &[Route] = &[
    Route {
        id: "addGroupMember",
        path: "/api/v1/admin/groups/{id}/members/{user_id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        status: 204,
        answer: Payload::Nothing,
        summary: "Makes a user, who may be a mirrored one, a member of this group and of no other.",
        problems: &[Code::CustomerForbidden, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Put, |call| Box::pin(add(call)))
    },
    Route {
        id: "removeGroupMember",
        path: "/api/v1/admin/groups/{id}/members/{user_id}",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Manage),
        status: 204,
        answer: Payload::Nothing,
        summary: "Takes a user out of this group.",
        problems: &[Code::CustomerForbidden, Code::NotFound, Code::Conflict],
        ..Route::new(Verb::Delete, |call| Box::pin(remove(call)))
    },
];

async fn add(call: Call<'_>) -> Result<Answer, Error> {
    let (group, user) = (group_id(&call)?, user_id(&call, "user_id")?);
    call.spend_nonce().await?;
    call.env.members().add(call.principal()?, &call.actor()?, &group, &user).await?;
    Ok(Answer::no_content())
}

async fn remove(call: Call<'_>) -> Result<Answer, Error> {
    let (group, user) = (group_id(&call)?, user_id(&call, "user_id")?);
    call.spend_nonce().await?;
    call.env.members().remove(call.principal()?, &call.actor()?, &group, &user).await?;
    Ok(Answer::no_content())
}
