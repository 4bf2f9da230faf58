//! Body digests (RFC 9530): `Content-Digest` with SHA-256 and SHA-512.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sha2::{Digest, Sha256, Sha512};

use super::error::AuthError;
use super::{CONTENT_DIGEST, fields};

/// Checks the body against every known algorithm in `Content-Digest`; fine when there is no such header.
///
/// [`AuthError::Malformed`] when the header names no algorithm known here or cannot be read,
/// [`AuthError::Failed`] when a digest differs. Whether the header must be there at all is a matter of
/// coverage.
pub fn check_content_digest(headers: &HeaderMap, body: &[u8]) -> Result<(), AuthError> {
    if !headers.contains_key(CONTENT_DIGEST) {
        return Ok(());
    }
    let [sha256, sha512] = fields::byte_sequences(headers, CONTENT_DIGEST, ["sha-256", "sha-512"])?;
    if sha256.is_none() && sha512.is_none() {
        return Err(AuthError::malformed("content-digest has neither sha-256 nor sha-512"));
    }
    let differs = sha256.is_some_and(|given| given != Sha256::digest(body).as_slice())
        || sha512.is_some_and(|given| given != Sha512::digest(body).as_slice());
    if differs { Err(AuthError::Failed) } else { Ok(()) }
}

/// The value of `Content-Digest` for a body, with SHA-256.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // The body and digests of RFC 9530, appendix D.
    const BODY: &[u8] = b"{\"hello\": \"world\"}\n";
    const SHA_256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const SHA_512: &str =
        "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

    fn check(lines: &[&str]) -> Result<(), AuthError> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_DIGEST, HeaderValue::from_str(line).unwrap());
        }
        check_content_digest(&headers, BODY)
    }

    #[test]
    fn each_known_algorithm_matches_and_unknown_ones_beside_it_are_skipped() {
        assert_eq!(check(&[SHA_256]), Ok(()));
        assert_eq!(check(&[SHA_512]), Ok(()));
        assert_eq!(check(&[SHA_256, SHA_512]), Ok(()));
        assert_eq!(check(&[&format!("md5=:AAAA:, {SHA_256}, unixsum=7")]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(content_digest(BODY), SHA_256);
    }

    #[test]
    fn one_wrong_digest_sinks_a_right_one() {
        assert_eq!(check(&[&format!("{SHA_256}, sha-512=:AAAA:")]), Err(AuthError::Failed));
        assert_eq!(check(&[&format!("sha-256=:AAAA:, {SHA_512}")]), Err(AuthError::Failed));
    }

    #[test]
    fn an_empty_body_is_checked_too() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_DIGEST, HeaderValue::from_static(SHA_256));
        assert_eq!(check_content_digest(&headers, b""), Err(AuthError::Failed));
        headers.insert(CONTENT_DIGEST, HeaderValue::from_str(&content_digest(b"")).unwrap());
        assert_eq!(check_content_digest(&headers, b""), Ok(()));
    }

    #[test]
    fn a_header_without_a_usable_digest_is_malformed() {
        for line in [
            "",
            "md5=:AAAA:",
            "sha-256",
            "sha-256=\"AAAA\"",
            "sha-256=(:AAAA:)",
            "sha-256=:A",
            "SHA-256=:AAAA:",
            &format!("{SHA_256}, {SHA_256}"),
            &"x".repeat(9000),
        ] {
            assert!(matches!(check(&[line]), Err(AuthError::Malformed(_))), "{line}");
        }
    }
}
