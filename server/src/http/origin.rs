//! Where a request comes from, and the scheme and host that its client signed: from `server.public_url`, and from
//! forwarding headers of trusted proxies.

use std::net::IpAddr;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Version};

use crate::config::Server;
use crate::model::is_within;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// The client's address, and the scheme and authority that it signed.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The nearest address that is not a trusted proxy.
    pub client: IpAddr,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as the client wrote them.
    pub authority: &'a str,
    /// Scheme and authority of a target that was sent as a whole URI. HTTP/2 has no request line: its
    /// pseudo-header fields are not of the target (RFC 9113 section 8.3.1).
    pub of_target: Option<(&'a str, &'a str)>,
}

impl<'a> Origin<'a> {
    /// Of a request that came from `peer`. Headers count only if that is a trusted proxy.
    pub fn of(parts: &'a Parts, peer: IpAddr, server: &'a Server) -> Self {
        // An IPv4 client of a socket that serves both families has a mapped address.
        let peer = peer.to_canonical();
        let trusted = |address: IpAddr| is_within(address, &server.trusted_proxies);
        let proxied = !server.trusted_proxies.is_empty() && trusted(peer);
        let client = if proxied { forwarded_client(&parts.headers, peer, trusted) } else { peer };
        let of_target = absolute_form(parts);
        if let Some(public) = &server.public_url {
            return Self { client, scheme: &public.scheme, authority: &public.authority, of_target };
        }
        let told = |name| if proxied { nearest(&parts.headers, name) } else { None };
        let scheme = told(FORWARDED_PROTO).or(of_target.map(|(scheme, _)| scheme)).unwrap_or("http");
        let authority = told(FORWARDED_HOST).unwrap_or_else(|| host(parts));
        Self { client, scheme, authority, of_target }
    }
}

/// Scheme and authority of a request line that has the whole URI (RFC 9112 section 3.2.2).
fn absolute_form(parts: &Parts) -> Option<(&str, &str)> {
    let (scheme, authority) = (parts.uri.scheme_str()?, parts.uri.authority()?);
    (parts.version < Version::HTTP_2).then_some((scheme, authority.as_str()))
}

/// The target's own authority (HTTP/2, absolute form) before the `Host` header (RFC 9112 section 3.2.2).
fn host(parts: &Parts) -> &str {
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    target.or_else(|| parts.headers.get(HOST)?.to_str().ok()).unwrap_or_default()
}

/// The last value, which the nearest proxy wrote.
fn nearest<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let value = line.rsplit(',').next()?.trim();
    (!value.is_empty()).then_some(value)
}

/// From the nearest address backwards, the first that is not a trusted proxy; anyone could have written the ones before
/// it. An unreadable address ends the search.
fn forwarded_client(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    for line in headers.get_all(FORWARDED_FOR).iter().rev() {
        for address in line.to_str().unwrap_or_default().rsplit(',') {
            let Some(address) = address_of(address.trim()) else { return client };
            client = address;
            if !trusted(client) {
                return client;
            }
        }
    }
    client
}

/// An address, perhaps with a port, perhaps in brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare =
        text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(inside, _)| inside);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// What is wrong with how a request names its host: HTTP/1.1 demands one `Host` field, and two would let a proxy
