//! Reports as operators see them: what is not delivered, and why; and acting on it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{connect::Store, encoding::parsed, error::StoreError};
use crate::domain::{
    id::{DialogueId, ReportId},
    report::ReportState,
    resource::DialogueEvent,
};

/// More than this nobody reads, and a list is no export.
pub const REPORTS_MAX: i64 = 1000;

/// A report without its personal data.
#[derive(Clone, Debug)]
pub struct ListedReport {
    pub id: ReportId,
    pub task: String,
    pub dialogue: DialogueId,
    pub integration: String,
    pub event: DialogueEvent,
    pub at: DateTime<Utc>,
    pub state: ReportState,
    /// Tries since it was enqueued or replayed.
    pub tries: i32,
    /// When it is tried next, or its lease ends.
    pub ready_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
    pub remote_id: Option<String>,
}

/// An integration to which nothing is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentIntegration {
    pub name: String,
    /// `None`: it has no manifest any more.
    pub gone_at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
    pub n_waiting: i64,
}

impl Store {
    /// The reports in one of some states; the latest event comes first.
    pub async fn list_reports(
        &self,
        states: &[ReportState],
    ) -> Result<Vec<ListedReport>, StoreError> {
        let states: Vec<String> = states.iter().map(ToString::to_string).collect();
        let rows = sqlx::query!(
            "SELECT id, task, dialogue, integration, event, at, state, tries, ready_at, settled_at, reason,
                remote_id
            FROM reports WHERE state = ANY($1) ORDER BY at DESC, id DESC LIMIT $2",
            &states,
            REPORTS_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ListedReport {
                    id: ReportId(row.id),
                    task: row.task,
                    dialogue: DialogueId(row.dialogue),
                    integration: row.integration,
                    event: parsed(&row.event)?,
                    at: row.at,
                    state: parsed(&row.state)?,
                    tries: row.tries,
                    ready_at: row.ready_at,
                    settled_at: row.settled_at,
                    reason: row.reason,
                    remote_id: row.remote_id,
                })
            })
            .collect()
    }

    /// The integrations that are gone, or without a manifest while reports wait for them.
    pub async fn list_silent_integrations(&self) -> Result<Vec<SilentIntegration>, StoreError> {
        let silent = sqlx::query_as!(
            SilentIntegration,
            r#"SELECT coalesce(i.name, w.integration) AS "name!", e.gone_at AS "gone_at?",
                e.reason AS "reason?", coalesce(w.n, 0) AS "n_waiting!"
            FROM (SELECT integration, count(*) AS n FROM reports WHERE state = 'waiting'
                GROUP BY integration) w
            FULL JOIN (SELECT name, digest FROM resources WHERE kind = 'Integration') i
                ON i.name = w.integration
            LEFT JOIN report_endpoints e ON e.integration = i.name AND e.gone_digest = i.digest
            WHERE i.name IS NULL OR e.gone_at IS NOT NULL
            ORDER BY 1"#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(silent)
    }

    /// Lets one report, or all that are not delivered, be tried now and as often as a new one; a receiver
    /// that was gone is asked again. Gives how many.
    pub async fn replay_reports(&self, id: Option<ReportId>, by: &str) -> Result<u64, StoreError> {
        let id: Option<Uuid> = id.map(|id| id.0);
        let replayed = sqlx::query_scalar!(
            r#"WITH replayed AS (
                UPDATE reports SET state = 'waiting', settled_at = NULL, tries = 0, tried_since = now(),
                    ready_at = now(), reason = 'replayed by ' || $2
                WHERE ($1::uuid IS NULL OR id = $1) AND leased_until IS NULL
                    AND state IN ('dead', 'waiting')
                RETURNING integration
            ), asked_again AS (
                UPDATE report_endpoints SET gone_digest = NULL, gone_at = NULL, reason = NULL
                WHERE integration IN (SELECT integration FROM replayed)
            )
            SELECT count(*) AS "n!" FROM replayed"#,
            id,
            by
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(replayed).unwrap_or(0))
    }
}
