//! Callbacks: messages of ours that are posted to the system behind an `api` channel, in the order of
//! their dialogue.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{connect::Store, encoding::parsed, error::StoreError, inbox::kept, lanes::interval};
use crate::domain::{
    address::Address,
    dialogue::Author,
    id::{ChannelName, DialogueId, MessagePosition},
};

/// Longer than a call may take: whoever leased it and is silent after this is gone.
const LEASE: Duration = Duration::from_secs(60);
/// A receiver that is away for longer has to poll for what it missed.
const PATIENCE: Duration = Duration::from_hours(24);
/// 5 s, 10 s, 20 s … and at most an hour.
const BACKOFF_FIRST_S: f64 = 5.0;
const BACKOFF_MAX_S: f64 = 3600.0;
/// Calls to one receiver at a time; one that is slow must not take all of ours.
const LEASED_A_CHANNEL: i64 = 4;

/// A message to be posted, leased to whoever reads this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCallback {
    pub position: MessagePosition,
    pub lease: i64,
    pub channel: ChannelName,
    pub dialogue: DialogueId,
    pub peer: Address,
    pub author: Author,
    pub text: String,
    pub at: DateTime<Utc>,
    pub tries: i32,
}

/// How a callback ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackEnd {
    Delivered,
    /// Later again, after this where the receiver said so; given up after a day.
    Again {
        after: Option<Duration>,
        reason: String,
    },
    /// The receiver wants no more at this address.
    Gone {
        url: String,
        reason: String,
    },
}

impl Store {
    /// Leases what is due: of each dialogue the first, and of each channel a few.
    pub async fn lease_callbacks(&self) -> Result<Vec<DueCallback>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH head AS (
                SELECT due.position FROM lanes l CROSS JOIN LATERAL (
                    SELECT c.position FROM callbacks c
                    WHERE c.channel = l.channel AND c.state = 'due' AND c.due_at <= now()
                        AND NOT EXISTS (SELECT FROM callbacks o WHERE o.dialogue_id = c.dialogue_id
                            AND o.state = 'due' AND o.position < c.position)
                    ORDER BY c.due_at LIMIT $1 FOR UPDATE SKIP LOCKED
                ) due
                WHERE l.hosted
            )
            UPDATE callbacks c SET lease = c.lease + 1, tries = c.tries + 1, due_at = clock_timestamp() + $2
            FROM head, messages m, dialogues d
            WHERE c.position = head.position AND m.dialogue_id = c.dialogue_id AND m.position = c.position
                AND d.id = c.dialogue_id
            RETURNING c.position, c.lease, c.channel, c.dialogue_id, d.peer, m.author, m.text,
                coalesce(m.sending_at, m.at) AS "at!", c.tries"#,
            LEASED_A_CHANNEL,
            interval(LEASE)
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(DueCallback {
                    position: MessagePosition(row.position),
                    lease: row.lease,
                    channel: parsed(&row.channel)?,
                    dialogue: DialogueId(row.dialogue_id),
                    peer: Address::from_stored(row.peer),
                    author: parsed(&row.author)?,
                    text: row.text,
                    at: row.at,
                    tries: row.tries,
                })
            })
            .collect()
    }

    /// Records how a leased callback ended; under an older lease that changes nothing.
    pub async fn record_callback(
        &self,
        callback: &DueCallback,
        end: &CallbackEnd,
    ) -> Result<(), StoreError> {
        let DueCallback { position, lease, channel, .. } = callback;
        match end {
            CallbackEnd::Delivered => {
                // The message itself is the record.
                sqlx::query!(
                    "DELETE FROM callbacks WHERE position = $1 AND lease = $2 AND state = 'due'",
                    position.0,
                    lease
                )
                .execute(&self.pool)
                .await?;
            }
            CallbackEnd::Again { after, reason } => {
                sqlx::query!(
                    "UPDATE callbacks SET reason = $3,
                        state = CASE WHEN created_at < now() - $4::interval THEN 'dead' ELSE 'due' END,
                        due_at = CASE WHEN created_at >= now() - $4::interval THEN clock_timestamp()
                            + least($4, coalesce($5, make_interval(secs =>
                                least($7::float8, $6::float8 * power(2, least(tries - 1, 20)))
                                * (0.8 + 0.4 * random())))) END
                    WHERE position = $1 AND lease = $2 AND state = 'due'",
                    position.0,
                    lease,
                    kept(reason),
                    interval(PATIENCE),
                    after.map(interval),
                    BACKOFF_FIRST_S,
                    BACKOFF_MAX_S
                )
                .execute(&self.pool)
                .await?;
            }
            CallbackEnd::Gone { url, reason } => {
                sqlx::query!(
                    "WITH stop AS (
                        INSERT INTO callback_stops (channel, url, reason) VALUES ($1, $2, $3)
                        ON CONFLICT (channel) DO UPDATE SET url = excluded.url, reason = excluded.reason,
                            at = now()
                    )
                    UPDATE callbacks SET state = 'dead', due_at = NULL, reason = $3
                    WHERE channel = $1 AND state = 'due'",
                    channel.as_str(),
                    url,
                    kept(reason)
                )
                .execute(&self.pool)
                .await?;
            }
        }
        Ok(())
    }

    /// How long until a callback is due; `None`: there is none.
    pub async fn next_callback_in(&self) -> Result<Option<Duration>, StoreError> {
        let seconds = sqlx::query_scalar!(
            "SELECT extract(epoch FROM min(c.due_at) - clock_timestamp())::float8
            FROM lanes l CROSS JOIN LATERAL (SELECT o.due_at FROM callbacks o
                WHERE o.channel = l.channel AND o.state = 'due' ORDER BY o.due_at LIMIT 1) c
            WHERE l.hosted"
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0))))
    }
}
