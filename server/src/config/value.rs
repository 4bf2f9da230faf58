//! Parses one value into the type of its key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use sageapi_contract::{Key, Kind, find};
use zeroize::Zeroizing;

use crate::model::{Currency, Mode, Secret, parse_network};

use super::database::{self, DatabaseTarget};
use super::error::ConfigError;
use super::origin::Origin;
use super::schedule;
use super::source::{AllGiven, Given, GivenValue, split};
use super::types::{ClusterRole, LogFormat, PublicUrl, SyncMode, SyncSource, UnknownUser};

/// Why a value is refused, where more can be said than what is accepted. Constant, so that no part of a
/// secret can get into it.
pub(super) type Refusal = Option<&'static str>;

/// A type that values are read into.
pub(super) trait FromText: Sized {
    fn from_text(text: &str, kind: Kind) -> Result<Self, Refusal>;
}

/// Reads values by key and collects errors.
pub(super) struct Reader<'a> {
    given: &'a AllGiven,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Continues with the errors of earlier steps. Keys that are set but have no effect yet produce a warning.
    pub(super) fn new(given: &'a AllGiven, errors: Vec<ConfigError>) -> Self {
        let planned = sageapi_contract::keys().filter(|key| !key.built);
        let warnings = planned.filter_map(|key| not_built(key, given.get(key.path)?)).collect();
        Self { given, errors, warnings }
    }

    pub(super) fn finish(self) -> (Vec<ConfigError>, Vec<String>) {
        (self.errors, self.warnings)
    }

    /// The value of a key that has a default. A refused one is replaced by a stand-in, so that the rest can
    /// still be checked; the load fails in any case.
    pub(super) fn value<T: FromText + Default>(&mut self, path: &'static str) -> T {
        self.optional(path).unwrap_or_default()
    }

    /// The value of a key, or its default; `None` when there is neither, or it was refused.
    pub(super) fn optional<T: FromText>(&mut self, path: &'static str) -> Option<T> {
        let key = find(path)?;
        let text = match self.given.get(path) {
            None => key.default?,
            Some(given) => match given.value.as_ref()? {
                GivenValue::Text(text) => text,
                GivenValue::List(_) => return None,
            },
        };
        self.read(key, text)
    }

    /// The items of a list.
    pub(super) fn list<T: FromText>(&mut self, path: &'static str) -> Vec<T> {
        let (Some(key), Some(given)) = (find(path), self.given.get(path)) else { return Vec::new() };
        let Some(GivenValue::List(items)) = &given.value else { return Vec::new() };
        items.iter().filter_map(|item| self.read(key, item)).collect()
    }

    fn read<T: FromText>(&mut self, key: &'static Key, text: &str) -> Option<T> {
        match T::from_text(text, key.kind) {
            Ok(value) => Some(value),
            Err(reason) => {
                // Only a default that contradicts its own key has no origin; a test loads them all.
                let origin = self.given.get(key.path).map(|given| given.origin.clone());
                let origin = origin.unwrap_or(Origin::Variable(key.variable()));
                let found = if key.secret { "the value".to_owned() } else { shorten(text) };
                self.errors.push(ConfigError::BadValue { origin, key, found, reason });
                None
            }
        }
    }

    /// Whether the key is set, even if to something that is refused.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    /// Adds what is accepted but has no effect.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// An error for each key that is not set and must be.
    pub(super) fn require(&mut self, paths: &[&'static str], why: &'static str) {
        let missing =
            paths.iter().filter_map(|path| find(path)).filter(|key| !self.given.contains_key(key.path));
        self.errors.extend(missing.map(|key| ConfigError::Missing { key, why }));
    }

    /// An error if both keys are set.
    pub(super) fn exclude(&mut self, first: &str, second: &str) {
        if let (Some(one), Some(other)) = (self.given.get(first), self.given.get(second)) {
            let (first, second) =
                (format!("{first} ({})", one.origin), format!("{second} ({})", other.origin));
            self.errors.push(ConfigError::Exclusive { first, second });
        }
    }

    /// Refuses the value of a key for a reason that lies in another key.
    pub(super) fn refuse(&mut self, path: &'static str, found: String, reason: &'static str) {
        if let (Some(key), Some(given)) = (find(path), self.given.get(path)) {
            self.errors.push(ConfigError::BadValue {
                origin: given.origin.clone(),
                key,
                found,
                reason: Some(reason),
            });
        }
    }

    /// Refuses a key, whatever its value, if it is set.
    pub(super) fn forbid(&mut self, path: &'static str, why: &'static str) {
        if let (Some(key), Some(given)) = (find(path), self.given.get(path)) {
            self.errors.push(ConfigError::Misplaced { origin: given.origin.clone(), key: key.path, why });
        }
    }
}

