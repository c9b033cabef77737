//! A look at a database that changes nothing in it: whether this program could work with it.

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use super::{
    connect::{ACQUIRE_DEADLINE, MIGRATIONS, SERVER_VERSION_MIN},
    error::StoreError,
};

/// A look is a handful of small questions; a server that is slower is not fit for sending.
const STATEMENT_DEADLINE: &str = "10s";

/// A connection that only looks. Unlike [`super::Store`] it does not bring the schema up to date.
#[derive(Debug)]
pub struct Examination {
    pub(super) connection: PgConnection,
}

/// A migration that is not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub version: i64,
    pub description: String,
}

/// How the database's tables stand to this version's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    Current,
    /// The first command that writes makes the tables.
    Empty,
    /// So many migrations are not done yet.
    Behind(usize),
    /// Migrations that this version does not know, or knows otherwise.
    Foreign(Vec<i64>),
}

/// What keeps a role from working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    Enough,
    /// A replica, or a session that may only read.
    ReadOnly,
    /// The role may not create tables; partitions are made as time goes on.
    NoCreate,
    /// Tables that the role may not read or write.
    Tables(Vec<String>),
}

impl Examination {
    pub async fn connect(options: PgConnectOptions) -> Result<Self, StoreError> {
        let options = options
            .application_name("nuncio doctor")
            .options([("statement_timeout", STATEMENT_DEADLINE), ("timezone", "UTC")]);
        let connecting = PgConnection::connect_with(&options);
        let connection = tokio::time::timeout(ACQUIRE_DEADLINE, connecting)
            .await
            .map_err(|_| StoreError::Away(sqlx::Error::PoolTimedOut))??;
        Ok(Self { connection })
    }

    /// The server's version; an old one is an error, as it is for every command.
    pub async fn version(&mut self) -> Result<String, StoreError> {
        let number: String =
            sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut self.connection).await?;
        let version: String =
            sqlx::query_scalar("SHOW server_version").fetch_one(&mut self.connection).await?;
        if number.parse::<u32>().is_ok_and(|number| number < SERVER_VERSION_MIN) {
            return Err(StoreError::TooOld(version));
        }
        Ok(version)
    }

    pub async fn now(&mut self) -> Result<DateTime<Utc>, StoreError> {
        Ok(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut self.connection).await?)
    }

    pub async fn schema(&mut self) -> Result<Schema, StoreError> {
        if !self.has_migrations().await? {
            return Ok(Schema::Empty);
        }
        let done: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY 1",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let known = |version: i64, checksum: &[u8]| {
            MIGRATIONS.iter().any(|ours| ours.version == version && *ours.checksum == *checksum)
        };
        let foreign: Vec<i64> = done
            .iter()
            .filter(|(version, checksum)| !known(*version, checksum))
            .map(|(version, _)| *version)
            .collect();
        if !foreign.is_empty() {
            return Ok(Schema::Foreign(foreign));
        }
        Ok(match MIGRATIONS.iter().count() - done.len() {
            0 => Schema::Current,
            behind => Schema::Behind(behind),
        })
    }

    /// The migrations that this version would do, in their order.
    pub async fn pending(&mut self) -> Result<Vec<Pending>, StoreError> {
        let done: Vec<i64> = if self.has_migrations().await? {
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                .fetch_all(&mut self.connection)
                .await?
        } else {
            Vec::new()
        };
        let pending = MIGRATIONS.iter().filter(|ours| !done.contains(&ours.version));
        Ok(pending
            .map(|ours| Pending {
                version: ours.version,
                description: ours.description.to_string(),
            })
            .collect())
    }

    async fn has_migrations(&mut self) -> Result<bool, StoreError> {
        let has = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(has)
    }

    pub async fn rights(&mut self) -> Result<Rights, StoreError> {
        let read_only: String = sqlx::query_scalar("SHOW transaction_read_only")
            .fetch_one(&mut self.connection)
            .await?;
        if read_only == "on" {
            return Ok(Rights::ReadOnly);
        }
        let may_create: bool = sqlx::query_scalar(
            "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)",
        )
        .fetch_one(&mut self.connection)
        .await?;
        if !may_create {
            return Ok(Rights::NoCreate);
        }
        let closed: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
                AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
             ORDER BY relname LIMIT 20",
        )
        .fetch_all(&mut self.connection)
        .await?;
        Ok(if closed.is_empty() { Rights::Enough } else { Rights::Tables(closed) })
    }

    /// Those of the time zones that the server does not know: its table is not ours.
    pub async fn unknown_zones(&mut self, zones: &[String]) -> Result<Vec<String>, StoreError> {
        let unknown = sqlx::query_scalar(
            "SELECT zone FROM unnest($1::text[]) AS zone
             WHERE lower(zone) NOT IN (SELECT lower(name) FROM pg_timezone_names) ORDER BY zone",
        )
        .bind(zones)
        .fetch_all(&mut self.connection)
        .await?;
        Ok(unknown)
    }

    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}
