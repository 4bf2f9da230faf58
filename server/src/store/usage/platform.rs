//! The sums over all customers by day.

use super::super::Store;
use super::super::columns::{self, columns, select};
use super::super::error::Error;
use super::super::sql::Sql;
use crate::model::{PlatformDay, PlatformSums, UsageTotal};

columns!(PlatformDay in "platform_daily":
    day, currency;
    sums: PlatformSums { requests, errors, input_tokens, output_tokens, cost_units, cost_nanos, unpriced },
);

impl Store {
    /// The usage of all customers from one day to another, which is the last one: a row for each day and currency, as they
    /// were added up last.
    pub async fn platform_days(&self, from: &str, to: &str) -> Result<Vec<PlatformDay>, Error> {
        let sql = select::<PlatformDay>(" WHERE day >= ? AND day <= ? ORDER BY day, currency");
        self.rows(sql.bind(from).bind(to)).await
    }

    /// The last day before another one on which there was usage.
    pub async fn usage_day_before(&self, day: &str) -> Result<Option<String>, Error> {
        let index = self.dialect().walking("usage_totals_day");
        let sql = Sql::new(format!(
            "SELECT day FROM usage_totals{index} WHERE day < ? ORDER BY day DESC, customer_id DESC LIMIT 1"
        ));
        self.fetch_optional(sql.bind(day)).await?.map(|row| row.text(0)).transpose()
    }

    /// The usage of a day by customer and currency, after a place in that order.
    pub async fn usage_totals_on(
        &self,
        day: &str,
        after: Option<&UsageTotal>,
        limit: i64,
    ) -> Result<Vec<UsageTotal>, Error> {
        let index = self.dialect().walking("usage_totals_day");
        let mut sql = select::<UsageTotal>(format_args!("{index} WHERE day = ?")).bind(day);
        if let Some(after) = after {
            let customer = after.customer_id.as_str();
            sql.push(" AND customer_id >= ? AND (customer_id > ? OR currency > ?)");
            sql.add(customer).add(customer).add(after.currency.as_str());
        }
        sql.push(" ORDER BY customer_id, currency LIMIT ?").add(limit);
        self.rows(sql).await
    }

    /// Writes sums over all customers. They replace what was there.
    pub async fn put_platform_days(&self, days: Vec<PlatformDay>) -> Result<(), Error> {
        self.write("usage.platform", move |tx| {
            let days = days.clone();
            Box::pin(async move {
                let sums = [
                    "requests",
                    "errors",
                    "input_tokens",
                    "output_tokens",
                    "cost_units",
                    "cost_nanos",
                    "unpriced",
                ];
                let sql = columns::upsert(&days, tx.dialect(), "day, currency", &sums);
                tx.conn.execute(sql).await.map(drop)
            })
        })
        .await
    }
}
