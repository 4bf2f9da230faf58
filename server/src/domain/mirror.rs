//! Reading what is mirrored from Sage.

use super::page::{ListPage, PageRequest};
use super::{Error, list};
use crate::model::{CustomerId, Entity, MirrorRow, Reach, TextId, Timestamp};
use crate::store::{MirrorFilter, Store, Validity, Window};

#[cfg(test)]
mod tests;

/// Where the `q` of users is looked for.
const SEARCHED: &[&str] = &["username", "nick_name", "email", "mobile"];

/// Which users to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct UsersQuery {
    /// The customer that the caller names (column `orgid`); `None`: all that it reaches.
    pub customer_id: Option<CustomerId>,
    /// The login name, in full.
    pub username: Option<String>,
    /// Sage's `user_status`: `0` usable, `1` disabled.
    pub status: Option<String>,
    /// A text that occurs in a name, an address or a number.
    pub q: Option<String>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

/// Which pricing rows to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct PricingQuery {
    /// The program.
    pub ppid: Option<String>,
    /// A model that is offered under the program.
    pub llmid: Option<String>,
    /// The program's type.
    pub pricing_type: Option<String>,
    /// Where `at` lies in the row's validity; given `at` alone, [`Validity::Current`].
    pub status: Option<Validity>,
    /// When; `None`: now.
    pub at: Option<Timestamp>,
    /// First seen here at or after.
    pub from: Option<Timestamp>,
    /// First seen here before.
    pub to: Option<Timestamp>,
    /// What a customer may see: programs that a published model names, none of a provider's costs.
    pub published_only: bool,
    /// Which page.
    pub page: PageRequest,
}

/// Which models to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct ModelsQuery {
    /// The model's id; it may be offered in several rows.
    pub llmid: Option<String>,
    /// The name by which it is called.
    pub model: Option<String>,
    /// Sage's status, such as `published`.
    pub status: Option<String>,
    /// The pricing program.
    pub ppid: Option<String>,
    /// First seen here at or after.
    pub from: Option<Timestamp>,
    /// First seen here before.
    pub to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

/// Which upstream APIs to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct UapisQuery {
    /// The API's name.
    pub name: Option<String>,
    /// First seen here at or after.
    pub from: Option<Timestamp>,
    /// First seen here before.
    pub to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

/// The day before 9999-12-31: what expires then never does.
const LAST_DAY: &str = "9999-12-30";

/// The calendar day of an instant in a zone, `YYYY-MM-DD`: what a pricing row's validity is compared
/// with.
pub fn day_at(at: Timestamp, zone: &jiff::tz::TimeZone) -> String {
    zone.to_datetime(at.into()).date().to_string().min(LAST_DAY.to_owned())
}

/// A page of the users within reach. A cursor of another list is [`Error::InvalidCursor`], here and below.
pub async fn query_users(store: &Store, reach: &Reach, q: UsersQuery) -> Result<ListPage<MirrorRow>, Error> {
    let reach = reach.narrowed_to(q.customer_id.as_ref())?;
    let orgid = reach.customer().map(|id| id.as_str().to_owned());
    let filter = MirrorFilter {
        equals: given([("orgid", orgid), ("username", q.username), ("user_status", q.status)]),
        contains: q.q.map(|text| (SEARCHED, text)),
        from: q.from,
        to: q.to,
        ..MirrorFilter::of(Entity::Users)
    };
    list::page(store, &filter, &q.page).await
}

/// A page of pricing rows. `now` and `zone` decide which day is today.
pub async fn query_pricing(
    store: &Store,
    q: PricingQuery,
    now: Timestamp,
    zone: &jiff::tz::TimeZone,
) -> Result<ListPage<MirrorRow>, Error> {
    let status = q.status.or(q.at.map(|_| Validity::Current));
    let filter = MirrorFilter {
        equals: given([("ppid", q.ppid), ("pricing_type", q.pricing_type)]),
        llmid: q.llmid,
        published_only: q.published_only,
        validity: status.map(|status| (status, day_at(q.at.unwrap_or(now), zone))),
        at: q.at,
        from: q.from,
        to: q.to,
        ..MirrorFilter::of(Entity::Pricing)
    };
    list::page(store, &filter, &q.page).await
}

/// A page of models.
pub async fn query_models(store: &Store, q: ModelsQuery) -> Result<ListPage<MirrorRow>, Error> {
    let filter = MirrorFilter {
        equals: given([("llmid", q.llmid), ("model", q.model), ("status", q.status), ("ppid", q.ppid)]),
        from: q.from,
        to: q.to,
        ..MirrorFilter::of(Entity::Llmage)
    };
    list::page(store, &filter, &q.page).await
}

/// A page of upstream APIs.
pub async fn query_uapis(store: &Store, q: UapisQuery) -> Result<ListPage<MirrorRow>, Error> {
    let filter = MirrorFilter {
        equals: given([("name", q.name)]),
        from: q.from,
        to: q.to,
        ..MirrorFilter::of(Entity::Uapi)
    };
    list::page(store, &filter, &q.page).await
}

/// A model by the id of its row, else the oldest row of the model of that id.
pub async fn get_model(store: &Store, id: &str) -> Result<MirrorRow, Error> {
    let missing = Error::NotFound("model");
    if TextId::parse(id).is_err() {
        return Err(missing);
    }
    if let Some(row) = store.mirror_row(Entity::Llmage, id).await?.filter(|row| !row.unreadable) {
        return Ok(row);
    }
    let filter = MirrorFilter { equals: vec![("llmid", id.to_owned())], ..MirrorFilter::of(Entity::Llmage) };
    store.list(&filter, &Window::oldest(1)).await?.pop().ok_or(missing)
}

fn given<const N: usize>(filters: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    filters.into_iter().filter_map(|(column, value)| Some((column, value?))).collect()
}
