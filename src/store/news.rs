//! News of our own messages: echoes and statuses, which end doubts, and what a person of ours typed by hand.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    aliases::Known,
    error::StoreError,
    inbox::{Taking, kept},
    routing::find_or_open,
    takeover,
};
use crate::domain::{
    dialogue::{DeliveryState, Received},
    id::ChannelName,
};

pub(super) struct Echo<'a> {
    pub(super) id: &'a str,
    pub(super) reference: Option<&'a str>,
    pub(super) text: String,
    /// Whether it may be of a message whose outcome nobody knows, by its words alone.
    pub(super) may_be_guessed: bool,
}

/// Whether an echo is of a message that this program sent; then its doubt is over.
pub(super) async fn is_ours(
    connection: &mut PgConnection,
    channel: &ChannelName,
    person: &Known,
    echo: &Echo<'_>,
    recounts: &mut Vec<Recount>,
) -> Result<bool, StoreError> {
    let key: Option<i64> = echo.reference.and_then(|reference| reference.parse().ok());
    let reply = sqlx::query_scalar!(
        r#"WITH ours AS (
            SELECT m.id FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            WHERE d.channel = $1 AND d.peer = ANY ($2) AND m.author NOT IN ('person', 'opening')
                AND (m.key = $3 OR m.provider_message_id = $4
                    OR $6 AND btrim(m.text) = btrim($5) AND (m.state IN ('sending', 'in-doubt')
                        -- A doubt that is to be repeated, and one that was sent under an id that nobody told.
                        OR m.state = 'waiting' AND m.doubtful
                        OR m.state = 'sent' AND m.provider_message_id IS NULL
                            AND m.sending_at > clock_timestamp() - interval '1 hour'))
            ORDER BY m.key = $3 DESC NULLS LAST, m.provider_message_id = $4 DESC NULLS LAST, m.id
            LIMIT 1 FOR UPDATE OF m
        )
        UPDATE messages m SET provider_message_id = coalesce(m.provider_message_id, $4),
            state = CASE WHEN m.state IN ('sending', 'in-doubt', 'waiting') THEN 'sent' ELSE m.state END,
            ready_at = NULL
        FROM ours WHERE m.id = ours.id RETURNING m.id"#,
        channel.as_str(),
        &person.addresses,
        key,
        echo.id,
        echo.text,
        echo.may_be_guessed
    )
    .fetch_optional(&mut *connection)
    .await?;
    if reply.is_some() {
        return Ok(true);
    }
    let opening = sqlx::query_scalar!(
        r#"SELECT a.id FROM attempts a
        WHERE a.channel = $1 AND a.address = ANY ($2) AND a.key IN (
                SELECT opening_key(t.name, known) FROM unnest($2) known, task_channels tc
                JOIN tasks t ON t.id = tc.task_id WHERE tc.channel = $1)
            AND (a.key = $3 OR a.provider_message_id = $4
                OR $6 AND (a.outcome IS NULL OR a.outcome = 'in-doubt')
                    AND (a.text IS NULL OR btrim(a.text) = btrim($5)))
        ORDER BY a.id DESC LIMIT 1"#,
        channel.as_str(),
        &person.addresses,
        key,
        echo.id,
        echo.text,
        echo.may_be_guessed
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(attempt) = opening else { return Ok(false) };
    let news = News { id: echo.id, reference: None, state: DeliveryState::Sent, reason: "" };
    tell_attempt(connection, attempt, &news, recounts).await?;
    Ok(true)
}

/// A person of ours wrote in the messenger's own app: the dialogue is theirs from now on.
pub(super) async fn take_typed_by_hand(
    connection: &mut PgConnection,
    channel: &ChannelName,
    received: &Received,
    person: &Known,
    echo: &Echo<'_>,
) -> Result<Taking, StoreError> {
    let Some(dialogue) = find_or_open(connection, channel, person).await? else {
        // Written to somebody of whom no task knows.
        return Ok(Taking::Repeated);
    };
    // Looked for once more, now that the dialogue is locked: a repeat may have come at the same moment.
    let inserted = sqlx::query!(
        "INSERT INTO messages (dialogue_id, channel, author, text, provider_at, provider_message_id, said_by, state)
        SELECT $1, $2, 'operator', $3, $4, $5, 'the app', 'sent'
        WHERE NOT EXISTS (SELECT FROM messages
            WHERE channel = $2 AND provider_message_id = $5 AND author <> 'person')",
        dialogue,
        channel.as_str(),
        echo.text,
        received.at,
        kept(echo.id)
    )
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(Taking::Repeated);
    }
    takeover::hand_to_operator(connection, dialogue, "the app", "written by hand in the app")
        .await?;
    sqlx::query!("UPDATE dialogues SET waiting_since = NULL WHERE id = $1", dialogue)
        .execute(&mut *connection)
        .await?;
    Ok(Taking::Fresh)
}

