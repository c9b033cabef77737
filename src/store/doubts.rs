//! Openings and replies in doubt, and openings whose contact is gone: what is left for an operator.

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::{count, parsed},
    error::StoreError,
};
use crate::domain::{
    address::Address,
    dialogue::Author,
    id::{AttemptId, DialogueId, MessageId},
    phase::Phase,
};

/// More than an operator goes through one by one; those that follow are listed once these are resolved.
const LISTED_MAX: i64 = 1000;

/// An attempt in doubt that waits for an operator.
#[derive(Clone, Debug)]
pub struct Doubtful {
    pub attempt: AttemptId,
    pub task: String,
    pub channel: String,
    pub address: Address,
    pub granted_at: DateTime<Utc>,
    pub reason: String,
    pub held: Option<HeldRepeat>,
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
    pub held: Option<HeldRepeat>,
}

/// Why what is to be sent again does not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldRepeat {
    /// Its task does not run.
    Task { task: String, phase: Phase },
    /// Its channel is blocked, until somebody lifts it or a time passes.
    Channel { channel: String, reason: String, until: Option<DateTime<Utc>> },
    /// Its channel is not applied any more.
    ChannelGone { channel: String },
}

/// What may hold it up, as it is read.
pub(super) struct Holds {
    pub(super) task: String,
    /// Absent where none has to run.
    pub(super) phase: Option<String>,
    pub(super) channel: String,
    pub(super) no_lane: bool,
    pub(super) blocked: bool,
    pub(super) blocked_reason: Option<String>,
    pub(super) blocked_until: Option<DateTime<Utc>>,
}

impl Holds {
    /// The first thing that would have to change.
    pub(super) fn first(self) -> Result<Option<HeldRepeat>, StoreError> {
        let Self { task, phase, channel, no_lane, blocked, blocked_reason, blocked_until } = self;
        let phase = phase.as_deref().map(parsed::<Phase>).transpose()?;
        Ok(match phase {
            Some(phase) if phase != Phase::InProgress => Some(HeldRepeat::Task { task, phase }),
            _ if no_lane => Some(HeldRepeat::ChannelGone { channel }),
            _ if blocked => Some(HeldRepeat::Channel {
                channel,
                reason: blocked_reason.unwrap_or_else(|| "no reason is known".to_owned()),
                until: blocked_until,
            }),
            _ => None,
        })
    }
}

