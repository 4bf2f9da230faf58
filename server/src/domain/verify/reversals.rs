use std::collections::HashMap;

use super::{SLICE, Stop};
use crate::model::{Kind, Record, RecordId};
use crate::store::{Moved, Reversal, Tx};

/// Notes looked up by one statement.
const LOOKED_UP: usize = 64;

/// Each of these records of a customer that takes another back is noted with its amount.
pub(super) async fn verify_records(tx: &mut Tx, records: &[Record]) -> Result<(), Stop> {
    let pairs: Vec<_> = records.iter().filter_map(|record| Some((record.reverses?, record.id))).collect();
    let mut noted = HashMap::new();
    for pairs in pairs.chunks(LOOKED_UP) {
        for row in tx.reversals_noted(pairs).await? {
            let reversal = row?;
            noted.insert((reversal.original, reversal.reversal), reversal.amount);
        }
    }
    for record in records {
        let Some(original) = record.reverses else { continue };
        if noted.get(&(original, record.id)) != Some(&record.amount) {
            let (at, seq) = (&record.customer_id, record.seq);
            return Err(format!("{at}, record {seq}: that it reverses {original} is not noted").into());
        }
    }
    Ok(())
}

/// Every reversal noted is a record that takes back one of the same customer, and of no record is more taken back than
/// was booked.
pub(super) async fn verify_noted(tx: &mut Tx) -> Result<(), Stop> {
    let nil = RecordId(uuid::Uuid::nil());
    let mut after = (nil, nil);
    // Of the original at hand: the notes come in the order of their originals, across slices.
    let (mut of, mut taken) = (None, 0i128);
    loop {
        let slice: Vec<Reversal> =
            tx.reversals_after(after, SLICE).await?.into_iter().collect::<Result<_, _>>()?;
        let Some(last) = slice.last() else { return Ok(()) };
        after = (last.original, last.reversal);
        let mut ids: Vec<_> = slice.iter().flat_map(|note| [note.original, note.reversal]).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut records: HashMap<RecordId, Moved> = HashMap::new();
        for row in tx.moved(&ids).await? {
            let record = row?;
            records.insert(record.id, record);
        }
        for note in &slice {
            let (original, reversal) = (records.get(&note.original), records.get(&note.reversal));
            let Some((original, reversal)) = original.zip(reversal).filter(|(o, r)| takes_back(note, o, r))
            else {
                let (of, by) = (note.original, note.reversal);
                return Err(format!("a reversal of {of} by {by} is noted, but no such record").into());
            };
            if of != Some(original.id) {
                (of, taken) = (Some(original.id), 0);
            }
            taken += note.amount.wide();
            if taken > original.delta.wide().abs() {
                let (at, id) = (&reversal.customer_id, original.id);
                return Err(format!("{at}: more was taken back of {id} than was booked").into());
            }
        }
    }
}

fn takes_back(note: &Reversal, original: &Moved, reversal: &Moved) -> bool {
    let against = if original.delta.is_negative() { note.amount } else { note.amount.negated() };
    reversal.reverses == Some(original.id)
        && reversal.customer_id == original.customer_id
        && reversal.kind == Kind::Reversal
        && original.kind != Kind::Reversal
        && reversal.amount == note.amount
        && reversal.delta == against
}
