use sageapi_test_support::database::{Kind, TestDatabase, wanted};

use super::super::test_store::migrated;
use super::*;

#[test]
fn any_number_of_rows_is_few_pieces_of_few_sizes() {
    let mut sizes = std::collections::BTreeSet::new();
    for rows in 0..=300_usize {
        let all: Vec<_> = (0..rows).collect();
        let pieces = pieces(&all, Dialect::MySql, MANY_ROWS);
        assert_eq!(pieces.iter().flat_map(|(piece, _)| *piece).copied().collect::<Vec<_>>(), all);
        assert!(pieces.len() <= 2 + rows.div_ceil(64), "{rows} rows are {} pieces", pieces.len());
        for (piece, form) in pieces {
            match form {
                Form::Prepared => drop(sizes.insert(piece.len())),
                Form::Text => assert!(piece.len() < PREPARED_ROWS),
            }
        }
    }
    assert!(sizes.len() <= 24, "{sizes:?}");
    let encrypted = pieces(&[0; 100], Dialect::MySql, FEW_ROWS);
    assert!(encrypted.iter().all(|(piece, _)| piece.len() <= FEW_ROWS));
    assert_eq!(pieces(&[0; 25], Dialect::Sqlite, FEW_ROWS).len(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_serve_now_is_not_who_is_asked_next() {
    if !wanted(Kind::MySql) {
        return;
    }
    let database = TestDatabase::fresh(Kind::MySql).await;
    let store = migrated(&database).await;
    let mut writer = store.writer();
    let id = CustomerId::parse("org-1").unwrap();
    let mut connection = async |error: Option<&Error>| {
        let (mut tx, _) = writer.begin(std::slice::from_ref(&id)).await.unwrap();
        let connection = tx.conn.fetch_one(Sql::new("SELECT CONNECTION_ID()")).await.unwrap().int(0).unwrap();
        match error {
            Some(error) => writer.give_up(tx, error).await,
            None => writer.rollback(tx).await,
        }
        connection
    };
    let kept = connection(None).await;
    // What one item is at fault for is no reason to leave the connection.
    let refused = Error::Refused(sqlx::Error::RowNotFound);
    assert_eq!(connection(Some(&refused)).await, kept);
    assert_eq!(connection(Some(&Error::silent(PATIENCE))).await, kept, "the last time");
    assert_ne!(connection(None).await, kept);
}
