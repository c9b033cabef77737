//! Hosted channels: what their people are shown, in the order in which it came to be shown.

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::{fields_from_json, parsed},
    error::StoreError,
};
use crate::domain::{
    address::Address,
    channel::ChannelSpec,
    dialogue::{Author, DialogueState},
    id::{ChannelName, DialogueId, MessagePosition},
};

/// What one look gives of one dialogue; whoever wants more asks again.
pub(super) const SHOWN_AT_ONCE: usize = 100;

/// A channel as its people meet it.
#[derive(Clone, Debug)]
pub struct HostedChannel {
    pub spec: ChannelSpec,
    /// A task in progress uses it, so that whoever writes is answered.
    pub attended: bool,
}

/// A message that its person can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub position: MessagePosition,
    pub dialogue: DialogueId,
    pub peer: Address,
    pub author: Author,
    pub text: String,
    pub at: DateTime<Utc>,
    /// The sender's own name for it; a person's only.
    pub sent_as: Option<String>,
}

/// Which part of a person's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excerpt {
    Latest,
    After(MessagePosition),
    Before(MessagePosition),
}

/// Whom somebody looks at, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub channel: ChannelName,
    pub peer: Address,
    pub after: MessagePosition,
}

/// What is new for one who looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    pub messages: Vec<Shown>,
    /// An answer is being made.
    pub typing: bool,
    /// There is more: ask again.
    pub more: bool,
}

/// A message that was received, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub position: MessagePosition,
    pub peer: Address,
    pub text: String,
    pub at: DateTime<Utc>,
}

/// All of a person's dialogues on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedDialogue {
    /// Of the latest.
    pub state: DialogueState,
    pub messages: Vec<Shown>,
}

