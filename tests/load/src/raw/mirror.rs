//! Multi-row inserts into the table that users are mirrored into.

use std::time::{Duration, Instant};

use sqlx::mysql::MySqlRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _, SqliteConnection};

use super::Conn;
use crate::Failure;
use crate::database::Database;

const TEXTS: [&str; 9] =
    ["id", "username", "nick_name", "email", "mobile", "orgid", "orgname", "user_status", "sync_from"];
const NUMBERS: [&str; 5] = ["created_at", "cached_at", "sync_version", "generation", "deleted"];

/// A mirrored user as its table has it.
pub struct User {
    texts: [Option<String>; TEXTS.len()],
    numbers: [i64; NUMBERS.len()],
}

fn columns() -> String {
    [TEXTS.as_slice(), NUMBERS.as_slice()].concat().join(", ")
}

macro_rules! read {
    ($name:ident, $row:ty) => {
        fn $name(row: &$row) -> Result<User, sqlx::Error> {
            let mut user = User { texts: Default::default(), numbers: Default::default() };
            for (i, text) in user.texts.iter_mut().enumerate() {
                // Unchecked, because text in a binary collation looks like bytes.
                *text = row.try_get_unchecked(i)?;
            }
            for (i, number) in user.numbers.iter_mut().enumerate() {
                *number = row.try_get_unchecked(TEXTS.len() + i)?;
            }
            Ok(user)
        }
    };
}

read!(read_sqlite, SqliteRow);
read!(read_mysql, MySqlRow);

macro_rules! insert {
    ($name:ident, $conn:ty) => {
        async fn $name(conn: &mut $conn, text: String, users: &[User]) -> Result<(), sqlx::Error> {
            let mut tx = conn.begin().await?;
            let mut query = sqlx::query(AssertSqlSafe(text));
            for user in users {
                for text in &user.texts {
                    query = query.bind(text.as_deref());
                }
                for number in user.numbers {
                    query = query.bind(number);
                }
            }
            query.execute(&mut *tx).await?;
            tx.commit().await
        }
    };
}

insert!(insert_sqlite, SqliteConnection);
insert!(insert_mysql, MySqlConnection);

/// Every user that a database mirrors.
pub fn read(database: &Database) -> Result<Vec<User>, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let select = AssertSqlSafe(format!("SELECT {} FROM users_cache", columns()));
        let users: Result<Vec<_>, sqlx::Error> = match Conn::open(database).await? {
            Conn::Sqlite(mut conn) => {
                sqlx::query(select).fetch_all(&mut conn).await?.iter().map(read_sqlite).collect()
            }
            Conn::MySql(mut conn) => {
                sqlx::query(select).fetch_all(&mut conn).await?.iter().map(read_mysql).collect()
            }
        };
        Ok(users?)
    })
}

/// Inserts users, so many a statement, each statement a transaction; in what time.
pub fn insert(database: &Database, users: &[User], rows: usize) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut conn = Conn::open(database).await?;
        let started = Instant::now();
        for part in users.chunks(rows) {
            let row = format!("({}?)", "?, ".repeat(TEXTS.len() + NUMBERS.len() - 1));
            let values = vec![row; part.len()].join(", ");
            let text = format!("INSERT INTO users_cache ({}) VALUES {values}", columns());
            match &mut conn {
                Conn::Sqlite(conn) => insert_sqlite(conn, text, part).await?,
                Conn::MySql(conn) => insert_mysql(conn, text, part).await?,
            }
        }
        Ok(started.elapsed())
    })
}