fn not_built(key: &Key, given: &Given) -> Option<String> {
    let same = matches!(&given.value, Some(GivenValue::Text(text)) if Some(text.as_str()) == key.default);
    let warning =
        || format!("{}: {} is accepted but not implemented yet: it has no effect", given.origin, key.path);
    (!same).then(warning)
}

/// A value in quotes, escaped, and cut where it is long.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 80;
    let shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() { format!("{shown:?}...") } else { format!("{shown:?}") }
}

impl FromText for bool {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        text.parse().map_err(|_| None)
    }
}

impl FromText for u64 {
    fn from_text(text: &str, kind: Kind) -> Result<Self, Refusal> {
        let (value, least, most) = match kind {
            Kind::Integer(least, most) => (digits(text), least, most),
            Kind::Size(least, most) => (size(text), least, most),
            _ => return Err(None),
        };
        value.filter(|value| (least..=most).contains(value)).ok_or(None)
    }
}

macro_rules! narrower {
    ($($integer:ty),+) => {$(
        impl FromText for $integer {
            fn from_text(text: &str, kind: Kind) -> Result<Self, Refusal> {
                u64::from_text(text, kind)?.try_into().map_err(|_| None)
            }
        }
    )+};
}
narrower!(u8, u16, u32, usize);

/// Digits alone: no sign, no spaces, no underscores.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A number and what follows it.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    Some((digits(number)?, unit))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" => 1,
        "KB" | "kB" | "k" => 1_000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

impl FromText for Duration {
    fn from_text(text: &str, kind: Kind) -> Result<Self, Refusal> {
        let Kind::Time(least, most) = kind else { return Err(None) };
        let (Some(least), Some(most)) = (time(least), time(most)) else { return Err(None) };
        match time(text) {
            Some(value) if (least..=most).contains(&value) => Ok(value),
            None if digits(text).is_some() => Err(Some("the unit is missing")),
            _ => Err(None),
        }
    }
}

impl FromText for f64 {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        text.parse().ok().filter(|value| (0.0..=1.0).contains(value)).ok_or(None)
    }
}

impl FromText for SocketAddr {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        text.parse().map_err(|_| None)
    }
}

impl FromText for IpNet {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        parse_network(text).ok_or(None)
    }
}

impl FromText for PathBuf {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        plain(text, 1).map(Self::from)
    }
}

impl FromText for Currency {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        Self::parse(text).ok_or(None)
    }
}

impl FromText for Mode {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        Self::parse(text).ok_or(None)
    }
}

macro_rules! words {
    ($($choice:ident { $($word:literal => $variant:ident),+ })+) => {$(
        impl FromText for $choice {
            fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(None) }
            }
        }
    )+};
}
words! {
    SyncSource { "api" => Api, "database" => Database }
    SyncMode { "incremental" => Incremental, "full" => Full }
    UnknownUser { "deny" => Deny, "allow" => Allow }
    ClusterRole { "primary" => Primary, "edge" => Edge }
    LogFormat { "json" => Json, "text" => Text }
}

impl FromText for DatabaseTarget {
    fn from_text(text: &str, kind: Kind) -> Result<Self, Refusal> {
        match (database::parse(text).map_err(Some)?, kind) {
            (Self::Sqlite { .. }, Kind::Mysql) => Err(None),
            (target, _) => Ok(target),
        }
    }
}

