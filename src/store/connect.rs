//! The connection to Postgres: options, pool, migrations, wake-ups.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    Connection as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    error::StoreError,
    examination::{Examination, Schema},
};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// Five loops, a writer and readers; more do not make two cores faster.
const CONNECTIONS_MAX: u32 = 6;
/// Past this the database counts as away, and the caller decides what that means.
pub(super) const ACQUIRE_DEADLINE: Duration = Duration::from_secs(5);
/// A connection that does not answer the shortest question in this time is given up.
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// One that answered so short a while ago is not asked again before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// Every statement but a large load is far below it; a hung one must not hold a lock for ever.
const STATEMENT_DEADLINE: &str = "30s";
/// A session whose client went silent between two statements would keep its locks until the server's
/// keepalive, which is hours: nobody else could go on with its lanes.
const SILENCE_DEADLINE: &str = "10s";
pub(super) const SERVER_VERSION_MIN: u32 = 140_000;
/// The channels of wake-ups; they carry no data. What is said in dialogues wakes nobody who looks at tasks.
const WAKEUP: &str = "nuncio";
const WAKEUP_DIALOGUES: &str = "nuncio_dialogues";

/// How a server is reached: where it is, and who asks.
pub type ServerOptions = PgConnectOptions;

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) pool: PgPool,
}

impl Store {
    /// Reads the address of a server; never shows it whole, because it may hold a password.
    pub fn parse_url(url: &str) -> Result<PgConnectOptions, StoreError> {
        let shown = url.split_once("://").map_or("", |(scheme, _)| scheme);
        if !matches!(shown, "postgres" | "postgresql") {
            return Err(StoreError::BadUrl(format!("{shown}…")));
        }
        PgConnectOptions::from_str(url).map_err(|_| StoreError::BadUrl(format!("{shown}://…")))
    }

    /// Connects, and brings the schema to this version's.
    pub async fn connect(options: PgConnectOptions) -> Result<Self, StoreError> {
        let options = options.application_name("nuncio").options([
            // A generic plan made while the tables were empty stays bad after they filled.
            ("plan_cache_mode", "force_custom_plan"),
            ("statement_timeout", STATEMENT_DEADLINE),
            ("idle_in_transaction_session_timeout", SILENCE_DEADLINE),
            ("timezone", "UTC"),
            // The session that shows that an executor lives is idle for as long as it lives.
            ("idle_session_timeout", "0"),
        ]);
        migrate(&options).await?;
        Ok(Self { pool: pool_of(CONNECTIONS_MAX).connect_with(options).await? })
    }

    /// The same database through connections of its own, so that neither side can use up the other's.
    #[must_use]
    pub fn beside(&self, connections_max: u32) -> Self {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        Self { pool: pool_of(connections_max).connect_lazy_with(options) }
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Tells every program on this database to look again.
    pub async fn wake_others(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT pg_notify($1, '')").bind(WAKEUP).execute(&self.pool).await?;
        Ok(())
    }

    pub async fn wakeups(&self) -> Result<Wakeups, StoreError> {
        self.listen(WAKEUP).await
    }

    /// Tells everybody who looks at dialogues to look again, once the transaction is committed.
    pub(super) async fn notify_dialogues(connection: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query("SELECT pg_notify($1, '')").bind(WAKEUP_DIALOGUES).execute(connection).await?;
        Ok(())
    }

    /// Something was said in a dialogue, or is to be.
    pub async fn dialogue_wakeups(&self) -> Result<Wakeups, StoreError> {
        self.listen(WAKEUP_DIALOGUES).await
    }

    /// On a connection of its own: one that went silent is waited for without an end when it is let go, and
    /// would keep a place among those that work.
    async fn listen(&self, channel: &str) -> Result<Wakeups, StoreError> {
        let mut listener = PgListener::connect_with(&self.beside(1).pool).await?;
        listener.listen(channel).await?;
        Ok(Wakeups { listener })
    }
}

/// Connections that may go silent without being closed, as a lost route leaves them. The library's own question
/// to one that is let go waits without an end, and the connection would keep its place for ever.
fn pool_of(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_DEADLINE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < FRESH {
                    return Ok(true);
                }
                ping(connection).await.map(|()| true)
            })
        })
        .after_release(|connection, _| Box::pin(async { ping(connection).await.map(|()| true) }))
}

async fn ping(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    timeout(PING_DEADLINE, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Wake-ups by other programs. They say only "look again"; so does a lost connection.
#[derive(Debug)]
pub struct Wakeups {
    listener: PgListener,
}

impl Wakeups {
    pub async fn next(&mut self) -> Result<(), StoreError> {
        self.listener.try_recv().await?;
        Ok(())
    }
}

/// Runs the migrations on a connection of their own: one that fails leaves its lock on the connection,
/// and a pooled one would hang the next user.
async fn migrate(options: &PgConnectOptions) -> Result<(), StoreError> {
    let connecting = PgConnection::connect_with(options);
    let mut connection = tokio::time::timeout(ACQUIRE_DEADLINE, connecting)
        .await
        .map_err(|_| StoreError::Away(sqlx::Error::PoolTimedOut))??;
    let mut examination = Examination { connection };
    examination.version().await?;
    // A role that may only read can plan: nothing is created where nothing is missing.
    let is_current = examination.schema().await? == Schema::Current;
    connection = examination.connection;
    if is_current {
        return Ok(connection.close().await?);
    }
    MIGRATIONS.run(&mut connection).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => match StoreError::from(error) {
            away @ (StoreError::Away(_) | StoreError::Refused(_) | StoreError::Denied(_)) => away,
            StoreError::Failed(error) => {
                StoreError::Migration(sqlx::migrate::MigrateError::Execute(error))
            }
            other => other,
        },
        other => StoreError::Migration(other),
    })?;
    super::attempts::create_partitions(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
