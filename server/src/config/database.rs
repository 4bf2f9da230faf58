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
    /// A database of a MySQL-compatible server.
    Mysql {
        /// Name or address; an IPv6 address without brackets.
        host: String,
        /// TCP port.
        port: u16,
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
            Self::Mysql { host, port, user, name, .. } if host.contains(':') => {
                format!("mysql://{user}@[{host}]:{port}/{name}")
            }
            Self::Mysql { host, port, user, name, .. } => format!("mysql://{user}@{host}:{port}/{name}"),
        }
    }
}

/// The port of a MySQL server that names none.
pub(super) const MYSQL_PORT: u16 = 3306;

/// Reads a database URL. Reasons are constant, since a URL may hold a password.
pub(super) fn parse(url: &str) -> Result<DatabaseTarget, &'static str> {
    if url.chars().any(char::is_control) {
        return Err("it has a line end or another control character in it");
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
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("the host lacks its ]")?,
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => MYSQL_PORT,
        None => return Err("what follows the host is no port"),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("the port is no port")?,
    };
    if !is_host(host) {
        return Err("the host is no host; percent-encode reserved characters in user and password");
    }
    if user.is_empty() {
        return Err("the user is missing");
    }
    if name.is_empty() || name.contains('/') {
        return Err("the database name is missing or has a / in it");
    }
    Ok(DatabaseTarget::Mysql {
        host: host.to_owned(),
        port,
        user: decode(user)?,
        password: Secret::new(decode(password)?),
        name: decode(name)?,
        tls_ca_file: None,
    })
}

fn no_parameters(text: &str) -> Result<(), &'static str> {
    if text.contains(['?', '#']) {
        return Err("parameters after ? are not accepted; write ? and # in names as %3F and %23");
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, &'static str> {
    percent_decode_str(text)
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| "it decodes to bytes that are not UTF-8")
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
            DatabaseTarget::Mysql { host, port, user, password, name, .. } => {
                (host, port, user, password.expose().to_owned(), name)
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
            ("sqlite:%ff", "it decodes to bytes that are not UTF-8"),
            ("sqlite:a\n", "it has a line end or another control character in it"),
            ("mysql:u@h/n", "// is missing after mysql:"),
            ("mysql://u@h", "the database name is missing"),
            ("mysql://u@h/", "the database name is missing or has a / in it"),
            ("mysql://u@h/a/b", "the database name is missing or has a / in it"),
            ("mysql://h/n", "the user is missing"),
            ("mysql://:p@h/n", "the user is missing"),
            ("mysql://u@h:0/n", "the port is no port"),
            ("mysql://u@h:x/n", "the port is no port"),
            ("mysql://u@[::1/n", "the host lacks its ]"),
            ("mysql://u@[::1]x/n", "what follows the host is no port"),
            ("mysql://u@/n", "the host is no host; percent-encode reserved characters in user and password"),
            (
                "mysql://u@a b/n",
                "the host is no host; percent-encode reserved characters in user and password",
            ),
        ] {
            assert_eq!(parse(url), Err(reason), "{url}");
        }
    }
}
