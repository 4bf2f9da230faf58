//! Passwords: the policy, and hashing by Argon2id under a bound on how much of it runs at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::domain::{Error, FieldError};
use crate::model::{Entropy, Secret, UserRole};

/// The OWASP minimum for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A stored hash that costs more is refused: whatever wrote it could exhaust the server.
const MAX_MEMORY_KIB: u32 = 128 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
const SALT_BYTES: usize = 16;

/// Lengths of a password, in bytes.
const MIN_BYTES: usize = 8;
const MIN_ADMIN_BYTES: usize = 15;
const MAX_BYTES: usize = 128;

/// How long one waits for a permit, and how many may wait.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_WAITING: usize = 32;

/// The most used of the leaked passwords that are long enough for the policy, in lower case.
const COMMONEST: &[&str] = &[
    "00000000",
    "11111111",
    "123123123",
    "12345678",
    "123456789",
    "1234567890",
    "123456789012345",
    "1234567812345678",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "1qaz2wsx3edc",
    "87654321",
    "88888888",
    "987654321",
    "aa123456",
    "aaaaaaaa",
    "abc12345",
    "abcd1234",
    "admin123",
    "administrator",
    "administrator123",
    "asdfasdf",
    "asdfghjk",
    "asdfghjkl",
    "baseball",
    "changeme",
    "changemechangeme",
    "computer",
    "football",
    "iloveyou",
    "jennifer",
    "letmein1",
    "liverpool",
    "michelle",
    "p@ssw0rd",
    "passw0rd",
    "password",
    "password1",
    "password12",
    "password123",
    "passwordpassword",
    "princess",
    "qazwsxedc",
    "qwer1234",
    "qwerty12",
    "qwerty123",
    "qwertyui",
    "qwertyuiop",
    "qwertyuiop123456",
    "starwars",
    "sunshine",
    "superman",
    "trustno1",
    "welcome1",
    "whatever",
    "zaq12wsx",
];

/// Whether a password was right.
#[derive(Debug)]
pub enum Verdict {
    /// It was not.
    Wrong,
    /// It was.
    Right {
        /// The same password hashed by today's parameters, where the stored hash has others.
        rehashed: Option<Secret>,
    },
}

/// Hashes passwords. Clones share the permits.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    entropy: Arc<dyn Entropy>,
}

/// Takes its place in the line while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Passwords {
    /// Hashing on a machine with so many cores: at most two at a time, each with 19 MiB.
    pub fn new(cores: usize, entropy: Arc<dyn Entropy>) -> Self {
        let permits = Arc::new(Semaphore::new(cores.clamp(1, 2)));
        Self { permits, waiting: Arc::default(), entropy }
    }

    /// Whether such a password may be set.
    ///
    /// # Errors
    /// [`Error::Invalid`] on the field `password`.
    pub fn check(role: UserRole, password: &Secret) -> Result<(), Error> {
        let text = password.expose();
        let least = match role {
            UserRole::User => MIN_BYTES,
            UserRole::Admin => MIN_ADMIN_BYTES,
        };
        let invalid = |message: String| Err(Error::Invalid(vec![FieldError::new("password", message)]));
        if !(least..=MAX_BYTES).contains(&text.len()) {
            return invalid(format!("must have {least} to {MAX_BYTES} bytes"));
        }
        if text.contains('\0') {
            return invalid("must not contain NUL".to_owned());
        }
        if COMMONEST.contains(&text.to_lowercase().as_str()) {
            return invalid("is one of the most used passwords; choose another".to_owned());
        }
        Ok(())
    }

    /// Whether a text can be a password of anyone: nothing else is worth hashing.
    pub fn is_possible(text: &Secret) -> bool {
        (MIN_BYTES..=MAX_BYTES).contains(&text.expose().len())
    }

    /// The hash of a password that was checked, in PHC form.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait.
    pub async fn hash(&self, password: Secret) -> Result<Secret, Error> {
        let salt = self.salt();
        self.under_permit(move || hash(&password, &salt)).await?
    }

    /// Compares a password with a stored hash. Without one it takes the same time, and is wrong; so it is where the stored
    /// hash cannot be used, which is logged.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait.
    pub async fn verify(&self, password: Secret, stored: Option<Secret>) -> Result<Verdict, Error> {
        let salt = self.salt();
        self.under_permit(move || match stored {
            Some(stored) if is_usable(&stored) => verify(&password, &stored, &salt),
            Some(_) => {
                tracing::warn!("a stored password hash cannot be used; give its user a new password");
                hash(&password, &salt).map(|_| Verdict::Wrong)
            }
            None => hash(&password, &salt).map(|_| Verdict::Wrong),
        })
        .await?
    }

    fn salt(&self) -> [u8; SALT_BYTES] {
        let mut salt = [0; SALT_BYTES];
        self.entropy.fill(&mut salt);
        salt
    }

    /// Runs on a thread for blocking work. The permit moves there: a caller that hangs up frees it only when the hashing
    /// is done.
    async fn under_permit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Error::Overloaded);
        }
        let waiting = Waiting(&self.waiting);
        let acquired = tokio::time::timeout(PERMIT_TIMEOUT, self.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = acquired else { return Err(Error::Overloaded) };
        drop(waiting);
        let hashing = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        hashing.await.map_err(|e| Error::Internal(format!("hashing a password failed: {e}")))
    }
}

fn engine(memory: u32, passes: u32, lanes: u32) -> Result<Argon2<'static>, Error> {
    let params = Params::new(memory, passes, lanes, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("argon2: {error}"))
}

