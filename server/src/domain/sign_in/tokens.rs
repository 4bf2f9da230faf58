//! The forms of tokens: access tokens are JWTs (RFC 7519) signed with HS256 and nothing else; refresh tokens and device
//! tokens are forms of our own. All are computed, none is stored.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::secrets::{Purpose, Secrets, SigningSecret};
use crate::model::{RecordId, Session, Timestamp, User, UserId};

/// How long an access token is valid.
pub const ACCESS_LIFE: Duration = Duration::from_mins(15);
/// How long a device token is.
pub const DEVICE_LIFE: Duration = Duration::from_hours(180 * 24);
/// How far ahead the clock of the instance that made a token may be.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_mins(5);
/// Whom access tokens are for.
const AUDIENCE: &str = "sageapi";
/// No token of ours is longer; the rest is not looked at.
const MAX_BYTES: usize = 2048;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Whom it is for.
    pub aud: String,
    /// The user.
    pub sub: String,
    /// The user's customer; empty for the platform.
    pub customer: String,
    /// The user's role.
    pub role: String,
    /// The session.
    pub family: String,
    /// The session's generation that it was made in.
    #[serde(rename = "gen")]
    pub generation: i64,
    /// The user's security version that it was made for.
    pub security_version: i64,
    /// When it was made, in seconds.
    pub iat: i64,
    /// When it expires, in seconds.
    pub exp: i64,
}

/// Why an access token is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadToken {
    /// It was not made here, or was altered.
    Invalid,
    /// It was ours.
    Expired,
}

/// The header of an access token. Any other member, such as `jwk` or `crit`, would ask for a rule that is not ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

fn header(kid: &str) -> String {
    format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}"}}"#)
}

/// An access token of a user's session.
pub fn access_token(secret: &SigningSecret, user: &User, session: &Session, now: Timestamp) -> String {
    let claims = Claims {
        aud: AUDIENCE.to_owned(),
        sub: user.id.to_string(),
        customer: user.owner.as_str().to_owned(),
        role: user.role.to_string(),
        family: session.id.to_string(),
        generation: session.generation,
        security_version: user.security_version,
        iat: now.seconds(),
        exp: now.plus(ACCESS_LIFE).seconds(),
    };
    // Strings and numbers can always be written.
    let claims = serde_json::to_vec(&claims).unwrap_or_default();
    let signed = format!("{}.{}", BASE64.encode(header(secret.kid())), BASE64.encode(claims));
    let mac = secret.mac(Purpose::Access, signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac))
}

/// Whether a bearer token has the form of a JWT.
pub fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|b| *b == b'.').count() == 2
}

/// Reads an access token: signature first, then what it says.
pub fn read_access_token(secrets: &Secrets, token: &str, now: Timestamp) -> Result<Claims, BadToken> {
    let latest = now.plus(ACCESS_LIFE).plus(MAX_CLOCK_DIFFERENCE).seconds();
    let ours = |claims: &Claims| claims.aud == AUDIENCE && claims.exp <= latest;
    let claims = read(secrets, token).filter(ours).ok_or(BadToken::Invalid)?;
    if now.seconds() < claims.exp { Ok(claims) } else { Err(BadToken::Expired) }
}

fn read(secrets: &Secrets, token: &str) -> Option<Claims> {
    if token.len() > MAX_BYTES {
        return None;
    }
    let (signed, mac) = token.rsplit_once('.')?;
    let (head, claims) = signed.split_once('.')?;
    let head = BASE64.decode(head).ok()?;
    let head: Header<'_> = serde_json::from_slice(&head).ok()?;
    let secret = secrets.named(head.kid).filter(|_| head.alg == "HS256" && head.typ == "JWT")?;
    let mac = BASE64.decode(mac).ok()?;
    if !secret.is_mac(Purpose::Access, signed.as_bytes(), &mac) {
        return None;
    }
    serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
}

/// The refresh token of a session's generation.
pub fn refresh_token(secret: &SigningSecret, family: RecordId, generation: i64) -> String {
    let mac = secret.mac(Purpose::Refresh, &refresh_bytes(family, generation));
    format!("rt_{}.{generation}.{}", family.0.simple(), BASE64.encode(mac))
}

fn refresh_bytes(family: RecordId, generation: i64) -> Vec<u8> {
    [&family.as_bytes()[..], &generation.to_be_bytes()].concat()
}

/// A refresh token as sent; its MAC is still unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// The session.
    pub family: RecordId,
    /// The generation.
    pub generation: i64,
    mac: Vec<u8>,
}

