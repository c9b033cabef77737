//! The backup guard: while it is on, no permit is granted.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{connect::Store, error::StoreError};

/// The guard that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    pub since: DateTime<Utc>,
    pub by: String,
    pub reason: String,
}

/// By what a database is known again, and how far it had come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseIdentity {
    /// The same in every copy.
    pub installation: String,
    /// Of the server, where the role may read it; a server made anew has another.
    pub system: Option<String>,
    /// Of the database in its server; one that is made anew has another.
    pub database: i64,
    /// The greatest attempt that is on record. Not the sequence's word: after a recovery that may be
    /// ahead of what was kept.
    pub last_attempt: i64,
}

impl Store {
    pub async fn read_identity(&self) -> Result<DatabaseIdentity, StoreError> {
        let system = sqlx::query_scalar("SELECT system_identifier::text FROM pg_control_system()")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::from);
        let system = match system {
            Ok(system) => Some(system),
            // Some hosted servers let nobody read it; then the rest has to do.
            Err(StoreError::Denied(_) | StoreError::Failed(_)) => None,
            Err(error) => return Err(error),
        };
        let row = sqlx::query!(
            r#"SELECT i.id::text AS "installation!", d.oid::bigint AS "database!",
                (SELECT coalesce(max(a.id), 0) FROM attempts a) AS "last_attempt!"
            FROM installation i, pg_database d WHERE d.datname = current_database()"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(DatabaseIdentity {
            installation: row.installation,
            system,
            database: row.database,
            last_attempt: row.last_attempt,
        })
    }

    /// The guard, if it is on.
    pub async fn read_guard(&self) -> Result<Option<Guard>, StoreError> {
        let guard = sqlx::query_as!(
            Guard,
            "SELECT at AS since, by, reason FROM guard_acts
            WHERE guarded AND (SELECT guarded FROM installation)
            ORDER BY number DESC LIMIT 1"
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(guard)
    }

    /// Stops every permit from here on. Says whether the guard was off; the first reason stands.
    pub async fn raise_guard(&self, by: &str, reason: &str) -> Result<bool, StoreError> {
        self.turn_guard(true, by, reason).await
    }

    /// Lets permits be granted again. Says whether the guard was on.
    pub async fn lift_guard(&self, by: &str, reason: &str) -> Result<bool, StoreError> {
        self.turn_guard(false, by, reason).await
    }

    async fn turn_guard(&self, guarded: bool, by: &str, reason: &str) -> Result<bool, StoreError> {
        let turned = sqlx::query!(
            "WITH turned AS (
                UPDATE installation SET guarded = $1 WHERE guarded <> $1 RETURNING guarded
            )
            INSERT INTO guard_acts (guarded, by, reason) SELECT guarded, $2, $3 FROM turned",
            guarded,
            by,
            reason
        )
        .execute(&self.pool)
        .await?;
        Ok(turned.rows_affected() > 0)
    }
}
