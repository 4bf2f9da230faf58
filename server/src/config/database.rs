use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::model::Secret;

/// Which database, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseTarget {
    /// A SQLite file.
    Sqlite {
        /// The file; relative to the working directory unless absolute.
        path: PathBuf,
    },
    /// A database of a MySQL-compatible server, or of several that hold the same.
    Mysql {
        /// Where it is reached, in the order in which they are tried; at least one.
        hosts: Vec<DatabaseHost>,
        /// User.
        user: String,
        /// Password; empty: none.
        password: Secret,
        /// Name of the database.
        name: String,
        /// CA that the server's certificate must chain to, as PEM.
        tls_ca_file: Option<PathBuf>,
    },
}

/// A server of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseHost {
    /// Name or address; an IPv6 address without brackets.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for DatabaseHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

impl DatabaseTarget {
    /// The kind as in `database.kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Mysql { .. } => "mysql",
        }
    }

    /// The target for people: everything but the password.
    pub fn display(&self) -> String {
        match self {
            Self::Sqlite { path } => format!("sqlite:{}", path.display()),
            Self::Mysql { hosts, user, name, .. } => {
                let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
                format!("mysql://{user}@{}/{name}", hosts.join(","))
            }
        }
    }
}

/// The default port of a MySQL server.
pub(super) const MYSQL_PORT: u16 = 3306;

/// More hosts than any cluster of one database has.
const MAX_HOSTS: usize = 16;

/// Reads a database URL. Reasons are constant, since a URL may hold a password.
pub(super) fn parse(url: &str) -> Result<DatabaseTarget, &'static str> {
    if url.chars().any(char::is_control) {
        return Err("it contains a control character");
    }
    if url.trim() != url {
        return Err("it begins or ends with whitespace; write a space in a name as %20");
    }
    match url.split_once(':') {
        Some(("sqlite", rest)) => sqlite(rest),
        Some(("mysql", rest)) => mysql(rest.strip_prefix("//").ok_or("// is missing after mysql:")?),
        _ => Err("it begins with neither sqlite: nor mysql://"),
    }
}

fn sqlite(rest: &str) -> Result<DatabaseTarget, &'static str> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    no_parameters(path)?;
    if path.is_empty() || path.ends_with('/') {
        return Err("the path of a file is missing");
    }
    if path == ":memory:" {
        return Err("a database in memory would be lost with the process");
    }
    Ok(DatabaseTarget::Sqlite { path: decode(path)?.into() })
}

fn mysql(rest: &str) -> Result<DatabaseTarget, &'static str> {
    no_parameters(rest)?;
    let (authority, name) = rest.split_once('/').ok_or("the database name is missing")?;
    let (credentials, server) = authority.rsplit_once('@').ok_or("the user is missing")?;
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let hosts = server.split(',').map(database_host).collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > MAX_HOSTS {
        return Err("more than 16 hosts");
    }
    if user.is_empty() {
        return Err("the user is missing");
    }
    if name.is_empty() || name.contains('/') {
        return Err("the database name is missing or has a / in it");
    }
    Ok(DatabaseTarget::Mysql {
        hosts,
        user: decode(user)?,
        password: Secret::new(decode(password)?),
        name: decode(name)?,
        tls_ca_file: None,
    })
}

/// `host`, `host:port` or `[address]:port`.
fn database_host(text: &str) -> Result<DatabaseHost, &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("the host is missing its ]")?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => MYSQL_PORT,
        None => return Err("invalid port after the host"),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("invalid port")?,
    };
    if !is_host(host) {
        return Err("invalid host; percent-encode reserved characters in user and password");
    }
    Ok(DatabaseHost { name: host.to_owned(), port })
}

fn no_parameters(text: &str) -> Result<(), &'static str> {
    if text.contains(['?', '#']) {
        return Err("parameters after ? are not accepted; write ? and # in names as %3F and %23");
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, &'static str> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| "it decodes to invalid UTF-8")
}

