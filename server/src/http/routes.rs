//! What a route is. One row holds everything about an endpoint: the router, the check for unknown parameters, the
//! labels of metrics, `openapi.json` and the README's table are all made from it. The rows are in [`super::endpoints`].

pub mod parameters;

use futures_util::future::BoxFuture;
use http::Method;
use schemars::{Schema, SchemaGenerator};

use crate::domain::Error;
use crate::model::Scope;

use super::call::Call;
use super::pattern::parameter_name;
use super::problem::Code;
use super::respond::Answer;
use super::tag::Tag;
use parameters::Parameter;

/// The media type of one JSON value per line.
pub const NDJSON: &str = "application/x-ndjson";
/// The media type of a JSON merge patch (RFC 7396).
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// Makes the schema of a body.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Answers a request that has been let in. Boxed, so that the future of a request does not take the room of the largest
/// handler.
pub type Handler = for<'a> fn(Call<'a>) -> BoxFuture<'a, Result<Answer, Error>>;

/// An endpoint. Rows give what differs from [`Route::new`].
#[derive(Debug)]
pub struct Route {
    /// Its name, the `operationId` in `openapi.json`.
    pub id: &'static str,
    /// Its method.
    pub verb: Verb,
    /// Its path; a segment in braces is a path parameter.
    pub path: &'static str,
    /// The group it is shown in.
    pub tag: Tag,
    /// Who may call it.
    pub access: Access,
    /// The query parameters, in groups.
    pub parameters: &'static [&'static [Parameter]],
    /// The body of a request.
    pub body: Body,
    /// Whether the caller names the version that it changes.
    pub if_match: IfMatch,
    /// The status of success.
    pub status: u16,
    /// The body of success.
    pub answer: Payload,
    /// Whether the first answer to a transno is repeated, with 200.
    pub replays: bool,
    /// The body of success with `dry_run=true`, where that is a parameter; the status is 200 then.
    pub dry_run: Option<SchemaOf>,
    /// One line about it.
    pub summary: &'static str,
    /// What can go wrong besides what can go wrong everywhere.
    pub problems: &'static [Code],
    /// What it does.
    pub handler: Handler,
}

/// The method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// Anyone who is authenticated.
    Authenticated,
    /// A user who signed in.
    SignedIn,
    /// Who has the scope.
    Scope(Scope),
    /// The platform, by a signed event.
    Event,
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// None.
    None,
    /// A JSON object.
    Json(SchemaOf),
    /// A JSON object, or none.
    OptionalJson(SchemaOf),
    /// A JSON merge patch: a member left out stays, null clears.
    MergePatch(SchemaOf),
    /// Many items in a JSON array or as NDJSON, of up to `server.max_batch_bytes`.
    Bulk {
        /// The array.
        array: SchemaOf,
        /// The lines.
        lines: SchemaOf,
    },
}

/// Whether a request has the header If-Match with the version of the row that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    /// It is ignored.
    Ignored,
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// The body of success.
#[derive(Debug, Clone, Copy)]
pub enum Payload {
    /// None; the status is 204.
    Nothing,
    /// One object in the envelope.
    One(SchemaOf),
    /// A page of rows in the envelope.
    List(SchemaOf),
    /// The answer to [`Body::Bulk`], in the form of the request.
    Bulk {
        /// One object in the envelope.
        object: SchemaOf,
        /// NDJSON.
        lines: SchemaOf,
    },
    /// JSON without the envelope.
    Bare(SchemaOf),
    /// Records, one per line, as CSV or NDJSON.
    Export(SchemaOf),
    /// HTML.
    Page,
}

impl Route {
    /// A route for authenticated callers that takes no parameters and no body, and answers 200.
    pub const fn new(verb: Verb, handler: Handler) -> Self {
        Self {
            id: "",
            verb,
            path: "",
            tag: Tag::Service,
            access: Access::Authenticated,
            parameters: &[],
            body: Body::None,
            if_match: IfMatch::Ignored,
            status: 200,
            answer: Payload::Page,
            replays: false,
            dry_run: None,
            summary: "",
            problems: &[],
            handler,
        }
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        self.verb != Verb::Get
    }

