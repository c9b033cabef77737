//! What operators say in dialogues: all parts of it or nothing, and not twice by accident.

use std::time::Duration;

use super::{
    connect::Store,
    encoding::parsed,
    error::StoreError,
    inbox::kept,
    takeover::{hand_to_operator, lock_dialogue},
};
use crate::domain::{
    dialogue::DialogueState,
    id::{DialogueId, MessageId},
};

/// Whoever presses a key twice, or whose script tries again at once, does it within this; whoever says the same
/// to silence later means it.
const ACCIDENT_MAX: Duration = Duration::from_secs(60);

/// An operator's words.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// In the order in which they leave.
    pub parts: &'a [String],
    pub by: &'a str,
    pub repeat: Repeat<'a>,
}

/// What a repeat of what was said is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat<'a> {
    /// An accident, if nothing else was said in between and it comes within a minute.
    Accident,
    Meant,
    /// The same errand: what has this key is said once for ever.
    Errand(&'a str),
}

impl<'a> Repeat<'a> {
    fn key(self) -> Option<&'a str> {
        match self {
            Self::Errand(key) => Some(key),
            Self::Accident | Self::Meant => None,
        }
    }
}

/// What became of an operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// They leave as soon as the channel's executor sees them.
    Accepted(Vec<MessageId>),
    /// Under this key, earlier.
    Already(Vec<MessageId>),
    /// Under this key, and in other words.
    OtherWords(Vec<MessageId>),
    /// Without a key: the last that was said is the same, and from a moment ago.
    Repeated {
        last: MessageId,
        ago: Duration,
    },
    /// The person asked not to be written to.
    Suppressed,
    NoSuchDialogue,
}

impl Store {
    /// An operator speaks, and owns the dialogue from then on.
    pub async fn say(&self, dialogue: DialogueId, words: &Words<'_>) -> Result<Said, StoreError> {
        let Words { parts, by, repeat } = *words;
        let parts: Vec<String> = parts.iter().map(|part| kept(part)).collect();
        let mut transaction = self.pool.begin().await?;
        lock_dialogue(&mut transaction, dialogue).await?;
        let Some(row) = sqlx::query!(
            r#"SELECT d.state, is_suppressed_on(d.channel, d.peer, d.task) AS "suppressed!"
            FROM dialogues d WHERE d.id = $1"#,
            dialogue.0
        )
        .fetch_optional(&mut *transaction)
        .await?
        else {
            return Ok(Said::NoSuchDialogue);
        };
        // Whoever says the same at this moment waits for the dialogue.
        let before = sqlx::query!(
            r#"WITH under_key AS (
                SELECT id, text FROM messages
                WHERE $3::text IS NOT NULL AND dialogue_id = $1 AND said_as = $3
            ), last AS (
                SELECT * FROM messages WHERE dialogue_id = $1 ORDER BY id DESC LIMIT cardinality($2::text[])
            )
            SELECT (SELECT array_agg(id ORDER BY id) FROM under_key) AS under_key,
                coalesce((SELECT array_agg(text ORDER BY id) = $2 FROM under_key), false) AS "is_same_errand!",
                coalesce((SELECT array_agg(text ORDER BY id) = $2 AND bool_and(author = 'operator')
                        AND bool_and(state NOT IN ('failed', 'discarded')) FROM last), false)
                    AS "is_repeated!",
                (SELECT max(id) FROM last) AS last,
                (SELECT extract(epoch FROM clock_timestamp() - max(at))::float8 FROM last) AS silence_s"#,
            dialogue.0,
            &parts,
            repeat.key()
        )
        .fetch_one(&mut *transaction)
        .await?;
        if let Some(said) = before.under_key {
            let said = said.into_iter().map(MessageId).collect();
            return Ok(if before.is_same_errand {
                Said::Already(said)
            } else {
                Said::OtherWords(said)
            });
        }
        if row.suppressed {
            return Ok(Said::Suppressed);
        }
        let ago = Duration::from_secs_f64(before.silence_s.unwrap_or_default().max(0.0));
        if let (Repeat::Accident, true, Some(last)) = (repeat, before.is_repeated, before.last)
            && ago < ACCIDENT_MAX
        {
            return Ok(Said::Repeated { last: MessageId(last), ago });
        }
        if parsed::<DialogueState>(&row.state)? != DialogueState::WithOperator {
            hand_to_operator(&mut transaction, dialogue.0, by, "an operator spoke").await?;
        }
        let said = sqlx::query_scalar!(
            "INSERT INTO messages (dialogue_id, channel, author, text, said_by, said_as, state, key, ready_at, turn)
            SELECT d.id, d.channel, 'operator', part.text, $3, $4, 'waiting', new_message_key(),
                clock_timestamp(), d.turn
            FROM dialogues d, unnest($2::text[]) WITH ORDINALITY AS part (text, n)
            WHERE d.id = $1 ORDER BY part.n RETURNING id",
            dialogue.0,
            &parts,
            by,
            repeat.key()
        )
        .fetch_all(&mut *transaction)
        .await?;
        sqlx::query!("UPDATE dialogues SET waiting_since = NULL WHERE id = $1", dialogue.0)
            .execute(&mut *transaction)
            .await?;
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Said::Accepted(said.into_iter().map(MessageId).collect()))
    }
}
