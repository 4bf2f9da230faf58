//! Usage records: their places, their charges, and the sums over them.

use std::collections::{BTreeMap, HashMap};

use super::{SLICE, Stop, Verified};
use crate::domain::mirror::day_at;
use crate::domain::usage::BEHIND_FLOOR;
use crate::model::{
    Currency, Customer, GroupId, Kind, LengthPrefixedHasher, RecordId, Timestamp, UsageBilling, UsageDay,
    UsageRecord, UsageSums,
};
use crate::store::{Moved, Tx, UsageState};

/// What the sums count, in the order of [`numbers`].
const COUNTED: [&str; 6] = ["requests", "errors", "input_tokens", "output_tokens", "cost", "unpriced"];

/// What has to be known of usage as a whole.
pub(super) struct Usage {
    zone: jiff::tz::TimeZone,
    floor: Timestamp,
    /// Records of later days were never deleted.
    floor_day: String,
}

impl Usage {
    pub async fn read(tx: &mut Tx) -> Result<Self, Stop> {
        // Without a state no instance has served, and there is no usage.
        let default = || UsageState { floor: Timestamp::default(), time_zone: "UTC".to_owned() };
        let UsageState { floor, time_zone } = tx.usage_state().await?.unwrap_or_else(default);
        let zone = jiff::tz::TimeZone::get(&time_zone);
        let zone = zone.map_err(|_| format!("usage_state: {time_zone:?} is no time zone"))?;
        // Without a floor, no day comes before it.
        let floor_day = if floor == Timestamp::default() { String::new() } else { day_at(floor, &zone) };
        Ok(Self { zone, floor, floor_day })
    }
}

/// Exact sums: requests, errors, input tokens, output tokens, cost, unpriced.
type Numbers = [i128; COUNTED.len()];

fn numbers(sums: &UsageSums) -> Numbers {
    [sums.requests, sums.errors, sums.input_tokens, sums.output_tokens, sums.cost, sums.unpriced]
        .map(i128::from)
}

/// Sums of a day by currency.
type ByCurrency = BTreeMap<Currency, Numbers>;

