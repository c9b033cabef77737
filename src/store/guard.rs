//! The backup guard: while it is on, no permit is granted.

use chrono::{DateTime, Utc};

use super::{connect::Store, error::StoreError};

/// The guard that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    pub since: DateTime<Utc>,
    pub by: String,
    pub reason: String,
}

impl Store {
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
