//! What operators do in a dialogue: take it over, give it back, close it, grant it more.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{aliases::Known, connect::Store, encoding::parsed, error::StoreError, inbox::kept};
use crate::domain::{
    dialogue::{DialogueState, Received},
    id::{ChannelName, DialogueId, MessageId},
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
        /// The AI answers at once: the person's first message that nobody has answered.
        answers_since: Option<DateTime<Utc>>,
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
    /// With what is owed to the person, as it is said.
    GiveBack(Owed),
    Close,
    /// Grants this much beyond the task's limit; nothing named: the task's limit once more.
    Unblock(Option<MicroUsd>),
}

/// What becomes of messages that nobody has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// The AI answers them.
    Answered,
    /// They were answered in some other way, or need none.
    LetGo,
}

const NOT_TO_BE_WRITTEN_TO: &str = "the person is not to be written to";

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
        lock_dialogue(&mut transaction, dialogue).await?;
        let Some(row) = sqlx::query!(
            r#"SELECT d.state, d.state_by, d.waiting_since, t.phase = 'completed' AS "completed!",
                t.deleted_at IS NOT NULL AS "deleted!",
                is_suppressed_on(d.channel, d.peer, d.task) AS "suppressed!",
                spending_limit(t.fields) AS "limit!"
            FROM dialogues d JOIN tasks t ON t.id = d.task_id WHERE d.id = $1"#,
            dialogue.0
        )
        .fetch_optional(&mut *transaction)
        .await?
        else {
            return Ok(DialogueActed::NoSuchDialogue);
        };
        let from: DialogueState = parsed(&row.state)?;
        let to = match (act, from) {
            (DialogueAct::Take, WithOperator) if row.state_by == by && reason.is_none() => {
                return Ok(DialogueActed::Already(from));
            }
            (DialogueAct::GiveBack(_), Open) | (DialogueAct::Close, Closed) => {
                return Ok(DialogueActed::Already(from));
            }
            // Whoever owns it then could say nothing all the same.
            (DialogueAct::Take, _) if row.suppressed => {
                return Ok(DialogueActed::Refused { state: from, why: NOT_TO_BE_WRITTEN_TO });
            }
            (DialogueAct::Take, _) => WithOperator,
            (DialogueAct::Close, _) => Closed,
            (DialogueAct::GiveBack(_), Blocked) => {
                let why = "its spending limit is reached; `dialogue unblock` grants it more";
                return Ok(DialogueActed::Refused { state: from, why });
            }
            (DialogueAct::Unblock(_), state) if state != Blocked => {
                let why = "it is not blocked";
                return Ok(DialogueActed::Refused { state, why });
            }
            (DialogueAct::GiveBack(_) | DialogueAct::Unblock(_), _) if row.deleted => {
                let why = "its task is deleted, and the AI answers for it no more";
                return Ok(DialogueActed::Refused { state: from, why });
            }
            (DialogueAct::GiveBack(_) | DialogueAct::Unblock(_), _) if row.completed => {
                let why = "its task is completed, and the AI answers for it no more";
                return Ok(DialogueActed::Refused { state: from, why });
            }
            (DialogueAct::GiveBack(_) | DialogueAct::Unblock(_), _) if row.suppressed => {
                return Ok(DialogueActed::Refused { state: from, why: NOT_TO_BE_WRITTEN_TO });
            }
            (DialogueAct::GiveBack(_) | DialogueAct::Unblock(_), _) => Open,
        };
        let granted = match act {
            DialogueAct::Unblock(amount) => amount.map_or(row.limit, MicroUsd::micros),
            _ => 0,
        };
        let is_let_go = act == DialogueAct::GiveBack(Owed::LetGo);
        if is_let_go {
            sqlx::query!("UPDATE dialogues SET waiting_since = NULL WHERE id = $1", dialogue.0)
                .execute(&mut *transaction)
                .await?;
        }
        let answers_since = row.waiting_since.filter(|_| to == Open && !is_let_go);
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
        let in_flight = in_flight.map(MessageId);
        Ok(DialogueActed::Done { from, to, in_flight, answers_since })
    }
}

/// In a statement of its own: what is read of the person and the task after it is not older than the lock.
pub(super) async fn lock_dialogue(
    connection: &mut PgConnection,
    dialogue: DialogueId,
) -> Result<(), StoreError> {
    sqlx::query!("SELECT id FROM dialogues WHERE id = $1 FOR UPDATE", dialogue.0)
        .fetch_optional(connection)
        .await?;
    Ok(())
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
    if let Some(dialogue) = open {
        let reason = format!("a reply was not delivered: {reason}");
        hand_to_operator(&mut *connection, dialogue, "nuncio", &reason).await?;
    }
    owe_answers(connection, &[dialogue]).await
}

