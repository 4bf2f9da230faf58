//! Names of child objects. The resource's name has at most 40 characters, so that they fit; a longer one, which
//! the CRD refuses, is cut and told apart by a hash.

use crate::hashes;

/// Longest name of an object whose name becomes a label's value or a part of a pod's name.
pub const MAX: usize = 63;
/// Characters of the hash in names of immutable objects.
const SHORT: usize = 8;
/// Characters of the hash in names of migration Jobs.
const MIGRATION: usize = 10;

/// The Secret with the installation's own keys.
pub fn keys(name: &str) -> String {
    bounded(name, "-keys")
}

/// The immutable copy of the referenced Secrets.
pub fn secrets(name: &str, hash: &str) -> String {
    bounded(name, &format!("{}{}", secrets_infix(), short(hash, SHORT)))
}

/// The immutable ConfigMap with the server's configuration.
pub fn config(name: &str, hash: &str) -> String {
    bounded(name, &format!("{}{}", config_infix(), short(hash, SHORT)))
}

/// The text between the resource's name and the hash in [`secrets`].
pub const fn secrets_infix() -> &'static str {
    "-secrets-"
}

/// The text between the resource's name and the hash in [`config`].
pub const fn config_infix() -> &'static str {
    "-config-"
}

/// The Job of one attempt at a migration.
pub fn migration_job(name: &str, hash: &str, attempt: u32) -> String {
    bounded(name, &format!("{}{attempt}", migration_infix(hash)))
}

/// Which attempt at the migration of `hash` a Job is, by its name.
pub fn migration_attempt(job: &str, hash: &str) -> Option<u32> {
    let (_, attempt) = job.rsplit_once(&migration_infix(hash))?;
    attempt.parse().ok().filter(|attempt| *attempt > 0)
}

fn migration_infix(hash: &str) -> String {
    format!("-migrate-{}-", short(hash, MIGRATION))
}

fn short(hash: &str, length: usize) -> &str {
    hash.get(..length).unwrap_or(hash)
}

/// `name` and `suffix`, with `name` cut and a hash of it between them where both do not fit.
fn bounded(name: &str, suffix: &str) -> String {
    if name.len() + suffix.len() <= MAX {
        return format!("{name}{suffix}");
    }
    let hash = hashes::of_bytes(name.as_bytes());
    let room = MAX.saturating_sub(suffix.len() + SHORT + 1);
    let cut: String = name.chars().filter(char::is_ascii).take(room).collect();
    format!("{}-{}{suffix}", cut.trim_end_matches(['-', '.']), short(&hash, SHORT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn children_are_called_as_documented() {
        assert_eq!(keys("prod"), "prod-keys");
        assert_eq!(secrets("prod", HASH), "prod-secrets-01234567");
        assert_eq!(config("prod", HASH), "prod-config-01234567");
        assert_eq!(migration_job("prod", HASH, 3), "prod-migrate-0123456789-3");
    }

    #[test]
    fn an_attempt_is_read_back_from_its_name() {
        assert_eq!(migration_attempt("prod-migrate-0123456789-12", HASH), Some(12));
        assert_eq!(migration_attempt("prod-migrate-9999999999-12", HASH), None);
        assert_eq!(migration_attempt("prod-migrate-0123456789-x", HASH), None);
    }

    proptest! {
        #[test]
        fn no_name_exceeds_the_limit_and_all_are_told_apart(
            name in "[a-z]([-a-z0-9]{0,251}[a-z0-9])?",
            other in "[a-z]([-a-z0-9]{0,251}[a-z0-9])?",
            attempt in 1u32..,
        ) {
            let names = |name: &str| {
                [keys(name), secrets(name, HASH), config(name, HASH), migration_job(name, HASH, attempt)]
            };
            let ours = names(&name);
            for made in &ours {
                prop_assert!(made.len() <= MAX, "{made}");
                prop_assert!(made.starts_with(|c: char| c.is_ascii_lowercase()), "{made}");
                prop_assert!(made.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{made}");
            }
            prop_assert_eq!(migration_attempt(&ours[3], HASH), Some(attempt));
            if name != other {
                for (ours, theirs) in ours.iter().zip(names(&other)) {
                    prop_assert_ne!(ours, &theirs);
                }
            }
        }

        #[test]
        fn names_that_the_crd_admits_are_never_cut(name in "[a-z]([-a-z0-9]{0,38}[a-z0-9])?", attempt in 1u32..1000) {
            prop_assert!(migration_job(&name, HASH, attempt).starts_with(&name));
            prop_assert!(secrets(&name, HASH).starts_with(&name));
        }
    }
}