/// A DNS name, or an IPv4 or IPv6 address without brackets.
pub(super) fn is_host(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty()
        && text.len() <= 253
        && (text.bytes().all(name) || text.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mysql_target(url: &str) -> (String, u16, String, String, String) {
        match parse(url).unwrap() {
            DatabaseTarget::Mysql { hosts, user, password, name, .. } => {
                let [DatabaseHost { name: host, port }] = &hosts[..] else { panic!("{hosts:?}") };
                (host.clone(), *port, user, password.expose().to_owned(), name)
            }
            other @ DatabaseTarget::Sqlite { .. } => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sqlite_url_names_a_file_with_or_without_slashes() {
        for (url, path) in [
            ("sqlite:data/sageapi.db", "data/sageapi.db"),
            ("sqlite://data/sageapi.db", "data/sageapi.db"),
            ("sqlite:///var/lib/sage.db", "/var/lib/sage.db"),
            ("sqlite:/var/lib/sage.db", "/var/lib/sage.db"),
            ("sqlite:a%20b%3F.db", "a b?.db"),
        ] {
            assert_eq!(parse(url), Ok(DatabaseTarget::Sqlite { path: path.into() }), "{url}");
        }
    }

    #[test]
    fn a_mysql_url_is_taken_apart_and_decoded() {
        let parts = |host: &str, port, user: &str, password: &str, name: &str| {
            (host.to_owned(), port, user.to_owned(), password.to_owned(), name.to_owned())
        };
        assert_eq!(mysql_target("mysql://u:p@db:3307/sage"), parts("db", 3307, "u", "p", "sage"));
        assert_eq!(mysql_target("mysql://u@db/sage"), parts("db", 3306, "u", "", "sage"));
        assert_eq!(mysql_target("mysql://u:a%40b%2Fc%3A@db/s"), parts("db", 3306, "u", "a@b/c:", "s"));
        assert_eq!(mysql_target("mysql://u:a:b@c@[::1]:1/s"), parts("::1", 1, "u", "a:b@c", "s"));
    }

    #[test]
    fn a_mysql_url_takes_several_hosts_in_order() {
        let target = parse("mysql://u:p@a:3307,[::1],b/sage").unwrap();
        assert_eq!(target.display(), "mysql://u@a:3307,[::1]:3306,b:3306/sage");
        let many = vec!["h"; 17].join(",");
        assert_eq!(parse(&format!("mysql://u@{many}/n")), Err("more than 16 hosts"));
        for url in ["mysql://u@a,/n", "mysql://u@,a/n", "mysql://u@a,,b/n", "mysql://u@a, b/n"] {
            let reason = "invalid host; percent-encode reserved characters in user and password";
            assert_eq!(parse(url), Err(reason), "{url}");
        }
    }

    #[test]
    fn the_password_is_in_neither_display_nor_debug() {
        let target = parse("mysql://sage:hunter2@[::1]/billing").unwrap();
        assert_eq!(target.display(), "mysql://sage@[::1]:3306/billing");
        assert!(!format!("{target:?}").contains("hunter2"));
    }

    #[test]
    fn a_url_that_is_none_is_refused_with_a_reason() {
        for (url, reason) in [
            ("", "it begins with neither sqlite: nor mysql://"),
            ("postgres://u@h/n", "it begins with neither sqlite: nor mysql://"),
            ("sqlite:", "the path of a file is missing"),
            ("sqlite:data/", "the path of a file is missing"),
            ("sqlite::memory:", "a database in memory would be lost with the process"),
            (
                "sqlite:a.db?mode=rw",
                "parameters after ? are not accepted; write ? and # in names as %3F and %23",
            ),
            ("sqlite:%ff", "it decodes to invalid UTF-8"),
            ("sqlite:a\n", "it contains a control character"),
            ("sqlite:a.db ", "it begins or ends with whitespace; write a space in a name as %20"),
            ("mysql://u@h/n ", "it begins or ends with whitespace; write a space in a name as %20"),
            (" mysql://u@h/n", "it begins or ends with whitespace; write a space in a name as %20"),
            ("mysql://u@h/n\u{a0}", "it begins or ends with whitespace; write a space in a name as %20"),
            ("mysql:u@h/n", "// is missing after mysql:"),
            ("mysql://u@h", "the database name is missing"),
            ("mysql://u@h/", "the database name is missing or has a / in it"),
            ("mysql://u@h/a/b", "the database name is missing or has a / in it"),
            ("mysql://h/n", "the user is missing"),
            ("mysql://:p@h/n", "the user is missing"),
            ("mysql://u@h:0/n", "invalid port"),
            ("mysql://u@h:x/n", "invalid port"),
            ("mysql://u@[::1/n", "the host is missing its ]"),
            ("mysql://u@[::1]x/n", "invalid port after the host"),
            ("mysql://u@/n", "invalid host; percent-encode reserved characters in user and password"),
            ("mysql://u@a b/n", "invalid host; percent-encode reserved characters in user and password"),
        ] {
            assert_eq!(parse(url), Err(reason), "{url}");
        }
    }
}
