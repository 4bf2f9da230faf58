//! Reading what is mirrored, and pricing by it.

use std::sync::Arc;

use super::ServerEnv;
use crate::domain::mirror::{ModelsQuery, PricingQuery, UapisQuery, UsersQuery};
use crate::domain::page::ListPage;
use crate::domain::prices::{PriceRequest, Quote};
use crate::domain::{Error, mirror};
use crate::model::{MirrorRow, Reach, Timestamp};

impl ServerEnv {
    /// Mirrored users.
    pub async fn query_users(&self, query: UsersQuery) -> Result<ListPage<MirrorRow>, Error> {
        mirror::query_users(&self.inner.store, query).await
    }

    /// One mirrored user.
    pub async fn get_user(&self, reach: &Reach, id: &str) -> Result<Arc<MirrorRow>, Error> {
        self.inner.users.get(reach, id).await
    }

    /// Mirrored pricing rows.
    pub async fn query_pricing(&self, query: PricingQuery) -> Result<ListPage<MirrorRow>, Error> {
        let inner = &self.inner;
        let zone = &inner.config.current().accounting.zone;
        mirror::query_pricing(&inner.store, query, inner.clock.now(), zone).await
    }

    /// The pricing row of a program that is valid at a time, by default now.
    pub async fn get_pricing(
        &self,
        ppid: &str,
        at: Option<Timestamp>,
        published_only: bool,
    ) -> Result<Arc<MirrorRow>, Error> {
        let at = at.unwrap_or_else(|| self.inner.clock.now());
        let row = self.inner.prices.row(ppid, at, published_only).await?;
        row.ok_or(Error::NotFound("pricing program"))
    }

    /// What a usage costs.
    pub async fn quote(&self, request: &PriceRequest) -> Result<Quote, Error> {
        Ok(self.inner.prices.quote(request).await??)
    }

    /// Mirrored models.
    pub async fn query_models(&self, query: ModelsQuery) -> Result<ListPage<MirrorRow>, Error> {
        mirror::query_models(&self.inner.store, query).await
    }

    /// One mirrored model, by the id of its row or by its llmid.
    pub async fn get_model(&self, id: &str) -> Result<MirrorRow, Error> {
        mirror::get_model(&self.inner.store, id).await
    }

    /// Mirrored upstream APIs.
    pub async fn query_uapis(&self, query: UapisQuery) -> Result<ListPage<MirrorRow>, Error> {
        mirror::query_uapis(&self.inner.store, query).await
    }
}
