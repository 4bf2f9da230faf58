//! Keys of REST clients.

use ipnet::IpNet;

use super::cache_events::Changed;
use super::columns::{FromRow as _, TableRow as _, columns, select_with};
use super::error::Error;
use super::sealed::SealedAt;
use super::sql::{Row, Sql};
use super::{Store, Tx};
use crate::model::{AuthMode, Key, KeyId, Reach, Scopes, Secret, Timestamp};

const TABLE: &str = Key::TABLE;
/// The secrets of a key, sealed: they follow the columns of the key.
const SECRETS: &str = "secret, previous_secret";

columns!(Key in "dapi_keys":
    key_id; name, reach = "customer_id", scopes, auth_mode, previous_until, enabled, expires_at, allowed_cidrs, version, created_at,
    updated_at;
    secret: None, previous_secret: None
);

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

fn at<'a>(row: &'a str, column: &'static str) -> SealedAt<'a> {
    SealedAt { table: TABLE, row, column }
}

impl Store {
    fn read_key(&self, row: &Row) -> Result<Key, Error> {
        let mut key = Key::from_row(row)?;
        let open = |index, column| match row.opt_bytes(index)? {
            Some(sealed) => self.inner.keyring.open_text(at(key.key_id.as_str(), column), sealed).map(Some),
            None => Ok(None),
        };
        let secret = open(Key::WIDTH, "secret")?;
        let previous_secret = open(Key::WIDTH + 1, "previous_secret")?;
        (key.secret, key.previous_secret) = (secret, previous_secret);
        Ok(key)
    }

    async fn key_where(
        &self,
        condition: &'static str,
        value: super::sql::Arg<'_>,
    ) -> Result<Option<Key>, Error> {
        let sql = select_with::<Key>(SECRETS, format_args!(" WHERE {condition}")).bind(value);
        self.fetch_optional(sql).await?.map(|row| self.read_key(&row)).transpose()
    }

    /// A key by its public name.
    pub async fn key(&self, id: &KeyId) -> Result<Option<Key>, Error> {
        self.key_where("key_id = ?", id.as_str().into()).await
    }

    /// A key by its name.
    pub async fn key_by_name(&self, name: &str) -> Result<Option<Key>, Error> {
        self.key_where("name = ?", name.into()).await
    }

    /// A bearer key by the HMAC of its token; the one before a rotation is valid until its overlap ends.
    pub async fn key_by_token(&self, hash: &[u8; 32]) -> Result<Option<Key>, Error> {
        if let Some(key) = self.key_where("token_hash = ?", hash.into()).await? {
            return Ok(Some(key));
        }
        let key = self.key_where("previous_token_hash = ?", hash.into()).await?;
        let now = self.inner.clock.now();
        Ok(key.filter(|key| key.previous_until.is_some_and(|until| now < until)))
    }

    /// Keys in the order of their ids, `limit` of them after `after`.
    pub async fn keys(&self, after: &str, limit: i64) -> Result<Vec<Key>, Error> {
        let sql = select_with::<Key>(SECRETS, " WHERE key_id > ? ORDER BY key_id LIMIT ?");
        let rows = self.fetch_all(sql.bind(after).bind(limit)).await?;
        rows.iter().map(|row| self.read_key(row)).collect()
    }

