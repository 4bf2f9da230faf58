//! Reading holds.

use super::page::{ListPage, PageRequest};
use super::{Error, list};
use crate::model::{CustomerId, Hold, HoldState, Reach, RecordId, Timestamp, Transno};
use crate::store::{HoldFilter, Store, Window};

/// Which holds to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct HoldsQuery {
    /// The customer that the caller names; `None`: all that it reaches.
    pub customer_id: Option<CustomerId>,
    /// The person they were made for.
    pub user_id: Option<String>,
    /// What they count as now.
    pub state: Option<HoldState>,
    /// The caller's name for it.
    pub transno: Option<String>,
    /// Made at or after.
    pub from: Option<Timestamp>,
    /// Made before.
    pub to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

/// A page of the holds within reach by creation and id, each with the state that it counts as now.
pub async fn query_holds(store: &Store, reach: &Reach, q: HoldsQuery) -> Result<ListPage<Hold>, Error> {
    let HoldsQuery { customer_id, user_id, state, transno, from, to, page } = q;
    let customer_id = reach.narrowed_to(customer_id.as_ref())?.customer().cloned();
    let filter = HoldFilter { customer_id, user_id, state, transno, from, to };
    let ListPage { rows, next_cursor, total } = list::page(store, &filter, &page).await?;
    Ok(ListPage { rows: rows.into_iter().map(as_of).collect(), next_cursor, total })
}

/// A hold by its id. One out of reach is [`Error::NotFound`], as if it did not exist.
pub async fn get_hold(store: &Store, reach: &Reach, id: RecordId) -> Result<Hold, Error> {
    let hold = store.hold(id).await?.map(as_of);
    hold.filter(|hold| reach.includes(&hold.customer_id)).ok_or(Error::NotFound("hold"))
}

/// The hold that a caller's name stands for.
pub async fn by_transno(
    store: &Store,
    customer: &CustomerId,
    transno: &Transno,
) -> Result<Option<Hold>, Error> {
    let filter = HoldFilter {
        customer_id: Some(customer.clone()),
        transno: Some(transno.to_string()),
        ..HoldFilter::default()
    };
    Ok(store.list(&filter, &Window::newest(1)).await?.pop().map(as_of))
}

fn as_of((mut hold, now): (Hold, Timestamp)) -> Hold {
    hold.state = hold.state_at(now);
    hold
}
