//! Keys of REST clients.

mod list;
mod row;

use ipnet::IpNet;

use super::administer::NotChanged;
use super::cache_events::Changed;
use super::columns::select;
use super::error::Error;
use super::sealed::SealedAt;
use super::sql::{Arg, Sql};
use super::{Store, Tx};
use crate::model::{Actor, AuthMode, Key, KeyId, Reach, Scopes, Secret, Timestamp};

pub use list::KeyFilter;
use row::KeyRow;
pub use row::KeySettings;

const TABLE: &str = "dapi_keys";

/// A key to be stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its public name.
    pub key_id: KeyId,
    /// Its name for people.
    pub name: Option<String>,
    /// Whose data it reaches.
    pub reach: Reach,
    /// What it may do.
    pub scopes: Scopes,
    /// How it authenticates.
    pub auth_mode: AuthMode,
    /// Whether it can be used at once.
    pub enabled: bool,
    /// What is stored of its secret.
    pub secret: StoredKey,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allowed_cidrs: Vec<IpNet>,
}

/// What is stored of a secret.
#[derive(Debug, Clone)]
pub enum StoredKey {
    /// The secret itself, sealed: signatures need it.
    Secret(Secret),
    /// An HMAC of it, which is enough to check a bearer token.
    TokenHash([u8; 32]),
}

/// A sealed secret, or the HMAC of a token.
type SecretAndHash = (Option<Vec<u8>>, Option<Vec<u8>>);

fn at<'a>(row: &'a str, column: &'static str) -> SealedAt<'a> {
    SealedAt { table: TABLE, row, column }
}

impl Store {
    fn open_key(&self, row: KeyRow) -> Result<Key, Error> {
        let open = |sealed: &Option<Vec<u8>>, column| match sealed {
            Some(sealed) => self.inner.keyring.open_text(at(row.key_id.as_str(), column), sealed).map(Some),
            None => Ok(None),
        };
        let secret = open(&row.secret, "secret")?;
        let previous_secret = open(&row.previous_secret, "previous_secret")?;
        Ok(Key { secret, previous_secret, ..row.without_secrets() })
    }

    async fn key_where(&self, condition: &'static str, value: Arg<'_>) -> Result<Option<Key>, Error> {
        let sql = select::<KeyRow>(format_args!(" WHERE {condition}")).bind(value);
        self.row(sql).await?.map(|row| self.open_key(row)).transpose()
    }

    /// A key by its public name.
    pub async fn key(&self, id: &KeyId) -> Result<Option<Key>, Error> {
        self.key_where("key_id = ?", id.as_str().into()).await
    }

    /// A key by its name.
    pub async fn key_by_name(&self, name: &str) -> Result<Option<Key>, Error> {
        self.key_where("name = ?", name.into()).await
    }

    /// A bearer key by the HMAC of its token, and whether that is the token before the last rotation, which is valid until
    /// [`Key::previous_until`].
    pub async fn key_by_token(&self, hash: &[u8; 32]) -> Result<Option<(Key, bool)>, Error> {
        if let Some(key) = self.key_where("token_hash = ?", hash.into()).await? {
            return Ok(Some((key, false)));
        }
        Ok(self.key_where("previous_token_hash = ?", hash.into()).await?.map(|key| (key, true)))
    }

    /// Keys in the order of their ids, `limit` of them after `after`.
    pub async fn keys(&self, after: &str, limit: i64) -> Result<Vec<Key>, Error> {
        let sql = select::<KeyRow>(" WHERE key_id > ? ORDER BY key_id LIMIT ?");
        let rows = self.rows(sql.bind(after).bind(limit)).await?;
        rows.into_iter().map(|row| self.open_key(row)).collect()
    }

    /// Stores a new key; [`Error::Duplicate`] where its id or name is taken.
    pub async fn create_key(&self, new: NewKey, by: &Actor) -> Result<Key, Error> {
        let (secret, token_hash) = self.sealed(&new.key_id, &new.secret)?;
        let row = self.create_row(by, move |now| KeyRow {
            key_id: new.key_id.clone(),
            reach: new.reach.clone(),
            auth_mode: new.auth_mode,
            settings: KeySettings {
                name: new.name.clone(),
                scopes: new.scopes,
                enabled: new.enabled,
                expires_at: new.expires_at,
                allowed_cidrs: new.allowed_cidrs.clone(),
            },
            previous_until: None,
            version: 1,
            created_at: now,
            updated_at: now,
            secret: secret.clone(),
            previous_secret: None,
            token_hash: token_hash.clone(),
            previous_token_hash: None,
        });
        self.open_key(row.await?)
    }