impl Store {
    /// A channel by its name. For a person with a dialogue that is not over, it is attended also while its
    /// task does nothing: what they write waits.
    pub async fn read_hosted_channel(
        &self,
        channel: &ChannelName,
        peer: Option<&Address>,
    ) -> Result<Option<HostedChannel>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT r.fields, EXISTS (SELECT FROM task_channels tc JOIN tasks t ON t.id = tc.task_id
                    WHERE tc.channel = r.name AND t.phase = 'in-progress' AND t.deleted_at IS NULL)
                OR EXISTS (SELECT FROM dialogues d JOIN tasks t ON t.id = d.task_id
                    WHERE d.channel = r.name AND d.peer = $2
                    AND t.phase <> 'completed' AND t.deleted_at IS NULL) AS "attended!"
            FROM resources r WHERE r.kind = 'Channel' AND r.name = $1"#,
            channel.as_str(),
            peer.map(Address::as_str)
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let spec = ChannelSpec::from_fields(&fields_from_json(&row.fields)?)
            .ok_or_else(|| StoreError::Unreadable(format!("channel `{channel}`")))?;
        Ok(Some(HostedChannel { spec, attended: row.attended }))
    }

    /// The channels that tasks in progress use.
    pub async fn list_attended_channels(
        &self,
    ) -> Result<Vec<(ChannelName, ChannelSpec)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT r.name, r.fields FROM resources r WHERE r.kind = 'Channel' AND EXISTS (
                SELECT FROM task_channels tc JOIN tasks t ON t.id = tc.task_id
                WHERE tc.channel = r.name AND t.phase = 'in-progress' AND t.deleted_at IS NULL)
            ORDER BY r.name"
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let spec = ChannelSpec::from_fields(&fields_from_json(&row.fields)?)
                    .ok_or_else(|| StoreError::Unreadable(format!("channel `{}`", row.name)))?;
                Ok((parsed(&row.name)?, spec))
            })
            .collect()
    }

    /// What one person can see, oldest first.
    pub async fn read_shown(
        &self,
        channel: &ChannelName,
        peer: &Address,
        excerpt: Excerpt,
    ) -> Result<Vec<Shown>, StoreError> {
        let (after, before, is_latest) = match excerpt {
            Excerpt::Latest => (0, i64::MAX, true),
            Excerpt::After(position) => (position.0, i64::MAX, false),
            Excerpt::Before(position) => (0, position.0, true),
        };
        let rows = sqlx::query!(
            r#"SELECT m.position AS "position!", m.dialogue_id, m.author, m.text, m.provider_message_id,
                CASE WHEN m.author = 'person' THEN m.at ELSE coalesce(m.sending_at, m.at) END AS "at!"
            FROM dialogues d CROSS JOIN LATERAL (
                SELECT * FROM messages o
                WHERE o.dialogue_id = d.id AND o.position > $3 AND o.position < $4
                ORDER BY CASE WHEN $5 THEN -o.position ELSE o.position END LIMIT $6
            ) m
            WHERE d.channel = $1 AND d.peer = $2
            ORDER BY CASE WHEN $5 THEN -m.position ELSE m.position END LIMIT $6"#,
            channel.as_str(),
            peer.as_str(),
            after,
            before,
            is_latest,
            i64::try_from(SHOWN_AT_ONCE).unwrap_or(i64::MAX)
        )
        .fetch_all(&self.pool)
        .await?;
        let mut shown = rows
            .into_iter()
            .map(|row| {
                let author = parsed(&row.author)?;
                Ok(Shown {
                    position: MessagePosition(row.position),
                    dialogue: DialogueId(row.dialogue_id),
                    peer: peer.clone(),
                    author,
                    text: row.text,
                    at: row.at,
                    sent_as: row.provider_message_id.filter(|_| author == Author::Person),
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        if is_latest {
            shown.reverse();
        }
        Ok(shown)
    }

    /// What is new for each of many who look: one statement for all of them.
    pub async fn read_news(&self, watched: &[Watched]) -> Result<Vec<News>, StoreError> {
        let channels: Vec<String> = watched.iter().map(|one| one.channel.to_string()).collect();
        let peers: Vec<String> = watched.iter().map(|one| one.peer.to_string()).collect();
        let after: Vec<i64> = watched.iter().map(|one| one.after.0).collect();
        let rows = sqlx::query!(
            r#"SELECT w.n AS "n!", l.channel IS NOT NULL AS "typing!", d.id, m.position AS "position?",
                m.author AS "author?", m.text AS "text?", m.provider_message_id AS "sent_as?",
                CASE WHEN m.author = 'person' THEN m.at ELSE coalesce(m.sending_at, m.at) END AS at
            FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS w (channel, peer, after, n)
            JOIN dialogues d ON d.channel = w.channel AND d.peer = w.peer
            -- Held under an older fence: whoever made that answer is gone.
            LEFT JOIN lanes l ON l.channel = d.channel AND l.fence = d.held_fence AND d.state = 'open'
            LEFT JOIN LATERAL (
                SELECT * FROM messages o WHERE o.dialogue_id = d.id AND o.position > w.after
                ORDER BY o.position LIMIT $4
            ) m ON true
            ORDER BY w.n, m.position"#,
            &channels,
            &peers,
            &after,
            i64::try_from(SHOWN_AT_ONCE).unwrap_or(i64::MAX)
        )
        .fetch_all(&self.pool)
        .await?;
        let mut all = vec![News::default(); watched.len()];
        for row in rows {
            let Some(index) = usize::try_from(row.n - 1).ok().filter(|n| *n < all.len()) else {
                continue;
            };
            let news = &mut all[index];
            news.typing |= row.typing;
            let (Some(position), Some(author), Some(text), Some(at)) =
                (row.position, row.author, row.text, row.at)
            else {
                continue;
            };
            // Each dialogue gave its first ones, so the first ones of all are among them.
            if news.messages.len() == SHOWN_AT_ONCE {
                news.more = true;
                continue;
            }
            let author = parsed(&author)?;
            news.messages.push(Shown {
                position: MessagePosition(position),
                dialogue: DialogueId(row.id),
                peer: watched[index].peer.clone(),
                author,
                text,
                at,
                sent_as: row.sent_as.filter(|_| author == Author::Person),
            });
            news.more |= news.messages.len() == SHOWN_AT_ONCE;
        }
        Ok(all)
    }

    /// Our messages on a channel, to all of its people, oldest first.
    pub async fn read_outgoing(
        &self,
        channel: &ChannelName,
        after: MessagePosition,
    ) -> Result<Vec<Shown>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT m.position AS "position!", m.dialogue_id, d.peer, m.author, m.text,
                coalesce(m.sending_at, m.at) AS "at!"
            FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            WHERE m.channel = $1 AND m.position > $2 AND m.author <> 'person'
            ORDER BY m.position LIMIT $3"#,
            channel.as_str(),
            after.0,
            i64::try_from(SHOWN_AT_ONCE).unwrap_or(i64::MAX)
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Shown {
                    position: MessagePosition(row.position),
                    dialogue: DialogueId(row.dialogue_id),
                    peer: Address::from_stored(row.peer),
                    author: parsed(&row.author)?,
                    text: row.text,
                    at: row.at,
                    sent_as: None,
                })
            })
            .collect()
    }

    /// A person's message by the name that its sender gave it.
    pub async fn find_received(
        &self,
        channel: &ChannelName,
        sent_as: &str,
    ) -> Result<Option<Stored>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT m.position AS "position!", m.at, m.text, d.peer
            FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            WHERE m.channel = $1 AND m.provider_message_id = $2 AND m.author = 'person'
                AND m.position IS NOT NULL"#,
            channel.as_str(),
            sent_as
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Stored {
            position: MessagePosition(row.position),
            peer: Address::from_stored(row.peer),
            text: row.text,
            at: row.at,
        }))
    }

    /// A person's thread; nothing, where they never wrote.
    pub async fn read_hosted_dialogue(
        &self,
        channel: &ChannelName,
        peer: &Address,
        excerpt: Excerpt,
    ) -> Result<Option<HostedDialogue>, StoreError> {
        let state = sqlx::query_scalar!(
            "SELECT state FROM dialogues WHERE channel = $1 AND peer = $2 ORDER BY id DESC LIMIT 1",
            channel.as_str(),
            peer.as_str()
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(state) = state else { return Ok(None) };
        let messages = self.read_shown(channel, peer, excerpt).await?;
        Ok(Some(HostedDialogue { state: parsed(&state)?, messages }))
    }
}
