use super::super::call::Call;
use super::super::respond::Answer;
use super::super::wire::{ListBody, MirrorBody};
use crate::domain::Error;
use crate::domain::mirror::UsersQuery;
use crate::model::Entity::Users;

/// The users of a customer.
pub async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let named = params.customer();
    let query = UsersQuery {
        customer_id: None,
        username: params.text("username"),
        status: params.text("status"),
        q: params.text("q"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    std::mem::take(params).finish()?;
    let internal = call.reach()?.shows_internal();
    let query = UsersQuery { customer_id: call.customer(named.as_ref())?, ..query };
    let page = call.env.query_users(query).await?;
    Answer::ok(&ListBody::of(&page, |row| MirrorBody::of(Users, row, internal)))
}

/// One user.
pub async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let reach = call.reach()?;
    let user = call.env.get_user(reach, call.id("user")?.as_str()).await?;
    Answer::ok(&MirrorBody::of(Users, &user, reach.shows_internal()))
}
