//! Whether the server has room to write. One with a full disk answers every question, and keeps nothing.

use sqlx::{Connection as _, PgConnection};

use super::{connect::Store, error::StoreError, examination::Examination};

/// `disk_full`. A limit of the role that asks is none of the server.
pub(super) const DISK_FULL: &str = "53100";
const TEMP_FILE_LIMIT: &str = "53400";

impl Store {
    /// What the server says that has no room.
    pub async fn lacks_room(&self) -> Result<Option<String>, StoreError> {
        lacks_room(&mut *self.pool.acquire().await?).await
    }
}

impl Examination {
    pub async fn lacks_room(&mut self) -> Result<Option<String>, StoreError> {
        lacks_room(&mut self.connection).await
    }
}

/// Has the server sort a megabyte outside its memory: it writes a file beside the tables and removes it. That needs
/// no right to write, and leaves no trace in any table.
async fn lacks_room(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("SET LOCAL work_mem = '64kB'; SET LOCAL temp_tablespaces = ''")
        .execute(&mut *transaction)
        .await?;
    let written = sqlx::query(
        "SELECT count(*) FROM (
            SELECT repeat(md5(n::text), 32) AS kilobyte FROM generate_series(1, 1000) n
            ORDER BY kilobyte OFFSET 0
        ) megabyte",
    )
    .execute(&mut *transaction)
    .await;
    transaction.rollback().await?;
    match written {
        Ok(_) => Ok(None),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(DISK_FULL) => {
            Ok(Some(error.message().to_owned()))
        }
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(TEMP_FILE_LIMIT) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
