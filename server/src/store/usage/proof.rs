//! What `verify` reads of usage and quotas: rows in the order of their keys.

use super::super::Tx;
use super::super::columns::select;
use super::super::error::Error;
use super::super::proof::VerifyRow;
use super::super::sql::Sql;
use crate::model::{CustomerId, QuotaCounter, QuotaReservation, UsageDay, UsageRecord, UsageTotal};

impl super::super::Store {
    /// How many usage records there are.
    pub async fn number_of_usage_records(&self) -> Result<u64, Error> {
        let count = self.fetch_one(Sql::new("SELECT COUNT(*) FROM usage_logs")).await?.int(0)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

impl Tx {
    /// A customer's usage records after a place, oldest first.
    pub async fn usage_after(
        &mut self,
        customer: &CustomerId,
        useq: i64,
        limit: i64,
    ) -> Result<Vec<VerifyRow<UsageRecord>>, Error> {
        let sql = select::<UsageRecord>(" WHERE customer_id = ? AND useq > ? ORDER BY useq LIMIT ?");
        self.readable(sql.bind(customer.as_str()).bind(useq).bind(limit)).await
    }

    /// A customer's sums by day, user, group and model, after one of them.
    pub async fn usage_days_after(
        &mut self,
        customer: &CustomerId,
        after: Option<&UsageDay>,
        limit: i64,
    ) -> Result<Vec<VerifyRow<UsageDay>>, Error> {
        let mut sql = select::<UsageDay>(" WHERE customer_id = ?").bind(customer.as_str());
        if let Some(after) = after {
            let [day, user, group, model] = [&after.day, &after.user_id, &after.group_id, &after.model];
            let place = [day.as_str().into(), user.as_str().into()];
            self.dialect().push_pair(&mut sql, ["day", "user_id"], ">=", place);
            sql.push(
                " AND (day > ? OR user_id > ? OR group_id > ? OR (group_id = ? AND (model > ? OR \
                 (model = ? AND currency > ?))))",
            );
            for part in [day, user, group, group, model, model] {
                sql.add(part.as_str());
            }
            sql.add(after.currency.as_str());
        }
        sql.push(" ORDER BY day, user_id, group_id, model, currency LIMIT ?").add(limit);
        self.readable(sql).await
    }

    /// A customer's sums by day, after one of them.
    pub async fn usage_totals_after(
        &mut self,
        customer: &CustomerId,
        after: Option<&UsageTotal>,
        limit: i64,
    ) -> Result<Vec<VerifyRow<UsageTotal>>, Error> {
        // The other key has a customer's days too, but not one customer's together.
        let index = self.dialect().by_index("PRIMARY");
        let mut sql =
            select::<UsageTotal>(format_args!("{index} WHERE customer_id = ?")).bind(customer.as_str());
        if let Some(after) = after {
            let place = [after.day.as_str().into(), after.currency.as_str().into()];
            self.dialect().push_pair(&mut sql, ["day", "currency"], ">", place);
        }
        sql.push(" ORDER BY day, currency LIMIT ?").add(limit);
        self.readable(sql).await
    }

    /// What is counted of a customer's users, after one of these rows.
    pub async fn counters_after(
        &mut self,
        customer: &CustomerId,
        after: Option<&QuotaCounter>,
        limit: i64,
    ) -> Result<Vec<VerifyRow<QuotaCounter>>, Error> {
        let mut sql = select::<QuotaCounter>(" WHERE customer_id = ?").bind(customer.as_str());
        if let Some(after) = after {
            let (user, kind) = (after.user_id.as_str(), after.kind.as_str());
            sql.push(" AND user_id >= ? AND (user_id > ? OR kind > ? OR (kind = ? AND window_start > ?))");
            sql.add(user).add(user).add(kind).add(kind).add(after.window_start);
        }
        sql.push(" ORDER BY user_id, kind, window_start LIMIT ?").add(limit);
        self.readable(sql).await
    }

    /// Every open reservation of these users of a customer.
    pub async fn reservations_open_of(
        &mut self,
        customer: &CustomerId,
        users: &[&str],
    ) -> Result<Vec<VerifyRow<QuotaReservation>>, Error> {
        let index = self.dialect().by_index("quota_reservations_subject");
        let mut sql =
            select::<QuotaReservation>(format_args!("{index} WHERE customer_id = ? AND user_id IN "));
        sql.add(customer.as_str()).push_in(users.iter().copied()).push(" AND state = 'open'");
        self.readable(sql).await
    }

    /// How many reservations are open.
    pub async fn number_of_open_reservations(&mut self) -> Result<i64, Error> {
        let index = self.dialect().walking("quota_reservations_due");
        let sql = Sql::new(format!("SELECT COUNT(*) FROM quota_reservations{index} WHERE state = 'open'"));
        self.conn.fetch_one(sql).await?.int(0)
    }

    /// The first customer after `after` that has usage or counters.
    pub async fn next_customer_with_usage(&mut self, after: &str) -> Result<Option<String>, Error> {
        let mut first: Option<String> = None;
        for table in ["usage_logs", "usage_daily", "usage_totals", "quota_counters"] {
            let index = self.dialect().by_index("PRIMARY");
            let sql = Sql::new(format!(
                "SELECT customer_id FROM {table}{index} WHERE customer_id > ? ORDER BY customer_id LIMIT 1"
            ));
            if let Some(row) = self.conn.fetch_optional(sql.bind(after)).await? {
                let id = row.text(0)?;
                first = Some(first.map_or_else(|| id.clone(), |first| first.min(id.clone())));
            }
        }
        Ok(first)
    }
}
