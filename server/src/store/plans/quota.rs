//! What checks and settlements read, and the look-up of usage by its name, on the rows of [`super::retention`].

use super::super::{Error, QuotaQuery, QuotaRows};
use super::Bench;
use super::fill::{customer, id, time};
use crate::model::{CustomerId, QuotaReservation, RecordId, ReservationState, Timestamp, Transno};

/// Whose the reservation of this number is.
fn subject(n: i64) -> (CustomerId, String) {
    (customer(n / 2 % 50), format!("user_{}", n / 100))
}

pub(super) async fn checks(bench: &mut Bench) {
    let store = bench.store.clone();
    let ((first, user), named) = (subject(0), Transno::parse("r0").unwrap());
    assert!(
        !bench.look("counters of a user", store.quota_counters_of(&first, &user, time(1))).await.is_empty()
    );
    let found = bench.look("the customer of a reservation", store.customer_of_reservation(id(2))).await;
    assert_eq!(found, Some(customer(1)));
    let open = store.has_open_reservation(&first, &user, &named);
    assert!(!bench.look("an open reservation by its name", open).await);
    for count in [1_i64, 3, 17, 64] {
        let ids: Vec<RecordId> = (0..count).map(id).collect();
        let customers: Vec<CustomerId> = (0..count.min(50)).map(customer).collect();
        let users: Vec<_> = (0..count).map(|n| subject(n * 10)).collect();
        let named: Vec<_> =
            (0..count).map(|n| (customer(0), Transno::parse(&format!("r{}", n * 2)).unwrap())).collect();
        // Ended before its statements are explained: MariaDB locks rows even for that.
        let call = async {
            let mut writer = store.writer();
            let (mut tx, _) = writer.begin(&customers).await?;
            let due = tx.due_reservations(&customers, Timestamp::from_micros(i64::MAX), 20).await?.len();
            let asked = users.iter().zip(&named);
            let names =
                asked.map(|((customer, user), (_, name))| (customer.clone(), user.clone(), name.clone()));
            let query = QuotaQuery {
                users: users.iter().cloned().collect(),
                names: names.collect(),
                reservations: ids.clone(),
            };
            let QuotaRows { reservations, .. } = tx.quotas(&query).await?;
            let is_open = |made: &&QuotaReservation| made.state == ReservationState::Open;
            let open = reservations.iter().filter(is_open).count();
            let used = tx.find_usage(named.iter().map(|(customer, name)| (customer, name))).await?.len();
            Ok::<_, Error>((
                due,
                reservations.iter().filter(|made| ids.contains(&made.id)).count(),
                open,
                used,
            ))
        };
        let (due, by_id, open, used) = bench.look(&format!("quotas of {count}"), call).await;
        assert_eq!((by_id, used), (ids.len(), named.len()));
        assert!(due > 0 && open > 0, "{due} due, {open} open");
    }
}

pub(super) async fn expiry(bench: &mut Bench) {
    let store = bench.store.clone();
    for but in [0, 3, 600] {
        let but: Vec<_> = (0..but).map(customer).collect();
        let due = store.customers_with_due_reservations(but.iter(), 20);
        let found = bench.look("customers with due reservations", due).await;
        assert_eq!(found.is_empty(), but.len() > 50);
    }
}