/// Locks every dialogue with a person.
pub(super) async fn lock_all(
    connection: &mut PgConnection,
    peers: &[String],
) -> Result<(), StoreError> {
    sqlx::query!("SELECT id FROM dialogues WHERE peer = ANY ($1) ORDER BY id FOR UPDATE", peers)
        .fetch_all(connection)
        .await?;
    Ok(())
}

/// Closes every dialogue with a person, on whatever channel: nothing is said in any of them any more. In one
/// that is closed already, a goodbye may still wait.
pub(super) async fn close_all(
    connection: &mut PgConnection,
    peers: &[String],
    on: Option<&ChannelName>,
    reason: &str,
) -> Result<(), StoreError> {
    let theirs = sqlx::query!(
        "SELECT id, state FROM dialogues
        WHERE peer = ANY ($1) AND ($2::text IS NULL OR channel = $2) ORDER BY id FOR UPDATE",
        peers,
        on.map(ChannelName::as_str)
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
        "UPDATE messages SET ready_at = NULL,
            -- What may have arrived was not thrown away: it is only not repeated.
            state = CASE WHEN doubtful THEN 'in-doubt' ELSE 'discarded' END, reason = $2
        WHERE dialogue_id = ANY ($1) AND state = 'waiting'",
        &ids,
        reason
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

impl Store {
    /// Closes dialogues that began while their task was being deleted. What an operator has taken since stays theirs.
    pub async fn close_orphaned_dialogues(&self) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let orphaned = sqlx::query_scalar!(
            "SELECT d.id FROM tasks t JOIN dialogues d ON d.task_id = t.id
            WHERE t.deleted_at > now() - interval '1 day' AND d.state IN ('open', 'blocked')
                -- Whoever began one had seen the task, and may have taken a while.
                AND d.created_at > t.deleted_at - interval '5 minutes'
                AND NOT EXISTS (SELECT FROM dialogue_events e WHERE e.dialogue_id = d.id
                    AND e.event = 'closed' AND e.detail->>'reason' = $1)
            ORDER BY d.id FOR UPDATE OF d",
            TASK_DELETED
        )
        .fetch_all(&mut *transaction)
        .await?;
        close_for_task(&mut transaction, &orphaned, "nuncio").await?;
        transaction.commit().await?;
        Ok(orphaned.len() as u64)
    }
}

const TASK_DELETED: &str = "its task was deleted";

/// Closes the dialogues of tasks that end, and counts them. Those that succeeded stay so. All tasks at once, as
/// everybody locks dialogues in the order of their ids.
pub(super) async fn close_with_tasks(
    connection: &mut PgConnection,
    tasks: &[Uuid],
    by: &str,
) -> Result<u64, StoreError> {
    let ending = sqlx::query_scalar!(
        "SELECT id FROM dialogues
        WHERE task_id = ANY ($1) AND state IN ('open', 'with-operator', 'blocked') ORDER BY id FOR UPDATE",
        tasks
    )
    .fetch_all(&mut *connection)
    .await?;
    close_for_task(connection, &ending, by).await?;
    Ok(ending.len() as u64)
}

/// Closes dialogues that are locked by this transaction. What an operator has said leaves.
async fn close_for_task(
    connection: &mut PgConnection,
    dialogues: &[i64],
    by: &str,
) -> Result<(), StoreError> {
    if dialogues.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "WITH closed AS (
            UPDATE dialogues SET state = 'closed', state_by = $2, state_reason = $3,
                state_at = clock_timestamp(), turn = turn + 1, failures = 0, due_at = NULL,
                reminder_at = NULL, reminder_text = NULL
            WHERE id = ANY ($1)
        ), discarded AS (
            UPDATE messages SET state = CASE WHEN doubtful THEN 'in-doubt' ELSE 'discarded' END,
                reason = $3, ready_at = NULL
            WHERE dialogue_id = ANY ($1) AND state = 'waiting' AND author <> 'operator'
        )
        INSERT INTO dialogue_events (dialogue_id, event, by, detail)
        SELECT id, 'closed', $2, jsonb_build_object('reason', $3::text) FROM unnest($1::bigint[]) id",
        dialogues,
        by,
        TASK_DELETED
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whoever was to be answered, and was not in the end, waits: since the first message after our last one that
/// may have arrived.
pub(super) async fn owe_answers(
    connection: &mut PgConnection,
    dialogues: &[i64],
) -> Result<(), StoreError> {
    // First: what an operator said while this waited for the dialogue is seen then.
    sqlx::query!("SELECT id FROM dialogues WHERE id = ANY ($1) ORDER BY id FOR UPDATE", dialogues)
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query!(
        "UPDATE dialogues d SET waiting_since = (
            SELECT min(p.at) FROM messages p WHERE p.dialogue_id = d.id AND p.author = 'person'
                AND p.id > coalesce((SELECT max(o.id) FROM messages o WHERE o.dialogue_id = d.id
                    AND o.state IN ('sending', 'in-doubt', 'sent', 'delivered', 'read')), 0))
        WHERE d.id = ANY ($1) AND d.waiting_since IS NULL AND d.state <> 'closed'",
        dialogues
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The person has barred the account: of our own accord nothing more is said in their dialogues on the channel,
/// and an answer in the making is void. Whoever has written since is spoken to again. Says whether it was news.
pub(super) async fn fall_silent(
    connection: &mut PgConnection,
    channel: &ChannelName,
    person: &Known,
    at: Option<DateTime<Utc>>,
) -> Result<bool, StoreError> {
    let silenced = sqlx::query_scalar!(
        r#"WITH theirs AS (
            SELECT d.id FROM dialogues d
            CROSS JOIN LATERAL (
                SELECT max(p.at) AS at, max(coalesce(p.provider_at, p.at)) AS provider_at
                FROM messages p WHERE p.dialogue_id = d.id AND p.author = 'person'
            ) last
            WHERE d.channel = $1 AND d.peer = ANY ($2)
                AND coalesce(last.provider_at < $3, true)
                -- Told before.
                AND NOT EXISTS (SELECT FROM dialogue_events e WHERE e.dialogue_id = d.id
                    AND e.event = 'barred' AND coalesce(e.at > last.at, true))
            ORDER BY d.id FOR UPDATE OF d
        ), silenced AS (
            UPDATE dialogues d SET turn = turn + 1, failures = 0, due_at = NULL, waiting_since = NULL,
                reminder_at = NULL, reminder_text = NULL
            FROM theirs WHERE d.id = theirs.id
        ), discarded AS (
            UPDATE messages m SET state = 'discarded', reason = 'the person has barred the account',
                ready_at = NULL
            FROM theirs WHERE m.dialogue_id = theirs.id AND m.state = 'waiting'
                AND m.author IN ('ai', 'reminder', 'handover')
        ), told AS (
            INSERT INTO dialogue_events (dialogue_id, event, by)
            SELECT id, 'barred', 'person' FROM theirs
        )
        SELECT count(*) > 0 AS "silenced!" FROM theirs"#,
        channel.as_str(),
        &person.addresses,
        at
    )
    .fetch_one(connection)
    .await?;
    Ok(silenced)
}

/// Has what is said next in a person's dialogues go where they are reached now. Who wrote since then has said
/// better where that is.
pub(super) async fn redirect(
    connection: &mut PgConnection,
    channel: &ChannelName,
    Received { peer, at, what: _, also_known_as: _ }: &Received,
    person: &Known,
) -> Result<bool, StoreError> {
    let redirected = sqlx::query!(
        "UPDATE dialogues d SET reply_to = nullif($3, peer)
        WHERE channel = $1 AND peer = ANY ($2) AND coalesce(reply_to, peer) <> $3
            AND NOT EXISTS (SELECT FROM messages m
                WHERE m.dialogue_id = d.id AND m.author = 'person'
                    AND coalesce(m.provider_at, m.at) > $4)",
        channel.as_str(),
        &person.addresses,
        peer.as_str(),
        *at
    )
    .execute(connection)
    .await?;
    Ok(redirected.rows_affected() > 0)
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
    let n_discarded = sqlx::query_scalar!(
        r#"WITH moved AS (
            UPDATE dialogues SET state = $2, state_by = $3, state_reason = $4, state_at = clock_timestamp(),
                turn = turn + 1, reminder_at = NULL, reminder_text = NULL, failures = 0,
                allowance = allowance + $5,
                due_at = CASE WHEN $2 = 'open' AND waiting_since IS NOT NULL THEN clock_timestamp() END
            WHERE id = $1
        ), discarded AS (
            -- What may have arrived was not thrown away: it is only not repeated.
            UPDATE messages SET state = CASE WHEN doubtful THEN 'in-doubt' ELSE 'discarded' END,
                reason = 'the dialogue was ' || $2, ready_at = NULL
            WHERE dialogue_id = $1 AND state = 'waiting' AND ($2 = 'closed' OR author IN ('ai', 'reminder'))
            RETURNING id
        )
        INSERT INTO dialogue_events (dialogue_id, event, by, detail)
        VALUES ($1, $2, $3, jsonb_strip_nulls(jsonb_build_object('reason', $4::text,
            'granted_micros', nullif($5, 0))))
        RETURNING (SELECT count(*) FROM discarded) AS "n_discarded!""#,
        dialogue,
        to.as_str(),
        by,
        reason,
        granted
    )
    .fetch_one(&mut *connection)
    .await?;
    if n_discarded > 0 {
        owe_answers(connection, &[dialogue]).await?;
    }
    Ok(())
}