pub(super) struct News<'a> {
    pub(super) id: &'a str,
    pub(super) reference: Option<&'a str>,
    pub(super) state: DeliveryState,
    pub(super) reason: &'a str,
}

/// Says whether the news was any.
pub(super) async fn take_status(
    connection: &mut PgConnection,
    channel: &ChannelName,
    person: &Known,
    news: &News<'_>,
    recounts: &mut Vec<Recount>,
) -> Result<bool, StoreError> {
    let number: Option<i64> = news.reference.and_then(|reference| reference.parse().ok());
    if news.state == DeliveryState::Failed {
        // Whoever permits locks the dialogue before its messages.
        sqlx::query!(
            "SELECT id FROM dialogues WHERE channel = $1 AND peer = ANY ($2) ORDER BY id FOR UPDATE",
            channel.as_str(),
            &person.addresses
        )
        .fetch_all(&mut *connection)
        .await?;
    }
    let raised = sqlx::query_scalar!(
        "UPDATE messages m SET state = $4, reason = nullif($5, ''),
            provider_message_id = coalesce(m.provider_message_id, $2)
        WHERE m.id = (SELECT o.id FROM messages o
                WHERE o.channel = $1 AND o.author NOT IN ('person', 'opening')
                    AND (o.provider_message_id = $2 OR o.key = $3)
                ORDER BY o.id DESC LIMIT 1 FOR UPDATE)
            AND m.state <> 'waiting' AND message_rank(m.state) < message_rank($4)
            AND NOT (m.state IN ('delivered', 'read') AND $4 = 'failed')
        RETURNING m.dialogue_id",
        channel.as_str(),
        news.id,
        number,
        news.state.as_str(),
        kept(news.reason)
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(dialogue) = raised {
        if news.state == DeliveryState::Failed {
            takeover::hand_undelivered(connection, dialogue, &kept(news.reason)).await?;
        }
        return Ok(true);
    }
    let attempt = sqlx::query_scalar!(
        r#"SELECT a.id AS "id!" FROM (
            SELECT id FROM attempts WHERE id = $3 AND channel = $1
            UNION ALL
            SELECT id FROM attempts
            WHERE channel = $1 AND address = ANY ($2) AND (provider_message_id = $4 OR key = $3)
                AND key IN (SELECT opening_key(t.name, known) FROM unnest($2) known, task_channels tc
                    JOIN tasks t ON t.id = tc.task_id WHERE tc.channel = $1)
        ) a
        ORDER BY a.id DESC LIMIT 1"#,
        channel.as_str(),
        &person.addresses,
        number,
        news.id
    )
    .fetch_optional(&mut *connection)
    .await?;
    match attempt {
        Some(attempt) => tell_attempt(connection, attempt, news, recounts).await,
        None => Ok(false),
    }
}

/// Tells an opening what its provider says of it. Says whether it was news.
async fn tell_attempt(
    connection: &mut PgConnection,
    attempt: i64,
    news: &News<'_>,
    recounts: &mut Vec<Recount>,
) -> Result<bool, StoreError> {
    // The news may overtake the answer of the call: then it is kept, and counts with the record of that.
    let early = sqlx::query!(
        "UPDATE attempts a SET delivery = $2, reason = nullif($4, ''),
            provider_message_id = coalesce(a.provider_message_id, $3)
        WHERE a.id = $1 AND a.outcome IS NULL AND a.address <> ''
            AND message_rank(coalesce(a.delivery, '')) < message_rank($2)
            AND NOT (coalesce(a.delivery, '') IN ('delivered', 'read') AND $2 = 'failed')",
        attempt,
        news.state.as_str(),
        news.id,
        kept(news.reason)
    )
    .execute(&mut *connection)
    .await?;
    if early.rows_affected() > 0 {
        return Ok(true);
    }
    let settled =
        settle_attempt(connection, attempt, news.state, Some(news.id), news.reason).await?;
    recounts.extend(settled);
    Ok(settled.is_some())
}

/// What the news of an opening changes in the counts of its task on the channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recount {
    task: Uuid,
    sent: i32,
    failed: i32,
    in_doubt: i32,
}