impl FromText for PublicUrl {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        let uri = url(text)?;
        match (uri.scheme_str(), uri.authority(), uri.path()) {
            (Some(scheme), Some(authority), "" | "/") => {
                Ok(Self { scheme: scheme.to_owned(), authority: authority.as_str().to_ascii_lowercase() })
            }
            _ => Err(Some("it has a path")),
        }
    }
}

impl FromText for Secret {
    fn from_text(text: &str, kind: Kind) -> Result<Self, Refusal> {
        match kind {
            Kind::EncryptionKey | Kind::EncryptionKeys => {
                decode_encryption_key(text).map(|_| Self::new(text)).ok_or(None)
            }
            Kind::Proxy => match text.parse::<http::Uri>() {
                Ok(uri) if is_http(&uri) => Ok(Self::new(text)),
                _ => Err(None),
            },
            Kind::Text(least) | Kind::Texts(least) => plain(text, least).map(Self::new),
            _ => Err(None),
        }
    }
}

/// Several secrets in one text.
pub(super) struct WebhookSecrets(pub(super) Vec<Secret>);

impl FromText for WebhookSecrets {
    fn from_text(text: &str, _: Kind) -> Result<Self, Refusal> {
        let secrets: Vec<Secret> = text.split_ascii_whitespace().map(Secret::new).collect();
        let sound = |secret: &Secret| {
            let key = secret.expose().strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
            key.map(Zeroizing::new).is_some_and(|key| !key.is_empty())
        };
        if secrets.is_empty() || !secrets.iter().all(sound) { Err(None) } else { Ok(Self(secrets)) }
    }
}

impl FromText for String {
    fn from_text(text: &str, kind: Kind) -> Result<Self, Refusal> {
        let sound = match kind {
            Kind::Text(_) if text.trim() != text => return Err(Some("it begins or ends with whitespace")),
            Kind::Text(least) => return plain(text, least).map(Self::from),
            Kind::Choice(words) => words.contains(&text),
            Kind::Host => database::is_host(text),
            Kind::Url => {
                url(text)?;
                return Ok(text.trim_end_matches('/').to_owned());
            }
            Kind::TimeZone => TimeZone::get(text).is_ok(),
            Kind::Cron => return schedule::check_cron(text).map(|()| text.to_owned()).map_err(Some),
            Kind::Components => is_component(text),
            _ => false,
        };
        if sound { Ok(text.to_owned()) } else { Err(None) }
    }
}

/// Text without control characters, which are as a rule a pasted line end.
fn plain(text: &str, least: usize) -> Result<&str, Refusal> {
    if text.chars().any(char::is_control) {
        return Err(Some("it contains a control character"));
    }
    if text.chars().count() < least { Err(text.is_empty().then_some("it is empty")) } else { Ok(text) }
}

fn is_http(uri: &http::Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

fn url(text: &str) -> Result<http::Uri, Refusal> {
    let uri: http::Uri = text.parse().map_err(|_| None)?;
    let bare = uri.query().is_none() && !text.contains('#');
    let open = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if is_http(&uri) && bare && open { Ok(uri) } else { Err(None) }
}

fn is_component(name: &str) -> bool {
    const DERIVED: [&str; 7] =
        ["@method", "@path", "@query", "@authority", "@scheme", "@target-uri", "@request-target"];
    DERIVED.contains(&name)
        || http::HeaderName::from_bytes(name.as_bytes()).is_ok_and(|header| header.as_str() == name)
}

/// The 32 bytes of an encryption key given in base64; `None` if it is anything else.
pub fn decode_encryption_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    // 44 characters may decode to 33 bytes, which the buffer must hold to detect them.
    let mut bytes = Zeroizing::new([0; 33]);
    let length = (text.len() == 44).then(|| STANDARD.decode_slice(text, bytes.as_mut_slice()).ok())??;
    let mut key = Zeroizing::new([0; 32]);
    if length != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes[..32]);
    Some(key)
}

/// A default's text as the value it stands for; lists are split.
pub(super) fn default_of(key: &Key) -> Option<GivenValue> {
    let text = key.default?;
    Some(if key.kind.is_list() { GivenValue::List(split(text)) } else { GivenValue::Text(text.to_owned()) })
}
