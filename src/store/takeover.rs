//! What operators do in a dialogue: take it over, speak, give it back, close it, grant it more.

use sqlx::PgConnection;

use super::{connect::Store, encoding::parsed, error::StoreError, inbox::kept};
use crate::domain::{
    dialogue::DialogueState,
    id::{DialogueId, MessageId},
    money::MicroUsd,
};

/// What an operator's act on a dialogue did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogueActed {
    Done {
        from: DialogueState,
        to: DialogueState,
        /// A message of ours whose call runs at this moment: it was permitted before the act.
        in_flight: Option<MessageId>,
    },
    Already(DialogueState),
    Refused {
        state: DialogueState,
        why: &'static str,
    },
    NoSuchDialogue,
}

/// An operator's act on a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogueAct {
    Take,
    GiveBack,
    Close,
    /// Grants this much beyond the task's limit; nothing named: the task's limit once more.
    Unblock(Option<MicroUsd>),
}

/// What became of an operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// They leave as soon as the channel's executor sees them.
    Accepted(MessageId),
    /// The person asked not to be written to.
    Suppressed,
    NoSuchDialogue,
}

impl Store {
    /// After this has returned, no message of the AI is permitted in a dialogue that was taken over.
    pub async fn act_on_dialogue(
        &self,
        dialogue: DialogueId,
        act: DialogueAct,
        by: &str,
        reason: Option<&str>,
    ) -> Result<DialogueActed, StoreError> {
        use DialogueState::{Blocked, Closed, Open, WithOperator};
        let mut transaction = self.pool.begin().await?;
        let Some(row) = sqlx::query!(
            r#"SELECT d.state, t.phase = 'completed' OR t.deleted_at IS NOT NULL AS "ended!",
                is_suppressed(d.peer, d.task) AS "suppressed!",
                spending_limit(t.fields) AS "limit!"
            FROM dialogues d JOIN tasks t ON t.id = d.task_id WHERE d.id = $1 FOR UPDATE OF d"#,
            dialogue.0
        )
        .fetch_optional(&mut *transaction)
        .await?
        else {
            return Ok(DialogueActed::NoSuchDialogue);
        };
        let from: DialogueState = parsed(&row.state)?;
        let to = match (act, from) {
            (DialogueAct::Take, WithOperator)
            | (DialogueAct::GiveBack, Open)
            | (DialogueAct::Close, Closed) => return Ok(DialogueActed::Already(from)),
            (DialogueAct::Take, _) => WithOperator,
            (DialogueAct::Close, _) => Closed,
            (DialogueAct::GiveBack, Blocked) => {
                let why = "its spending limit is reached; `dialogue unblock` grants it more";
                return Ok(DialogueActed::Refused { state: from, why });
            }
            (DialogueAct::Unblock(_), state) if state != Blocked => {
                let why = "it is not blocked";
                return Ok(DialogueActed::Refused { state, why });
            }
            (DialogueAct::GiveBack | DialogueAct::Unblock(_), _) if row.ended => {
                let why = "its task is completed, and the AI answers for it no more";
                return Ok(DialogueActed::Refused { state: from, why });
            }
            (DialogueAct::GiveBack | DialogueAct::Unblock(_), _) if row.suppressed => {
                let why = "the person is not to be written to";
                return Ok(DialogueActed::Refused { state: from, why });
            }
            (DialogueAct::GiveBack | DialogueAct::Unblock(_), _) => Open,
        };
        let granted = match act {
            DialogueAct::Unblock(amount) => amount.map_or(row.limit, MicroUsd::micros),
            _ => 0,
        };
        let reason = reason.map(kept);
        change_state(&mut transaction, dialogue.0, to, by, reason.as_deref(), granted).await?;
        let in_flight = sqlx::query_scalar!(
            "SELECT id FROM messages WHERE dialogue_id = $1 AND state = 'sending' ORDER BY id LIMIT 1",
            dialogue.0
        )
        .fetch_optional(&mut *transaction)
        .await?;
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(DialogueActed::Done { from, to, in_flight: in_flight.map(MessageId) })
    }