fn add(sums: &mut ByCurrency, currency: Currency, more: Numbers) {
    let sums = sums.entry(currency).or_default();
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// What stands for the sums by user, group and model, of which there may be too many to be kept: each number times a hash of
/// what it is the sum of, added up. Records and sums over them come to the same, in any order; with another number anywhere
/// they do not.
#[derive(Default, PartialEq, Eq)]
struct Print([u128; COUNTED.len()]);

impl Print {
    fn add(&mut self, parts: [&str; 4], more: Numbers) {
        let mut hasher = LengthPrefixedHasher::default();
        for part in parts {
            hasher.bytes(part.as_bytes());
        }
        let hash = hasher.finish();
        let mut factor = [0; 16];
        factor.copy_from_slice(&hash[..16]);
        let factor = u128::from_be_bytes(factor);
        for (sum, more) in self.0.iter_mut().zip(more) {
            *sum = sum.wrapping_add(factor.wrapping_mul(more.cast_unsigned()));
        }
    }
}

/// A day of a customer, as three tables tell it.
#[derive(Default)]
struct Day {
    records: ByCurrency,
    records_print: Print,
    daily: ByCurrency,
    daily_print: Print,
    totals: ByCurrency,
}

/// Recomputes the usage of a customer. Memory grows with the days on which there was usage, and not with its amount.
pub(super) async fn verify(
    tx: &mut Tx,
    customer: &Customer,
    usage: &Usage,
    seen: &mut Verified,
    progress: &mut impl FnMut(&Verified),
) -> Result<(), Stop> {
    let mut days: BTreeMap<String, Day> = BTreeMap::new();
    verify_records(tx, customer, usage, &mut days, seen, progress).await?;
    let mut after: Option<UsageDay> = None;
    loop {
        let slice = tx.usage_days_after(&customer.id, after.as_ref(), SLICE).await?;
        if slice.is_empty() {
            break;
        }
        for row in slice {
            let row = row?;
            let day = days.entry(row.day.clone()).or_default();
            add(&mut day.daily, row.currency, numbers(&row.sums));
            let parts = [row.user_id.as_str(), &row.group_id, &row.model, row.currency.as_str()];
            day.daily_print.add(parts, numbers(&row.sums));
            after = Some(row);
        }
    }
    let mut after = None;
    loop {
        let slice = tx.usage_totals_after(&customer.id, after.as_ref(), SLICE).await?;
        if slice.is_empty() {
            break;
        }
        for row in slice {
            let row = row?;
            add(&mut days.entry(row.day.clone()).or_default().totals, row.currency, numbers(&row.sums));
            after = Some(row);
        }
    }
    for (day, sums) in &days {
        compare(sums, *day > usage.floor_day).map_err(|what| format!("{}, {day}: {what}", customer.id))?;
    }
    Ok(())
}

/// Whether the sums of a day are those over its records, or at least as large where records may have been deleted.
fn compare(day: &Day, all_kept: bool) -> Result<(), String> {
    let mut currencies: Vec<_> =
        day.records.keys().chain(day.daily.keys()).chain(day.totals.keys()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    for currency in currencies {
        let of = |sums: &ByCurrency| sums.get(currency).copied().unwrap_or_default();
        let (records, daily, totals) = (of(&day.records), of(&day.daily), of(&day.totals));
        for (n, counted) in COUNTED.iter().enumerate() {
            let (records, daily, total) = (records[n], daily[n], totals[n]);
            if all_kept && total != records || total < records {
                return Err(format!(
                    "usage_totals says {counted} {total} ({currency}), the records add up to {records}"
                ));
            }
            if daily != total {
                return Err(format!(
                    "usage_daily adds up to {counted} {daily} ({currency}), usage_totals says {total}"
                ));
            }
        }
    }
    if all_kept && day.records_print != day.daily_print {
        return Err("usage_daily is not the sums over the records by user, group and model".to_owned());
    }
    Ok(())
}

async fn verify_records(
    tx: &mut Tx,
    customer: &Customer,
    usage: &Usage,
    days: &mut BTreeMap<String, Day>,
    seen: &mut Verified,
    progress: &mut impl FnMut(&Verified),
) -> Result<(), Stop> {
    let mut last: Option<(i64, Timestamp)> = None;
    loop {
        let after = last.map_or(i64::MIN, |(useq, _)| useq);
        let slice = tx.usage_after(&customer.id, after, SLICE).await?;
        if slice.is_empty() {
            break;
        }
        let mut charged = Vec::new();
        for row in slice {
            seen.usage_records += 1;
            let record = row?;
            follows(customer, usage, last, &record)?;
            last = Some((record.useq, record.received_at));
            let day = days.entry(day_at(record.event_time, &usage.zone)).or_default();
            let sums = numbers(&UsageSums::of(&record));
            add(&mut day.records, record.currency, sums);
            let group = record.group_id.as_ref().map_or("", GroupId::as_str);
            let user = record.details.user_id.as_deref().unwrap_or_default();
            let model = record.counted_model().unwrap_or_default();
            day.records_print.add([user, group, model, record.currency.as_str()], sums);
            if record.record_id.is_some() {
                charged.push(record);
            }
        }
        verify_charges(tx, &charged).await?;
        progress(seen);
    }
    let at = &customer.id;
    let (said, stored_at) = (customer.last_useq, customer.last_usage_at);
    match last {
        Some((useq, received_at)) if (useq, received_at) != (said, stored_at) => Err(format!(
            "{at}: the last useq is {said}, stored at {stored_at}, but the last usage record is {useq} of {received_at}"
        )
        .into()),
        // All of them may have been deleted.
        None if said != 0 && stored_at >= usage.floor.minus(BEHIND_FLOOR) => {
            Err(format!("{at}: the last useq is {said}, but there are no usage records").into())
        }
        _ => Ok(()),
    }
}

/// Whether a record is in its place, and says what can be told from itself.
fn follows(
    customer: &Customer,
    usage: &Usage,
    last: Option<(i64, Timestamp)>,
    record: &UsageRecord,
) -> Result<(), String> {
    let UsageRecord { useq, request_id, .. } = record;
    let at = format!("{}, usage record {useq} ({request_id})", customer.id);
    match last {
        Some((before, _)) if *useq != before + 1 => {
            return Err(format!("{at}: useq {} is missing", before + 1));
        }
        Some((_, received_at)) if record.received_at < received_at => {
            return Err(format!("{at}: it was stored before the record before it"));
        }
        None if *useq < 1 => return Err(format!("{at}: records are numbered from 1")),
        None if *useq > 1 && usage.floor == Timestamp::default() => {
            return Err(format!("{at}: useq 1 is missing, and no records were ever deleted"));
        }
        _ => {}
    }
    let details = &record.details;
    if record.total_tokens != details.input_tokens.saturating_add(details.output_tokens) {
        return Err(format!("{at}: total_tokens is not the sum of its tokens"));
    }
    if record.cost.is_none() != record.unpriced.is_some() {
        return Err(format!("{at}: it has both a cost and a reason for none, or neither"));
    }
    let is_booked = record.billing == UsageBilling::Book;
    if is_booked != (record.record_id.is_some() != record.uncharged.is_some()) {
        return Err(format!("{at}: it should have a charge or a reason for none, if its billing is book"));
    }
    Ok(())
}

/// Each of these records has the charge that it names.
async fn verify_charges(tx: &mut Tx, charged: &[UsageRecord]) -> Result<(), Stop> {
    let ids: Vec<_> = charged.iter().filter_map(|record| record.record_id).collect();
    let mut charges: HashMap<RecordId, Moved> = HashMap::new();
    for row in tx.moved(&ids).await? {
        let charge = row?;
        charges.insert(charge.id, charge);
    }
    for record in charged {
        let Some(id) = record.record_id else { continue };
        let charges_it = |charge: &Moved| {
            let kind = if charge.hold_id.is_some() { Kind::Capture } else { Kind::Charge };
            id == record.id
                && charge.customer_id == record.customer_id
                && charge.kind == kind
                && Some(charge.amount) == record.cost
        };
        if !charges.get(&id).is_some_and(charges_it) {
            let (at, useq) = (&record.customer_id, record.useq);
            return Err(format!("{at}, usage record {useq}: the record {id} is not its charge").into());
        }
    }
    Ok(())
}
