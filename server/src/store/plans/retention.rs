//! What `verify` reads of usage and quotas, and how those tables are kept small.

use super::super::Error;
use super::Bench;
use super::fill::{ROWS, cny, customer, id, time};
use super::usage::usage;
use crate::model::{
    CounterKind, PlatformDay, PlatformSums, QuotaCounter, QuotaReservation, ReservationState, Timestamp,
    UsageDay, UsageSums, UsageTotal,
};

fn day(n: i64) -> UsageDay {
    UsageDay {
        customer_id: customer(n % 50),
        day: format!("2026-{:02}-{:02}", n / 50 % 100 / 28 + 1, n / 50 % 100 % 28 + 1),
        user_id: format!("user_{}", n / 2500),
        group_id: String::new(),
        model: format!("model-{}", n / 5000),
        currency: cny(),
        sums: UsageSums::default(),
    }
}

fn total(n: i64) -> UsageTotal {
    let UsageDay { customer_id, day, currency, sums, .. } = day(n % 5000);
    let customer_id = if n < 2500 { customer_id } else { customer(n) };
    UsageTotal { customer_id, day, currency, sums }
}

/// A day, which has ended for most, and a live row of each user.
fn counter(n: i64) -> QuotaCounter {
    let live = n % 2 == 0;
    QuotaCounter {
        customer_id: customer(n / 2 % 50),
        user_id: format!("user_{}", n / 100),
        kind: if live { CounterKind::Live } else { CounterKind::Day },
        window_start: if live { Timestamp::default() } else { time(n) },
        window_end: if live { Timestamp::from_micros(i64::MAX) } else { time(n + 10) },
        used: 0,
        reserved: 0,
        ring: Vec::new(),
    }
}

/// One in ten is open.
fn reservation(n: i64) -> QuotaReservation {
    let state = ReservationState::ALL[if n % 10 == 0 { 0 } else { usize::try_from(1 + n % 3).unwrap() }];
    QuotaReservation {
        id: id(n),
        customer_id: customer(n / 2 % 50),
        user_id: format!("user_{}", n / 100),
        request_id: None,
        open_request_id: None,
        declared: 1,
        day_start: time(n),
        month_start: time(n),
        state,
        expires_at: time(n),
        created_at: time(n),
        updated_at: time(n),
    }
}

impl Bench {
    async fn fill_old_usage(&self) {
        self.rows((0..ROWS).map(usage)).await;
        self.rows((0..ROWS).map(day)).await;
        self.rows((0..ROWS).map(total)).await;
        self.store.usage_state("UTC").await.unwrap();
    }

    async fn fill_quotas(&self) {
        self.rows((0..ROWS).map(counter)).await;
        self.rows((0..ROWS).map(reservation)).await;
    }
}

/// On the rows of [`super::usage`].
pub(super) async fn verify(bench: &mut Bench) {
    bench.fill_quotas().await;
    let (first, mut tx) = (customer(0), bench.store.snapshot().await.unwrap());
    let call = async {
        let usage = tx.usage_after(&first, 5, 10).await?.len();
        let days = tx.usage_days_after(&first, None, 10).await?.len();
        let more = tx.usage_days_after(&first, Some(&day(500)), 10).await?.len();
        let totals = tx.usage_totals_after(&first, None, 10).await?.len();
        let more = more + tx.usage_totals_after(&first, Some(&total(500)), 10).await?.len();
        let counters = tx.counters_after(&first, None, 10).await?.len();
        let more = more + tx.counters_after(&first, Some(&counter(100)), 10).await?.len();
        let open = tx.reservations_open_of(&first, &["user_1", "user_3", "user_5"]).await?.len();
        let all = tx.number_of_open_reservations().await?;
        let next = tx.next_customer_with_usage("org_0003").await?;
        Ok::<_, Error>(((usage, days, totals, counters, more), (open, all, next)))
    };
    let found = bench.look("verify of usage", call).await;
    bench.store.end_snapshot(tx).await;
    assert_eq!(found.0, (10, 10, 10, 10, 30));
    assert_eq!(found.1, (3, 500, Some("org_0004".to_owned())));
}

pub(super) async fn purges(bench: &mut Bench) {
    bench.fill_old_usage().await;
    bench.fill_quotas().await;
    let store = bench.store.clone();
    let forgotten = async {
        store.raise_usage_floor(time(30)).await?;
        let first = store.usage_received_before(time(40), None, 10).await?;
        let next = store.usage_received_before(time(40), first.last(), 10).await?;
        let places = next.iter().map(|row| (row.customer_id.clone(), row.useq)).collect();
        Ok::<_, Error>((first.len(), next.len(), store.delete_usage_through(places).await?))
    };
    assert_eq!(bench.look("usage forgotten", forgotten).await, (10, 10, 15));
    let unsynced = async {
        let known = store.unsynced_usage(10).await?;
        store.mark_usage_synced(&[id(1), id(2)]).await?;
        Ok::<_, Error>(known.len())
    };
    assert_eq!(bench.look("usage that an edge has to tell", unsynced).await, 0);
    assert_eq!(bench.look("reservations forgotten", store.purge_reservations(time(40), 5)).await, 15);
    assert_eq!(bench.look("counters forgotten", store.purge_counters(time(40), 5)).await, 5);
    let added_up = async {
        let day = store.usage_day_before("2026-02-01").await?.unwrap();
        let first = store.usage_totals_on(&day, None, 10).await?;
        let next = store.usage_totals_on(&day, first.last(), 10).await?;
        let sums = PlatformSums::default();
        let all = vec![PlatformDay { day: day.clone(), currency: cny(), sums }];
        store.put_platform_days(all).await?;
        let days = store.platform_days("2026-01-01", "2026-02-01").await?;
        Ok::<_, Error>((day, first.len(), next.len(), days.len()))
    };
    let found = bench.look("usage of all", added_up).await;
    assert_eq!(found, ("2026-01-28".to_owned(), 10, 10, 1));
}
