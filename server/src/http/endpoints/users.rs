//! Mirrored users.

use schemars::{Schema, SchemaGenerator};

use super::mirrored::{MirrorBody, mirror_schema};
use crate::domain::Error;
use crate::domain::mirror::{UsersQuery, query_users};
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::Text;
use crate::http::routes::parameters::{CREATED, CUSTOMER, PAGE, Parameter};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::tag::Tag;
use crate::model::{Entity, Scope};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listUsers",
        path: "/api/v1/users",
        tag: Tag::Users,
        access: Access::Scope(Scope::UsersRead),
        parameters: &[
            CUSTOMER,
            &[
                Parameter::new("username", Text, "The login name, in full."),
                Parameter::new("status", Text, "The user_status: 0 usable, 1 disabled."),
                Parameter::new("q", Text, "A text that occurs in a name, an address or a number."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema),
        summary: "The mirrored users of a customer.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "getUser",
        path: "/api/v1/users/{id}",
        tag: Tag::Users,
        access: Access::Scope(Scope::UsersRead),
        answer: Payload::One(schema),
        summary: "One mirrored user.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
];

fn schema(g: &mut SchemaGenerator) -> Schema {
    mirror_schema(g, "User", Entity::Users)
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let query = UsersQuery {
        customer_id: params.customer(),
        username: params.text("username"),
        status: params.text("status"),
        q: params.text("q"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    params.finish()?;
    let internal = call.reach()?.shows_internal();
    let page = query_users(call.env.store(), call.reach()?, query).await?;
    Answer::list(&page, |row| MirrorBody::of(Entity::Users, row, internal))
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let (id, reach) = (call.path_id("id", "user")?, call.reach()?);
    let user = call.env.users().get(reach, id.as_str()).await?;
    Answer::ok(&MirrorBody::of(Entity::Users, &user, reach.shows_internal()))
}
