//! From a path and a method to a route. 404 and 405 are answered before anything is learned about the caller.

use http::Method;

use super::metrics::{HttpMetrics, RouteMetrics, UNMATCHED};
use super::openapi::statuses;
use super::routes::{Route, Verb};

/// Finds routes.
pub struct Router {
    paths: matchit::Router<Path>,
    unmatched: RouteMetrics,
}

/// The routes of one path.
struct Path {
    routes: Vec<&'static Route>,
    allow: String,
    metrics: RouteMetrics,
}

/// What a request is for.
pub struct Found<'a> {
    /// Where it is counted.
    pub metrics: &'a RouteMetrics,
    /// The pattern that matched, or [`UNMATCHED`].
    pub pattern: &'static str,
    /// The route, or why there is none.
    pub target: Target<'a>,
}

/// The route of a request, or why there is none.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The route.
    Route(&'static Route),
    /// The path takes other methods, these.
    OtherMethods(&'a str),
    /// No path matches.
    Nothing,
}

impl Router {
    /// Of these routes. Fails only if their paths contradict each other.
    pub fn new(
        routes: impl Iterator<Item = &'static Route>,
        metrics: &HttpMetrics,
    ) -> Result<Self, matchit::InsertError> {
        let mut by_path: Vec<(&'static str, Vec<&'static Route>)> = Vec::new();
        for route in routes {
            match by_path.iter_mut().find(|(path, _)| *path == route.path) {
                Some((_, routes)) => routes.push(route),
                None => by_path.push((route.path, vec![route])),
            }
        }
        let mut paths = matchit::Router::new();
        for (path, routes) in by_path {
            let allow = allow(&routes);
            let metrics = metrics.route(path);
            for route in &routes {
                metrics.expect(&route.verb.method(), statuses(route));
            }
            paths.insert(path, Path { routes, allow, metrics })?;
        }
        Ok(Self { paths, unmatched: metrics.route(UNMATCHED) })
    }

    /// What a request is for. HEAD is for what GET is for.
    pub fn find<'a>(&'a self, method: &Method, path: &str) -> Found<'a> {
        let Ok(matched) = self.paths.at(path) else {
            return Found { metrics: &self.unmatched, pattern: UNMATCHED, target: Target::Nothing };
        };
        let found = matched.value;
        let verb = Verb::of(method);
        let target = match found.routes.iter().find(|route| Some(route.verb) == verb) {
            Some(route) => Target::Route(route),
            None => Target::OtherMethods(&found.allow),
        };
        Found { metrics: &found.metrics, pattern: found.routes.first().map_or(UNMATCHED, |r| r.path), target }
    }
}

/// The methods of some routes, for the header `Allow`.
fn allow(routes: &[&'static Route]) -> String {
    let verbs = Verb::ALL.into_iter().filter(|verb| routes.iter().any(|route| route.verb == *verb));
    let names = verbs.map(|verb| match verb {
        Verb::Get => "GET, HEAD".to_owned(),
        _ => verb.method().to_string(),
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::super::endpoints::routes;
    use super::super::pattern::segment;
    use super::*;
    use crate::domain::Error;
    use crate::telemetry::metrics::Metrics;

    fn find(method: &Method, path: &str) -> String {
        find_among(routes(), method, path)
    }

    /// The name of the route and the values of its path parameters, or the error.
    fn find_among(routes: impl Iterator<Item = &'static Route>, method: &Method, path: &str) -> String {
        let router = Router::new(routes, &HttpMetrics::register(&Metrics::new("0"))).unwrap();
        match router.find(method, path).target {
            Target::Route(route) => {
                let open: Vec<_> =
                    route.path_parameters().filter_map(|name| segment(route.path, path, name)).collect();
                format!("{} {}", route.id, open.join(" "))
            }
            Target::OtherMethods(allow) => format!("405 {allow}"),
            Target::Nothing => "404".to_owned(),
        }
    }

    #[test]
    fn routes_are_found_by_method_and_path() {
        assert_eq!(find(&Method::GET, "/api/v1/balance"), "getBalance ");
        assert_eq!(find(&Method::GET, "/api/v1/users/a%2Fb"), "getUser a%2Fb");
        assert_eq!(find(&Method::GET, "/api/v1/accounting"), "listAccounting ");
        assert_eq!(find(&Method::POST, "/api/v1/accounting"), "createAccounting ");
    }

    #[test]
    fn head_is_on_every_get() {
        for route in routes().filter(|route| !route.is_write()) {
            let path = route.path.replace("{id}", "x").replace("{ppid}", "x");
            assert_eq!(find(&Method::HEAD, &path), find(&Method::GET, &path), "{path}");
        }
        assert_eq!(find(&Method::HEAD, "/api/v1/events"), "405 POST");
    }

    #[test]
    fn other_methods_are_told_what_is_allowed() {
        assert_eq!(find(&Method::PUT, "/api/v1/balance"), "405 GET, HEAD");
        assert_eq!(find(&Method::OPTIONS, "/api/v1/accounting"), "405 GET, HEAD, POST");
        assert_eq!(find(&Method::GET, "/api/v1/events"), "405 POST");
        assert_eq!(find(&Method::from_bytes(b"get").unwrap(), "/api/v1/balance"), "405 GET, HEAD");
    }

    #[test]
    fn paths_match_as_sent_or_not_at_all() {
        for path in [
            "/",
            "",
            "*",
            "/api/v1",
            "/api/v1/",
            "/api/v1/balance/",
            "//api/v1/balance",
            "/api/v1/Balance",
            "/api/v1/%62alance",
            "/api/v1/users/a/b",
            "/api/v1/users/",
            "/api/v1/./balance",
            "/api/v2/balance",
        ] {
            assert_eq!(find(&Method::GET, path), "404", "{path}");
        }
    }

    #[test]
    fn every_route_is_reached() {
        for route in routes() {
            let path = route.path.replace("{id}", "x").replace("{ppid}", "x");
            let reached = find(&route.verb.method(), &path);
            assert!(reached.starts_with(route.id), "{path}: {reached}");
        }
    }

    #[test]
    fn a_path_may_take_every_method_and_have_several_parameters() {
        const fn row(id: &'static str, verb: Verb) -> Route {
            let path = "/api/v1/groups/{group}/members/{user}";
            Route { id, path, ..Route::new(verb, |_| Box::pin(ready(Err(Error::InvalidCursor)))) }
        }
        static ROWS: [Route; 4] = [
            row("get", Verb::Get),
            row("put", Verb::Put),
            row("patch", Verb::Patch),
            row("delete", Verb::Delete),
        ];
        let path = "/api/v1/groups/g-1/members/u%2F1";
        let found = |method: &Method| find_among(ROWS.iter(), method, path);
        for route in &ROWS {
            assert_eq!(found(&route.verb.method()), format!("{} g-1 u%2F1", route.id));
        }
        assert_eq!(found(&Method::HEAD), "get g-1 u%2F1");
        assert_eq!(found(&Method::POST), "405 GET, HEAD, PUT, PATCH, DELETE");
    }
}
