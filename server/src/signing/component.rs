//! What a signature can cover (RFC 9421 section 2): derived components and header fields.

use std::borrow::Cow;

use http::HeaderMap;

use super::SignedRequest;
use super::error::AuthError;
use super::query_param;

/// One covered component, without the parameters that this service refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Component<'a> {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    /// One named parameter of the query; the name is percent-encoded as the RFC writes it.
    QueryParam(Cow<'a, str>),
    /// A header field by its lower-case name.
    Field(Cow<'a, str>),
}

/// Whether a component of this name can be demanded or covered without parameters: a derived component other
/// than `@query-param`, or a lower-case header name. Meant for checking configuration.
pub fn is_coverable(name: &str) -> bool {
    Component::new(Cow::Borrowed(name), None).is_ok()
}

impl<'a> Component<'a> {
    /// The component of an identifier and its `name` parameter.
    pub(super) fn new(id: Cow<'a, str>, name: Option<Cow<'a, str>>) -> Result<Self, AuthError> {
        let component = match &*id {
            "@query-param" => {
                return name
                    .map(Self::QueryParam)
                    .ok_or_else(|| AuthError::malformed("@query-param needs the parameter `name`"));
            }
            "@method" => Self::Method,
            "@target-uri" => Self::TargetUri,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@request-target" => Self::RequestTarget,
            "@path" => Self::Path,
            "@query" => Self::Query,
            field if is_field_name(field) => Self::Field(id),
            derived if derived.starts_with('@') => {
                return Err(AuthError::malformed("a covered derived component is unknown for requests"));
            }
            _ => return Err(AuthError::malformed("a covered component is not a lower-case header name")),
        };
        match name {
            None => Ok(component),
            Some(_) => Err(AuthError::malformed("only @query-param takes the parameter `name`")),
        }
    }

    /// The identifier without its parameters.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Method => "@method",
            Self::TargetUri => "@target-uri",
            Self::Authority => "@authority",
            Self::Scheme => "@scheme",
            Self::RequestTarget => "@request-target",
            Self::Path => "@path",
            Self::Query => "@query",
            Self::QueryParam(_) => "@query-param",
            Self::Field(name) => name,
        }
    }

    /// Appends the component's value in `request`.
    pub(super) fn write_value(
        &self,
        request: &SignedRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), AuthError> {
        match self {
            Self::Method => out.extend_from_slice(request.method.as_str().as_bytes()),
            Self::TargetUri => {
                write_lower(request.scheme, out);
                out.extend_from_slice(b"://");
                write_authority(request, out);
                write_target(request, out);
            }
            Self::Authority => write_authority(request, out),
            Self::Scheme => write_lower(request.scheme, out),
            Self::RequestTarget => {
                if let Some((scheme, authority)) = request.target_origin {
                    out.extend_from_slice(scheme.as_bytes());
                    out.extend_from_slice(b"://");
                    out.extend_from_slice(authority.as_bytes());
                }
                write_target(request, out);
            }
            Self::Path => write_path(request, out),
            Self::Query => {
                out.push(b'?');
                out.extend_from_slice(request.query.unwrap_or_default().as_bytes());
            }
            Self::QueryParam(name) => query_param::write_value(request.query.unwrap_or_default(), name, out)?,
            Self::Field(name) => write_field(request.headers, name, out)?,
        }
        Ok(())
    }
}

/// RFC 9110 token characters, lower-case only: identifiers of header fields are written so (RFC 9421 section
/// 2.1).
fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn write_lower(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|b| b.to_ascii_lowercase()));
}

fn write_authority(request: &SignedRequest<'_>, out: &mut Vec<u8>) {
    let default_port = if request.scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    write_lower(request.authority.strip_suffix(default_port).unwrap_or(request.authority), out);
}

fn write_path(request: &SignedRequest<'_>, out: &mut Vec<u8>) {
    // An empty path and "/" are the same target (RFC 9421 section 2.2.6).
    out.extend_from_slice(if request.path.is_empty() { b"/" } else { request.path.as_bytes() });
}