impl RefreshToken {
    /// Takes it apart; `None` for another form.
    pub fn parse(token: &str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let mut parts = token.strip_prefix("rt_")?.split('.');
        let (family, generation, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let parsed: i64 = generation.parse().ok().filter(|n: &i64| *n >= 0)?;
        let family = RecordId(Uuid::try_parse(family).ok()?);
        let whole = parts.next().is_none() && parsed.to_string() == generation;
        let mac = BASE64.decode(mac).ok()?;
        // One spelling each, so that a token can be told from an altered one.
        (whole && token.starts_with(&format!("rt_{}.", family.0.simple()))).then_some(Self {
            family,
            generation: parsed,
            mac,
        })
    }

    /// Whether it is one of ours.
    pub fn is_genuine(&self, secrets: &Secrets) -> bool {
        secrets.is_mac(Purpose::Refresh, &refresh_bytes(self.family, self.generation), &self.mac)
    }
}

/// A token that proves that its device signed in to this account before.
pub fn device_token(secret: &SigningSecret, user: &User, device: Uuid, now: Timestamp) -> String {
    let mac =
        secret.mac(Purpose::Device, &device_bytes(&user.id, user.security_version, device, now.seconds()));
    format!("dt_{}.{}.{}", device.simple(), now.seconds(), BASE64.encode(mac))
}

/// It is void when the user's security version rises: a new password, all sessions revoked.
fn device_bytes(user: &UserId, security_version: i64, device: Uuid, made: i64) -> Vec<u8> {
    [&device.as_bytes()[..], &made.to_be_bytes(), &security_version.to_be_bytes(), user.as_str().as_bytes()]
        .concat()
}

/// The device that a token proves for this user; `None` if it proves nothing.
pub fn read_device_token(secrets: &Secrets, token: &str, user: &User, now: Timestamp) -> Option<Uuid> {
    if token.len() > MAX_BYTES {
        return None;
    }
    let mut parts = token.strip_prefix("dt_")?.split('.');
    let (device, made, mac) = (parts.next()?, parts.next()?, parts.next()?);
    let (device, made) = (Uuid::try_parse(device).ok()?, made.parse::<i64>().ok()?);
    let bytes = device_bytes(&user.id, user.security_version, device, made);
    let genuine = secrets.is_mac(Purpose::Device, &bytes, &BASE64.decode(mac).ok()?);
    if !genuine || parts.next().is_some() {
        return None;
    }
    (now < Timestamp::from_seconds(made).plus(DEVICE_LIFE)).then_some(device)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Owner, Secret, SessionKind, UserRole, Username};

    const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

    fn secrets() -> Secrets {
        let secret = |text: &str| Secret::new(text.repeat(8));
        Secrets::new(&secret("new!"), &[secret("old!")])
    }

