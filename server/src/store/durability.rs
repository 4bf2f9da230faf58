//! What a commit survives. For SQLite we set it; for MySQL it is the operator's choice, which is only checked.

use super::sql::Sql;
use super::{Dialect, Error, Store};

impl Store {
    /// How the database may lose what it has committed, in one sentence; `None` where it does not.
    /// Source: the manuals of MySQL and MariaDB on `innodb_flush_log_at_trx_commit` and `sync_binlog`.
    pub async fn durability_risk(&self) -> Result<Option<String>, Error> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        let sql = Sql::new(
            "SHOW VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog')",
        );
        let mut settings = Vec::new();
        for row in self.fetch_all(sql).await? {
            settings.push((row.text(0)?, row.text(1)?));
        }
        Ok(risk_of(&settings))
    }
}

fn risk_of(settings: &[(String, String)]) -> Option<String> {
    let is =
        |name: &str, value: &str| settings.iter().any(|(n, v)| n == name && v.eq_ignore_ascii_case(value));
    if !is("innodb_flush_log_at_trx_commit", "1") {
        return Some(
            "innodb_flush_log_at_trx_commit is not 1: what was acknowledged within the last second or so is lost if the \
             database's host fails"
                .to_owned(),
        );
    }
    if is("log_bin", "ON") && !is("sync_binlog", "1") {
        return Some(
            "sync_binlog is not 1: if the database's host fails, replicas and point-in-time restores may lack what was \
             acknowledged"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_store::TestStore;

    #[tokio::test]
    async fn sqlite_flushes_its_log_at_every_commit() {
        let db = TestStore::new().await;
        let mut conn = db.store.writing().await.unwrap();
        // 2 is FULL: <https://www.sqlite.org/pragma.html#pragma_synchronous>.
        assert_eq!(conn.fetch_one(Sql::new("PRAGMA synchronous")).await.unwrap().int(0).unwrap(), 2);
        assert_eq!(conn.fetch_one(Sql::new("PRAGMA journal_mode")).await.unwrap().text(0).unwrap(), "wal");
    }

    #[test]
    fn a_server_that_may_lose_commits_is_recognised() {
        let settings = |of: [&str; 3]| {
            let names = ["innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog"];
            names.into_iter().zip(of).map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>()
        };
        for durable in [["1", "OFF", "0"], ["1", "ON", "1"]] {
            assert_eq!(risk_of(&settings(durable)), None, "{durable:?}");
        }
        for (lossy, setting) in [
            (["2", "OFF", "0"], "innodb_flush_log_at_trx_commit"),
            (["0", "ON", "1"], "innodb_flush_log_at_trx_commit"),
            (["1", "ON", "0"], "sync_binlog"),
        ] {
            assert!(risk_of(&settings(lossy)).unwrap().starts_with(setting), "{lossy:?}");
        }
    }
}