fn hash(password: &Secret, salt: &[u8]) -> Result<Secret, Error> {
    let engine = engine(MEMORY_KIB, PASSES, LANES)?;
    let hash: PasswordHash =
        engine.hash_password_with_salt(password.expose().as_bytes(), salt).map_err(failed)?;
    Ok(Secret::new(hash.to_string()))
}

/// A stored hash and what it was computed with, if that is affordable.
fn read(stored: &Secret) -> Option<(PasswordHash, Params)> {
    let hash = PasswordHash::new(stored.expose()).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let affordable =
        params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() <= MAX_LANES;
    let complete = hash.salt.is_some() && hash.hash.is_some();
    (hash.algorithm.as_str() == "argon2id" && affordable && complete).then_some((hash, params))
}

fn is_usable(stored: &Secret) -> bool {
    read(stored).is_some()
}

fn verify(password: &Secret, stored: &Secret, salt: &[u8]) -> Result<Verdict, Error> {
    let Some((stored, params)) = read(stored) else { return Ok(Verdict::Wrong) };
    let (Some(old_salt), Some(expected)) = (&stored.salt, &stored.hash) else { return Ok(Verdict::Wrong) };
    let engine = engine(params.m_cost(), params.t_cost(), params.p_cost())?;
    let mut computed = vec![0; expected.len()];
    let mut memory = vec![Block::default(); engine.params().block_count()];
    engine
        .hash_password_into_with_memory(
            password.expose().as_bytes(),
            old_salt.as_ref(),
            &mut computed,
            &mut memory,
        )
        .map_err(failed)?;
    if !bool::from(computed.ct_eq(expected.as_bytes())) {
        return Ok(Verdict::Wrong);
    }
    let current = (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES);
    let rehashed = if current { None } else { Some(hash(password, salt)?) };
    Ok(Verdict::Right { rehashed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SeededEntropy;

    fn passwords() -> Passwords {
        Passwords::new(8, SeededEntropy::new(1))
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[tokio::test]
    async fn a_password_is_right_by_its_own_hash_alone() {
        let passwords = passwords();
        let stored = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(stored.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.expose());
        let verify = |text: &'static str, stored: Option<Secret>| {
            let passwords = passwords.clone();
            async move { passwords.verify(secret(text), stored).await.unwrap() }
        };
        assert!(matches!(
            verify("correct horse", Some(stored.clone())).await,
            Verdict::Right { rehashed: None }
        ));
        assert!(matches!(verify("Correct horse", Some(stored.clone())).await, Verdict::Wrong));
        assert!(matches!(verify("correct horse", None).await, Verdict::Wrong));
        let again = passwords.hash(secret("correct horse")).await.unwrap();
        assert_ne!(stored.expose(), again.expose(), "each hash has its own salt");
    }

    #[tokio::test]
    async fn a_hash_by_other_parameters_is_replaced_and_a_greedy_one_is_refused() {
        let weak = engine(64, 1, 1).unwrap();
        let stored: PasswordHash = weak.hash_password_with_salt(b"correct horse", &[7; 16]).unwrap();
        let verdict = passwords().verify(secret("correct horse"), Some(secret(&stored.to_string()))).await;
        let Ok(Verdict::Right { rehashed: Some(new) }) = verdict else { panic!("{verdict:?}") };
        assert!(matches!(
            passwords().verify(secret("correct horse"), Some(new)).await,
            Ok(Verdict::Right { rehashed: None })
        ));
        let greedy = "$argon2id$v=19$m=1048576,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let endless = greedy.replace("m=1048576,t=1", "m=64,t=4294967295");
        for unusable in [greedy, &endless, "plain", "", "$2y$10$abcdefghijklmnopqrstuv"] {
            let verdict = passwords().verify(secret("correct horse"), Some(secret(unusable))).await;
            assert!(matches!(verdict, Ok(Verdict::Wrong)), "{unusable}: {verdict:?}");
        }
    }

    #[test]
    fn a_password_is_long_enough_for_its_role_and_not_a_common_one() {
        let refused = |role, text: &str| Passwords::check(role, &secret(text)).is_err();
        for text in
            ["", "1234567", "password", "PassWord", "nul\0inside", &"x".repeat(129), &"x".repeat(1 << 20)]
        {
            assert!(refused(UserRole::User, text), "{}", text.len());
        }
        assert!(!refused(UserRole::User, "8 bytes!") && !refused(UserRole::User, &"x".repeat(128)));
        assert!(refused(UserRole::Admin, "fourteen bytes") && !refused(UserRole::Admin, "fifteen bytes!!"));
        assert!(refused(UserRole::Admin, "passwordpassword"));
    }

    #[tokio::test]
    async fn a_caller_that_hangs_up_leaks_no_permit() {
        let passwords = passwords();
        for _ in 0..8 {
            let hashing = passwords.hash(secret("correct horse"));
            let _ = tokio::time::timeout(Duration::from_millis(1), hashing).await;
        }
        while passwords.permits.available_permits() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(passwords.waiting.load(Ordering::Acquire), 0);
        assert!(passwords.hash(secret("correct horse")).await.is_ok());
    }

    #[tokio::test]
    async fn who_finds_too_long_a_line_is_refused_at_once() {
        let passwords = passwords();
        let all: Vec<_> = (0..100).map(|_| passwords.hash(secret("correct horse"))).collect();
        let done = futures_util::future::join_all(all).await;
        let refused = done.iter().filter(|done| matches!(done, Err(Error::Overloaded))).count();
        assert!((66..100).contains(&refused), "{refused}");
        assert_eq!(passwords.waiting.load(Ordering::Acquire), 0);
    }
}
