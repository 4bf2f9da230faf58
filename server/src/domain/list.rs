//! Pages of the store's lists.

use super::Error;
use super::cursor::{Listing, Position};
use super::page::{ListPage, PageRequest, TOTAL_CAP};
use crate::store::{Filter, Store, Window};

/// A page of a list. A cursor of another list is [`Error::InvalidCursor`].
pub async fn page<F>(store: &Store, filter: &F, request: &PageRequest) -> Result<ListPage<F::Row>, Error>
where
    F: Filter<Place: Position>,
{
    let listing = listing(store, filter, request.ascending);
    let after = request.cursor.as_deref().map(|cursor| listing.decode(cursor)).transpose()?;
    let total = if request.count { Some(store.count(filter, TOTAL_CAP).await?) } else { None };
    let window = Window { after, ascending: request.ascending, limit: request.read_limit() };
    let rows = store.list(filter, &window).await?;
    Ok(ListPage::cut(rows, total, request, |last| listing.encode(&filter.place(last))))
}

/// The list of a filter, to which cursors belong.
pub(super) fn listing(store: &Store, filter: &impl Filter, ascending: bool) -> Listing {
    let mut listing = Listing::new(store.keyring().cursor_key(), filter.name(), ascending);
    for (name, value) in store.named_conditions(filter) {
        listing.condition(name, &value);
    }
    listing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CustomerId, Entity, HoldState, Kind, RecordStatus, Timestamp};
    use crate::store::test_store::TestStore;
    use crate::store::{HoldFilter, MirrorFilter, RecordFilter, Validity};

    const FROM: Timestamp = Timestamp::from_seconds(1);
    const TO: Timestamp = Timestamp::from_seconds(2);

    fn customer() -> Option<CustomerId> {
        CustomerId::parse("c").ok()
    }

    /// Changed names, or another order of them, would refuse every cursor that clients hold.
    #[tokio::test]
    async fn cursors_name_every_condition_as_they_always_did() {
        let db = TestStore::new().await;
        let named = |conditions: Vec<(&'static str, Vec<u8>)>| {
            let each = conditions.into_iter().map(|(name, value)| match <[u8; 8]>::try_from(&*value) {
                Ok(time) if time[0] == 0 => format!("{name}={}", i64::from_be_bytes(time) / 1_000_000),
                _ => format!("{name}={}", String::from_utf8(value).unwrap()),
            });
            each.collect::<Vec<_>>().join(" ")
        };
        let (from, to) = (Some(FROM), Some(TO));
        let records = RecordFilter {
            customer_id: customer(),
            user_id: Some("u".into()),
            model_name: Some("m".into()),
            llmid: Some("l".into()),
            transno: Some("t".into()),
            request_id: Some("r".into()),
            kind: Some(Kind::Charge),
            status: Some(RecordStatus::Reversed),
            from,
            to,
            event_from: from,
            event_to: to,
            since: None,
            until: None,
        };
        assert_eq!(records.name(), "accounting");
        assert_eq!(
            named(db.store.named_conditions(&records)),
            "customer_id=c status=reversed user_id=u model_name=m llmid=l transno=t request_id=r kind=charge from=1 to=2 \
             event_from=1 event_to=2"
        );
        let state = Some(HoldState::Open);
        let holds = HoldFilter {
            customer_id: customer(),
            user_id: Some("u".into()),
            state,
            transno: Some("t".into()),
            from,
            to,
        };
        assert_eq!(holds.name(), "holds");
        assert_eq!(
            named(db.store.named_conditions(&holds)),
            "customer_id=c user_id=u state=open transno=t from=1 to=2"
        );
        let users = MirrorFilter {
            equals: vec![("orgid", "c".to_owned()), ("username", "n".to_owned())],
            contains: Some((&["email"], "x".to_owned())),
            from,
            to,
            ..MirrorFilter::of(Entity::Users)
        };
        assert_eq!(users.name(), "users");
        assert_eq!(named(db.store.named_conditions(&users)), "orgid=c username=n q=x from=1 to=2");
        let pricing = MirrorFilter {
            equals: vec![("ppid", "p".to_owned())],
            llmid: Some("l".into()),
            published_only: true,
            validity: Some((Validity::Expired, "2026-01-01".to_owned())),
            at: from,
            from,
            to,
            ..MirrorFilter::of(Entity::Pricing)
        };
        assert_eq!(
            named(db.store.named_conditions(&pricing)),
            "ppid=p through llmid=l published only= validity=expired at=1 from=1 to=2"
        );
    }
}
