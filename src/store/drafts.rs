//! Drafts: openings that the AI writes before their turn comes, within the limit of the dialogue to be.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    answers::{BACKOFF_FIRST_S, BACKOFF_MAX_S, Committed},
    connect::Store,
    encoding::{count, fields_from_json, parsed, variables_from_json},
    error::StoreError,
    inbox::kept,
    lanes::interval,
    spending::{Reservation, Reserved},
    takeover::lock_dialogue,
};
use crate::domain::{
    fields::Fields,
    id::{AiCallId, ChannelName, DialogueId, DraftId, ExecutorId, Fence},
    money::MicroUsd,
};

/// Written ahead for each channel of a task: enough to bridge a slow AI, few enough that an edit of the
/// instructions throws little money away.
const AHEAD_PER_CHANNEL: i64 = 3;
/// Written ahead for one task, however many channels it has.
const AHEAD_MAX: i64 = 100;
/// How many contacts that may not be written to one look passes over; the permits pass them too.
const SKIPPED_MAX: i64 = 500;

/// A draft that this executor writes now; nobody else does until it is settled or the lane moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftPermit {
    pub draft: DraftId,
    pub channel: ChannelName,
    pub fence: Fence,
    /// With a later turn what is written is void.
    pub turn: i64,
    /// The AI to ask.
    pub ai: String,
    /// It did not answer before, and this is to find out whether it does again.
    pub is_probe: bool,
}

/// What a draft is written from.
#[derive(Clone, Debug)]
pub struct DraftContext {
    pub task_fields: Fields,
    pub manager_fields: Option<Fields>,
    /// Of the AI to ask.
    pub ai_fields: Option<Fields>,
    /// The contact's values of the audience's other columns.
    pub variables: Vec<(String, String)>,
    /// Calls in vain since the draft became due.
    pub failures: u32,
    pub now: DateTime<Utc>,
}

