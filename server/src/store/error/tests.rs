use sageapi_test_support::database::{Kind, TestDatabase, wanted};
use sqlx::AssertSqlSafe;

use super::Error;

/// What a real server's error of this number comes to.
async fn raised(database: &TestDatabase, number: u16) -> Error {
    let signal = format!("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}");
    let mut conn = database.mysql().await;
    sqlx::raw_sql(AssertSqlSafe(signal)).execute(&mut conn).await.unwrap_err().into()
}

#[tokio::test]
async fn what_a_server_says_is_told_apart_by_its_number() {
    if !wanted(Kind::MySql) {
        return;
    }
    let database = TestDatabase::fresh(Kind::MySql).await;
    for number in [
        1021, 1026, 1030, 1040, 1044, 1045, 1047, 1049, 1053, 1114, 1180, 1203, 1223, 1290, 1317, 1836, 1927,
        1969, 3024, 3100, 3169, 4031, 9001, 9005, 2006, 2013,
    ] {
        let error = raised(&database, number).await;
        assert!(matches!(error, Error::Unavailable(_)), "{number}: {error:?}");
        assert_eq!(error.mysql_number(), Some(number));
    }
    for number in [1205, 3572] {
        let error = raised(&database, number).await;
        assert!(error.is_locked() && error.is_contended(), "{number}: {error:?}");
    }
    for number in [1020, 1213, 3101, 8028, 9007] {
        let conflict = raised(&database, number).await;
        assert!(conflict.is_contended() && !conflict.is_locked(), "{number}: {conflict:?}");
    }
    assert!(matches!(raised(&database, 1062).await, Error::Duplicate(_)));
    // A statement that is wrong, a value that does not fit: the item is at fault.
    for number in [1064, 1264, 1406] {
        assert!(matches!(raised(&database, number).await, Error::Refused(_)), "{number}");
    }
}