    fn user() -> User {
        User {
            id: UserId::parse("u-1").unwrap(),
            owner: Owner::Platform,
            username: Username::parse("ann").unwrap(),
            role: UserRole::Admin,
            password_hash: None,
            is_active: true,
            group_id: None,
            security_version: 3,
            last_login_at: None,
            version: 1,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    fn session() -> Session {
        Session {
            id: RecordId(Uuid::from_u128(7)),
            kind: SessionKind::Api,
            user_id: user().id,
            owner: Owner::Platform,
            generation: 5,
            generation_seen: 4,
            kid: String::new(),
            rotated_at: NOW,
            idle_until: NOW,
            expires_at: NOW,
            last_seen: None,
            reauthenticated_at: NOW,
            revoked_at: None,
            revoked_reason: None,
            device_name: None,
            address: None,
            version: 1,
            created_at: NOW,
        }
    }

    fn read(token: &str) -> Result<Claims, BadToken> {
        read_access_token(&secrets(), token, NOW)
    }

    /// A token with another head or other claims, rightly signed.
    fn signed(head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(head), BASE64.encode(claims));
        let mac = secrets().current().mac(Purpose::Access, signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(mac))
    }

    #[test]
    fn an_access_token_is_read_as_it_was_made_until_it_expires() {
        let secrets = secrets();
        for secret in &secrets.all {
            let token = access_token(secret, &user(), &session(), NOW);
            let claims = read(&token).unwrap();
            assert_eq!((claims.sub.as_str(), claims.generation, claims.security_version), ("u-1", 5, 3));
            let life =
                |seconds| read_access_token(&secrets, &token, NOW.plus(Duration::from_secs(seconds))).err();
            assert_eq!((life(899), life(900)), (None, Some(BadToken::Expired)));
        }
    }

    #[test]
    fn no_other_algorithm_header_or_audience_is_accepted() {
        let kid = secrets().current().kid().to_owned();
        let claims = serde_json::to_string(
            &read(&access_token(secrets().current(), &user(), &session(), NOW)).unwrap(),
        )
        .unwrap();
        let other_order = format!(r#"{{ "kid": "{kid}", "typ": "JWT", "alg": "HS256" }}"#);
        for head in [header(&kid), other_order] {
            assert!(read(&signed(&head, &claims)).is_ok(), "{head}");
        }
        for head in [
            r#"{"alg":"none","typ":"JWT"}"#.to_owned(),
            r#"{"alg":"HS256","typ":"JWT"}"#.to_owned(),
            format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}","crit":["exp"]}}"#),
            format!(r#"{{"alg":"none","typ":"JWT","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS512","typ":"JWT","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}","x":"","kid":"{kid}"}}"#),
            r#"{"alg":"HS256","typ":"JWT","kid":"ffffffff"}"#.to_owned(),
            "{}".to_owned(),
        ] {
            assert_eq!(read(&signed(&head, &claims)), Err(BadToken::Invalid), "{head}");
        }
        let other = claims.replace("\"aud\":\"sageapi\"", "\"aud\":\"other\"");
        assert_eq!(read(&signed(&header(&kid), &other)), Err(BadToken::Invalid));
        for (exp, expected) in [
            (NOW.seconds(), Err(BadToken::Expired)),
            (NOW.seconds() + 1200, Ok(())),
            (NOW.seconds() + 1201, Err(BadToken::Invalid)),
            (i64::MAX, Err(BadToken::Invalid)),
        ] {
            let claims = claims.replace("1780000900", &exp.to_string());
            assert_eq!(read(&signed(&header(&kid), &claims)).map(drop), expected, "{exp}");
        }
        let token = access_token(secrets().current(), &user(), &session(), NOW);
        let (signed, _) = token.rsplit_once('.').unwrap();
        for cut in [
            signed.to_owned(),
            format!("{signed}."),
            token[..token.len() - 1].to_owned(),
            format!("{token}A"),
            format!("{token}."),
        ] {
            assert_eq!(read(&cut), Err(BadToken::Invalid), "{cut}");
        }
        let foreign = Secrets::new(&Secret::new("another instance's secret, 32 b."), &[]);
        assert_eq!(read(&access_token(foreign.current(), &user(), &session(), NOW)), Err(BadToken::Invalid));
        let refresh = refresh_token(secrets().current(), session().id, 5);
        assert_eq!(read(&refresh), Err(BadToken::Invalid));
    }

    #[test]
    fn a_refresh_token_is_genuine_for_its_family_and_generation_alone() {
        let secrets = secrets();
        let token = refresh_token(secrets.current(), session().id, 5);
        assert_eq!(
            token,
            refresh_token(secrets.current(), session().id, 5),
            "it is computed, so a retry gets the same"
        );
        let parsed = RefreshToken::parse(&token).unwrap();
        assert!(parsed.is_genuine(&secrets));
        for other in [
            RefreshToken { generation: 6, ..parsed.clone() },
            RefreshToken { family: RecordId(Uuid::from_u128(8)), ..parsed },
        ] {
            assert!(!other.is_genuine(&secrets));
        }
        let mac = token.rsplit_once('.').unwrap().1;
        let family = session().id.0;
        for form in [
            String::new(),
            "rt_".to_owned(),
            format!("rt_{family}.5.{mac}"),
            format!("rt_{}.05.{mac}", family.simple()),
            format!("rt_{}.-1.{mac}", family.simple()),
            format!("rt_{}.5.{mac}.x", family.simple()),
            format!("rt_{}.99999999999999999999.{mac}", family.simple()),
        ] {
            assert_eq!(RefreshToken::parse(&form), None, "{form}");
        }
    }

    #[test]
    fn a_device_is_known_for_its_user_until_its_security_version_rises() {
        let (secrets, device) = (secrets(), Uuid::from_u128(9));
        let token = device_token(secrets.current(), &user(), device, NOW);
        let known = |token: &str, user: &User, now| read_device_token(&secrets, token, user, now);
        assert_eq!(known(&token, &user(), NOW), Some(device));
        let old = NOW.plus(DEVICE_LIFE);
        assert_eq!(known(&token, &user(), old), None);
        assert_eq!(known(&token, &User { security_version: 4, ..user() }, NOW), None);
        assert_eq!(known(&token, &User { id: UserId::parse("u-2").unwrap(), ..user() }, NOW), None);
        assert_eq!(known("dt_x.9223372036854775807.AA", &user(), NOW), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in ".*", dots in "[a-z_.=-]{0,60}") {
            for text in [text.clone(), dots.clone(), format!("rt_{text}"), format!("dt_{dots}"), format!("{text}.{dots}.x")] {
                prop_assert!(read(&text).is_err());
                prop_assert!(!RefreshToken::parse(&text).is_some_and(|token| token.is_genuine(&secrets())));
                prop_assert_eq!(read_device_token(&secrets(), &text, &user(), NOW), None);
            }
        }
    }
}
