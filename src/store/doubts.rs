//! Attempts and replies in doubt, and openings whose contact is gone: what is left for an operator.

use chrono::{DateTime, Utc};

use super::{connect::Store, encoding::parsed, error::StoreError};
use crate::domain::{
    address::Address,
    dialogue::Author,
    id::{AttemptId, DialogueId, MessageId},
};

/// An attempt in doubt that waits for an operator.
#[derive(Clone, Debug)]
pub struct Doubtful {
    pub attempt: AttemptId,
    pub task: String,
    pub channel: String,
    pub address: Address,
    pub granted_at: DateTime<Utc>,
    pub reason: String,
}

/// A reply in doubt: it left, and nobody knows whether it arrived.
#[derive(Clone, Debug)]
pub struct DoubtfulReply {
    pub message: MessageId,
    pub dialogue: DialogueId,
    pub task: String,
    pub channel: String,
    pub peer: Address,
    pub author: Author,
    pub sent_at: DateTime<Utc>,
    pub reason: String,
}

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

impl Store {
    /// The attempts that are in doubt and will not be repeated, oldest first.
    pub async fn list_doubtful(&self) -> Result<Vec<Doubtful>, StoreError> {
        let rows = sqlx::query!(
            "SELECT a.id, a.task, a.channel, a.address, a.granted_at, coalesce(a.reason, '') AS reason
            FROM attempts a
            WHERE a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                    AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = a.opening)
            ORDER BY a.id LIMIT 1000"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Doubtful {
                attempt: AttemptId(row.id),
                task: row.task,
                channel: row.channel,
                address: Address::from_stored(row.address),
                granted_at: row.granted_at,
                reason: row.reason.unwrap_or_default(),
            })
            .collect())
    }

    /// Settles an attempt in doubt by an operator's word. Says whether it was in doubt.
    pub async fn resolve(
        &self,
        attempt: AttemptId,
        resolution: Resolution,
        by: &str,
    ) -> Result<bool, StoreError> {
        let (outcome, word) = match resolution {
            Resolution::Sent => ("sent", "sent"),
            Resolution::Retry => ("not-sent", "not sent"),
            Resolution::Drop => ("in-doubt", "dropped"),
        };
        let reason = format!("resolved as {word} by {by}");
        let resolved = sqlx::query_scalar!(
            r#"WITH doubtful AS (
                SELECT a.* FROM attempts a
                WHERE a.id = $1 AND a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                    AND ($2 <> 'not-sent' OR EXISTS (SELECT FROM contacts c
                        WHERE c.task_id = a.task_id AND c.position = a.position))
                    AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = a.opening)
                    AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                        AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                FOR UPDATE OF a
            ), settled AS (
                UPDATE attempts a SET outcome = $2, reason = $3 FROM doubtful d
                WHERE a.id = d.id AND a.granted_at = d.granted_at
                RETURNING a.id, a.opening, a.task_id, a.position, a.address, a.key, a.channel
            ), counted AS (
                UPDATE task_channels tc SET n_in_doubt = greatest(0, n_in_doubt - 1),
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
            reason
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(resolved.is_some())
    }

    /// The replies that are in doubt and will not be repeated, oldest first.
    pub async fn list_doubtful_replies(&self) -> Result<Vec<DoubtfulReply>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT m.id, m.dialogue_id, d.task, d.channel, d.peer, m.author,
                coalesce(m.sending_at, m.at) AS "sent_at!", coalesce(m.reason, '') AS "reason!"
            FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            WHERE m.state = 'in-doubt' AND m.author <> 'opening'
            ORDER BY m.id LIMIT 1000"#
        )
        .fetch_all(&self.pool)
        .await?;
        let replies = rows.into_iter().map(|row| {
            Ok(DoubtfulReply {
                message: MessageId(row.id),
                dialogue: DialogueId(row.dialogue_id),
                task: row.task,
                channel: row.channel,
                peer: Address::from_stored(row.peer),
                author: parsed(&row.author)?,
                sent_at: row.sent_at,
                reason: row.reason,
            })
        });
        replies.collect()
    }

    /// Settles a reply in doubt by an operator's word. Says whether it was in doubt.
    pub async fn resolve_reply(
        &self,
        message: MessageId,
        resolution: Resolution,
        by: &str,
    ) -> Result<bool, StoreError> {
        let (state, word) = match resolution {
            Resolution::Sent => ("sent", "sent"),
            Resolution::Retry => ("waiting", "not sent"),
            Resolution::Drop => ("failed", "dropped"),
        };
        let mut transaction = self.pool.begin().await?;
        let resolved = sqlx::query_scalar!(
            "WITH settled AS (
                -- With the same key as before; what was tried in vain before the doubt counts no more.
                UPDATE messages SET state = $2, reason = $3,
                    tries = CASE WHEN $2 = 'waiting' THEN 0 ELSE tries END,
                    ready_at = CASE WHEN $2 = 'waiting' THEN clock_timestamp() END
                WHERE id = $1 AND state = 'in-doubt' AND author <> 'opening'
                RETURNING id, dialogue_id
            )
            INSERT INTO dialogue_events (dialogue_id, event, by, detail)
            SELECT dialogue_id, 'resolved', $4, jsonb_build_object('message', id, 'as', $5::text) FROM settled
            RETURNING dialogue_id",
            message.0,
            state,
            format!("resolved as {word} by {by}"),
            by,
            word
        )
        .fetch_optional(&mut *transaction)
        .await?;
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(resolved.is_some())
    }

    /// Ends the retries of contacts that were removed or suppressed meanwhile: one that certainly was not
    /// written to leaves the ledger, one in doubt stays so, for an operator. Says how many.
    pub async fn settle_orphans(&self) -> Result<u64, StoreError> {
        let settled = sqlx::query!(
            "WITH orphan AS (
                DELETE FROM retries r USING tasks t
                WHERE t.id = r.task_id AND NOT EXISTS (SELECT FROM due_retries d WHERE d.opening = r.opening)
                RETURNING r.opening, r.task_id, t.name AS task, r.address, r.channel, r.in_doubt
            ), doubtful AS (
                UPDATE task_channels tc SET n_in_doubt = n_in_doubt + o.n
                FROM (SELECT task_id, channel, count(*) AS n FROM orphan WHERE in_doubt
                    GROUP BY task_id, channel) o
                WHERE tc.task_id = o.task_id AND tc.channel = o.channel
            )
            DELETE FROM ledger l USING orphan o
            WHERE l.task = o.task AND l.address = o.address AND l.opening = o.opening AND NOT o.in_doubt"
        )
        .execute(&self.pool)
        .await?;
        Ok(settled.rows_affected())
    }
}
