//! The list of keys.

use std::borrow::Cow;

use super::super::columns::{FromRow as _, TableRow as _};
use super::super::dialect::Dialect;
use super::super::error::Error;
use super::super::list::{Conditions, Filter, ListRow};
use super::super::sql::Row;
use super::row::KeyRow;
use crate::model::{CustomerId, Key, KeyId, Timestamp};

/// Which keys to list, by creation. They come without their secrets.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Of this customer.
    pub customer_id: Option<CustomerId>,
    /// Enabled or not.
    pub enabled: Option<bool>,
    /// By name.
    pub name: Option<String>,
}

/// Without its secrets.
impl ListRow<KeyFilter> for Key {
    fn table(_: &KeyFilter) -> &'static str {
        KeyRow::TABLE
    }

    fn columns(_: &KeyFilter, _: Dialect) -> String {
        KeyRow::COLUMNS.to_owned()
    }

    fn read(_: &KeyFilter, row: &Row) -> Result<Self, Error> {
        Ok(KeyRow::from_row(row)?.without_secrets())
    }
}

impl Filter for KeyFilter {
    type Row = Key;
    type Place = (Timestamp, KeyId);

    fn name(&self) -> &'static str {
        "keys"
    }

    fn place(&self, key: &Key) -> Self::Place {
        (key.created_at, key.key_id.clone())
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("customer_id", self.customer_id.as_ref().map(CustomerId::as_str));
        conditions.compare("enabled", "enabled", "=", self.enabled);
        conditions.equal("name", self.name.as_deref());
    }

    fn order(&self) -> &'static [&'static str] {
        &["created_at", "key_id"]
    }

    fn index(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self { name: Some(_), .. } => "dapi_keys_name",
            Self { customer_id: Some(_), .. } => "dapi_keys_customer",
            _ => "dapi_keys_created",
        }))
    }
}
