//! Programs that follow a folder: what each saw last, and whether it lives.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{connect::Store, error::StoreError, lanes::interval};
use crate::domain::id::WatchId;

/// A watch that said nothing for this long counts as gone; it speaks every few seconds. Of one that was killed
/// the server knows at once.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// What a watch says of itself. Times are ages, so that the database's clock dates them.
#[derive(Clone, Debug)]
pub struct WatchReport {
    pub host: String,
    pub pid: u32,
    pub folder: String,
    /// The repository that it follows, where it keeps a checkout itself.
    pub source: Option<String>,
    pub commit: Option<String>,
    pub dirty: Option<bool>,
    pub passed: Option<Duration>,
    pub applied: Option<Duration>,
    /// Why it does not reconcile, and for how long.
    pub failure: Option<(String, Duration)>,
}

/// A watch as `status` shows it.
#[derive(Clone, Debug)]
pub struct WatchOverview {
    pub host: String,
    pub pid: u32,
    pub folder: String,
    pub source: Option<String>,
    pub alive: bool,
    pub started_at: DateTime<Utc>,
    /// When it was heard of last, or said that it ends.
    pub seen_at: DateTime<Utc>,
    pub commit: Option<String>,
    pub dirty: Option<bool>,
    pub passed_at: Option<DateTime<Utc>>,
    pub applied_at: Option<DateTime<Utc>>,
    pub failure: Option<(String, DateTime<Utc>)>,
    pub last_failure: Option<(String, DateTime<Utc>)>,
}

impl Store {
    /// Says how a watch stands; the first time, it takes the place of those of the same folder that are
    /// gone, and keeps what they applied and how they failed last.
    pub async fn save_watch(&self, watch: WatchId, report: &WatchReport) -> Result<(), StoreError> {
        let WatchReport { host, pid, folder, source, commit, dirty, passed, applied, failure } =
            report;
        sqlx::query!(
            "WITH gone AS (
                DELETE FROM watches
                WHERE id <> $1 AND alive_until < now()
                    AND (host = $2 AND folder = $4 OR alive_until < now() - interval '1 day')
                RETURNING *
            ), before AS (
                SELECT * FROM gone WHERE host = $2 AND folder = $4 ORDER BY started_at DESC LIMIT 1
            )
            INSERT INTO watches AS w (id, host, pid, folder, source, alive_until, commit, dirty, passed_at,
                applied_at, failure, failed_since, last_failure, last_failed_at)
            VALUES ($1, $2, $3, $4, $5, now() + $13, $6, $7, now() - $8::interval,
                coalesce(now() - $9::interval, (SELECT applied_at FROM before)), $10, now() - $11::interval,
                coalesce($10, (SELECT last_failure FROM before)),
                coalesce(now() - $12::interval, (SELECT last_failed_at FROM before)))
            ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until,
                commit = excluded.commit, dirty = excluded.dirty, passed_at = excluded.passed_at,
                applied_at = coalesce(excluded.applied_at, w.applied_at),
                failure = excluded.failure, failed_since = excluded.failed_since,
                last_failure = coalesce(excluded.last_failure, w.last_failure),
                last_failed_at = coalesce(excluded.last_failed_at, w.last_failed_at)",
            watch.0,
            host,
            i32::try_from(*pid).unwrap_or(0),
            folder,
            source.as_ref(),
            commit.as_ref(),
            *dirty,
            passed.map(interval),
            applied.map(interval),
            failure.as_ref().map(|(message, _)| message),
            failure.as_ref().map(|(_, age)| interval(*age)),
            failure.as_ref().map(|_| interval(Duration::ZERO)),
            interval(SILENCE_MAX)
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Says that a watch ends.
    pub async fn end_watch(&self, watch: WatchId) -> Result<(), StoreError> {
        sqlx::query!("UPDATE watches SET alive_until = now() WHERE id = $1", watch.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every watch that is known, the living first.
    pub async fn list_watches(&self) -> Result<Vec<WatchOverview>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT w.*, l.id IS NOT NULL AS "alive!",
                least(now(), alive_until - CASE WHEN alive_until > now() THEN $1 ELSE interval '0' END)
                    AS "seen_at!"
            FROM watches w LEFT JOIN living_watches l ON l.id = w.id
            ORDER BY l.id IS NOT NULL DESC, w.started_at DESC"#,
            interval(SILENCE_MAX)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| WatchOverview {
                host: row.host,
                pid: u32::try_from(row.pid).unwrap_or(0),
                folder: row.folder,
                source: row.source,
                alive: row.alive,
                started_at: row.started_at,
                seen_at: row.seen_at,
                commit: row.commit,
                dirty: row.dirty,
                passed_at: row.passed_at,
                applied_at: row.applied_at,
                failure: row.failure.zip(row.failed_since),
                last_failure: row.last_failure.zip(row.last_failed_at),
            })
            .collect())
    }
}
