//! From a path and a method to a route. What is not there is told before anything is asked about the caller.

use http::Method;

use crate::telemetry::metrics::{Metrics, RouteMetrics, UNMATCHED};

use super::openapi::statuses;
use super::routes::{ROUTES, Route, Verb};

/// Finds routes.
pub struct Router {
    paths: matchit::Router<Path>,
    unmatched: RouteMetrics,
}

/// What one path takes.
struct Path {
    routes: Vec<&'static Route>,
    allow: &'static str,
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
    /// The route, and the segment that its pattern leaves open, as sent.
    Route(&'static Route, Option<&'a str>),
    /// The path takes other methods.
    OtherMethods(&'static str),
    /// No path matches.
    Nothing,
}

impl Router {
    /// Of all routes.
    pub fn new(metrics: &Metrics) -> Result<Self, matchit::InsertError> {
        let mut by_path: Vec<(&'static str, Vec<&'static Route>)> = Vec::new();
        for route in ROUTES {
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
                let method = if route.is_write() { Method::POST } else { Method::GET };
                metrics.expect(&method, statuses(route));
            }
            paths.insert(path, Path { routes, allow, metrics })?;
        }
        Ok(Self { paths, unmatched: metrics.route(UNMATCHED) })
    }

    /// What a request is for. HEAD is for what GET is for.
    pub fn find<'a>(&'a self, method: &Method, path: &'a str) -> Found<'a> {
        let Ok(matched) = self.paths.at(path) else {
            return Found { metrics: &self.unmatched, pattern: UNMATCHED, target: Target::Nothing };
        };
        let found = matched.value;
        let verb = Verb::of(method);
        let target = match found.routes.iter().find(|route| Some(route.verb) == verb) {
            Some(route) => Target::Route(route, matched.params.iter().next().map(|(_, value)| value)),
            None => Target::OtherMethods(found.allow),
        };
        Found { metrics: &found.metrics, pattern: found.routes.first().map_or(UNMATCHED, |r| r.path), target }
    }
}

fn allow(routes: &[&'static Route]) -> &'static str {
    let takes = |verb: Verb| routes.iter().any(|route| route.verb == verb);
    match (takes(Verb::Get), takes(Verb::Post)) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        (false, _) => "POST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &Method, path: &str) -> String {
        let router = Router::new(&Metrics::new("0")).unwrap();
        match router.find(method, path).target {
            Target::Route(route, open) => format!("{} {}", route.id, open.unwrap_or_default()),
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
        for route in ROUTES.iter().filter(|route| !route.is_write()) {
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
    fn every_operation_is_reached() {
        for route in ROUTES {
            let path = route.path.replace("{id}", "x").replace("{ppid}", "x");
            let method = if route.is_write() { Method::POST } else { Method::GET };
            let reached = find(&method, &path);
            assert!(reached.starts_with(route.id), "{path}: {reached}");
        }
    }
}
