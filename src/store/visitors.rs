//! Visitors of our own pages: who is known, by the digest of a secret.

use std::time::Duration;

use super::{connect::Store, error::StoreError, lanes::interval};
use crate::domain::id::{ChannelName, VisitorId};

/// A visitor who is not seen for so long is a stranger when they come back.
pub const VISITOR_SILENCE: Duration = Duration::from_hours(90 * 24);
/// To note every request would write more than is said.
const SEEN_EVERY: Duration = Duration::from_hours(1);
/// A statement's share of the clearing; the rest is for the next.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

/// What is known of whoever shows a visitor's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    /// The digest of the secret that the visitor holds: whoever asks has yet to show that one.
    Known { secret_digest: Vec<u8>, is_seen_anew: bool },
    /// They were silent for too long, or were forgotten at their wish: this id is nobody's any more.
    Expired,
}

impl Store {
    /// Looks a visitor up. One who was never seen is who they say from now on, with this secret.
    pub async fn meet_visitor(
        &self,
        channel: &ChannelName,
        visitor: VisitorId,
        secret_digest: &[u8; 32],
    ) -> Result<Acquaintance, StoreError> {
        loop {
            let found = sqlx::query!(
                r#"WITH known AS (
                    SELECT secret_digest, seen_at FROM visitors WHERE channel = $1 AND id = $2
                ), fresh AS (
                    INSERT INTO visitors (channel, id, secret_digest)
                    SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM known) AND NOT is_forgotten($2::text)
                    ON CONFLICT DO NOTHING RETURNING secret_digest, seen_at
                )
                SELECT secret_digest AS "secret_digest!", seen_at < now() - $4::interval AS "expired!",
                    seen_at < now() - $5::interval AS "long_ago!"
                FROM (SELECT * FROM known UNION ALL SELECT * FROM fresh
                    UNION ALL SELECT $3, '-infinity' WHERE is_forgotten($2::text)) visitor
                ORDER BY seen_at LIMIT 1"#,
                channel.as_str(),
                visitor.0,
                &secret_digest[..],
                interval(VISITOR_SILENCE),
                interval(SEEN_EVERY)
            )
            .fetch_optional(&self.pool)
            .await?;
            match found {
                Some(row) if row.expired => return Ok(Acquaintance::Expired),
                Some(row) => {
                    return Ok(Acquaintance::Known {
                        secret_digest: row.secret_digest,
                        is_seen_anew: row.long_ago,
                    });
                }
                // Another request of theirs was first, after our look: it is seen by the next one.
                None => {}
            }
        }
    }

    /// Whether a visitor was seen before, and not forgotten.
    pub async fn knows_visitor(
        &self,
        channel: &ChannelName,
        visitor: VisitorId,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM visitors WHERE channel = $1 AND id = $2) AS "known!""#,
            channel.as_str(),
            visitor.0
        )
        .fetch_one(&self.pool)
        .await?)
    }

    pub async fn note_visitor_seen(
        &self,
        channel: &ChannelName,
        visitor: VisitorId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE visitors SET seen_at = now() WHERE channel = $1 AND id = $2",
            channel.as_str(),
            visitor.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets visitors who were silent for too long. What they said stays with its dialogue.
    pub async fn forget_silent_visitors(&self) -> Result<u64, StoreError> {
        let forgotten = sqlx::query!(
            "DELETE FROM visitors WHERE (channel, id) IN (
                SELECT channel, id FROM visitors WHERE seen_at < now() - $1::interval LIMIT $2)",
            interval(VISITOR_SILENCE),
            FORGOTTEN_AT_ONCE
        )
        .execute(&self.pool)
        .await?;
        Ok(forgotten.rows_affected())
    }
}
