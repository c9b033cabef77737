//! News of a message, and answers to it, that arrive before the answer to the call that sent it.

use sqlx::PgConnection;

use super::{aliases::Known, error::StoreError, lanes::interval, replies::CALL_OVER};
use crate::domain::id::ChannelName;

/// Whether news is of no message that is known, while one to this person is on its way: it may be that one's,
/// and its id is told only by the answer to its call.
pub(super) async fn is_early(
    connection: &mut PgConnection,
    channel: &ChannelName,
    person: &Known,
    id: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"WITH openings AS (
            SELECT a.outcome, a.provider_message_id FROM attempts a
            WHERE a.channel = $1 AND a.address = ANY ($2) AND a.key IN (
                SELECT opening_key(t.name, known) FROM unnest($2) known, task_channels tc
                JOIN tasks t ON t.id = tc.task_id WHERE tc.channel = $1)
        )
        SELECT (EXISTS (SELECT FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
                WHERE d.channel = $1 AND d.peer = ANY ($2) AND m.state = 'sending' AND m.provider_message_id IS NULL)
            OR EXISTS (SELECT FROM openings WHERE outcome IS NULL))
            AND NOT EXISTS (SELECT FROM messages m WHERE m.channel = $1 AND m.author <> 'person'
                AND m.provider_message_id = $3)
            AND NOT EXISTS (SELECT FROM openings WHERE provider_message_id = $3) AS "early!""#,
        channel.as_str(),
        &person.addresses,
        id
    )
    .fetch_one(connection)
    .await?)
}

/// Whether the channel is calling for an opening, while somebody wrote: that somebody may answer it under an address
/// that only the answer to the call joins to the one that was written to.
pub(super) async fn is_opening_under_way(
    connection: &mut PgConnection,
    channel: &ChannelName,
) -> Result<bool, StoreError> {
    let under_way = sqlx::query_scalar!(
        r#"SELECT coalesce(in_flight_granted_at > clock_timestamp() - $2::interval, false) AS "under_way!"
        FROM lanes WHERE channel = $1"#,
        channel.as_str(),
        interval(CALL_OVER)
    )
    .fetch_optional(connection)
    .await?;
    Ok(under_way.unwrap_or(false))
}

/// Whether the channel neither wrote to the person nor heard of them.
pub(super) async fn is_unacquainted(
    connection: &mut PgConnection,
    channel: &ChannelName,
    person: &Known,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT FROM task_channels tc
                JOIN dialogues d ON d.task_id = tc.task_id AND d.channel = $1 AND d.peer = ANY ($2)
                WHERE tc.channel = $1)
            AND NOT EXISTS (SELECT FROM task_channels tc JOIN tasks t ON t.id = tc.task_id
                JOIN ledger l ON l.task = t.name AND l.address = ANY ($2) AND l.channel = $1
                WHERE tc.channel = $1) AS "unacquainted!""#,
        channel.as_str(),
        &person.addresses
    )
    .fetch_one(connection)
    .await?)
}
