//! Signing in: tokens for users, and the sessions that they belong to.

mod body;

use crate::domain::Error;
use crate::domain::list;
use crate::domain::page::PageRequest;
use crate::domain::sign_in::{Credentials, Origin, Tokens};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::PAGE;
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::{CustomerId, Owner, Secret};
use crate::store::SessionFilter;

pub use body::SessionBody;
use body::{MeBody, TokensBody, login_schema, password_schema, refresh_schema};

/// The most characters of what a client calls its device.
const MAX_DEVICE_NAME: usize = 128;

pub const ROUTES: &[Route] = &[
    Route {
        id: "login",
        path: "/api/v1/auth/login",
        tag: Tag::Auth,
        access: Access::Open,
        body: Body::Json(login_schema),
        answer: Payload::One(schema::of::<TokensBody<'static>>),
        summary: "Signs a user in.",
        problems: &[Code::LoginFailed, Code::UserDisabled, Code::RateLimited, Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(login(call)))
    },
    Route {
        id: "refreshTokens",
        path: "/api/v1/auth/refresh",
        tag: Tag::Auth,
        access: Access::Open,
        body: Body::Json(refresh_schema),
        answer: Payload::One(schema::of::<TokensBody<'static>>),
        summary: "Exchanges a refresh token for the next tokens; can be repeated if the answer is lost.",
        problems: &[Code::TokenInvalid, Code::TokenExpired, Code::TokenReused, Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(refresh(call)))
    },
    Route {
        id: "logout",
        access: Access::SignedIn,
        path: "/api/v1/auth/logout",
        tag: Tag::Auth,
        status: 204,
        answer: Payload::Nothing,
        summary: "Ends the session of the access token.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(logout(call)))
    },
    Route {
        id: "getMe",
        access: Access::SignedIn,
        path: "/api/v1/auth/me",
        tag: Tag::Auth,
        answer: Payload::One(schema::of::<MeBody<'static>>),
        summary: "The user who signed in.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(std::future::ready(me(&call))))
    },
    Route {
        id: "changePassword",
        access: Access::SignedIn,
        path: "/api/v1/auth/password",
        tag: Tag::Auth,
        body: Body::Json(password_schema),
        answer: Payload::One(schema::of::<TokensBody<'static>>),
        summary: "Changes the user's own password; all other sessions end, and this one gets new tokens.",
        problems: &[Code::LoginFailed, Code::RateLimited, Code::Conflict, Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(change_password(call)))
    },
    Route {
        id: "listOwnSessions",
        access: Access::SignedIn,
        path: "/api/v1/auth/sessions",
        tag: Tag::Auth,
        parameters: &[PAGE],
        answer: Payload::List(schema::of::<SessionBody<'static>>),
        summary: "The user's own sessions.",
        problems: &[Code::InvalidCursor, Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(list_own(call)))
    },
    Route {
        id: "endOwnSession",
        access: Access::SignedIn,
        path: "/api/v1/auth/sessions/{id}",
        tag: Tag::Auth,
        status: 204,
        answer: Payload::Nothing,
        summary: "Ends a session of the user's own.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Delete, |call| Box::pin(end_own(call)))
    },
];

fn tokens(tokens: &Tokens) -> Result<Answer, Error> {
    Ok(Answer::done(&TokensBody::of(tokens))?.secret())
}

async fn login(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let username = body.parsed("username", |text| Ok::<_, &str>(text.to_owned()));
    let password = body.secret("password");
    let owner = body.parsed("customer_id", CustomerId::parse).map_or(Owner::Platform, Owner::Customer);
    let device_token = body.secret("device_token");
    let device_name = body.text("device_name", MAX_DEVICE_NAME);
    body.require("username", username.as_ref());
    body.require("password", password.as_ref());
    body.finish()?;
    let (username, password) = (required(username)?, required(password)?);
    let credentials =
        Credentials { owner, username, password, device_token, device_name, address: call.address };
    tokens(&call.env.sign_in().login(credentials).await?)
}

async fn refresh(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let token: Option<Secret> = body.secret("refresh_token");
    body.require("refresh_token", token.as_ref());
    body.finish()?;
    let from = Origin { request_id: call.request_id, address: call.address };
    tokens(&call.env.sign_in().refresh(required(token)?.expose(), &from).await?)
}

async fn logout(call: Call<'_>) -> Result<Answer, Error> {
    let who = call.principal()?.signed_in()?;
    call.env.sign_in().logout(who, &call.actor()?).await?;
    Ok(Answer::no_content())
}

fn me(call: &Call<'_>) -> Result<Answer, Error> {
    let principal = call.principal()?;
    Answer::ok(&MeBody::of(principal, principal.signed_in()?))
}

async fn change_password(call: Call<'_>) -> Result<Answer, Error> {
    let who = call.principal()?.signed_in()?;
    let mut body = Object::parse(&call.body)?;
    let (current, new) = (body.secret("current"), body.secret("new"));
    body.require("current", current.as_ref());
    body.require("new", new.as_ref());
    body.finish()?;
    let by = call.actor()?;
    tokens(&call.env.sign_in().change_password(who, required(current)?, required(new)?, &by).await?)
}

async fn list_own(mut call: Call<'_>) -> Result<Answer, Error> {
    let page: PageRequest = call.params.page();
    call.params.finish()?;
    let who = call.principal()?.signed_in()?;
    let filter =
        SessionFilter { user_id: Some(who.user.id.clone()), unrevoked: true, ..SessionFilter::default() };
    let page = list::page(call.env.store(), &filter, &page).await?;
    Answer::list(&page, |session| SessionBody::of(session, Some(who.session.id)))
}

async fn end_own(call: Call<'_>) -> Result<Answer, Error> {
    let id = call.path_record_id("id", "session")?;
    let who = call.principal()?.signed_in()?;
    call.env.sign_in().revoke_own(who, id, &call.actor()?).await?;
    Ok(Answer::no_content())
}
