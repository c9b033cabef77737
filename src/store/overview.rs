//! What `status` shows: read-only.

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::{count, live_from_json, parsed},
    error::StoreError,
};
use crate::domain::{
    fields::Fields,
    id::{Generation, TaskId, TaskName},
    phase::{Phase, paused_by},
};

/// A task as its owner looks at it.
#[derive(Clone, Debug)]
pub struct TaskOverview {
    pub id: TaskId,
    pub name: TaskName,
    pub generation: Generation,
    pub fields: Fields,
    pub phase: Phase,
    pub phase_by: String,
    /// Of a pause: why, and when it ends by itself.
    pub phase_reason: Option<String>,
    pub resume_at: Option<DateTime<Utc>>,
    pub outgoing: bool,
    pub file: String,
    pub total: u64,
    pub remaining: u64,
    pub sent: u64,
    pub failed: u64,
    pub in_doubt: u64,
    pub channels: Vec<ChannelOverview>,
    pub now: DateTime<Utc>,
}

impl TaskOverview {
    /// Who caused the phase; of a pause also why, and until when.
    pub fn caused_by(&self) -> String {
        paused_by(&self.phase_by, self.phase_reason.as_deref(), self.resume_at)
    }
}

/// One of the task's channels: why it does not send now, and when it will.
#[derive(Clone, Debug)]
pub struct ChannelOverview {
    pub channel: String,
    /// A verdict of the view `turns`.
    pub verdict: String,
    pub until: Option<DateTime<Utc>>,
    pub blocked_reason: Option<String>,
    /// The block, if there is one, is a provider's and not for want of something here.
    pub connectable: bool,
    pub led: bool,
}

impl Store {
    pub async fn read_overview(&self) -> Result<Vec<TaskOverview>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT t.id, t.name, t.generation, t.fields, t.phase, t.phase_by, t.phase_reason,
                t.resume_at, t.outgoing, t.file,
                coalesce(a.total, 0) AS "total!",
                coalesce(a.waiting, 0) + (SELECT count(*) FROM retries r WHERE r.task_id = t.id)
                    AS "remaining!",
                coalesce(sums.sent, 0)::bigint AS "sent!",
                coalesce(sums.failed, 0)::bigint + (SELECT count(*) FROM drafts d
                    WHERE d.task_id = t.id AND d.state = 'failed' AND d.position <= a.cursor_position)
                    AS "failed!",
                coalesce(sums.in_doubt, 0)::bigint AS "in_doubt!", now() AS "now!"
            FROM tasks t
            LEFT JOIN audiences a ON a.task_id = t.id
            LEFT JOIN (
                SELECT task_id, sum(n_sent) AS sent, sum(n_failed) AS failed, sum(n_in_doubt) AS in_doubt
                FROM task_channels GROUP BY task_id
            ) sums ON sums.task_id = t.id
            WHERE t.deleted_at IS NULL
            ORDER BY t.name"#
        )
        .fetch_all(&self.pool)
        .await?;
        let mut tasks = Vec::with_capacity(rows.len());
        for row in rows {
            tasks.push(TaskOverview {
                id: TaskId(row.id),
                name: parsed(&row.name)?,
                generation: Generation(row.generation),
                fields: live_from_json(&row.fields),
                phase: parsed(&row.phase)?,
                phase_by: row.phase_by,
                phase_reason: row.phase_reason,
                resume_at: row.resume_at,
                outgoing: row.outgoing,
                file: row.file,
                total: count(row.total),
                remaining: count(row.remaining),
                sent: count(row.sent),
                failed: count(row.failed),
                in_doubt: count(row.in_doubt),
                channels: Vec::new(),
                now: row.now,
            });
        }
        let turns = sqlx::query!(
            r#"SELECT tu.task_id AS "task_id!", tu.channel AS "channel!", tu.verdict AS "verdict!",
                tu.until, l.blocked_reason,
                l.blocked_class IS DISTINCT FROM 'unconnectable' AS "connectable!", e.id IS NOT NULL AS "led!"
            FROM turns tu
            JOIN lanes l ON l.channel = tu.channel
            LEFT JOIN living_executors e ON e.id = l.owner
            ORDER BY tu.task, tu.channel"#
        )
        .fetch_all(&self.pool)
        .await?;
        let places: std::collections::HashMap<_, _> =
            tasks.iter().enumerate().map(|(index, task)| (task.id.0, index)).collect();
        for row in turns {
            if let Some(index) = places.get(&row.task_id) {
                tasks[*index].channels.push(ChannelOverview {
                    channel: row.channel,
                    verdict: row.verdict,
                    until: row.until,
                    blocked_reason: row.blocked_reason,
                    connectable: row.connectable,
                    led: row.led,
                });
            }
        }
        Ok(tasks)
    }
}
