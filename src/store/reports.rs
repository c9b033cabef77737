//! The outbox of reports: an event is kept in the transaction in which it happens, leased, and settled.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    connect::Store,
    encoding::{digest_from_bytes, live_from_json, parsed},
    error::StoreError,
    lanes::interval,
};
use crate::domain::{
    address::Address,
    fields::Digest,
    id::{DialogueId, ReportId},
    report::{NewReport, Report, ReportContact, ReportOutcome, head},
    resource::IntegrationSpec,
};

/// Longer than a driver's deadline for one report with all its calls, and some for the record of it.
pub const REPORT_LEASE: Duration = Duration::from_secs(90);
/// The waits after the first try and each later one, as the Standard Webhooks propose them: three days in
/// all, so that a receiver that broke on a Friday evening is told on Monday.
const WAITS_S: [f64; 9] =
    [5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0];
/// Waits are lengthened by up to this share: a receiver that comes back is not met by all at once.
const JITTER: f64 = 0.2;
/// Throttled tries do not count, so that a backlog is not given up; this ends those that never end.
const TRIED_AT_MOST: Duration = Duration::from_hours(7 * 24);
/// At once to one integration, by all executors: Bitrix24 lets two calls a second through for long.
const LEASED_PER_INTEGRATION_MAX: i64 = 4;
const REASON_CHARACTERS_MAX: usize = 500;

/// A report that this executor, and no other, may deliver now.
#[derive(Clone, Debug)]
pub struct LeasedReport {
    pub report: Report,
    /// Every lease ever, with this one.
    pub fence: i32,
    pub remote_id: Option<String>,
    /// The integration as it stood at the lease; `None` where a hand in the database left none.
    pub spec: Option<IntegrationSpec>,
    pub digest: Digest,
}

/// What became of a report by the record of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedReport {
    Sent,
    Waits,
    Dead,
    /// Somebody else has leased it since: nothing was changed.
    Stale,
}

/// The texts of a report as they are kept.
#[derive(Serialize, Deserialize)]
struct Content {
    address: String,
    name: Option<String>,
    phone: Option<String>,
    email: Option<String>,
    evidence: String,
    summary: String,
    transcript: String,
    manager: String,
}

/// Keeps an event for the task's integration. Gives no id where there is nothing to be told: the task has no
/// integration, its integration does not want such events, or this one is kept already.
pub(super) async fn insert_report(
    connection: &mut PgConnection,
    new: &NewReport,
) -> Result<Option<ReportId>, StoreError> {
    let about = Digest::of_bytes(new.about().as_bytes());
    let new = new.clone().bounded();
    let ReportContact { address, name, phone, email } = new.contact;
    let content = Content {
        address: address.to_string(),
        name,
        phone,
        email,
        evidence: new.evidence,
        summary: new.summary,
        transcript: new.transcript,
        manager: new.manager,
    };
    // Two events of one dialogue at once would ask for the same place.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('report of ' || $1, $2))")
        .bind(new.task.as_str())
        .bind(new.dialogue.0)
        .execute(&mut *connection)
        .await?;
    let kept = sqlx::query!(
        r#"WITH kept AS (
            INSERT INTO reports (id, task, dialogue, channel, integration, sequence, event, about, at,
                content)
            SELECT $1, t.name, $3, $4, i.name, 1 + coalesce((SELECT max(r.sequence) FROM reports r
                WHERE r.task = t.name AND r.dialogue = $3 AND r.integration = i.name), 0),
                $5, $6, $7, $8
            FROM tasks t JOIN resources i ON i.kind = 'Integration' AND i.name = t.fields ->> 'integration'
            WHERE t.name = $2 AND t.deleted_at IS NULL AND i.fields -> 'events' ? $5
            ON CONFLICT ON CONSTRAINT one_report_an_event DO NOTHING
            RETURNING id
        )
        SELECT id, pg_notify('nuncio_dialogues', '')::text AS notified FROM kept"#,
        Uuid::now_v7(),
        new.task.as_str(),
        new.dialogue.0,
        new.channel.as_str(),
        new.event.as_str(),
        &about.0[..],
        new.at,
        json!(content)
    )
    .fetch_optional(connection)
    .await?;
    Ok(kept.map(|row| ReportId(row.id)))
}

struct LeasedRow {
    id: Uuid,
    task: String,
    dialogue: i64,
    channel: String,
    integration: String,
    event: String,
    at: DateTime<Utc>,
    content: serde_json::Value,
    fence: i32,
    origin: Uuid,
    remote_id: Option<String>,
    fields: serde_json::Value,
    digest: Vec<u8>,
}

