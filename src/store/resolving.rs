//! The end of a doubt by an operator's word: it arrived, it is sent again, or it is let go.

use super::{
    connect::Store,
    doubts::{HeldRepeat, Holds},
    error::StoreError,
};
use crate::domain::id::{AttemptId, MessageId};

/// What an operator says of an attempt or a reply in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It arrived.
    Sent,
    /// It did not: it is sent again.
    Retry,
    /// Whatever became of it, it is not sent again.
    Drop,
}

/// What an operator's word did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Resolved {
    Done {
        /// Why what is sent again does not leave yet.
        held: Option<HeldRepeat>,
    },
    NotInDoubt,
    /// It is repeated by itself, once that is possible again.
    IsRepeated,
    /// Sent again, it would be thrown away: this stands against it.
    Objected {
        why: String,
    },
}

impl Store {
    /// Settles an attempt in doubt.
    pub async fn resolve(
        &self,
        attempt: AttemptId,
        resolution: Resolution,
        by: &str,
    ) -> Result<Resolved, StoreError> {
        let (outcome, word) = match resolution {
            Resolution::Sent => ("sent", "sent"),
            Resolution::Retry => ("not-sent", "not sent"),
            Resolution::Drop => ("in-doubt", "dropped"),
        };
        let mut transaction = self.pool.begin().await?;
        let Some(found) = sqlx::query!(
            r#"SELECT coalesce(r.in_doubt, false) AS "is_repeated!", a.task, t.phase, a.channel,
                l.channel IS NULL AS "no_lane!", l.blocked_reason AS "blocked_reason?",
                l.blocked_class IS NOT NULL AND (l.blocked_until IS NULL OR l.blocked_until > now())
                    AS "blocked!",
                l.blocked_until AS "blocked_until?",
                CASE
                    WHEN t.deleted_at IS NOT NULL THEN 'its task is deleted'
                    WHEN t.phase = 'completed' THEN 'its task is completed, and sends nothing more'
                    WHEN is_suppressed(a.address, a.task) THEN 'the person is not to be written to'
                    WHEN NOT EXISTS (SELECT FROM contacts c
                        WHERE c.task_id = a.task_id AND c.position = a.position)
                        THEN 'its contact is not in the audience any more'
                END AS objection
            FROM attempts a JOIN tasks t ON t.id = a.task_id
            LEFT JOIN retries r ON r.opening = a.opening
            LEFT JOIN lanes l ON l.channel = a.channel
            WHERE a.id = $1 AND (r.in_doubt OR r.opening IS NULL AND a.outcome = 'in-doubt')
                AND a.outcome <> 'sent' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                    AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)"#,
            attempt.0
        )
        .fetch_optional(&mut *transaction)
        .await?
        else {
            return Ok(Resolved::NotInDoubt);
        };
        if resolution == Resolution::Retry {
            if let Some(why) = found.objection {
                return Ok(Resolved::Objected { why });
            }
            if found.is_repeated {
                return Ok(Resolved::IsRepeated);
            }
        }
        if found.is_repeated {
            // A repeat that is being granted at this moment is waited for: then it is in doubt no more.
            let cancelled = sqlx::query!(
                "DELETE FROM retries r WHERE r.in_doubt AND r.opening =
                    (SELECT a.opening FROM attempts a WHERE a.id = $1)",
                attempt.0
            )
            .execute(&mut *transaction)
            .await?;
            if cancelled.rows_affected() == 0 {
                return Ok(Resolved::NotInDoubt);
            }
        }
        let reason = format!("resolved as {word} by {by}");
        // Looked at once more, for two operators may say different things at the same moment.
        let settled = sqlx::query_scalar!(
            r#"WITH doubtful AS (
                SELECT a.* FROM attempts a
                WHERE a.id = $1 AND (a.outcome = 'in-doubt' OR $4) AND a.outcome <> 'sent'
                    AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                    AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = a.opening)
                    AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                        AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                FOR UPDATE OF a
            ), settled AS (
                UPDATE attempts a SET outcome = $2, reason = $3 FROM doubtful d
                WHERE a.id = d.id AND a.granted_at = d.granted_at
                RETURNING a.id, a.opening, a.task_id, a.position, a.address, a.key, a.channel
            ), counted AS (
                -- A doubt that was to be repeated counted as remaining.
                UPDATE task_channels tc SET n_in_doubt = greatest(0, n_in_doubt - (NOT $4)::int),
                    n_sent = n_sent + ($2 = 'sent')::int,
                    n_failed = n_failed + ($2 = 'in-doubt')::int
                FROM settled s WHERE tc.task_id = s.task_id AND tc.channel = s.channel
            ), told AS (
                -- The dialogue shows its opening as well.
                UPDATE messages m SET reason = $3,
                    state = CASE WHEN $2 = 'sent' THEN 'sent' ELSE 'failed' END
                FROM settled s
                WHERE m.key = s.key AND m.channel = s.channel AND m.author = 'opening'
                    AND m.state = 'in-doubt' AND $2 <> 'not-sent'
            ), back AS (
                INSERT INTO retries (opening, task_id, position, address, key, tries, channel, ready_at, in_doubt)
                SELECT opening, task_id, position, address, key, 0, channel, now(), false
                FROM settled WHERE $2 = 'not-sent'
            )
            SELECT id AS "id!" FROM settled"#,
            attempt.0,
            outcome,
            reason,
            found.is_repeated
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if settled.is_none() {
            return Ok(Resolved::NotInDoubt);
        }
        transaction.commit().await?;
        let held = Holds {
            task: found.task,
            phase: Some(found.phase),
            channel: found.channel,
            no_lane: found.no_lane,
            blocked: found.blocked,
            blocked_reason: found.blocked_reason,
            blocked_until: found.blocked_until,
        };
        let leaves = resolution == Resolution::Retry;
        Ok(Resolved::Done { held: if leaves { held.first()? } else { None } })
    }

    /// Settles a reply in doubt.
    pub async fn resolve_reply(
        &self,
        message: MessageId,
        resolution: Resolution,
        by: &str,
    ) -> Result<Resolved, StoreError> {
        let (state, word, reason) = match resolution {
            Resolution::Sent => ("sent", "sent", Some(format!("resolved as sent by {by}"))),
            // Whatever its next call says is the reason then.
            Resolution::Retry => ("waiting", "retry", None),
            Resolution::Drop => ("failed", "drop", Some(format!("resolved as dropped by {by}"))),
        };
        let mut transaction = self.pool.begin().await?;
        // Locked: what the dialogue allows now, it allows until this is committed.
        let Some(found) = sqlx::query!(
            r#"SELECT m.state = 'waiting' AS "is_repeated!",
                objection_to_reply(m.author, m.turn, d.state, d.turn, d.channel, d.peer, d.task) AS objection
            FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            WHERE m.id = $1 AND m.author <> 'opening'
                AND (m.state = 'in-doubt' OR m.state = 'waiting' AND m.doubtful)
            FOR UPDATE OF d"#,
            message.0
        )
        .fetch_optional(&mut *transaction)
        .await?
        else {
            return Ok(Resolved::NotInDoubt);
        };
        if resolution == Resolution::Retry {
            if let Some(why) = found.objection {
                return Ok(Resolved::Objected { why });
            }
            if found.is_repeated {
                return Ok(Resolved::IsRepeated);
            }
        }
        let settled = sqlx::query_scalar!(
            "WITH settled AS (
                -- With the same key as before; what was tried in vain before the doubt counts no more.
                UPDATE messages SET state = $2, reason = $3,
                    tries = CASE WHEN $2 = 'waiting' THEN 0 ELSE tries END,
                    ready_at = CASE WHEN $2 = 'waiting' THEN clock_timestamp() END
                WHERE id = $1 AND author <> 'opening'
                    AND (state = 'in-doubt' OR state = 'waiting' AND doubtful)
                RETURNING id, dialogue_id
            )
            INSERT INTO dialogue_events (dialogue_id, event, by, detail)
            SELECT dialogue_id, 'resolved', $4, jsonb_build_object('message', id, 'as', $5::text) FROM settled
            RETURNING dialogue_id",
            message.0,
            state,
            reason,
            by,
            word
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if settled.is_none() {
            return Ok(Resolved::NotInDoubt);
        }
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Resolved::Done { held: None })
    }
}
