//! A database that is made for one run on a server that is there already.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use super::error::StoreError;

/// Names of leftovers, if a run was killed, begin with this; the process follows.
const PREFIX: &str = "nuncio_rehearsal_";

/// It has to be dropped by [`TemporaryDatabase::discard`]: a value that goes out of scope cannot wait
/// for a server.
#[derive(Debug)]
#[must_use]
pub struct TemporaryDatabase {
    server: PgConnectOptions,
    name: String,
}

impl TemporaryDatabase {
    /// Makes an empty database beside the one of `server`, which is only connected to.
    pub async fn create(server: PgConnectOptions) -> Result<Self, StoreError> {
        let name = format!("{PREFIX}{}_{}", std::process::id(), Uuid::new_v4().simple());
        let created = Self { server, name };
        created.execute(format!("CREATE DATABASE {}", created.name)).await?;
        Ok(created)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// Drops it, also under those who are connected.
    pub async fn discard(self) -> Result<(), StoreError> {
        self.execute(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }

    /// The name is ours: letters, digits and underscores.
    async fn execute(&self, statement: String) -> Result<(), StoreError> {
        let mut connection = PgConnection::connect_with(&self.server).await?;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }
}
