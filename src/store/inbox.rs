//! What channels deliver: kept as it came, and put into its dialogue once, in one transaction.

use serde_json::Value;
use sqlx::PgConnection;

use super::{
    connect::Store,
    drafts::move_draft,
    error::StoreError,
    lanes::interval,
    opt_outs::{OptOut, OptOutBy, opt_out},
    takeover,
};
use crate::domain::{
    dialogue::{Delivery, DeliveryState, Received},
    id::{ChannelName, DialogueId},
    stop::asks_to_stop,
};

/// People write in bursts; nobody is answered between two messages of one.
const BURST_QUIET: std::time::Duration = std::time::Duration::from_millis(1500);
/// Whoever never stops writing is answered after this all the same.
const BURST_MAX: std::time::Duration = std::time::Duration::from_secs(8);
/// The longest message of any provider is below it; what is longer is cut.
const TEXT_CHARACTERS_MAX: usize = 70_000;

/// One delivery of a channel.
#[derive(Debug)]
pub struct Parcel<'a> {
    pub channel: &'a ChannelName,
    pub received: &'a [Received],
    /// As it came; nothing where nobody else made it, such as our own page.
    pub raw: Option<Raw<'a>>,
    /// Where the polling of the channel goes on.
    pub cursor: Option<&'a str>,
}

#[derive(Debug)]
pub struct Raw<'a> {
    pub headers: Value,
    pub body: &'a [u8],
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Taken {
    /// Messages and news that were not known.
    pub fresh: usize,
    pub repeated: usize,
    /// Messages on a channel that no task uses. Nothing of the delivery was kept: it is to be repeated.
    pub unrouted: usize,
}

/// What one part of a delivery did.
enum Taking {
    Fresh,
    Repeated,
    Unrouted,
}