    /// Whether it takes many items at once.
    pub fn is_bulk(&self) -> bool {
        matches!(self.body, Body::Bulk { .. })
    }

    /// Its query parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().copied().flatten()
    }

    /// The names of its path parameters.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(parameter_name)
    }
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The verb of a method; HEAD is GET without the body.
    pub fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::HEAD => Some(Self::Get),
            _ => Self::ALL.into_iter().find(|verb| verb.method() == *method),
        }
    }

    /// The method.
    pub const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

impl Access {
    /// Whether the caller must be authenticated.
    pub fn needs_principal(self) -> bool {
        matches!(self, Self::Authenticated | Self::SignedIn | Self::Scope(_))
    }

    /// The scope that is needed.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Scope(scope) => Some(scope),
            Self::Open | Self::Authenticated | Self::SignedIn | Self::Event => None,
        }
    }
}

impl Body {
    /// Whether there may be one.
    pub fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::endpoints::routes;
    use super::super::pattern::segment;
    use super::*;

    #[test]
    fn every_route_has_a_name_and_parameters_of_its_own() {
        let ids: HashSet<_> = routes().map(|route| route.id).collect();
        assert_eq!(ids.len(), routes().count());
        for route in routes() {
            let names: HashSet<_> =
                route.parameters().map(|p| p.name).chain(route.path_parameters()).collect();
            let given = route.parameters().count() + route.path_parameters().count();
            assert_eq!(names.len(), given, "{}", route.id);
            let placed = route.path.starts_with("/api/v1/") || route.id == "getDocs";
            assert!(!route.id.is_empty() && !route.summary.is_empty() && placed, "{}", route.id);
            assert_eq!(route.dry_run.is_some(), names.contains("dry_run"), "{}", route.id);
            assert_eq!(matches!(route.answer, Payload::Page), route.id == "getDocs", "{}", route.id);
        }
    }

    /// Writes other than DELETE that need no body. The path says everything.
    const WITHOUT_BODY: &[&str] = &["addGroupMember", "logout"];

    #[test]
    fn only_what_is_open_to_everyone_needs_no_credentials_and_every_write_has_a_body() {
        for route in routes() {
            let open = ["getHealth", "getOpenApi", "getDocs", "login", "refreshTokens"].contains(&route.id);
            assert_eq!(route.access == Access::Open, open, "{}", route.id);
            let without_body = route.verb == Verb::Delete || WITHOUT_BODY.contains(&route.id);
            assert_eq!(route.is_write() && !without_body, route.body.is_some(), "{}", route.id);
        }
    }

    #[test]
    fn a_patch_is_a_merge_patch_of_a_named_version() {
        for route in routes() {
            let is_patch = route.verb == Verb::Patch;
            assert_eq!(matches!(route.body, Body::MergePatch(_)), is_patch, "{}", route.id);
            assert_eq!(route.if_match == IfMatch::Required, is_patch, "{}", route.id);
            assert!(route.is_write() || route.if_match == IfMatch::Ignored, "{}", route.id);
        }
    }

    #[test]
    fn an_answer_without_content_is_204_and_what_is_repeated_was_new() {
        for route in routes() {
            assert_eq!(matches!(route.answer, Payload::Nothing), route.status == 204, "{}", route.id);
            assert!(!route.replays || route.status == 201, "{}", route.id);
        }
    }

    #[test]
    fn path_parameters_are_found_by_name() {
        let route = Route {
            path: "/api/v1/groups/{group}/members/{user}",
            ..Route::new(Verb::Put, |_| Box::pin(std::future::ready(Err(Error::InvalidCursor))))
        };
        let named = |name| segment(route.path, "/api/v1/groups/g%2F1/members/u-1", name);
        assert_eq!((named("group"), named("user"), named("id")), (Some("g%2F1"), Some("u-1"), None));
        assert_eq!(route.path_parameters().collect::<Vec<_>>(), ["group", "user"]);
    }
}