    /// An operator speaks, and owns the dialogue from then on.
    pub async fn say(
        &self,
        dialogue: DialogueId,
        text: &str,
        by: &str,
    ) -> Result<Said, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let Some(row) = sqlx::query!(
            r#"SELECT d.channel, d.state,
                is_suppressed(d.peer, d.task) AS "suppressed!"
            FROM dialogues d WHERE d.id = $1 FOR UPDATE"#,
            dialogue.0
        )
        .fetch_optional(&mut *transaction)
        .await?
        else {
            return Ok(Said::NoSuchDialogue);
        };
        if row.suppressed {
            return Ok(Said::Suppressed);
        }
        if parsed::<DialogueState>(&row.state)? != DialogueState::WithOperator {
            hand_to_operator(&mut transaction, dialogue.0, by, "an operator spoke").await?;
        }
        let message = sqlx::query_scalar!(
            "INSERT INTO messages (dialogue_id, channel, author, text, said_by, state, key, ready_at, turn)
            SELECT id, channel, 'operator', $2, $3, 'waiting', new_message_key(), clock_timestamp(), turn
            FROM dialogues WHERE id = $1 RETURNING id",
            dialogue.0,
            kept(text),
            by
        )
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query!("UPDATE dialogues SET waiting_since = NULL WHERE id = $1", dialogue.0)
            .execute(&mut *transaction)
            .await?;
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Said::Accepted(MessageId(message)))
    }
}

/// The AI is silent from now on, and an answer in the making is void.
pub(super) async fn hand_to_operator(
    connection: &mut PgConnection,
    dialogue: i64,
    by: &str,
    reason: &str,
) -> Result<(), StoreError> {
    change_state(connection, dialogue, DialogueState::WithOperator, by, Some(reason), 0).await
}

/// A message of ours did not arrive: where the AI speaks, an operator goes on.
pub(super) async fn hand_undelivered(
    connection: &mut PgConnection,
    dialogue: i64,
    reason: &str,
) -> Result<(), StoreError> {
    let open = sqlx::query_scalar!(
        "SELECT id FROM dialogues WHERE id = $1 AND state = 'open' FOR UPDATE",
        dialogue
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(dialogue) = open else { return Ok(()) };
    let reason = format!("a reply was not delivered: {reason}");
    hand_to_operator(connection, dialogue, "nuncio", &reason).await
}

/// Closes every dialogue with a person, on whatever channel: nothing is said in any of them any more. In one
/// that is closed already, a goodbye may still wait.
pub(super) async fn close_all(
    connection: &mut PgConnection,
    peer: &str,
    reason: &str,
) -> Result<(), StoreError> {
    let theirs = sqlx::query!(
        "SELECT id, state FROM dialogues WHERE peer = $1 ORDER BY id FOR UPDATE",
        peer
    )
    .fetch_all(&mut *connection)
    .await?;
    for dialogue in &theirs {
        if parsed::<DialogueState>(&dialogue.state)? != DialogueState::Closed {
            change_state(connection, dialogue.id, DialogueState::Closed, "person", Some(reason), 0)
                .await?;
        }
    }
    let ids: Vec<i64> = theirs.iter().map(|dialogue| dialogue.id).collect();
    sqlx::query!(
        "UPDATE messages SET state = 'discarded', reason = $2, ready_at = NULL
        WHERE dialogue_id = ANY ($1) AND state = 'waiting'",
        &ids,
        reason
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Moves a dialogue that is locked by this transaction.
async fn change_state(
    connection: &mut PgConnection,
    dialogue: i64,
    to: DialogueState,
    by: &str,
    reason: Option<&str>,
    granted: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH moved AS (
            UPDATE dialogues SET state = $2, state_by = $3, state_reason = $4, state_at = clock_timestamp(),
                turn = turn + 1, reminder_at = NULL, reminder_text = NULL, failures = 0,
                allowance = allowance + $5,
                due_at = CASE WHEN $2 = 'open' AND waiting_since IS NOT NULL THEN clock_timestamp() END
            WHERE id = $1
        ), discarded AS (
            UPDATE messages SET state = 'discarded', reason = 'the dialogue was ' || $2, ready_at = NULL
            WHERE dialogue_id = $1 AND state = 'waiting' AND ($2 = 'closed' OR author IN ('ai', 'reminder'))
        )
        INSERT INTO dialogue_events (dialogue_id, event, by, detail)
        VALUES ($1, $2, $3, jsonb_strip_nulls(jsonb_build_object('reason', $4::text,
            'granted_micros', nullif($5, 0))))",
        dialogue,
        to.as_str(),
        by,
        reason,
        granted
    )
    .execute(connection)
    .await?;
    Ok(())
}