impl LeasedRow {
    fn read(self) -> Result<LeasedReport, StoreError> {
        let unreadable = |what: &str| StoreError::Unreadable(what.to_owned());
        let content: Content = serde_json::from_value(self.content)
            .map_err(|_| unreadable("the content of a report"))?;
        let Content { address, name, phone, email, evidence, summary, transcript, manager } =
            content;
        let spec = IntegrationSpec::from_fields(&live_from_json(&self.fields));
        let new = NewReport {
            dialogue: DialogueId(self.dialogue),
            task: parsed(&self.task)?,
            channel: parsed(&self.channel)?,
            event: parsed(&self.event)?,
            at: self.at,
            evidence,
            contact: ReportContact { address: Address::from_stored(address), name, phone, email },
            summary,
            transcript,
            manager,
        };
        let integration = parsed(&self.integration)?;
        let (id, origin) = (ReportId(self.id), ReportId(self.origin));
        Ok(LeasedReport {
            report: Report { id, origin, integration, new },
            fence: self.fence,
            remote_id: self.remote_id,
            spec,
            digest: digest_from_bytes(&self.digest)?,
        })
    }
}

impl Store {
    /// Keeps an event in a transaction of its own.
    pub async fn enqueue_report(&self, new: &NewReport) -> Result<Option<ReportId>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let id = insert_report(&mut transaction, new).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Leases the reports whose turn it is, at most so many: of each dialogue the first that was not
    /// delivered, none to an integration that rests or is gone, and none while the backup guard is on.
    pub async fn lease_due_reports(&self, limit: u32) -> Result<Vec<LeasedReport>, StoreError> {
        let rows = sqlx::query_as!(
            LeasedRow,
            r#"WITH open AS (
                SELECT i.name, i.fields, i.digest, greatest(0, $1 - (SELECT count(*) FROM reports l
                    WHERE l.integration = i.name AND l.leased_until > now())) AS n_free
                FROM resources i LEFT JOIN report_endpoints e ON e.integration = i.name
                WHERE i.kind = 'Integration' AND NOT (SELECT guarded FROM installation)
                    AND coalesce(e.rests_until <= now(), true) AND (e.gone_digest = i.digest) IS NOT TRUE
            ), due AS (
                SELECT open.fields, open.digest, w.task, w.id
                FROM open CROSS JOIN LATERAL (
                    SELECT w.task, w.id FROM reports w
                    WHERE w.integration = open.name AND w.state = 'waiting' AND w.ready_at <= now()
                        AND NOT EXISTS (SELECT FROM reports earlier WHERE earlier.task = w.task
                            AND earlier.dialogue = w.dialogue AND earlier.integration = w.integration
                            AND earlier.sequence < w.sequence AND earlier.state = 'waiting')
                    ORDER BY w.ready_at LIMIT open.n_free
                    FOR UPDATE OF w SKIP LOCKED
                ) w
                LIMIT $2
            )
            UPDATE reports r SET tries = r.tries + 1, fence = r.fence + 1,
                ready_at = now() + $3, leased_until = now() + $3
            FROM due WHERE r.task = due.task AND r.id = due.id
            RETURNING r.id, r.task, r.dialogue, r.channel, r.integration, r.event, r.at,
                r.content AS "content!", r.fence, due.fields, due.digest,
                (SELECT o.id FROM reports o WHERE o.task = r.task AND o.dialogue = r.dialogue
                    AND o.integration = r.integration ORDER BY o.sequence LIMIT 1) AS "origin!",
                (SELECT o.remote_id FROM reports o WHERE o.task = r.task AND o.dialogue = r.dialogue
                    AND o.integration = r.integration AND o.remote_id IS NOT NULL
                    ORDER BY o.sequence DESC LIMIT 1) AS remote_id"#,
            LEASED_PER_INTEGRATION_MAX,
            i64::from(limit),
            interval(REPORT_LEASE)
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(LeasedRow::read).collect()
    }

