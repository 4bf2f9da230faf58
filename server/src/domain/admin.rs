//! Administration: what a principal may read and change of customers, users, groups and members. An administrator of a
//! customer reaches what that customer owns; nothing else exists for it.

pub mod audit;
pub mod bootstrap;
pub mod customers;
pub mod groups;
pub mod members;
pub mod users;

use super::Error;
use crate::model::{CustomerId, Owner, Reach};
use crate::store::Store;

/// How often a change that names no version is tried where others change the same row.
const ATTEMPTS: usize = 8;

/// The owner of something new. A customer that does not exist owns nothing.
async fn owner_of_new(store: &Store, reach: &Reach, named: Option<&CustomerId>) -> Result<Owner, Error> {
    let owner = reach.owner_for(named)?;
    if let Owner::Customer(id) = &owner {
        store.customer(id).await?.ok_or(Error::NotFound("customer"))?;
    }
    Ok(owner)
}

/// The owner whose rows a list shows; `None` is everyone.
fn listed_owner(reach: &Reach, named: Option<&CustomerId>) -> Result<Option<Owner>, Error> {
    Ok(reach.narrowed_to(named)?.customer().cloned().map(Owner::Customer))
}