    /// Changes what can be set of a key; `expected` is the version that the change is based on. `action` is what the audit
    /// log calls it. Returns the key as it is then.
    pub async fn change_key<E: Send + 'static>(
        &self,
        id: &KeyId,
        expected: Option<i64>,
        action: &'static str,
        by: &Actor,
        set: impl Fn(&mut KeySettings) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Key, NotChanged<E>> {
        let change = move |row: &mut KeyRow, _| set(&mut row.settings);
        let row = self.change_row(id.as_str(), expected, action, by, change).await?;
        Ok(self.open_key(row)?)
    }

    /// Sets a new secret; the current one stays valid until `previous_until`. `expected` is the version that the key must
    /// have, if any.
    pub async fn rotate_key(
        &self,
        id: &KeyId,
        expected: Option<i64>,
        secret: StoredKey,
        previous_until: Timestamp,
        by: &Actor,
    ) -> Result<Key, NotChanged<Error>> {
        let store = self.clone();
        let (sealed, token_hash) = self.sealed(id, &secret)?;
        let change = move |row: &mut KeyRow, _| {
            row.previous_secret = match &row.secret {
                // A sealed text opens in its own column only.
                Some(current) => {
                    let current =
                        store.inner.keyring.open_text(at(row.key_id.as_str(), "secret"), current)?;
                    Some(store.seal(&row.key_id, "previous_secret", &current)?)
                }
                None => None,
            };
            row.previous_token_hash = row.token_hash.take();
            row.previous_until = Some(previous_until);
            (row.secret, row.token_hash) = (sealed.clone(), token_hash.clone());
            Ok(())
        };
        let row = self.change_row::<KeyRow, Error, _>(id.as_str(), expected, "rotate", by, change).await?;
        Ok(self.open_key(row)?)
    }

    /// Disables or enables a key by a command. `false` if the key does not exist.
    pub async fn set_key_enabled(&self, id: &KeyId, enabled: bool) -> Result<bool, Error> {
        let action = if enabled { "update" } else { "revoke" };
        let set = move |settings: &mut KeySettings| {
            settings.enabled = enabled;
            Ok::<_, Error>(())
        };
        match self.change_key(id, None, action, &Actor::command_line(), set).await {
            Ok(_) => Ok(true),
            Err(NotChanged::NotFound | NotChanged::Stale) => Ok(false),
            Err(NotChanged::Refused(error) | NotChanged::Store(error)) => Err(error),
        }
    }

    /// Seals every secret of a key under the current encryption key. `false` if it changed meanwhile.
    pub async fn reseal_key(&self, key: &Key) -> Result<bool, Error> {
        let seal = |secret: &Option<Secret>, column| match secret {
            Some(secret) => self.seal(&key.key_id, column, secret).map(Some),
            None => Ok(None),
        };
        let (secret, previous) =
            (seal(&key.secret, "secret")?, seal(&key.previous_secret, "previous_secret")?);
        let (store, id, version) = (self.clone(), key.key_id.clone(), key.version);
        self.write("key.reseal", move |tx: &mut Tx| {
            let (store, id, secret, previous) = (store.clone(), id.clone(), secret.clone(), previous.clone());
            Box::pin(async move {
                let now = tx.dialect().now();
                let sql = Sql::new(format!(
                    "UPDATE {TABLE} SET secret = ?, previous_secret = ?, version = version + 1, updated_at = {now} \
                     WHERE key_id = ? AND version = ?"
                ));
                let sql = sql.bind(secret).bind(previous).bind(id.as_str()).bind(version);
                let found = tx.conn.execute(sql).await? > 0;
                if found {
                    store.announce(tx, &Changed::key(&id)).await?;
                }
                Ok(found)
            })
        })
        .await
    }

    /// A secret as a row holds it: sealed, or the HMAC of a token.
    fn sealed(&self, id: &KeyId, secret: &StoredKey) -> Result<SecretAndHash, Error> {
        match secret {
            StoredKey::Secret(secret) => Ok((Some(self.seal(id, "secret", secret)?), None)),
            StoredKey::TokenHash(hash) => Ok((None, Some(hash.to_vec()))),
        }
    }

    fn seal(&self, id: &KeyId, column: &'static str, secret: &Secret) -> Result<Vec<u8>, Error> {
        let at = at(id.as_str(), column);
        self.inner.keyring.seal(at, secret.expose().as_bytes(), &*self.inner.entropy)
    }
}