/// What a provider told of an opening ends its doubt; `None` where it was no news. The counts move with
/// [`recount`].
pub(super) async fn settle_attempt(
    connection: &mut PgConnection,
    attempt: i64,
    state: DeliveryState,
    provider_message_id: Option<&str>,
    reason: &str,
) -> Result<Option<Recount>, StoreError> {
    // The doubt would have been repeated with the same key, and was in fact answered. A repeat that is being
    // granted at this moment is waited for: it then counts for the opening, and this news does not.
    let repeat_not_needed = sqlx::query_scalar!(
        "DELETE FROM retries r WHERE r.opening = (SELECT a.opening FROM attempts a
            WHERE a.id = $1 AND a.outcome = 'in-doubt') AND r.in_doubt RETURNING r.opening",
        attempt
    )
    .fetch_optional(&mut *connection)
    .await?
    .is_some();
    let settled = sqlx::query_as!(
        Recount,
        r#"WITH before AS (
            SELECT id, granted_at, task_id, channel, outcome, opening FROM attempts a
            WHERE id = $1 AND outcome IN ('sent', 'in-doubt')
                AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                    AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                AND (outcome = 'in-doubt' OR delivery = 'failed' AND $2 = 'failed'
                    OR message_rank(coalesce(delivery, '')) < message_rank($2))
                AND NOT (coalesce(delivery, '') IN ('delivered', 'read') AND $2 = 'failed')
            FOR UPDATE
        ), after AS (
            UPDATE attempts a SET
                delivery = CASE WHEN message_rank(coalesce(a.delivery, '')) < message_rank($2) THEN $2
                    ELSE a.delivery END,
                provider_message_id = coalesce(a.provider_message_id, $3),
                outcome = CASE WHEN $2 = 'failed' THEN 'recipient-permanent' ELSE 'sent' END,
                reason = CASE WHEN $2 = 'failed' THEN nullif($4, '') WHEN a.outcome = 'in-doubt' THEN NULL
                    ELSE a.reason END
            FROM before WHERE a.id = before.id AND a.granted_at = before.granted_at
            RETURNING a.id, a.opening, a.outcome AS now, before.outcome AS was, a.task_id, a.channel, a.key,
                a.provider_message_id, a.delivery
        ), told AS (
            -- What the dialogue shows of it.
            UPDATE messages m SET state = after.delivery,
                provider_message_id = coalesce(m.provider_message_id, after.provider_message_id)
            FROM after
            WHERE m.key = after.key AND m.channel = after.channel AND m.author = 'opening'
        )
        SELECT task_id AS task, (now = 'sent')::int - (was = 'sent')::int AS "sent!",
            (now = 'recipient-permanent')::int AS "failed!",
            -(was = 'in-doubt' AND NOT $5::bool)::int AS "in_doubt!"
        FROM after"#,
        attempt,
        state.as_str(),
        provider_message_id,
        kept(reason),
        repeat_not_needed
    )
    .fetch_optional(connection)
    .await?;
    Ok(settled)
}

/// Moves the counts by all that was told, after the last attempt was touched: whoever records an outcome has its
/// attempt first and its counts then, and each would wait for the other.
pub(super) async fn recount(
    connection: &mut PgConnection,
    channel: &ChannelName,
    recounts: &[Recount],
) -> Result<(), StoreError> {
    let moving = |one: &&Recount| (one.sent, one.failed, one.in_doubt) != (0, 0, 0);
    let recounts: Vec<&Recount> = recounts.iter().filter(moving).collect();
    if recounts.is_empty() {
        return Ok(());
    }
    let tasks: Vec<Uuid> = recounts.iter().map(|one| one.task).collect();
    let sent: Vec<i32> = recounts.iter().map(|one| one.sent).collect();
    let failed: Vec<i32> = recounts.iter().map(|one| one.failed).collect();
    let in_doubt: Vec<i32> = recounts.iter().map(|one| one.in_doubt).collect();
    sqlx::query!(
        "WITH told AS (
            SELECT task, sum(sent)::int AS sent, sum(failed)::int AS failed, sum(in_doubt)::int AS in_doubt
            FROM unnest($2::uuid[], $3::int[], $4::int[], $5::int[]) t (task, sent, failed, in_doubt)
            GROUP BY task
        ), counts AS (
            SELECT tc.task_id FROM task_channels tc JOIN told ON told.task = tc.task_id
            WHERE tc.channel = $1 ORDER BY tc.task_id FOR UPDATE OF tc
        )
        UPDATE task_channels tc SET n_sent = n_sent + told.sent, n_failed = n_failed + told.failed,
            n_in_doubt = greatest(0, n_in_doubt + told.in_doubt)
        FROM told JOIN counts ON counts.task_id = told.task
        WHERE tc.task_id = told.task AND tc.channel = $1",
        channel.as_str(),
        &tasks,
        &sent,
        &failed,
        &in_doubt
    )
    .execute(connection)
    .await?;
    Ok(())
}
