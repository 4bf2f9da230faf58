//! Conditions that name rows by customer and another column.

use super::sql::Sql;
use crate::model::CustomerId;

/// Appends `(<condition>) OR ...`, filled up to a power of two so that few different statements have to be prepared; `None`
/// for no pair. The condition takes a customer and a text. Pairs joined by OR, because MariaDB uses no index for a row value
/// in an IN list.
pub(super) fn with_pairs<'a>(
    mut sql: Sql<'a>,
    condition: &str,
    pairs: impl ExactSizeIterator<Item = (&'a CustomerId, &'a str)>,
) -> Option<Sql<'a>> {
    let wanted = pairs.len().next_power_of_two();
    let mut last = None;
    for (count, (customer, text)) in pairs.enumerate() {
        push_pair(&mut sql, condition, count, customer, text);
        last = Some((count, customer, text));
    }
    let (count, customer, text) = last?;
    for count in count + 1..wanted {
        push_pair(&mut sql, condition, count, customer, text);
    }
    Some(sql)
}

fn push_pair<'a>(sql: &mut Sql<'a>, condition: &str, count: usize, customer: &'a CustomerId, text: &'a str) {
    sql.push(if count == 0 { "" } else { " OR " }).push(&format!("({condition})"));
    sql.add(customer.as_str()).add(text);
}