    /// Records how a try ended, unless the report was leased anew since.
    pub async fn record_report(
        &self,
        leased: &LeasedReport,
        outcome: &ReportOutcome,
    ) -> Result<RecordedReport, StoreError> {
        let (class, after, reason, remote_id) = match outcome {
            ReportOutcome::Done { remote_id } => ("done", None, None, remote_id.as_deref()),
            ReportOutcome::Retry { after, reason } => ("retry", *after, Some(reason), None),
            ReportOutcome::Throttled { after, reason } => {
                ("throttled", Some(*after), Some(reason), None)
            }
            ReportOutcome::Gone { reason } => ("gone", None, Some(reason), None),
            ReportOutcome::Refused { reason } => ("refused", None, Some(reason), None),
        };
        let Report { id, integration, new, .. } = &leased.report;
        let state = sqlx::query_scalar!(
            r#"WITH mine AS (
                SELECT r.task, r.id, r.dialogue, r.sequence, CASE
                    WHEN $4 = 'done' THEN 'sent'
                    WHEN $4 = 'refused' THEN 'dead'
                    WHEN $4 = 'retry' AND r.tries > cardinality($8::float8[]) THEN 'dead'
                    WHEN $4 IN ('retry', 'throttled') AND r.tried_since < now() - $9::interval THEN 'dead'
                    ELSE 'waiting' END AS state,
                    CASE $4 WHEN 'retry' THEN greatest($5::float8, $8[r.tries], 0)
                        WHEN 'throttled' THEN $5::float8 ELSE 0 END * (1 + $10 * random()) AS wait_s
                FROM reports r
                WHERE r.task = $1 AND r.id = $2 AND r.fence = $3 AND r.state = 'waiting'
                    AND r.leased_until IS NOT NULL
                FOR UPDATE
            ), recorded AS (
                UPDATE reports r SET state = mine.state, leased_until = NULL,
                    reason = nullif($6, ''), remote_id = $7,
                    tries = r.tries - ($4 IN ('throttled', 'gone') AND r.tries > 0)::integer,
                    ready_at = CASE WHEN mine.state = 'waiting'
                        THEN now() + make_interval(secs => mine.wait_s) ELSE r.ready_at END,
                    settled_at = CASE WHEN mine.state <> 'waiting' THEN now() END,
                    content = CASE WHEN mine.state <> 'sent' THEN r.content END
                FROM mine WHERE r.task = mine.task AND r.id = mine.id
                RETURNING r.task, r.dialogue, r.sequence, r.state, r.ready_at
            ), behind AS (
                -- They would be looked at in vain, in every pass, before the one that they wait for.
                UPDATE reports r SET ready_at = recorded.ready_at FROM recorded
                WHERE recorded.state = 'waiting' AND r.task = recorded.task
                    AND r.dialogue = recorded.dialogue AND r.integration = $11
                    AND r.sequence > recorded.sequence AND r.state = 'waiting'
            ), endpoint AS (
                INSERT INTO report_endpoints AS e (integration, rests_until, gone_digest, gone_at, reason)
                SELECT $11, CASE WHEN $4 = 'throttled' THEN now() + make_interval(secs => $5::float8) END,
                    CASE WHEN $4 = 'gone' THEN $12::bytea END, CASE WHEN $4 = 'gone' THEN now() END,
                    CASE WHEN $4 = 'gone' THEN $6 END
                FROM recorded WHERE $4 IN ('throttled', 'gone')
                ON CONFLICT (integration) DO UPDATE SET
                    rests_until = greatest(e.rests_until, excluded.rests_until),
                    gone_digest = coalesce(excluded.gone_digest, e.gone_digest),
                    gone_at = coalesce(excluded.gone_at, e.gone_at),
                    reason = coalesce(excluded.reason, e.reason)
            )
            SELECT state FROM recorded"#,
            new.task.as_str(),
            id.0,
            leased.fence,
            class,
            after.map(|after| after.as_secs_f64()),
            reason.map(|reason| head(reason, REASON_CHARACTERS_MAX)),
            remote_id,
            &WAITS_S[..],
            interval(TRIED_AT_MOST),
            JITTER,
            integration.as_str(),
            &leased.digest.0[..]
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(match state.as_deref() {
            None => RecordedReport::Stale,
            Some("sent") => RecordedReport::Sent,
            Some("dead") => RecordedReport::Dead,
            Some(_) => RecordedReport::Waits,
        })
    }

    /// How long until a report may be delivered, by the database's clock; `None`: not before something
    /// changes.
    pub async fn next_report_in(&self) -> Result<Option<Duration>, StoreError> {
        let seconds = sqlx::query_scalar!(
            r#"SELECT min(extract(epoch FROM greatest(w.ready_at, e.rests_until) - now()))::float8
            FROM resources i LEFT JOIN report_endpoints e ON e.integration = i.name
            CROSS JOIN LATERAL (
                SELECT w.ready_at FROM reports w
                WHERE w.integration = i.name AND w.state = 'waiting'
                    AND NOT EXISTS (SELECT FROM reports earlier WHERE earlier.task = w.task
                        AND earlier.dialogue = w.dialogue AND earlier.integration = w.integration
                        AND earlier.sequence < w.sequence AND earlier.state = 'waiting')
                ORDER BY w.ready_at LIMIT 1
            ) w
            WHERE i.kind = 'Integration' AND (e.gone_digest = i.digest) IS NOT TRUE
                AND NOT (SELECT guarded FROM installation)"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0))))
    }
}
