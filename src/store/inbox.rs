//! What channels deliver: kept as it came, and put into its dialogue once, in one transaction.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::PgConnection;

use super::{
    connect::Store,
    drafts::move_draft,
    early_news::is_early,
    error::StoreError,
    lanes::interval,
    news::{Echo, News, is_ours, take_status, take_typed_by_hand},
    opt_outs::{OptOut, OptOutBy, opt_out},
    takeover,
};
use crate::domain::{
    dialogue::{Delivery, Received},
    id::{ChannelName, DialogueId},
    stop::asks_to_stop,
};

/// People write in bursts; nobody is answered between two messages of one.
const BURST_QUIET: std::time::Duration = std::time::Duration::from_millis(1500);
/// Whoever never stops writing is answered after this all the same.
const BURST_MAX: std::time::Duration = std::time::Duration::from_secs(8);
/// The longest message of any provider is below it; what is longer is cut.
const TEXT_CHARACTERS_MAX: usize = 70_000;
/// The class of the advisory locks by which the wishes of one person to stop take turns.
const STOPS: i32 = 28_279;

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
    /// News of a message whose call has not told its id yet. Nothing was kept here either.
    pub early: usize,
}

/// What one part of a delivery did.
pub(super) enum Taking {
    Fresh,
    Repeated,
    Unrouted,
    Early,
}

impl Store {
    /// Stores a delivery with its raw form: all of it, or nothing.
    pub async fn receive(&self, parcel: &Parcel<'_>) -> Result<Taken, StoreError> {
        let Parcel { channel, received, raw, cursor } = parcel;
        let mut taken = Taken::default();
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET LOCAL nuncio.writes = 'on'").execute(&mut *transaction).await?;
        take_turns_to_stop(&mut transaction, received).await?;
        // By person, so that two deliveries lock their dialogues in one order; each person's in theirs.
        let mut ordered: Vec<&Received> = received.iter().collect();
        ordered.sort_by(|a, b| a.peer.cmp(&b.peer));
        for one in ordered {
            match take(&mut transaction, channel, one).await? {
                Taking::Fresh => taken.fresh += 1,
                Taking::Repeated => taken.repeated += 1,
                Taking::Unrouted => taken.unrouted += 1,
                Taking::Early => taken.early += 1,
            }
        }
        if taken.unrouted + taken.early > 0 {
            transaction.rollback().await?;
            return Ok(Taken { fresh: 0, repeated: 0, ..taken });
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

/// A wish to stop closes the person's dialogues on every channel. Two of one person, on two channels, would
/// each hold what the other waits for.
async fn take_turns_to_stop(
    connection: &mut PgConnection,
    received: &[Received],
) -> Result<(), StoreError> {
    let stops = |one: &&Received| match &one.what {
        Delivery::Message { text, .. } => asks_to_stop(text).is_some(),
        Delivery::Echo { .. } | Delivery::Status { .. } => false,
    };
    let people: BTreeSet<&str> =
        received.iter().filter(stops).map(|one| one.peer.as_str()).collect();
    for person in people {
        sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind(STOPS)
            .bind(person)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
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
            let echo = Echo {
                id,
                reference: reference.as_deref(),
                text: kept(text),
                // Where a key is repeated, or a hand is known, there is nothing to guess.
                may_be_guessed: reference.is_none() && !typed_by_hand,
            };
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
            let raised = take_status(connection, channel, peer, &news).await?;
            if !raised && is_early(connection, channel, peer, id).await? {
                return Ok(Taking::Early);
            }
            // An id that was recorded between the two looks is known by now.
            let raised = raised || take_status(connection, channel, peer, &news).await?;
            Ok(if raised { Taking::Fresh } else { Taking::Repeated })
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

/// A person's words as they can be kept: Postgres has no U+0000, and nothing is without an end.
pub(super) fn kept(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .take(TEXT_CHARACTERS_MAX)
        .collect()
}
