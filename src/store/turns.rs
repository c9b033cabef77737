//! Turns: what there is to do in dialogues, and the lease of one that is to be answered.

use std::time::Duration;

use super::{
    answers::{BACKOFF_FIRST_S, BACKOFF_MAX_S},
    connect::Store,
    encoding::parsed,
    error::StoreError,
    lanes::interval,
    replies::CALL_OVER,
};
use crate::domain::id::{ChannelName, DialogueId, ExecutorId, Fence, MessageId};

/// What there is to do in dialogues: a time of nothing is now, none at all is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct DialoguesAhead {
    /// A message is on its way of which the asker does not know, and nobody will know more of it then.
    pub abandoned_in: Option<Duration>,
    pub answer_in: Option<Duration>,
    pub reply_in: Option<Duration>,
    pub reminder_in: Option<Duration>,
}

/// A dialogue whose answer this executor makes now; nobody else does until it is settled or the lane moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTurn {
    pub dialogue: DialogueId,
    pub channel: ChannelName,
    pub fence: Fence,
    /// What the answer answers: with a later turn it is void.
    pub turn: i64,
    /// The AI to ask.
    pub ai: String,
    /// It did not answer before, and this is to find out whether it does again.
    pub is_probe: bool,
}

impl Store {
    /// What there is to do in dialogues on lanes of this executor, and what there will be. What is due
    /// may be out of reach all the same, such as with an AI that rests.
    pub async fn look_at_dialogues(
        &self,
        executor: ExecutorId,
        known: &[MessageId],
    ) -> Result<DialoguesAhead, StoreError> {
        let known: Vec<i64> = known.iter().map(|message| message.0).collect();
        let row = sqlx::query!(
            r#"WITH lane AS MATERIALIZED (
                SELECT channel, fence FROM lanes
                WHERE owner = $1 AND may_answer(blocked_class, blocked_until)
                    AND NOT (SELECT guarded FROM installation)
            ), answer AS (
                SELECT min(first.due_at) AS at
                FROM due_places p JOIN lane ON lane.channel = p.channel
                JOIN tasks t ON t.id = p.task_id AND t.phase = 'in-progress' AND t.deleted_at IS NULL
                CROSS JOIN LATERAL (
                    SELECT d.due_at FROM dialogues d
                    WHERE d.channel = p.channel AND d.task_id = p.task_id AND d.due_at IS NOT NULL
                        AND d.held_fence IS DISTINCT FROM lane.fence
                    ORDER BY d.due_at LIMIT 1
                ) first
            ), reply AS (
                SELECT min(w.ready_at) AS at FROM waiting_channels w JOIN lane ON lane.channel = w.channel
            ), reminder AS (
                SELECT min(p.reminder_at) AS at
                FROM reminder_places p JOIN lane ON lane.channel = p.channel
                JOIN tasks t ON t.id = p.task_id AND t.phase = 'in-progress' AND t.deleted_at IS NULL
                WHERE NOT t.outgoing OR hours_open(t.hours_from_s, t.hours_to_s, t.timezone, now())
            )
            SELECT (SELECT extract(epoch FROM min(CASE WHEN m.fence = l.fence THEN clock_timestamp()
                        ELSE m.sending_at + $3::interval END) - clock_timestamp())::float8
                    FROM messages m JOIN lanes l ON l.channel = m.channel AND l.owner = $1
                    WHERE m.state = 'sending' AND m.id <> ALL ($2)) AS abandoned_s,
                extract(epoch FROM answer.at - clock_timestamp())::float8 AS answer_s,
                extract(epoch FROM reply.at - clock_timestamp())::float8 AS reply_s,
                extract(epoch FROM reminder.at - clock_timestamp())::float8 AS reminder_s
            FROM answer, reply, reminder"#,
            executor.0,
            &known,
            interval(CALL_OVER)
        )
        .fetch_one(&self.pool)
        .await?;
        let wait = |seconds: Option<f64>| {
            seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0)))
        };
        Ok(DialoguesAhead {
            abandoned_in: wait(row.abandoned_s),
            answer_in: wait(row.answer_s),
            reply_in: wait(row.reply_s),
            reminder_in: wait(row.reminder_s),
        })
    }

    /// Takes up to so many dialogues that are to be answered, on lanes of this executor; of an AI that
    /// rested, a single one.
    pub async fn lease_turns(
        &self,
        executor: ExecutorId,
        at_most: usize,
    ) -> Result<Vec<HeldTurn>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH place AS MATERIALIZED (
                -- Whether a task may answer on a channel is decided once, and not for each of its dialogues.
                SELECT p.channel, p.task_id, l.fence, t.fields->>'ai' AS wanted, first.due_at
                FROM due_places p
                JOIN lanes l ON l.channel = p.channel AND l.owner = $1
                JOIN executors e ON e.id = l.owner AND e.alive_until > now()
                JOIN tasks t ON t.id = p.task_id AND t.phase = 'in-progress' AND t.deleted_at IS NULL
                CROSS JOIN LATERAL (
                    SELECT d.due_at FROM dialogues d
                    WHERE d.channel = p.channel AND d.task_id = p.task_id AND d.due_at <= now()
                        AND d.held_fence IS DISTINCT FROM l.fence
                    ORDER BY d.due_at LIMIT 1
                ) first
                WHERE p.due_at <= now() AND NOT (SELECT guarded FROM installation)
                    AND may_answer(l.blocked_class, l.blocked_until)
            ), wanted AS MATERIALIZED (
                SELECT wanted, askable_ai(wanted) AS askable FROM (SELECT DISTINCT wanted FROM place) w
            ), probe AS (
                -- A single dialogue asks whether it is back; the others wait for its answer.
                -- It counts as failed until it is back.
                UPDATE ai_rests r SET failures = failures + 1, not_before = now() + make_interval(secs =>
                    least($4::float8, $3::float8 * power(2, least(failures, 20))))
                WHERE r.not_before <= now() AND r.ai IN (SELECT askable FROM wanted)
                RETURNING r.ai
            ), awake AS MATERIALIZED (
                SELECT wanted, coalesce(probe.ai, awake_ai(wanted)) AS ai, probe.ai IS NOT NULL AS is_probe
                FROM wanted LEFT JOIN probe ON probe.ai = askable
            ), early AS MATERIALIZED (
                -- What is due first is in one of these.
                SELECT place.channel, place.task_id, place.fence, awake.ai, awake.is_probe
                FROM place JOIN awake USING (wanted)
                WHERE awake.ai IS NOT NULL
                ORDER BY place.due_at LIMIT $2
            ), due AS (
                SELECT d.id, early.fence, early.ai, early.is_probe
                FROM early CROSS JOIN LATERAL (
                    SELECT o.id FROM dialogues o
                    WHERE o.channel = early.channel AND o.task_id = early.task_id AND o.due_at <= now()
                        AND o.held_fence IS DISTINCT FROM early.fence
                    ORDER BY o.due_at LIMIT $2
                ) o
                JOIN dialogues d ON d.id = o.id AND d.due_at <= now()
                    AND d.held_fence IS DISTINCT FROM early.fence
                ORDER BY d.due_at
                LIMIT $2
                FOR UPDATE OF d SKIP LOCKED
            ), chosen AS (
                SELECT * FROM (
                    SELECT due.*, row_number() OVER (PARTITION BY is_probe, ai ORDER BY id) AS n FROM due
                ) numbered WHERE NOT is_probe OR n = 1
            )
            UPDATE dialogues d SET held_fence = chosen.fence, held_turn = d.turn
            -- By the array the planner knows that they are few, whatever the limit.
            FROM chosen WHERE d.id = chosen.id AND d.id = ANY (ARRAY(SELECT id FROM chosen))
            RETURNING d.id, d.channel, d.turn, chosen.fence, chosen.ai AS "ai!",
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
                Ok(HeldTurn {
                    dialogue: DialogueId(row.id),
                    channel: parsed(&row.channel)?,
                    fence: Fence(row.fence),
                    turn: row.turn,
                    ai: row.ai,
                    is_probe: row.is_probe,
                })
            })
            .collect()
    }
}
