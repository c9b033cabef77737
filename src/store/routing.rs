//! Which dialogue a person's words belong to, and how one begins.

use sqlx::PgConnection;

use super::{aliases::Known, drafts::move_draft, error::StoreError};
use crate::domain::id::ChannelName;

/// The dialogue of a person on a channel, locked: the one in which something was said last, unless another task
/// has written to them since. Opened where there is none: in the task that wrote to the person last, under the
/// address that it wrote to; else in the one that has been in progress for longest.
pub(super) async fn find_or_open(
    connection: &mut PgConnection,
    channel: &ChannelName,
    person: &Known,
) -> Result<Option<i64>, StoreError> {
    let known = sqlx::query_scalar!(
        "SELECT d.id FROM dialogues d JOIN tasks t ON t.id = d.task_id AND t.deleted_at IS NULL
        WHERE d.channel = $1 AND d.peer = ANY ($2)
            -- An opening that nobody has answered yet is in no dialogue.
            AND NOT EXISTS (SELECT FROM task_channels tc
                JOIN tasks o ON o.id = tc.task_id AND o.deleted_at IS NULL AND o.phase <> 'completed'
                JOIN ledger l ON l.task = o.name AND l.address = ANY ($2) AND l.channel = $1
                WHERE tc.channel = $1 AND l.written_at > coalesce(
                        (SELECT m.at FROM messages m WHERE m.id = d.last_message_id), d.created_at)
                    AND NOT EXISTS (SELECT FROM dialogues x
                        WHERE x.channel = $1 AND x.peer = ANY ($2) AND x.task_id = o.id))
        ORDER BY t.phase = 'completed', d.last_message_id DESC LIMIT 1 FOR UPDATE OF d",
        channel.as_str(),
        &person.addresses
    )
    .fetch_optional(&mut *connection)
    .await?;
    if known.is_some() {
        return Ok(known);
    }
    let opened = sqlx::query!(
        r#"WITH route AS (
            SELECT t.id, t.name, t.fields, l.task IS NOT NULL AS was_written, coalesce(l.address, $3) AS peer
            FROM task_channels tc JOIN tasks t ON t.id = tc.task_id AND t.deleted_at IS NULL
            LEFT JOIN ledger l ON l.task = t.name AND l.address = ANY ($2) AND l.channel = $1
            WHERE tc.channel = $1
            ORDER BY l.task IS NULL, t.phase = 'completed', l.written_at DESC, t.phase <> 'in-progress',
                t.created_at, t.id
            LIMIT 1
        )
        INSERT INTO dialogues (task_id, task, channel, peer, manager)
        SELECT id, name, $1, peer, manager_for(fields, peer)
        FROM route
        ON CONFLICT ON CONSTRAINT one_dialogue_a_person DO UPDATE SET peer = excluded.peer
        RETURNING id, task, peer, (SELECT was_written FROM route) AS "was_written!",
            xmax = 0 AS "is_new!""#,
        channel.as_str(),
        &person.addresses,
        person.address()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(opened) = opened else { return Ok(None) };
    if opened.is_new {
        move_draft(connection, opened.id, &opened.task, &opened.peer).await?;
    }
    if opened.was_written && opened.is_new {
        // What was said first, by whichever incarnation of the task.
        sqlx::query!(
            "INSERT INTO messages (dialogue_id, channel, author, text, at, provider_message_id, state, key)
            SELECT $1, a.channel, 'opening', coalesce(a.text, t.opening->>'text', (
                    SELECT d.text FROM drafts d WHERE d.task = $3 AND d.address = $4), ''),
                coalesce(a.finished_at, a.granted_at), a.provider_message_id,
                CASE WHEN a.outcome = 'sent' THEN coalesce(a.delivery, 'sent') ELSE 'in-doubt' END, a.key
            FROM attempts a JOIN tasks t ON t.id = a.task_id
            WHERE a.channel = $2 AND a.key = opening_key($3, $4) AND a.task = $3 AND a.address = $4
            -- The last that may have arrived. Whoever records its outcome tells the message of it afterwards.
            ORDER BY coalesce(a.outcome, 'in-doubt') IN ('sent', 'in-doubt') DESC, a.id DESC LIMIT 1 FOR SHARE OF a",
            opened.id,
            channel.as_str(),
            opened.task,
            opened.peer
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(Some(opened.id))
}