impl Store {
    /// The openings that are in doubt, oldest first: those that will not be repeated, and those whose repeat
    /// is held up until somebody acts.
    pub async fn list_doubtful(&self) -> Result<Vec<Doubtful>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH doubt AS (
                SELECT a.id, a.task_id, a.task, a.channel, a.address, a.granted_at, a.reason, false AS is_repeated
                FROM attempts a
                WHERE a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                    AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                        AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                    AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = a.opening)
                UNION ALL
                SELECT a.id, a.task_id, a.task, a.channel, a.address, a.granted_at, a.reason, true
                FROM retries r CROSS JOIN LATERAL (
                    SELECT * FROM attempts a
                    WHERE a.task_id = r.task_id AND a.address = r.address AND a.opening = r.opening
                    ORDER BY a.id DESC LIMIT 1
                ) a
                WHERE r.in_doubt
            )
            SELECT a.id AS "id!", a.task AS "task!", a.channel AS "channel!", a.address AS "address!",
                a.granted_at AS "granted_at!", coalesce(a.reason, '') AS "reason!",
                a.is_repeated AS "is_repeated!", t.phase AS "phase?", held.no_lane AS "no_lane!",
                held.blocked AS "blocked!", l.blocked_reason AS "blocked_reason?",
                l.blocked_until AS "blocked_until?"
            FROM doubt a
            LEFT JOIN tasks t ON t.id = a.task_id
            LEFT JOIN lanes l ON l.channel = a.channel
            CROSS JOIN LATERAL (SELECT l.channel IS NULL AS no_lane,
                l.blocked_class IS NOT NULL AND (l.blocked_until IS NULL OR l.blocked_until > now()) AS blocked
            ) held
            WHERE NOT a.is_repeated OR t.phase <> 'in-progress' OR held.no_lane OR held.blocked
            ORDER BY a.id LIMIT $1"#,
            LISTED_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        let doubtful = rows.into_iter().map(|row| {
            let holds = Holds {
                task: row.task.clone(),
                phase: row.phase,
                channel: row.channel.clone(),
                no_lane: row.no_lane,
                blocked: row.blocked,
                blocked_reason: row.blocked_reason,
                blocked_until: row.blocked_until,
            };
            Ok(Doubtful {
                attempt: AttemptId(row.id),
                task: row.task,
                channel: row.channel,
                address: Address::from_stored(row.address),
                granted_at: row.granted_at,
                reason: row.reason,
                held: if row.is_repeated { holds.first()? } else { None },
            })
        });
        doubtful.collect()
    }

    /// The replies that are in doubt, oldest first: those that will not be repeated, and those whose repeat is
    /// held up until somebody acts.
    pub async fn list_doubtful_replies(&self) -> Result<Vec<DoubtfulReply>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT m.id, m.dialogue_id, d.task, d.channel, d.peer, m.author, m.state = 'waiting' AS "is_repeated!",
                coalesce(m.sending_at, m.at) AS "sent_at!", coalesce(m.reason, '') AS "reason!",
                held.no_lane AS "no_lane!", held.blocked AS "blocked!", l.blocked_reason AS "blocked_reason?",
                l.blocked_until AS "blocked_until?"
            FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            LEFT JOIN lanes l ON l.channel = m.channel
            CROSS JOIN LATERAL (SELECT l.channel IS NULL AS no_lane,
                NOT may_answer(l.blocked_class, l.blocked_until) AS blocked
            ) held
            WHERE m.state = 'in-doubt' AND m.author <> 'opening'
                OR m.state = 'waiting' AND m.doubtful AND (held.no_lane OR held.blocked)
            ORDER BY m.id LIMIT $1"#,
            LISTED_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        let replies = rows.into_iter().map(|row| {
            let holds = Holds {
                task: row.task.clone(),
                phase: None,
                channel: row.channel.clone(),
                no_lane: row.no_lane,
                blocked: row.blocked,
                blocked_reason: row.blocked_reason,
                blocked_until: row.blocked_until,
            };
            Ok(DoubtfulReply {
                message: MessageId(row.id),
                dialogue: DialogueId(row.dialogue_id),
                task: row.task,
                channel: row.channel,
                peer: Address::from_stored(row.peer),
                author: parsed(&row.author)?,
                sent_at: row.sent_at,
                reason: row.reason,
                held: if row.is_repeated { holds.first()? } else { None },
            })
        });
        replies.collect()
    }

    /// Ends the retries of contacts that were removed or suppressed meanwhile: one that certainly was not
    /// written to leaves the ledger, one in doubt stays so, for an operator. Says how many.
    ///
    /// A call may end while its task is recreated: the new incarnation has its contact then, and has passed it over, or
    /// does not count it as waiting, because the ledger named it.
    pub async fn settle_orphans(&self) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // First the cursors of the heirs, then the look: what a permit of theirs decides is seen. Those that somebody
        // holds have to wait for the next time.
        let heirs = sqlx::query_scalar!(
            "SELECT a.task_id FROM audiences a JOIN tasks t ON t.id = a.task_id AND t.deleted_at IS NULL
            WHERE EXISTS (SELECT FROM retries r JOIN tasks o ON o.id = r.task_id
                WHERE o.deleted_at IS NOT NULL AND o.name = t.name)
            ORDER BY a.task_id FOR UPDATE OF a SKIP LOCKED"
        )
        .fetch_all(&mut *transaction)
        .await?;
        let settled = sqlx::query!(
            "WITH found AS (
                -- Not what somebody is taking, or taking away.
                SELECT r.opening FROM retries r JOIN tasks t ON t.id = r.task_id
                WHERE NOT EXISTS (SELECT FROM due_retries d WHERE d.opening = r.opening)
                    AND (t.deleted_at IS NULL OR NOT EXISTS (SELECT FROM tasks h JOIN audiences a ON a.task_id = h.id
                        WHERE h.name = t.name AND h.deleted_at IS NULL AND h.id <> ALL ($1)))
                FOR UPDATE OF r SKIP LOCKED
            ), orphan AS (
                DELETE FROM retries r USING found, tasks t
                WHERE r.opening = found.opening AND t.id = r.task_id
                RETURNING r.opening, r.task_id, t.name AS task, r.address, r.channel, r.in_doubt, r.key
            ), doubtful AS (
                UPDATE task_channels tc SET n_in_doubt = n_in_doubt + o.n
                FROM (SELECT task_id, channel, count(*) AS n FROM orphan WHERE in_doubt
                    GROUP BY task_id, channel) o
                WHERE tc.task_id = o.task_id AND tc.channel = o.channel
            ), unwritten AS (
                DELETE FROM ledger l USING orphan o
                WHERE l.task = o.task AND l.address = o.address AND l.opening = o.opening AND NOT o.in_doubt
                RETURNING l.task, l.address, o.task_id, o.key
            ), heir AS (
                SELECT c.task_id, c.position, c.address, u.key, c.position <= a.cursor_position AS is_passed
                FROM unwritten u
                JOIN tasks t ON t.name = u.task AND t.deleted_at IS NULL AND t.id <> u.task_id
                JOIN audiences a ON a.task_id = t.id
                JOIN contacts c ON c.task_id = t.id AND c.address = u.address
            ), inherited AS (
                INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
                SELECT nextval('opening_ids'), task_id, position, address, key, 0, clock_timestamp(), false
                FROM heir WHERE is_passed
            ), awaited AS (
                UPDATE audiences a SET waiting = waiting + heir.n
                FROM (SELECT task_id, count(*) AS n FROM heir WHERE NOT is_passed GROUP BY task_id) heir
                WHERE a.task_id = heir.task_id
            )
            SELECT count(*) AS \"n!\" FROM unwritten",
            &heirs
        )
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(count(settled.n))
    }
}