impl Store {
    /// Stores a delivery with its raw form: all of it, or nothing.
    pub async fn receive(&self, parcel: &Parcel<'_>) -> Result<Taken, StoreError> {
        let Parcel { channel, received, raw, cursor } = parcel;
        let mut taken = Taken::default();
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET LOCAL nuncio.writes = 'on'").execute(&mut *transaction).await?;
        // By person, so that two deliveries lock their dialogues in one order; each person's in theirs.
        let mut ordered: Vec<&Received> = received.iter().collect();
        ordered.sort_by(|a, b| a.peer.cmp(&b.peer));
        for one in ordered {
            match take(&mut transaction, channel, one).await? {
                Taking::Fresh => taken.fresh += 1,
                Taking::Repeated => taken.repeated += 1,
                Taking::Unrouted => taken.unrouted += 1,
            }
        }
        if taken.unrouted > 0 {
            transaction.rollback().await?;
            return Ok(Taken { unrouted: taken.unrouted, ..Taken::default() });
        }
        if let Some(Raw { headers, body }) = raw
            && (taken.fresh > 0 || received.is_empty())
        {
            let peers: Vec<String> = received.iter().map(|one| one.peer.to_string()).collect();
            sqlx::query!(
                "INSERT INTO deliveries (channel, headers, body, peers) VALUES ($1, $2, $3, $4)",
                channel.as_str(),
                headers,
                body,
                &peers
            )
            .execute(&mut *transaction)
            .await?;
        }
        if let Some(cursor) = cursor {
            sqlx::query!(
                "INSERT INTO receive_cursors (channel, cursor) VALUES ($1, $2)
                ON CONFLICT (channel) DO UPDATE SET cursor = excluded.cursor, at = now()",
                channel.as_str(),
                cursor
            )
            .execute(&mut *transaction)
            .await?;
        }
        if taken.fresh > 0 {
            Self::notify_dialogues(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(taken)
    }

    /// Where the polling of a channel goes on.
    pub async fn read_cursor(&self, channel: &ChannelName) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT cursor FROM receive_cursors WHERE channel = $1",
            channel.as_str()
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}

async fn take(
    connection: &mut PgConnection,
    channel: &ChannelName,
    received: &Received,
) -> Result<Taking, StoreError> {
    let peer = received.peer.as_str();
    // News of what was said to a person who was erased since would name them again.
    if !matches!(received.what, Delivery::Message { .. }) && is_forgotten(connection, peer).await? {
        return Ok(Taking::Repeated);
    }
    match &received.what {
        Delivery::Message { .. } => take_message(connection, channel, received).await,
        Delivery::Echo { id, reference, text, typed_by_hand } => {
            let echo = Echo { id, reference: reference.as_deref(), text };
            if is_ours(connection, channel, peer, &echo).await? {
                return Ok(Taking::Repeated);
            }
            // Every message of ours has its reference in the database before it leaves.
            if !typed_by_hand && reference.is_none() {
                return Ok(Taking::Repeated);
            }
            take_typed_by_hand(connection, channel, received, &echo).await
        }
        Delivery::Status { id, reference, state, reason } => {
            let news = News { id, reference: reference.as_deref(), state: *state, reason };
            Ok(if take_status(connection, channel, peer, &news).await? {
                Taking::Fresh
            } else {
                Taking::Repeated
            })
        }
    }
}

async fn is_forgotten(connection: &mut PgConnection, peer: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT is_forgotten($1) AS "forgotten!""#, peer)
        .fetch_one(connection)
        .await?)
}

async fn take_message(
    connection: &mut PgConnection,
    channel: &ChannelName,
    Received { peer, at, what }: &Received,
) -> Result<Taking, StoreError> {
    let Delivery::Message { id, text } = what else { return Ok(Taking::Repeated) };
    let Some(dialogue) = find_or_open(connection, channel, peer.as_str()).await? else {
        return Ok(Taking::Unrouted);
    };
    let inserted = sqlx::query_scalar!(
        "INSERT INTO messages (dialogue_id, channel, author, text, provider_at, provider_message_id)
        VALUES ($1, $2, 'person', $3, $4, $5)
        ON CONFLICT (channel, provider_message_id) WHERE author = 'person' AND provider_message_id IS NOT NULL
        DO NOTHING RETURNING id",
        dialogue,
        channel.as_str(),
        kept(text),
        *at,
        kept(id)
    )
    .fetch_optional(&mut *connection)
    .await?;
    if inserted.is_none() {
        return Ok(Taking::Repeated);
    }
    // Before any AI is asked, and whoever speaks in the dialogue.
    if let Some(language) = asks_to_stop(text) {
        opt_out(
            connection,
            &OptOut {
                address: peer,
                by: OptOutBy::Person(language),
                task: None,
                channel: Some(channel),
                dialogue: Some(DialogueId(dialogue)),
                reason: None,
            },
        )
        .await?;
        takeover::close_all(connection, peer.as_str(), "asked not to be written to any more")
            .await?;
        return Ok(Taking::Fresh);
    }
    sqlx::query!(
        "UPDATE dialogues SET turn = turn + 1, failures = 0, reminder_at = NULL, reminder_text = NULL,
            waiting_since = coalesce(waiting_since, clock_timestamp()),
            due_at = CASE WHEN state = 'open' THEN least(clock_timestamp() + $2, greatest(clock_timestamp(),
                coalesce(waiting_since, clock_timestamp()) + $3)) END
        WHERE id = $1",
        dialogue,
        interval(BURST_QUIET),
        interval(BURST_MAX)
    )
    .execute(&mut *connection)
    .await?;
    Ok(Taking::Fresh)
}

/// The dialogue of a person on a channel, locked. Opened where there is none: in the task that wrote to the
/// person last, else in the one that has been in progress for longest.
pub(super) async fn find_or_open(
    connection: &mut PgConnection,
    channel: &ChannelName,
    peer: &str,
) -> Result<Option<i64>, StoreError> {
    let known = sqlx::query_scalar!(
        "SELECT d.id FROM dialogues d JOIN tasks t ON t.id = d.task_id AND t.deleted_at IS NULL
        WHERE d.channel = $1 AND d.peer = $2
        ORDER BY t.phase = 'completed', d.id DESC LIMIT 1 FOR UPDATE OF d",
        channel.as_str(),
        peer
    )
    .fetch_optional(&mut *connection)
    .await?;
    if known.is_some() {
        return Ok(known);
    }
    let opened = sqlx::query!(
        r#"WITH route AS (
            SELECT t.id, t.name, t.fields, l.task IS NOT NULL AS was_written
            FROM task_channels tc JOIN tasks t ON t.id = tc.task_id AND t.deleted_at IS NULL
            LEFT JOIN ledger l ON l.task = t.name AND l.address = $2 AND l.channel = $1
            WHERE tc.channel = $1
            ORDER BY l.written_at DESC NULLS LAST, t.phase = 'completed', t.phase <> 'in-progress',
                t.created_at, t.id
            LIMIT 1
        )
        INSERT INTO dialogues (task_id, task, channel, peer, manager)
        SELECT id, name, $1, $2, manager_for(fields, $2)
        FROM route
        ON CONFLICT ON CONSTRAINT one_dialogue_a_person DO UPDATE SET peer = excluded.peer
        RETURNING id, task, (SELECT was_written FROM route) AS "was_written!", xmax = 0 AS "is_new!""#,
        channel.as_str(),
        peer
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(opened) = opened else { return Ok(None) };
    if opened.is_new {
        move_draft(connection, opened.id, &opened.task, peer).await?;
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
            ORDER BY a.id DESC LIMIT 1",
            opened.id,
            channel.as_str(),
            opened.task,
            peer
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(Some(opened.id))
}

struct Echo<'a> {
    id: &'a str,
    reference: Option<&'a str>,
    text: &'a str,
}

/// Whether an echo is of a message that this program sent; then its doubt is over.
async fn is_ours(
    connection: &mut PgConnection,
    channel: &ChannelName,
    peer: &str,
    echo: &Echo<'_>,
) -> Result<bool, StoreError> {
    let key: Option<i64> = echo.reference.and_then(|reference| reference.parse().ok());
    let reply = sqlx::query_scalar!(
        r#"WITH ours AS (
            SELECT m.id FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            WHERE d.channel = $1 AND d.peer = $2 AND m.author <> 'person'
                AND (m.key = $3 OR m.provider_message_id = $4
                    OR m.state IN ('sending', 'in-doubt') AND m.text = $5)
            ORDER BY m.key = $3 DESC NULLS LAST, m.provider_message_id = $4 DESC NULLS LAST, m.id
            LIMIT 1 FOR UPDATE OF m
        )
        UPDATE messages m SET provider_message_id = coalesce(m.provider_message_id, $4),
            state = CASE WHEN m.state IN ('sending', 'in-doubt') THEN 'sent' ELSE m.state END
        FROM ours WHERE m.id = ours.id RETURNING m.id"#,
        channel.as_str(),
        peer,
        key,
        echo.id,
        echo.text
    )
    .fetch_optional(&mut *connection)
    .await?;
    if reply.is_some() {
        return Ok(true);
    }
    let opening = sqlx::query!(
        r#"SELECT a.id, a.outcome FROM attempts a
        WHERE a.channel = $1 AND a.address = $2 AND a.key IN (
                SELECT opening_key(t.name, $2) FROM task_channels tc JOIN tasks t ON t.id = tc.task_id
                WHERE tc.channel = $1)
            AND (a.key = $3 OR a.provider_message_id = $4 OR a.outcome IS NULL OR a.outcome = 'in-doubt')
        ORDER BY a.id DESC LIMIT 1"#,
        channel.as_str(),
        peer,
        key,
        echo.id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(opening) = opening else { return Ok(false) };
    if opening.outcome.as_deref() == Some("in-doubt") {
        settle_attempt(connection, opening.id, DeliveryState::Sent, Some(echo.id), "").await?;
    }
    Ok(true)
}

/// A person of ours wrote in the messenger's own app: the dialogue is theirs from now on.
async fn take_typed_by_hand(
    connection: &mut PgConnection,
    channel: &ChannelName,
    received: &Received,
    echo: &Echo<'_>,
) -> Result<Taking, StoreError> {
    let Some(dialogue) = find_or_open(connection, channel, received.peer.as_str()).await? else {
        // Written to somebody of whom no task knows.
        return Ok(Taking::Repeated);
    };
    sqlx::query!(
        "INSERT INTO messages (dialogue_id, channel, author, text, provider_at, provider_message_id, said_by, state)
        VALUES ($1, $2, 'operator', $3, $4, $5, 'the app', 'sent')",
        dialogue,
        channel.as_str(),
        kept(echo.text),
        received.at,
        kept(echo.id)
    )
    .execute(&mut *connection)
    .await?;
    takeover::hand_to_operator(connection, dialogue, "the app", "written by hand in the app")
        .await?;
    sqlx::query!("UPDATE dialogues SET waiting_since = NULL WHERE id = $1", dialogue)
        .execute(&mut *connection)
        .await?;
    Ok(Taking::Fresh)
}

struct News<'a> {
    id: &'a str,
    reference: Option<&'a str>,
    state: DeliveryState,
    reason: &'a str,
}

