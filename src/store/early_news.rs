//! News of a message that arrives before the answer to the call that sent it.

use sqlx::PgConnection;

use super::error::StoreError;
use crate::domain::id::ChannelName;

/// Whether news is of no message that is known, while one to this person is on its way: it may be that one's,
/// and its id is told only by the answer to its call.
pub(super) async fn is_early(
    connection: &mut PgConnection,
    channel: &ChannelName,
    peer: &str,
    id: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"WITH openings AS (
            SELECT a.outcome, a.provider_message_id FROM attempts a
            WHERE a.channel = $1 AND a.address = $2 AND a.key IN (
                SELECT opening_key(t.name, $2) FROM task_channels tc JOIN tasks t ON t.id = tc.task_id
                WHERE tc.channel = $1)
        )
        SELECT (EXISTS (SELECT FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
                WHERE d.channel = $1 AND d.peer = $2 AND m.state = 'sending' AND m.provider_message_id IS NULL)
            OR EXISTS (SELECT FROM openings WHERE outcome IS NULL))
            AND NOT EXISTS (SELECT FROM messages m WHERE m.channel = $1 AND m.author <> 'person'
                AND m.provider_message_id = $3)
            AND NOT EXISTS (SELECT FROM openings WHERE provider_message_id = $3) AS "early!""#,
        channel.as_str(),
        peer,
        id
    )
    .fetch_one(connection)
    .await?)
}
