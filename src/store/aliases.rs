//! Aliases: the addresses that are one person's, as channels tell them.
//!
//! What is told is learnt before anything else of its transaction: whoever learns something new holds a lock
//! until the end, and must not wait for dialogues or lanes of others before.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::{connect::Store, error::StoreError};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, Received},
    id::{AttemptId, ChannelName, MessageId},
    kind::MessengerType,
};

/// The class of the advisory lock of whoever joins addresses to a person.
const LEARNING: i32 = 28_280;

/// A person, as far as this database knows them.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// As the channel names the person now.
    pub(super) named: String,
    /// Every address, in their order.
    pub(super) addresses: Vec<String>,
}

/// What was told of a person who is known by an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) known_as: &'a Address,
    pub(super) who: Who<'a>,
    /// By the person's own words. News of somebody who was erased would name them again.
    pub(super) by_person: bool,
}

/// Who it was told of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who<'a> {
    Address(&'a Address),
    /// To whom an attempt wrote.
    Attempt(AttemptId),
    /// With whom the dialogue of a message of ours is.
    Message(MessageId),
    /// To whom an attempt of the channel wrote that was sent with this reference, and with this id of the provider's.
    Reference {
        channel: &'a ChannelName,
        reference: i64,
        id: &'a str,
    },
}

impl Known {
    /// The address under which a dialogue with the person begins: one that an audience may hold, if there is one.
    pub(super) fn address(&self) -> &str {
        let opens = |address: &&str| {
            let types =
                [MessengerType::Telegram, MessengerType::Whatsapp, MessengerType::Vkontakte];
            types.iter().any(|messenger| Address::parse(address, *messenger).is_ok())
        };
        let named = self.named.as_str();
        let all = std::iter::once(named).chain(self.addresses.iter().map(String::as_str));
        all.into_iter().find(opens).unwrap_or(named)
    }
}

/// Learns what a delivery tells of its people, and says what is known of each.
pub(super) async fn meet(
    connection: &mut PgConnection,
    channel: &ChannelName,
    received: &[Received],
) -> Result<BTreeMap<Address, Known>, StoreError> {
    let mut told = Vec::new();
    for Received { peer, also_known_as, what, .. } in received {
        let by_person = matches!(what, Delivery::Message { .. });
        let of = |known_as| Told { known_as, who: Who::Address(peer), by_person };
        told.extend(also_known_as.iter().map(of));
        if let Delivery::Status { id, reference: Some(reference), .. } = what
            && let Ok(reference) = reference.parse()
        {
            let who = Who::Reference { channel, reference, id };
            told.push(Told { known_as: peer, who, by_person });
        }
    }
    learn(connection, &told).await?;
    let named: BTreeSet<&str> = received.iter().map(|one| one.peer.as_str()).collect();
    let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
    let rows = sqlx::query!(
        r#"SELECT named AS "named!", array_agg(known ORDER BY known) AS "addresses!"
        FROM unnest($1::text[]) named CROSS JOIN LATERAL known_addresses(named) known GROUP BY named"#,
        &named
    )
    .fetch_all(connection)
    .await?;
    let known = rows.into_iter().map(|row| {
        let person = Known { named: row.named, addresses: row.addresses };
        (Address::from_stored(person.named.clone()), person)
    });
    Ok(known.collect())
}

