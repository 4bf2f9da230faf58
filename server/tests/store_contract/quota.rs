use std::time::Duration;

use jiff::tz::TimeZone;
use sageapi_server::domain::booking::{Action, Outcome, QuotaCheck};
use sageapi_server::domain::quota::Check;
use sageapi_server::model::{GroupLimits, Kind, LimitKind};

use crate::{contract, engine, money};

fn check(tokens: i64) -> Action {
    Action::Check(Box::new(QuotaCheck {
        user_id: "alice".to_owned(),
        request_id: None,
        check: Check { tokens: Some(tokens), default_reservation: None, ttl: Duration::from_hours(1) },
        limits: GroupLimits { monthly_tokens: Some(100), ..GroupLimits::default() },
        zone: TimeZone::UTC,
    }))
}

contract! {
    async fn what_is_counted_of_a_user_counts_beside_a_customer_whose_time_is_far_ahead(db: ready) {
        let (ours, ahead) = (db.customer("ours").await, db.customer("ahead").await);
        let engine = engine::start(&db.store);
        engine.submit(engine::request(&ours, 0, check(7))).await.unwrap();
        // As if the clock had been wrong once.
        let later = "UPDATE customer_balance SET updated_at = updated_at + 7776000000000 WHERE customer_id = 'ahead'";
        assert_eq!(db.database.execute(later).await, 1);
        let credit = engine::book("t", Kind::Credit, money("1"));
        let group = vec![engine::request(&ahead, 0, credit), engine::request(&ours, 0, check(5))];
        let outcomes = engine.submit_group(group).await.unwrap();
        let Some(Outcome::Checked(checked)) = outcomes.last() else { panic!("{outcomes:?}") };
        let months: Vec<_> = checked.limits.iter().map(|state| (state.kind, state.reserved)).collect();
        assert_eq!(months, [(LimitKind::MonthlyTokens, 12)]);
        engine.drain().await;
    }
}
