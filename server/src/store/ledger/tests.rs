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
async fn a_connection_to_a_server_that_cannot_serve_now_is_not_used_again() {
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
            Some(error) => writer.abort(tx, error).await,
            None => writer.rollback(tx).await,
        }
        connection
    };
    let kept = connection(None).await;
    // What one item is at fault for is no reason to leave the connection.
    let refused = Error::Refused(sqlx::Error::RowNotFound);
    assert_eq!(connection(Some(&refused)).await, kept);
    assert_eq!(connection(Some(&Error::silent(WRITE_TIMEOUT))).await, kept, "the last time");
    assert_ne!(connection(None).await, kept);
}

/// Commits an event by statements in its transaction; how it ended, and whether the event is there.
async fn commit_event(
    store: &Store,
    before: &[&'static str],
    after: &[&'static str],
) -> (Option<NotCommitted>, bool) {
    let mut writer = store.writer();
    let id = CustomerId::parse("org-1").unwrap();
    let (mut tx, _) = writer.begin(std::slice::from_ref(&id)).await.unwrap();
    for statement in before {
        tx.conn.run(statement).await.unwrap();
    }
    let event = store.uuid();
    let changed = Changed { balances: vec![id.to_string()], ..Changed::default() };
    let mut statements = vec![store.announcement(event, &changed).unwrap().unwrap()];
    statements.extend(after.iter().map(|statement| Sql::new(*statement)));
    let ended = tx.commit_after(statements, Some(cache_events::existence(event)), BATCH_BYTES).await;
    let failed =
        ended.err().map(
            |(Stopped { error, unknown }, _)| {
                if unknown { NotCommitted::Unknown(error) } else { NotCommitted::Undone(error) }
            },
        );
    (failed, store.fetch_optional(cache_events::existence(event)).await.unwrap().is_some())
}

#[tokio::test]
async fn what_is_left_of_a_text_whose_transaction_was_rolled_back_is_not_committed() {
    if !wanted(Kind::MySql) {
        return;
    }
    let database = TestDatabase::fresh(Kind::MySql).await;
    let store = migrated(&database).await;
    assert!(matches!(commit_event(&store, &[], &[]).await, (None, true)));
    // Before the text, and between two of its statements, as a Galera node does without a word.
    for (before, after) in [(&["ROLLBACK"][..], &[][..]), (&[], &["ROLLBACK"]), (&["COMMIT"], &[])] {
        let (failed, stored) = commit_event(&store, before, after).await;
        assert!(matches!(&failed, Some(NotCommitted::Undone(e)) if e.is_contended()), "{failed:?}");
        assert!(!stored, "{before:?} {after:?}: a part ran outside its transaction");
    }
}

#[tokio::test]
async fn a_commit_that_is_answered_but_stores_nothing_is_not_taken_for_one() {
    if !wanted(Kind::MySql) {
        return;
    }
    let database = TestDatabase::fresh(Kind::MySql).await;
    let store = migrated(&database).await;
    // Rolled back after the savepoint was seen: here by a savepoint of the same name.
    let (failed, stored) = commit_event(&store, &[], &["ROLLBACK", "SAVEPOINT booking"]).await;
    assert!(matches!(failed, Some(NotCommitted::Unknown(_))), "{failed:?}");
    assert!(!stored);
}

#[tokio::test]
async fn a_row_that_came_in_after_the_transaction_was_lost_is_no_fault_of_the_booking() {
    if !wanted(Kind::MySql) {
        return;
    }
    let database = TestDatabase::fresh(Kind::MySql).await;
    let store = migrated(&database).await;
    let twice = "INSERT INTO schema_info (id, version, compatible_from, updated_at) VALUES (1, 0, 0, 0)";
    let (failed, _) = commit_event(&store, &["ROLLBACK"], &[twice]).await;
    assert!(matches!(&failed, Some(NotCommitted::Undone(e)) if e.is_contended()), "{failed:?}");
    let (failed, _) = commit_event(&store, &[], &[twice]).await;
    assert!(matches!(failed, Some(NotCommitted::Undone(Error::Duplicate(_)))), "{failed:?}");
}
