//! What channels deliver: kept as it came, and put into its dialogue once, in one transaction.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::PgConnection;

use super::{
    aliases::{Known, meet},
    connect::Store,
    early_news::{is_early, is_opening_under_way, is_unacquainted},
    error::StoreError,
    lanes::interval,
    news::{Echo, News, Recount, is_ours, recount, take_status, take_typed_by_hand},
    opt_outs::{OptOut, OptOutBy, opt_out},
    routing::find_or_open,
    takeover,
};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, Received, TypedByHand},
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
/// The class of the advisory locks by which deliveries of a channel and records of its replies take turns.
const RECORDS: i32 = 28_281;

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
    /// News of a message whose call has not told its id yet, or words of whoever an opening may just have reached.
    /// Nothing was kept here either.
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
        if received.len() > 1 || !received.iter().all(is_said) {
            take_turns_with_records(&mut transaction, &[channel.to_string()]).await?;
        }
        // In this order: the outcome of an opening tells by which other address its person is known.
        let opening_under_way =
            received.iter().any(is_said) && is_opening_under_way(&mut transaction, channel).await?;
        let people = meet(&mut transaction, channel, received).await?;
        let mut ordered: Vec<(&Received, &Known)> =
            received.iter().filter_map(|one| Some((one, people.get(&one.peer)?))).collect();
        // By person, so that two deliveries lock their dialogues in one order; each person's in theirs.
        ordered.sort_by_key(|(_, person)| &person.addresses);
        take_turns_to_stop(&mut transaction, &ordered).await?;
        let mut recounts = Vec::new();
        for (one, person) in ordered {
            let taking = if opening_under_way
                && may_be_the_openings(one)
                && is_unacquainted(&mut transaction, channel, person).await?
            {
                Taking::Early
            } else {
                take(&mut transaction, channel, one, person, &mut recounts).await?
            };
            match taking {
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
        recount(&mut transaction, channel, &recounts).await?;
        if let Some(Raw { headers, body }) = raw
            && (taken.fresh > 0 || received.is_empty())
        {
            let named = |one: &Received| {
                [&one.peer].into_iter().chain(&one.also_known_as).map(Address::to_string).collect()
            };
            let peers: Vec<String> = received.iter().flat_map::<Vec<String>, _>(named).collect();
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

fn is_said(received: &Received) -> bool {
    matches!(received.what, Delivery::Message { .. })
}

/// A wish to stop holds at once, whoever it is of.
fn may_be_the_openings(received: &Received) -> bool {
    matches!(&received.what, Delivery::Message { text, .. } if asks_to_stop(text).is_none())
}

/// Whoever brings several things of a channel touches its dialogues and messages in the order of people, and whoever
/// records outcomes of replies in its own: each would wait for the other.
pub(super) async fn take_turns_with_records(
    connection: &mut PgConnection,
    channels: &[String],
) -> Result<(), StoreError> {
    sqlx::query(
        "SELECT pg_advisory_xact_lock($1, channel) FROM (
            SELECT DISTINCT hashtext(name) AS channel FROM unnest($2::text[]) name ORDER BY channel
        ) channels",
    )
    .bind(RECORDS)
    .bind(channels)
    .execute(connection)
    .await?;
    Ok(())
}

/// A wish to stop closes the person's dialogues on every channel. Two of one person, on two channels, would
/// each hold what the other waits for.
async fn take_turns_to_stop(
    connection: &mut PgConnection,
    received: &[(&Received, &Known)],
) -> Result<(), StoreError> {
    let stops = |(one, _): &&(&Received, &Known)| match &one.what {
        Delivery::Message { text, .. } => asks_to_stop(text).is_some(),
        Delivery::Echo { .. } | Delivery::Status { .. } | Delivery::Barred | Delivery::Moved => {
            false
        }
    };
    let people: BTreeSet<&[String]> =
        received.iter().filter(stops).map(|(_, person)| person.addresses.as_slice()).collect();
    for addresses in people {
        sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind(STOPS)
            .bind(addresses.first())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn take(
    connection: &mut PgConnection,
    channel: &ChannelName,
    received: &Received,
    person: &Known,
    recounts: &mut Vec<Recount>,
) -> Result<Taking, StoreError> {
    // News of what was said to a person who was erased since would name them again.
    if !matches!(received.what, Delivery::Message { .. })
        && is_forgotten(connection, channel, person).await?
    {
        return Ok(Taking::Repeated);
    }
    match &received.what {
        Delivery::Message { .. } => take_message(connection, channel, received, person).await,
        Delivery::Echo { id, reference, text, typed_by_hand } => {
            let echo = Echo {
                id,
                reference: reference.as_deref(),
                text: kept(text),
                // Where a key is repeated, or a hand is known, there is nothing to guess.
                may_be_guessed: reference.is_none() && *typed_by_hand != TypedByHand::Yes,
            };
            if is_ours(connection, channel, person, &echo, recounts).await? {
                return Ok(Taking::Repeated);
            }
            if *typed_by_hand == TypedByHand::Untold {
                return Ok(Taking::Repeated);
            }
            // Every message of ours has its reference in the database before it leaves; its id may still be
            // on the way to us, or was recorded between two looks.
            if echo.may_be_guessed {
                if is_early(connection, channel, person, id).await? {
                    return Ok(Taking::Early);
                }
                if is_ours(connection, channel, person, &echo, recounts).await? {
                    return Ok(Taking::Repeated);
                }
            }
            take_typed_by_hand(connection, channel, received, person, &echo).await
        }
        Delivery::Barred => {
            let at = received.at;
            let silenced = takeover::fall_silent(connection, channel, person, at).await?;
            Ok(if silenced { Taking::Fresh } else { Taking::Repeated })
        }
        Delivery::Moved => {
            let redirected = takeover::redirect(connection, channel, received, person).await?;
            Ok(if redirected { Taking::Fresh } else { Taking::Repeated })
        }
        Delivery::Status { id, reference, state, reason } => {
            let news = News { id, reference: reference.as_deref(), state: *state, reason };
            let raised = take_status(connection, channel, person, &news, recounts).await?;
            if !raised && is_early(connection, channel, person, id).await? {
                return Ok(Taking::Early);
            }
            // An id that was recorded between the two looks is known by now.
            let raised =
                raised || take_status(connection, channel, person, &news, recounts).await?;
            Ok(if raised { Taking::Fresh } else { Taking::Repeated })
        }
    }
}

async fn is_forgotten(
    connection: &mut PgConnection,
    channel: &ChannelName,
    person: &Known,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(bool_or(is_forgotten(address) OR is_forgotten($2 || '/' || address)), false)
            AS "forgotten!"
        FROM unnest($1::text[]) address"#,
        &person.addresses,
        channel.as_str()
    )
    .fetch_one(connection)
    .await?)
}

async fn take_message(
    connection: &mut PgConnection,
    channel: &ChannelName,
    Received { peer, at, what, also_known_as: _ }: &Received,
    person: &Known,
) -> Result<Taking, StoreError> {
    let Delivery::Message { id, text } = what else { return Ok(Taking::Repeated) };
    let stop = asks_to_stop(text);
    if stop.is_some() {
        // All of them are closed: in the order in which everybody locks dialogues.
        takeover::lock_all(connection, &person.addresses).await?;
    }
    let Some(dialogue) = find_or_open(connection, channel, person).await? else {
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
    if let Some(language) = stop {
        // To whom a system gave a name of its own, that name is somebody else's on another channel.
        let address = sqlx::query_scalar!(
            r#"SELECT address_on($1, $2) AS "address!""#,
            channel.as_str(),
            peer.as_str()
        )
        .fetch_one(&mut *connection)
        .await?;
        let is_theirs_alone = address != peer.as_str();
        opt_out(
            connection,
            &OptOut {
                address: &Address::from_stored(address),
                by: OptOutBy::Person(language),
                task: None,
                channel: Some(channel),
                dialogue: Some(DialogueId(dialogue)),
                reason: None,
            },
        )
        .await?;
        let reason = "asked not to be written to any more";
        let on = is_theirs_alone.then_some(channel);
        takeover::close_all(connection, &person.addresses, on, reason).await?;
        return Ok(Taking::Fresh);
    }
    sqlx::query!(
        "UPDATE dialogues SET turn = turn + 1, failures = 0, reminder_at = NULL, reminder_text = NULL,
            reply_to = nullif($4, peer),
            waiting_since = coalesce(waiting_since, clock_timestamp()),
            -- No AI is asked for words that may not be said.
            due_at = CASE WHEN state = 'open' AND NOT is_suppressed_on(channel, peer, task) THEN least(clock_timestamp() + $2, greatest(clock_timestamp(),
                coalesce(waiting_since, clock_timestamp()) + $3)) END
        WHERE id = $1",
        dialogue,
        interval(BURST_QUIET),
        interval(BURST_MAX),
        peer.as_str()
    )
    .execute(&mut *connection)
    .await?;
    Ok(Taking::Fresh)
}

/// A person's words as they can be kept: Postgres has no U+0000, and nothing is without an end.
pub(super) fn kept(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .take(TEXT_CHARACTERS_MAX)
        .collect()
}
