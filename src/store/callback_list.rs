//! Callbacks as operators see them: what was not taken, and why; and trying it again.

use chrono::{DateTime, Utc};

use super::{connect::Store, encoding::count, error::StoreError, report_list::REPORTS_MAX};
use crate::domain::id::{DialogueId, MessageId, MessagePosition};

/// A message that the system behind an `api` channel has not taken, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCallback {
    pub position: MessagePosition,
    pub channel: String,
    pub dialogue: DialogueId,
    pub message: Option<MessageId>,
    /// Since when it is tried.
    pub since: DateTime<Utc>,
    pub tries: i32,
    /// When it is tried next; nothing where it was given up.
    pub due_at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
}

/// A channel whose receiver wants nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentReceiver {
    pub channel: String,
    pub at: DateTime<Utc>,
    pub reason: String,
}

/// Which of the callbacks that were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callbacks {
    /// Those that were tried in vain, and those that were given up.
    NotTaken,
    GivenUp,
}

impl Store {
    /// The callbacks that were not taken, the latest first.
    pub async fn list_callbacks(
        &self,
        which: Callbacks,
    ) -> Result<Vec<ListedCallback>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT c.position, c.channel, c.dialogue_id, m.id AS "message?", c.created_at, c.tries, c.due_at,
                c.reason
            FROM callbacks c
            LEFT JOIN messages m ON m.dialogue_id = c.dialogue_id AND m.position = c.position
            WHERE c.state = 'dead' OR $1 AND c.reason IS NOT NULL
            ORDER BY c.position DESC LIMIT $2"#,
            which == Callbacks::NotTaken,
            REPORTS_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        let listed = rows.into_iter().map(|row| ListedCallback {
            position: MessagePosition(row.position),
            channel: row.channel,
            dialogue: DialogueId(row.dialogue_id),
            message: row.message.map(MessageId),
            since: row.created_at,
            tries: row.tries,
            due_at: row.due_at,
            reason: row.reason,
        });
        Ok(listed.collect())
    }

    /// The channels to whose address nothing is posted any more.
    pub async fn list_silent_receivers(&self) -> Result<Vec<SilentReceiver>, StoreError> {
        let silent = sqlx::query_as!(
            SilentReceiver,
            "SELECT s.channel, s.at, s.reason FROM callback_stops s
            JOIN resources r ON r.kind = 'Channel' AND r.name = s.channel
                AND r.fields->>'callbackUrl' = s.url
            ORDER BY s.channel"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(silent)
    }

    /// Lets one callback, or all that were not taken, be tried now and for as long as a new one; a receiver
    /// that was gone is asked again. Gives how many.
    pub async fn replay_callbacks(
        &self,
        position: Option<MessagePosition>,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let replayed = sqlx::query_scalar!(
            r#"WITH replayed AS (
                UPDATE callbacks SET state = 'due', due_at = clock_timestamp(), created_at = clock_timestamp(),
                    tries = 0
                WHERE ($1::bigint IS NULL OR position = $1)
                    AND (state = 'dead' OR reason IS NOT NULL)
                RETURNING channel
            ), asked_again AS (
                DELETE FROM callback_stops WHERE channel IN (SELECT channel FROM replayed)
            )
            SELECT count(*) AS "n!" FROM replayed"#,
            position.map(|position| position.0)
        )
        .fetch_one(&mut *transaction)
        .await?;
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(count(replayed))
    }
}