impl Store {
    /// Notes who is to be written to next by the tasks of this executor's lanes whose opening the AI writes.
    /// Says how many are new.
    pub async fn queue_drafts(&self, executor: ExecutorId) -> Result<u64, StoreError> {
        let queued = sqlx::query_scalar!(
            r#"WITH task AS (
                SELECT task_id, task, cursor_position, least($4, $2 * count(*)) AS n_ahead
                FROM drafting GROUP BY task_id, task, cursor_position
                HAVING bool_or(owner = $1)
            ), wanted AS (
                SELECT task_id, task, position, address FROM (
                    SELECT task.*, c.position, c.address,
                        row_number() OVER (PARTITION BY task.task_id ORDER BY c.position) AS n
                    FROM task CROSS JOIN LATERAL (
                        SELECT contacts.position, contacts.address FROM contacts
                        WHERE contacts.task_id = task.task_id AND contacts.position > task.cursor_position
                        ORDER BY contacts.position LIMIT task.n_ahead + $3
                    ) c
                    WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.task = task.task AND l.address = c.address)
                        AND NOT is_suppressed(c.address, task.task)
                ) next WHERE n <= n_ahead
                UNION ALL
                SELECT task.task_id, task.task, r.position, r.address
                FROM task CROSS JOIN LATERAL (
                    SELECT retries.position, retries.address FROM retries
                    WHERE retries.task_id = task.task_id AND NOT retries.in_doubt
                        AND NOT is_suppressed(retries.address, task.task)
                    ORDER BY retries.opening LIMIT task.n_ahead
                ) r
            ), fresh AS (
                SELECT DISTINCT ON (task, address) wanted.*, (
                    SELECT max(d.id) FROM dialogues d WHERE d.peer = wanted.address AND d.task = wanted.task
                ) AS dialogue_id
                FROM wanted
                WHERE NOT EXISTS (SELECT FROM drafts d WHERE d.task = wanted.task AND d.address = wanted.address
                    AND d.task_id = wanted.task_id AND d.position = wanted.position AND d.state <> 'void')
                ORDER BY task, address, position
            ), noted AS (
                INSERT INTO drafts (task_id, task, position, address, dialogue_id, state, due_at, reason)
                SELECT task_id, task, position, address, dialogue_id,
                    CASE WHEN dialogue_id IS NULL THEN 'due' ELSE 'failed' END,
                    CASE WHEN dialogue_id IS NULL THEN clock_timestamp() END,
                    CASE WHEN dialogue_id IS NOT NULL THEN 'the person wrote first' END
                FROM fresh
                ON CONFLICT ON CONSTRAINT one_draft_a_person DO UPDATE SET task_id = excluded.task_id,
                    position = excluded.position, dialogue_id = excluded.dialogue_id, state = excluded.state,
                    due_at = excluded.due_at, reason = excluded.reason, text = NULL, turn = drafts.turn + 1,
                    failures = 0, held_channel = NULL, held_fence = NULL
                WHERE drafts.task_id <> excluded.task_id OR drafts.position <> excluded.position
                    OR drafts.state = 'void'
                RETURNING task_id, task, address, state
            ), cancelled AS (
                DELETE FROM retries r USING noted n
                WHERE n.state = 'failed' AND r.task_id = n.task_id AND r.address = n.address AND NOT r.in_doubt
                RETURNING n.task, n.address, r.opening
            ), unwritten AS (
                DELETE FROM ledger l USING cancelled c
                WHERE l.task = c.task AND l.address = c.address AND l.opening = c.opening
            )
            SELECT count(*) AS "n!" FROM noted"#,
            executor.0,
            AHEAD_PER_CHANNEL,
            SKIPPED_MAX,
            AHEAD_MAX
        )
        .fetch_one(&self.pool)
        .await?;
        self.move_late_drafts().await?;
        Ok(count(queued))
    }

    /// Whoever wrote first while their draft was being noted has a dialogue of which the draft does not know.
    async fn move_late_drafts(&self) -> Result<(), StoreError> {
        let late = sqlx::query!(
            r#"SELECT d.task, d.address, max(x.id) AS "dialogue!"
            FROM drafts d JOIN dialogues x ON x.peer = d.address AND x.task = d.task
            WHERE d.state = 'due' AND d.dialogue_id IS NULL GROUP BY d.task, d.address"#
        )
        .fetch_all(&self.pool)
        .await?;
        for draft in late {
            let mut transaction = self.pool.begin().await?;
            lock_dialogue(&mut transaction, DialogueId(draft.dialogue)).await?;
            move_draft(&mut transaction, draft.dialogue, &draft.task, &draft.address).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Takes up to so many drafts that are to be written, the next ones first; of an AI that rested, a
    /// single one.
    pub async fn lease_drafts(
        &self,
        executor: ExecutorId,
        at_most: usize,
    ) -> Result<Vec<DraftPermit>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH waiting AS (
                SELECT DISTINCT ON (d.id) d.id, d.held_fence, lane.channel, lane.fence, lane.ai AS wanted
                FROM drafting lane
                JOIN drafts d ON d.task_id = lane.task_id AND d.state = 'due'
                    AND d.due_at <= clock_timestamp()
                JOIN contacts c ON c.task_id = d.task_id AND c.position = d.position AND c.address = d.address
                WHERE lane.owner = $1
                    AND (d.position > lane.cursor_position AND NOT EXISTS (SELECT FROM ledger l
                            WHERE l.task = d.task AND l.address = d.address)
                        OR EXISTS (SELECT FROM retries r
                            WHERE r.task_id = d.task_id AND r.address = d.address AND NOT r.in_doubt))
                    AND NOT is_suppressed(d.address, d.task)
                    AND NOT EXISTS (SELECT FROM dialogues x WHERE x.peer = d.address AND x.task = d.task)
                    AND NOT EXISTS (SELECT FROM lanes h
                        WHERE h.channel = d.held_channel AND h.fence = d.held_fence)
                ORDER BY d.id, lane.channel
            ), wanted AS MATERIALIZED (
                SELECT wanted, askable_ai(wanted) AS askable FROM (SELECT DISTINCT wanted FROM waiting) w
            ), probe AS (
                -- A single call asks whether it is back; the others wait for its answer.
                -- It counts as failed until it is back.
                UPDATE ai_rests r SET failures = failures + 1, not_before = now() + make_interval(secs =>
                    least($4::float8, $3::float8 * power(2, least(failures, 20))))
                WHERE r.not_before <= now() AND r.ai IN (SELECT askable FROM wanted)
                RETURNING r.ai
            ), due AS (
                SELECT d.id, w.channel, w.fence, coalesce(probe.ai, awake.ai) AS ai,
                    probe.ai IS NOT NULL AS is_probe
                FROM waiting w
                JOIN drafts d ON d.id = w.id AND d.state = 'due' AND d.due_at <= clock_timestamp()
                    AND d.held_fence IS NOT DISTINCT FROM w.held_fence
                JOIN wanted USING (wanted)
                LEFT JOIN probe ON probe.ai = wanted.askable
                CROSS JOIN LATERAL (SELECT awake_ai(w.wanted) AS ai) awake
                WHERE coalesce(probe.ai, awake.ai) IS NOT NULL
                ORDER BY d.position
                LIMIT $2
                FOR UPDATE OF d SKIP LOCKED
            ), chosen AS (
                SELECT * FROM (
                    SELECT due.*, row_number() OVER (PARTITION BY is_probe, ai ORDER BY id) AS n FROM due
                ) numbered WHERE NOT is_probe OR n = 1
            )
            UPDATE drafts d SET held_channel = chosen.channel, held_fence = chosen.fence
            FROM chosen WHERE d.id = chosen.id
            RETURNING d.id, d.turn, chosen.channel AS "channel!", chosen.fence AS "fence!", chosen.ai AS "ai!",
                chosen.is_probe AS "is_probe!""#,
            executor.0,
            i64::try_from(at_most).unwrap_or(i64::MAX),
            BACKOFF_FIRST_S,
            BACKOFF_MAX_S
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(DraftPermit {
                    draft: DraftId(row.id),
                    channel: parsed(&row.channel)?,
                    fence: Fence(row.fence),
                    turn: row.turn,
                    ai: row.ai,
                    is_probe: row.is_probe,
                })
            })
            .collect()
    }

    /// Everything that a draft is written from; `None` when it is void already.
    pub async fn read_draft(
        &self,
        permit: &DraftPermit,
    ) -> Result<Option<DraftContext>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT d.failures, t.fields AS task_fields, m.fields AS "manager_fields?",
                ai.fields AS "ai_fields?", c.variables, now() AS "now!"
            FROM drafts d JOIN tasks t ON t.id = d.task_id
            JOIN contacts c ON c.task_id = d.task_id AND c.position = d.position
            -- Whoever left is followed by another manager of the task.
            LEFT JOIN LATERAL (
                SELECT r.fields FROM resources r
                WHERE r.kind = 'Manager' AND t.fields->'managers' ? r.name
                ORDER BY r.name = manager_for(t.fields, d.address) DESC, r.name LIMIT 1
            ) m ON true
            LEFT JOIN resources ai ON ai.kind = 'Ai' AND ai.name = $4
            WHERE d.id = $1 AND d.turn = $2 AND d.held_fence = $3 AND d.state = 'due'"#,
            permit.draft.0,
            permit.turn,
            permit.fence.0,
            permit.ai
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let fields = |json: Option<&serde_json::Value>| json.map(fields_from_json).transpose();
        Ok(Some(DraftContext {
            task_fields: fields_from_json(&row.task_fields)?,
            manager_fields: fields(row.manager_fields.as_ref())?,
            ai_fields: fields(row.ai_fields.as_ref())?,
            variables: variables_from_json(row.variables),
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            now: row.now,
        }))
    }

    /// Reserves the greatest possible cost of a call, if it fits into the limit of the dialogue to be.
    pub async fn reserve_draft(
        &self,
        permit: &DraftPermit,
        model: &str,
        amount: MicroUsd,
    ) -> Result<Reservation, StoreError> {
        let granted = sqlx::query!(
            r#"WITH reserved AS (
                UPDATE drafts d SET spent = d.spent + $5
                FROM tasks t, lanes l
                WHERE d.id = $1 AND t.id = d.task_id AND l.channel = d.held_channel AND l.fence = $2
                    AND d.held_fence = $2 AND d.turn = $3 AND d.state = 'due'
                    AND d.spent + $5 <= spending_limit(t.fields)
                    AND NOT EXISTS (SELECT FROM dialogues x WHERE x.peer = d.address AND x.task = d.task)
                RETURNING d.id, d.task
            ), summed AS (
                INSERT INTO spending (day, task, ai, model, n_calls, spent)
                SELECT utc_day(now()), task, $4, $6, 1, $5 FROM reserved
                ON CONFLICT (day, task, ai, model) DO UPDATE SET n_calls = spending.n_calls + 1,
                    spent = spending.spent + excluded.spent
            )
            INSERT INTO ai_calls (draft_id, task, ai, model, fence, reserved)
            SELECT id, task, $4, $6, $2, $5 FROM reserved
            RETURNING id, at"#,
            permit.draft.0,
            permit.fence.0,
            permit.turn,
            permit.ai,
            amount.micros(),
            model
        )
        .fetch_optional(&self.pool)
        .await?;
        if let Some(row) = granted {
            return Ok(Reservation::Granted(Reserved { call: AiCallId(row.id), at: row.at }));
        }
        let remaining = sqlx::query_scalar!(
            r#"SELECT spending_limit(t.fields) - d.spent AS "remaining!"
            FROM drafts d JOIN tasks t ON t.id = d.task_id JOIN lanes l ON l.channel = d.held_channel
            WHERE d.id = $1 AND l.fence = $2 AND d.held_fence = $2 AND d.turn = $3 AND d.state = 'due'"#,
            permit.draft.0,
            permit.fence.0,
            permit.turn
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Reservation::refused(remaining))
    }

    /// Keeps what the AI wrote, for the permit.
    pub async fn save_draft(
        &self,
        permit: &DraftPermit,
        text: &str,
    ) -> Result<Committed, StoreError> {
        let saved = sqlx::query!(
            "UPDATE drafts d SET state = 'written', text = $4, due_at = NULL, failures = 0,
                held_channel = NULL, held_fence = NULL
            FROM lanes l
            WHERE d.id = $1 AND d.turn = $2 AND d.held_fence = $3 AND d.state = 'due'
                AND l.channel = d.held_channel AND l.fence = $3",
            permit.draft.0,
            permit.turn,
            permit.fence.0,
            kept(text)
        )
        .execute(&self.pool)
        .await?;
        Ok(if saved.rows_affected() > 0 { Committed::Taken } else { Committed::Void })
    }

    /// There will be no opening for this contact, who is passed over.
    pub async fn fail_draft(
        &self,
        permit: &DraftPermit,
        reason: &str,
    ) -> Result<Committed, StoreError> {
        let failed = sqlx::query_scalar!(
            r#"WITH failed AS (
                UPDATE drafts d SET state = 'failed', reason = $4, due_at = NULL,
                    held_channel = NULL, held_fence = NULL
                FROM lanes l
                WHERE d.id = $1 AND d.turn = $2 AND d.held_fence = $3 AND d.state = 'due'
                    AND l.channel = d.held_channel AND l.fence = $3
                RETURNING d.task_id, d.task, d.address
            ), cancelled AS (
                DELETE FROM retries r USING failed f
                WHERE r.task_id = f.task_id AND r.address = f.address AND NOT r.in_doubt
                RETURNING f.task, f.address, r.opening
            ), unwritten AS (
                DELETE FROM ledger l USING cancelled c
                WHERE l.task = c.task AND l.address = c.address AND l.opening = c.opening
            )
            SELECT count(*) AS "n!" FROM failed"#,
            permit.draft.0,
            permit.turn,
            permit.fence.0,
            kept(reason)
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(if failed > 0 { Committed::Taken } else { Committed::Void })
    }

    /// A draft that is not there yet is written later: after a time, which is no failure of its own, or
    /// without one, later each time.
    pub async fn put_draft_off(
        &self,
        permit: &DraftPermit,
        after: Option<Duration>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE drafts SET held_channel = NULL, held_fence = NULL,
                failures = failures + ($4::interval IS NULL)::int,
                due_at = clock_timestamp() + coalesce($4,
                    make_interval(secs => least($6::float8, $5::float8 * power(2, least(failures, 20)))))
            WHERE id = $1 AND turn = $2 AND held_fence = $3 AND state = 'due'",
            permit.draft.0,
            permit.turn,
            permit.fence.0,
            after.map(interval),
            BACKOFF_FIRST_S,
            BACKOFF_MAX_S
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Moves what a person's opening cost into the dialogue that begins, whose limit it was reserved in. Whoever
/// wrote before the opening left is not greeted any more.
pub(super) async fn move_draft(
    connection: &mut PgConnection,
    dialogue: i64,
    task: &str,
    peer: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH draft AS (
            SELECT id, task_id, state, spent FROM drafts
            WHERE task = $2 AND address = $3 AND dialogue_id IS NULL FOR UPDATE
        ), cancelled AS (
            DELETE FROM retries r USING draft
            WHERE draft.state IN ('due', 'written') AND r.task_id = draft.task_id AND r.address = $3 AND NOT r.in_doubt
            RETURNING r.opening
        ), unwritten AS (
            DELETE FROM ledger l USING cancelled c
            WHERE l.task = $2 AND l.address = $3 AND l.opening = c.opening
        ), moved AS (
            UPDATE drafts d SET dialogue_id = $1, spent = 0,
                state = CASE WHEN d.state IN ('due', 'written') THEN 'failed' ELSE d.state END,
                reason = CASE WHEN d.state IN ('due', 'written') THEN 'the person wrote first' ELSE d.reason END,
                text = CASE WHEN d.state = 'used' THEN d.text END,
                due_at = NULL, turn = d.turn + 1, held_channel = NULL, held_fence = NULL
            FROM draft WHERE d.id = draft.id
        )
        UPDATE dialogues SET spent = dialogues.spent + draft.spent FROM draft WHERE dialogues.id = $1",
        dialogue,
        task,
        peer
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts the difference between a call's cost and its reservation where the reservation is by now: with the
/// draft, or with the dialogue that was opened meanwhile.
pub(super) async fn settle_draft(
    connection: &mut PgConnection,
    draft: DraftId,
    change: i64,
) -> Result<(), StoreError> {
    let settled = sqlx::query!(
        "UPDATE drafts SET spent = greatest(0, spent + $2) WHERE id = $1 AND dialogue_id IS NULL",
        draft.0,
        change
    )
    .execute(&mut *connection)
    .await?;
    if settled.rows_affected() == 0 {
        // A statement of its own: it sees whoever the first one waited for.
        sqlx::query!(
            "UPDATE dialogues d SET spent = greatest(0, d.spent + $2)
            FROM drafts WHERE drafts.id = $1 AND d.id = drafts.dialogue_id",
            draft.0,
            change
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