/// Says whether the news was any.
async fn take_status(
    connection: &mut PgConnection,
    channel: &ChannelName,
    peer: &str,
    news: &News<'_>,
) -> Result<bool, StoreError> {
    let number: Option<i64> = news.reference.and_then(|reference| reference.parse().ok());
    let raised = sqlx::query!(
        "UPDATE messages m SET state = $4, reason = nullif($5, ''),
            provider_message_id = coalesce(m.provider_message_id, $2)
        WHERE m.id = (SELECT o.id FROM messages o WHERE o.channel = $1 AND o.author <> 'person'
                AND (o.provider_message_id = $2 OR o.key = $3)
                ORDER BY o.id DESC LIMIT 1 FOR UPDATE)
            AND m.state <> 'waiting' AND message_rank(m.state) < message_rank($4)
            AND NOT (m.state IN ('delivered', 'read') AND $4 = 'failed')",
        channel.as_str(),
        news.id,
        number,
        news.state.as_str(),
        kept(news.reason)
    )
    .execute(&mut *connection)
    .await?;
    if raised.rows_affected() > 0 {
        return Ok(true);
    }
    let attempt = sqlx::query_scalar!(
        "SELECT a.id FROM attempts a
        WHERE a.channel = $1 AND (a.id = $3 OR a.address = $2 AND a.provider_message_id = $4
            AND a.key IN (SELECT opening_key(t.name, $2) FROM task_channels tc JOIN tasks t ON t.id = tc.task_id
                WHERE tc.channel = $1))
            AND a.outcome IN ('sent', 'in-doubt')
            AND message_rank(a.delivery) < message_rank($5)
            AND NOT (coalesce(a.delivery, '') IN ('delivered', 'read') AND $5 = 'failed')
        ORDER BY a.id DESC LIMIT 1",
        channel.as_str(),
        peer,
        number,
        news.id,
        news.state.as_str()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(attempt) = attempt else { return Ok(false) };
    settle_attempt(connection, attempt, news.state, Some(news.id), news.reason).await?;
    Ok(true)
}

/// What a provider told of an opening ends its doubt, and moves the counts with it.
async fn settle_attempt(
    connection: &mut PgConnection,
    attempt: i64,
    state: DeliveryState,
    provider_message_id: Option<&str>,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH before AS (
            SELECT id, granted_at, task_id, channel, outcome, opening FROM attempts
            WHERE id = $1 AND outcome IN ('sent', 'in-doubt') FOR UPDATE
        ), after AS (
            UPDATE attempts a SET delivery = $2,
                provider_message_id = coalesce(a.provider_message_id, $3),
                outcome = CASE WHEN $2 = 'failed' THEN 'recipient-permanent' ELSE 'sent' END,
                reason = CASE WHEN $2 = 'failed' THEN nullif($4, '') WHEN a.outcome = 'in-doubt' THEN NULL
                    ELSE a.reason END
            FROM before WHERE a.id = before.id AND a.granted_at = before.granted_at
            RETURNING a.opening, a.outcome AS now, before.outcome AS was, a.task_id, a.channel
        ), repeat_not_needed AS (
            -- The doubt would have been repeated with the same key: it was in fact answered.
            DELETE FROM retries r USING after WHERE r.opening = after.opening RETURNING r.opening
        )
        UPDATE task_channels tc SET
            n_sent = n_sent + (after.now = 'sent')::int - (after.was = 'sent')::int,
            n_failed = n_failed + (after.now = 'recipient-permanent')::int,
            n_in_doubt = greatest(0, n_in_doubt - (after.was = 'in-doubt'
                AND NOT EXISTS (SELECT FROM repeat_not_needed))::int)
        FROM after WHERE tc.task_id = after.task_id AND tc.channel = after.channel",
        attempt,
        state.as_str(),
        provider_message_id,
        kept(reason)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A person's words as they can be kept: Postgres has no U+0000, and nothing is without an end.
pub(super) fn kept(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .take(TEXT_CHARACTERS_MAX)
        .collect()
}