fn write_target(request: &SignedRequest<'_>, out: &mut Vec<u8>) {
    write_path(request, out);
    if let Some(query) = request.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
}

/// Several lines of one field are trimmed and joined by a comma and a space (RFC 9421 section 2.1).
fn write_field(headers: &HeaderMap, name: &str, out: &mut Vec<u8>) -> Result<(), AuthError> {
    let mut lines = headers.get_all(name).into_iter();
    let first = lines
        .next()
        .ok_or_else(|| AuthError::malformed(format!("the covered header `{name}` is not in the request")))?;
    out.extend_from_slice(first.as_bytes().trim_ascii());
    for line in lines {
        out.extend_from_slice(b", ");
        out.extend_from_slice(line.as_bytes().trim_ascii());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;

    fn value(id: &str, request: &SignedRequest<'_>) -> String {
        let mut out = Vec::new();
        Component::new(Cow::Borrowed(id), None).unwrap().write_value(request, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn request(headers: &HeaderMap) -> SignedRequest<'_> {
        SignedRequest {
            method: &Method::GET,
            scheme: "HTTPS",
            authority: "API.Example.com:443",
            target_origin: None,
            path: "/a%2Fb",
            query: Some("x=%7e"),
            headers,
        }
    }

    #[test]
    fn each_derived_component_has_the_value_of_the_rfc() {
        let headers = HeaderMap::new();
        let request = request(&headers);
        for (id, expected) in [
            ("@method", "GET"),
            ("@scheme", "https"),
            ("@authority", "api.example.com"),
            ("@path", "/a%2Fb"),
            ("@query", "?x=%7e"),
            ("@request-target", "/a%2Fb?x=%7e"),
            ("@target-uri", "https://api.example.com/a%2Fb?x=%7e"),
        ] {
            assert_eq!(value(id, &request), expected, "{id}");
        }
    }

    #[test]
    fn a_target_that_was_sent_as_a_whole_uri_is_one_in_request_target_alone() {
        let headers = HeaderMap::new();
        let request = SignedRequest { target_origin: Some(("http", "Inner:80")), ..request(&headers) };
        for (id, expected) in [
            ("@request-target", "http://Inner:80/a%2Fb?x=%7e"),
            ("@target-uri", "https://api.example.com/a%2Fb?x=%7e"),
            ("@authority", "api.example.com"),
            ("@path", "/a%2Fb"),
            ("@query", "?x=%7e"),
        ] {
            assert_eq!(value(id, &request), expected, "{id}");
        }
    }

    #[test]
    fn an_absent_query_is_a_question_mark_and_an_empty_path_a_slash() {
        let headers = HeaderMap::new();
        let request = SignedRequest { path: "", query: None, ..request(&headers) };
        assert_eq!(value("@query", &request), "?");
        assert_eq!(value("@path", &request), "/");
        assert_eq!(value("@request-target", &request), "/");
    }

    #[test]
    fn only_the_default_port_of_the_scheme_is_dropped() {
        let headers = HeaderMap::new();
        for (scheme, authority, expected) in [
            ("http", "h:80", "h"),
            ("http", "h:443", "h:443"),
            ("https", "h:80", "h:80"),
            ("https", "[::1]:443", "[::1]"),
            ("https", "h:8443", "h:8443"),
        ] {
            let request = SignedRequest { scheme, authority, ..request(&headers) };
            assert_eq!(value("@authority", &request), expected, "{scheme}://{authority}");
        }
    }

    #[test]
    fn lines_of_a_header_are_trimmed_and_joined() {
        let mut headers = HeaderMap::new();
        for line in ["  one ", "two\t", ""] {
            headers.append("x-list", HeaderValue::from_static(line));
        }
        assert_eq!(value("x-list", &request(&headers)), "one, two, ");
    }

    #[test]
    fn unknown_components_are_not_coverable() {
        for name in ["@status", "@query-param", "@", "@Method", "", "Content-Type", "a b", "a:b", "x\"", "é"]
        {
            assert!(!is_coverable(name), "{name}");
        }
        assert!(is_coverable("@authority") && is_coverable("content-type"));
    }
}