/// Joins what was told to whoever it was told of.
pub(super) async fn learn(
    connection: &mut PgConnection,
    told: &[Told<'_>],
) -> Result<(), StoreError> {
    if told.is_empty() {
        return Ok(());
    }
    let news = find_news(connection, told).await?;
    if news.is_empty() {
        return Ok(());
    }
    take_lock_to_learn(connection).await?;
    for (one, other) in news {
        sqlx::query!(
            "WITH known AS (
                SELECT DISTINCT person FROM aliases WHERE address IN ($1, $2)
            ), joined AS (
                SELECT coalesce((SELECT min(person) FROM known), nextval('people')) AS person
            ), moved AS (
                UPDATE aliases a SET person = joined.person FROM joined
                WHERE a.person IN (SELECT person FROM known) AND a.person <> joined.person
            )
            INSERT INTO aliases (address, person)
            SELECT address, person FROM joined, unnest(ARRAY[$1, $2]) address
            ON CONFLICT (address) DO NOTHING",
            one,
            other
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Two who join overlapping addresses would make two people of one.
pub(super) async fn take_lock_to_learn(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, 0)").bind(LEARNING).execute(connection).await?;
    Ok(())
}

/// What of it is not known yet. Of who was erased nothing is, unless they wrote again.
async fn find_news(
    connection: &mut PgConnection,
    told: &[Told<'_>],
) -> Result<Vec<(String, String)>, StoreError> {
    let known_as: Vec<String> = told.iter().map(|one| one.known_as.to_string()).collect();
    let by_person: Vec<bool> = told.iter().map(|one| one.by_person).collect();
    let (mut addresses, mut attempts, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    let (mut channels, mut ids) = (Vec::new(), Vec::new());
    for Told { who, .. } in told {
        let (address, attempt, message, reference) = match who {
            Who::Address(address) => (Some(address.to_string()), None, None, None),
            Who::Attempt(attempt) => (None, Some(attempt.0), None, None),
            Who::Message(message) => (None, None, Some(message.0), None),
            Who::Reference { channel, reference, id } => {
                (None, Some(*reference), None, Some((channel.to_string(), (*id).to_owned())))
            }
        };
        let (channel, id) = reference.unzip();
        addresses.push(address);
        attempts.push(attempt);
        messages.push(message);
        channels.push(channel);
        ids.push(id);
    }
    let rows = sqlx::query!(
        r#"SELECT DISTINCT told.known_as AS "known_as!", told.address AS "address!"
        FROM (
            SELECT t.known_as, coalesce(t.address, a.address, d.peer) AS address, t.by_person
            FROM unnest($1::text[], $2::bool[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
                AS t (known_as, by_person, address, attempt, message, channel, provider_message_id)
            -- Somebody else may send from the same account, with references of their own.
            LEFT JOIN attempts a ON a.id = t.attempt AND (t.channel IS NULL OR t.channel = a.channel
                AND t.provider_message_id = coalesce(a.provider_message_id, t.provider_message_id)
                AND coalesce(a.outcome, 'in-doubt') IN ('sent', 'in-doubt'))
            LEFT JOIN messages m ON m.id = t.message
            LEFT JOIN dialogues d ON d.id = m.dialogue_id
        ) told
        LEFT JOIN aliases one ON one.address = told.known_as
        LEFT JOIN aliases other ON other.address = told.address
        WHERE told.address NOT IN ('', told.known_as)
            AND (one.person IS NULL OR one.person IS DISTINCT FROM other.person)
            AND (told.by_person OR NOT (is_forgotten(told.known_as) OR is_forgotten(told.address)))"#,
        &known_as,
        &by_person,
        &addresses as &[Option<String>],
        &attempts as &[Option<i64>],
        &messages as &[Option<i64>],
        &channels as &[Option<String>],
        &ids as &[Option<String>]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.known_as, row.address)).collect())
}

impl Store {
    /// All addresses by which somebody is known who is known by one of these.
    pub async fn known_addresses(&self, addresses: &[Address]) -> Result<Vec<Address>, StoreError> {
        let addresses: Vec<String> = addresses.iter().map(Address::to_string).collect();
        let known = sqlx::query_scalar!(
            r#"SELECT DISTINCT known AS "known!" FROM unnest($1::text[]) asked
            CROSS JOIN LATERAL known_addresses(asked) known ORDER BY known"#,
            &addresses
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(known.into_iter().map(Address::from_stored).collect())
    }
}