/// and us see two different requests (RFC 9112 section 3.2). A user name before the host is an error (RFC 9110
/// section 4.2.4).
pub fn host_fault(parts: &Parts) -> Option<&'static str> {
    if parts.uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some("the request target names a user before its host; leave that out");
    }
    match parts.headers.get_all(HOST).iter().count() {
        0 if parts.version == Version::HTTP_11 => Some("the request has no Host field; send one"),
        0 | 1 => None,
        _ => Some("the request names more than one host"),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::PublicUrl;

    fn server(trusted: &[&str], public: Option<(&str, &str)>) -> Server {
        Server {
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: public
                .map(|(scheme, authority)| PublicUrl { scheme: scheme.into(), authority: authority.into() }),
            request_timeout: std::time::Duration::from_secs(30),
            max_body_bytes: 1024,
            max_batch_bytes: 1024,
            trusted_proxies: trusted.iter().map(|net| net.parse().unwrap()).collect(),
            read_only: false,
            shutdown_grace: std::time::Duration::from_secs(1),
            idle_timeout: std::time::Duration::from_secs(90),
            tls: None,
        }
    }

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/x").header(HOST, "api.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const FORWARDED: &[(&str, &str)] = &[
        (FORWARDED_FOR, "1.1.1.1, 2.2.2.2"),
        (FORWARDED_FOR, "10.0.0.7"),
        (FORWARDED_PROTO, "http, https"),
        (FORWARDED_HOST, "outer.example.com"),
    ];

    fn of(headers: &[(&str, &str)], peer: &str, server: &Server) -> (String, String, String) {
        let parts = parts(headers);
        let origin = Origin::of(&parts, peer.parse().unwrap(), server);
        (origin.client.to_string(), origin.scheme.to_owned(), origin.authority.to_owned())
    }

    fn seen(client: &str, scheme: &str, authority: &str) -> (String, String, String) {
        (client.to_owned(), scheme.to_owned(), authority.to_owned())
    }

    #[test]
    fn nobody_is_believed_unless_trusted() {
        let wanted = seen("10.0.0.1", "http", "api.example.com");
        assert_eq!(of(FORWARDED, "10.0.0.1", &server(&[], None)), wanted);
        assert_eq!(of(FORWARDED, "10.0.0.1", &server(&["192.168.0.0/16"], None)), wanted);
    }

    #[test]
    fn a_trusted_proxy_tells_the_client_scheme_and_host() {
        let server = server(&["10.0.0.0/8"], None);
        assert_eq!(of(FORWARDED, "10.0.0.1", &server), seen("2.2.2.2", "https", "outer.example.com"));
        assert_eq!(of(FORWARDED, "::ffff:10.0.0.1", &server).0, "2.2.2.2");
        assert_eq!(of(&[], "10.0.0.1", &server), seen("10.0.0.1", "http", "api.example.com"));
    }

    #[test]
    fn proxies_are_trusted_by_what_their_networks_mean() {
        for net in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1"] {
                assert_eq!(of(FORWARDED, peer, &server(&[net], None)).0, "2.2.2.2", "{peer} in {net}");
            }
        }
        let forwarded = [(FORWARDED_FOR, "1.1.1.1, ::ffff:10.0.0.7")];
        assert_eq!(of(&forwarded, "10.0.0.1", &server(&["10.0.0.0/8"], None)).0, "1.1.1.1");
    }

    #[test]
    fn an_unreadable_forwarded_address_is_not_skipped() {
        let server = server(&["10.0.0.0/8"], None);
        let client = |line: &str| of(&[(FORWARDED_FOR, line)], "10.0.0.1", &server).0;
        assert_eq!(client("1.1.1.1, nonsense"), "10.0.0.1");
        assert_eq!(client("1.1.1.1, unknown, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client("1.1.1.1:443"), "1.1.1.1");
        assert_eq!(client("[2001:db8::1]:443"), "2001:db8::1");
    }

    #[test]
    fn one_host_is_named_and_none_only_where_http_asks_for_none() {
        let fault = |version, hosts: &[&str]| {
            let request = Request::builder().uri("/x").version(version);
            let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
            host_fault(&request.body(()).unwrap().into_parts().0).is_some()
        };
        assert!(fault(Version::HTTP_11, &[]) && fault(Version::HTTP_11, &["a", "a"]));
        assert!(!fault(Version::HTTP_11, &["a"]) && !fault(Version::HTTP_11, &[""]));
        assert!(!fault(Version::HTTP_10, &[]) && !fault(Version::HTTP_2, &[]));
    }

    #[test]
    fn a_whole_uri_as_target_decides_over_the_host_field_and_less_than_who_is_believed() {
        let of = |uri: &str, version, server: &Server| {
            let request = Request::builder().uri(uri).version(version).header(HOST, "other.example.com");
            let request = request.header(FORWARDED_PROTO, "http").body(()).unwrap();
            let parts = request.into_parts().0;
            let origin = Origin::of(&parts, "10.0.0.1".parse().unwrap(), server);
            let of_target = origin.of_target.map(|(scheme, authority)| format!("{scheme}://{authority}"));
            (format!("{}://{}", origin.scheme, origin.authority), of_target.unwrap_or_default())
        };
        let wanted = |origin: &str, target: &str| (origin.to_owned(), target.to_owned());
        let (http1, http2, whole) = (Version::HTTP_11, Version::HTTP_2, "https://Api:8443/x");
        let (alone, public) = (server(&[], None), server(&[], Some(("http", "public"))));
        assert_eq!(of("/x", http1, &alone), wanted("http://other.example.com", ""));
        assert_eq!(of(whole, http1, &alone), wanted("https://Api:8443", "https://Api:8443"));
        assert_eq!(of(whole, http1, &public), wanted("http://public", "https://Api:8443"));
        assert_eq!(of(whole, http1, &server(&["10.0.0.0/8"], None)).0, "http://Api:8443");
        assert_eq!(of(whole, http2, &alone), wanted("http://Api:8443", ""));
    }

    #[test]
    fn a_user_before_the_host_is_a_fault() {
        for (uri, faulty) in [("http://u:p@a/x", true), ("http://a/x", false), ("/x@y", false)] {
            let request = Request::builder().uri(uri).header(HOST, "a").body(()).unwrap();
            assert_eq!(host_fault(&request.into_parts().0).is_some(), faulty, "{uri}");
        }
    }

    #[test]
    fn the_public_url_decides() {
        let server = server(&["10.0.0.0/8"], Some(("https", "public.example.com")));
        assert_eq!(of(FORWARDED, "10.0.0.1", &server), seen("2.2.2.2", "https", "public.example.com"));
    }
}
