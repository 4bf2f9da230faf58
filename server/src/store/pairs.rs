//! Conditions that name rows by customer and the client's name for them.

use super::sql::Sql;
use crate::model::{CustomerId, Transno};

/// Appends `(customer_id = ? AND <column> = ?) OR ...`, filled up to a power of two so that few different
/// statements have to be prepared; `None` for no pair. Pairs joined by OR, because MariaDB uses no
/// index for a row value in an IN list.
pub(super) fn with_pairs<'a>(
    mut sql: Sql<'a>,
    column: &str,
    pairs: impl ExactSizeIterator<Item = (&'a CustomerId, &'a Transno)>,
) -> Option<Sql<'a>> {
    let wanted = pairs.len().next_power_of_two();
    let mut last = None;
    for (count, (customer, transno)) in pairs.enumerate() {
        push_pair(&mut sql, column, count, customer, transno);
        last = Some((count, customer, transno));
    }
    let (count, customer, transno) = last?;
    for count in count + 1..wanted {
        push_pair(&mut sql, column, count, customer, transno);
    }
    Some(sql)
}

fn push_pair<'a>(
    sql: &mut Sql<'a>,
    column: &str,
    count: usize,
    customer: &'a CustomerId,
    transno: &'a Transno,
) {
    sql.push(if count == 0 { "" } else { " OR " }).push(&format!("(customer_id = ? AND {column} = ?)"));
    sql.add(customer.as_str()).add(transno.as_str());
}
