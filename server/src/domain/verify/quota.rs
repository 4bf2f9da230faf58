//! Counters of users against the reservations that are open.

use std::collections::{BTreeMap, HashMap};

use super::{SLICE, Stop};
use crate::model::{CounterKind, Customer, QuotaCounter, Timestamp, Window};
use crate::store::Tx;

/// Users looked up by one statement.
const LOOKED_UP: usize = 64;

/// The open reservations of a user: how many, and the tokens that they reserve, by the start of the window.
#[derive(Default)]
struct Open {
    count: i128,
    days: HashMap<Timestamp, i128>,
    months: HashMap<Timestamp, i128>,
}

/// What is reserved of each user of a customer is what its open reservations come to, in windows that have not ended:
/// others are not written any more. Returns how many reservations are open.
pub(super) async fn verify(tx: &mut Tx, customer: &Customer) -> Result<i64, Stop> {
    let now = tx.now().await?;
    let (mut all, mut after) = (0, None);
    loop {
        let slice = tx.counters_after(&customer.id, after.as_ref(), SLICE).await?;
        let slice: Vec<QuotaCounter> = slice.into_iter().collect::<Result<_, _>>()?;
        if slice.is_empty() {
            return Ok(all);
        }
        let open = open_reservations(tx, customer, &slice).await?;
        for counter in &slice {
            let window = Window { start: counter.window_start, end: counter.window_end };
            if window.has_ended(now) {
                continue;
            }
            let of_user = open.get(counter.user_id.as_str());
            let reserved = of_user.map_or(0, |open| match counter.kind {
                CounterKind::Live => open.count,
                CounterKind::Day => open.days.get(&window.start).copied().unwrap_or(0),
                CounterKind::Month => open.months.get(&window.start).copied().unwrap_or(0),
            });
            if i128::from(counter.reserved) != reserved {
                let QuotaCounter { user_id, kind, reserved: said, .. } = counter;
                let at = format!("{}, user {user_id}", customer.id);
                return Err(match kind {
                    CounterKind::Live => {
                        format!("{at}: {said} reservations are said to be open, but {reserved} are")
                    }
                    CounterKind::Day | CounterKind::Month => format!(
                        "{at}, {kind} from {}: {said} tokens are reserved, the open reservations add up to {reserved}",
                        window.start
                    ),
                }
                .into());
            }
            if counter.kind == CounterKind::Live {
                all += counter.reserved;
            }
        }
        after = slice.into_iter().next_back();
    }
}

async fn open_reservations(
    tx: &mut Tx,
    customer: &Customer,
    counters: &[QuotaCounter],
) -> Result<BTreeMap<String, Open>, Stop> {
    let mut users: Vec<_> = counters.iter().map(|counter| counter.user_id.as_str()).collect();
    users.dedup();
    let mut open: BTreeMap<String, Open> = BTreeMap::new();
    for users in users.chunks(LOOKED_UP) {
        for row in tx.reservations_open_of(&customer.id, users).await? {
            let reservation = row?;
            let declared = i128::from(reservation.declared);
            let open = open.entry(reservation.user_id).or_default();
            open.count += 1;
            *open.days.entry(reservation.day_start).or_default() += declared;
            *open.months.entry(reservation.month_start).or_default() += declared;
        }
    }
    Ok(open)
}
