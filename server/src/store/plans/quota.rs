//! What is counted of users, their reservations, and the lookup of usage by its name.

use super::super::Error;
use super::Bench;
use super::fill::{ROWS, customer, id, time};
use crate::model::{
    CounterKind, CustomerId, QuotaCounter, QuotaReservation, RecordId, ReservationState, Timestamp, Transno,
};

fn user(n: i64) -> String {
    format!("user_{}", n % 100)
}

fn request(n: i64) -> Transno {
    Transno::parse(&format!("r{n}")).unwrap()
}

/// Most windows have ended; of each user one of them is current.
fn counter(n: i64) -> QuotaCounter {
    QuotaCounter {
        customer_id: customer(n % 50),
        user_id: user(n),
        kind: CounterKind::Day,
        window_start: time(n * 100),
        window_end: time(n * 100 + 100),
        used: n,
        reserved: 0,
        ring: Vec::new(),
    }
}

/// One in ten is open, and those are due one after the other.
fn reservation(n: i64) -> QuotaReservation {
    let open = n % 10 == 0;
    QuotaReservation {
        id: id(n),
        customer_id: customer(n % 50),
        user_id: user(n),
        request_id: Some(request(n)),
        open_request_id: open.then(|| request(n)),
        declared: 1,
        day_start: time(0),
        month_start: time(0),
        state: if open { ReservationState::Open } else { ReservationState::Settled },
        expires_at: time(n),
        created_at: time(n),
        updated_at: time(n),
    }
}

pub(super) async fn checks(bench: &mut Bench) {
    bench.rows((0..ROWS).map(counter)).await;
    bench.rows((0..ROWS).map(reservation)).await;
    let store = bench.store.clone();
    let (first, name, named, now) = (customer(0), user(0), request(0), time(ROWS * 99));
    assert!(!bench.look("counters of a user", store.quota_counters_of(&first, &name, now)).await.is_empty());
    let found = bench.look("the customer of a reservation", store.customer_of_reservation(id(1))).await;
    assert_eq!(found, Some(customer(1)));
    let open = store.has_open_reservation(&first, &name, &named);
    assert!(bench.look("an open reservation by its name", open).await);
    for count in [1_i64, 3, 17, 64] {
        let ids: Vec<RecordId> = (0..count).map(id).collect();
        let customers: Vec<CustomerId> = (0..count.min(50)).map(customer).collect();
        let users: Vec<(CustomerId, String)> = (0..count).map(|n| (customer(n % 50), user(n))).collect();
        let named: Vec<_> = (0..count).map(|n| (customer(n % 50), request(n))).collect();
        let mut tx = store.snapshot().await.unwrap();
        let call = async {
            let due = tx.due_reservations(&customers, Timestamp::from_micros(i64::MAX), 20).await?.len();
            let by_id = tx.reservations_by_id(&ids).await?.len();
            let subjects = || users.iter().map(|(customer, user)| (customer, user.as_str()));
            let open = tx.open_reservations(subjects()).await?.len();
            tx.quota_counters(subjects(), now).await?;
            tx.find_usage(named.iter().map(|(customer, name)| (customer, name))).await?;
            Ok::<_, Error>((due, by_id, open))
        };
        let (due, by_id, open) = bench.look(&format!("quotas of {count}"), call).await;
        store.end_snapshot(tx).await;
        assert_eq!(by_id, ids.len());
        assert!(due > 0 && open > 0, "{due} due, {open} open");
    }
}

pub(super) async fn expiry(bench: &mut Bench) {
    bench.rows((0..ROWS).map(counter)).await;
    bench.rows((0..ROWS).map(reservation)).await;
    let store = bench.store.clone();
    for but in [0, 3, 600] {
        let but: Vec<_> = (0..but).map(customer).collect();
        let due = store.customers_with_due_reservations(but.iter(), 20);
        let found = bench.look("customers with due reservations", due).await;
        assert_eq!(found.is_empty(), but.len() > 50);
    }
    assert_eq!(bench.look("quotas forgotten", store.purge_quota(time(50), time(2000), 10)).await, 20);
}
