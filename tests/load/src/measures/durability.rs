use sageapi_test_support::database::MYSQL_URL;

use crate::Failure;
use crate::database::{Database, Kind};
use crate::raw;

const SETTINGS: &str = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED), CAST(@@log_bin AS SIGNED), \
     CAST(@@sync_binlog AS SIGNED)";
/// `PRAGMA synchronous` where each commit is flushed.
const FULL: i64 = 2;

/// How both sides make sure of what they commit, for a note. Fails where a commit may be forgotten: then there is
/// nothing to compare.
pub fn note(database: &Database, kind: Kind) -> Result<String, Failure> {
    if kind == Kind::Sqlite {
        let plain = raw::row(database, "PRAGMA synchronous")?;
        if plain != [FULL] {
            return Err(format!("the raw connections have synchronous={plain:?}, which is not FULL").into());
        }
        return Ok("the raw connections have synchronous=FULL; the server sets it too, and a test of its store holds \
                   it to that"
            .to_owned());
    }
    let row = raw::row(database, SETTINGS)?;
    let &[flush, binlog, sync] = row.as_slice() else {
        return Err("the database server does not tell how it flushes".into());
    };
    if flush != 1 {
        return Err(format!(
            "the database server has innodb_flush_log_at_trx_commit={flush}: what it commits may be lost, and a charge \
             that lasts cannot be compared with that. Set it to 1, or leave {MYSQL_URL} empty"
        )
        .into());
    }
    Ok(format!(
        "both sides use one server, with innodb_flush_log_at_trx_commit={flush}, log_bin={binlog}, sync_binlog={sync}"
    ))
}