    /// Stores a new key; [`Error::Duplicate`] where its id or name is taken.
    pub async fn create_key(&self, new: NewKey) -> Result<(), Error> {
        let (sealed, token_hash) = match &new.secret {
            StoredKey::Secret(secret) => (Some(self.seal(&new.key_id, "secret", secret)?), None),
            StoredKey::TokenHash(hash) => (None, Some(hash.to_vec())),
        };
        let store = self.clone();
        self.write("key.create", move |tx| {
            let (store, new, sealed, token_hash) =
                (store.clone(), new.clone(), sealed.clone(), token_hash.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let key = Key {
                    key_id: new.key_id,
                    name: new.name,
                    reach: new.reach,
                    scopes: new.scopes,
                    auth_mode: new.auth_mode,
                    secret: None,
                    previous_secret: None,
                    previous_until: None,
                    enabled: true,
                    expires_at: new.expires_at,
                    allowed_cidrs: new.allowed_cidrs,
                    version: 1,
                    created_at: now,
                    updated_at: now,
                };
                let columns = Key::COLUMNS;
                let mut sql =
                    Sql::new(format!("INSERT INTO {TABLE} ({columns}, secret, token_hash) VALUES "));
                sql.push_placeholders(Key::WIDTH + 2);
                key.bind(&mut sql);
                sql.add(sealed).add(token_hash);
                tx.conn.execute(sql).await?;
                store.announce(tx, &Changed::key(&key.key_id)).await.map(drop)
            })
        })
        .await
    }

    /// Sets a new secret; the current one stays valid until `previous_until`. `false` if the key does not exist.
    pub async fn rotate_key(
        &self,
        id: &KeyId,
        secret: StoredKey,
        previous_until: Timestamp,
    ) -> Result<bool, Error> {
        let Some(key) = self.key(id).await? else { return Ok(false) };
        let previous = match &key.secret {
            Some(secret) => Some(self.seal(id, "previous_secret", secret)?),
            None => None,
        };
        let (sealed, token_hash) = match &secret {
            StoredKey::Secret(secret) => (Some(self.seal(id, "secret", secret)?), None),
            StoredKey::TokenHash(hash) => (None, Some(hash.to_vec())),
        };
        let (expected, id) = (key.version, id.clone());
        self.change_key("key.rotate", id.clone(), move |id| {
            let text = format!(
                "UPDATE {TABLE} SET previous_token_hash = token_hash, secret = ?, previous_secret = ?, \
                 previous_until = ?, token_hash = ?, version = version + 1, updated_at = {{now}} \
                 WHERE key_id = ? AND version = ?"
            );
            let args: Vec<super::sql::Arg<'static>> = vec![
                sealed.clone().into(),
                previous.clone().into(),
                previous_until.into(),
                token_hash.clone().into(),
                id.to_string().into(),
                expected.into(),
            ];
            (text, args)
        })
        .await
    }

    /// Disables or enables a key. `false` if the key does not exist.
    pub async fn set_key_enabled(&self, id: &KeyId, enabled: bool) -> Result<bool, Error> {
        self.change_key("key.enable", id.clone(), move |id| {
            let text = format!(
                "UPDATE {TABLE} SET enabled = ?, version = version + 1, updated_at = {{now}} WHERE key_id = ?"
            );
            (text, vec![enabled.into(), id.to_string().into()])
        })
        .await
    }

    /// Seals every secret of a key under the current encryption key. `false` if it changed meanwhile.
    pub async fn reseal_key(&self, key: &Key) -> Result<bool, Error> {
        let seal = |secret: &Option<Secret>, column| match secret {
            Some(secret) => self.seal(&key.key_id, column, secret).map(Some),
            None => Ok(None),
        };
        let (secret, previous) =
            (seal(&key.secret, "secret")?, seal(&key.previous_secret, "previous_secret")?);
        let version = key.version;
        self.change_key("key.reseal", key.key_id.clone(), move |id| {
            let text = format!(
                "UPDATE {TABLE} SET secret = ?, previous_secret = ?, version = version + 1, updated_at = {{now}} \
                 WHERE key_id = ? AND version = ?"
            );
            (text, vec![secret.clone().into(), previous.clone().into(), id.to_string().into(), version.into()])
        })
        .await
    }

    fn seal(&self, id: &KeyId, column: &'static str, secret: &Secret) -> Result<Vec<u8>, Error> {
        let at = at(id.as_str(), column);
        self.inner.keyring.seal(at, secret.expose().as_bytes(), &*self.inner.entropy)
    }

    async fn change_key<F>(&self, name: &'static str, id: KeyId, statement: F) -> Result<bool, Error>
    where
        F: Fn(&KeyId) -> (String, Vec<super::sql::Arg<'static>>) + Send + Sync + 'static,
    {
        let store = self.clone();
        self.write(name, move |tx: &mut Tx| {
            let (store, id, (text, args)) = (store.clone(), id.clone(), statement(&id));
            Box::pin(async move {
                let mut sql = Sql::new(text.replace("{now}", tx.dialect().now()));
                for arg in args {
                    sql.add(arg);
                }
                let found = tx.conn.execute(sql).await? > 0;
                if found {
                    store.announce(tx, &Changed::key(&id)).await?;
                }
                Ok(found)
            })
        })
        .await
    }
}
