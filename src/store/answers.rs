//! Answers of the AI: what is known of a dialogue, and the commit of what is to be said.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{
    connect::Store,
    encoding::{fields_from_json, parsed, variables_from_json},
    error::StoreError,
    inbox::kept,
    lanes::interval,
    reports::insert_report,
    thread::{Written, in_order},
    turns::HeldTurn,
};
use crate::domain::{
    address::Address,
    dialogue::{Author, DialogueState},
    fields::Fields,
    id::{DialogueId, TaskName},
    money::MicroUsd,
    report::NewReport,
};

/// Messages that are read for one answer; older ones are in the summary, or too old to matter.
const HISTORY_MAX: i64 = 200;
/// Of their texts no more is read: sixteen answers are made at a time, and whoever floods a dialogue must not
/// fill the memory. It is ten times what an answer is made from; the rest is summarised.
const HISTORY_BYTES_MAX: i64 = 320 * 1024;
/// An answer that failed is tried again after 5 s, 10 s, 20 s … and at most every five minutes.
pub(super) const BACKOFF_FIRST_S: f64 = 5.0;
pub(super) const BACKOFF_MAX_S: f64 = 300.0;

/// What an answer is made from.
#[derive(Clone, Debug)]
pub struct DialogueContext {
    pub task: TaskName,
    pub peer: Address,
    pub task_fields: Fields,
    pub manager_fields: Option<Fields>,
    /// Of the AI to ask.
    pub ai_fields: Option<Fields>,
    pub channel_kind: String,
    /// The contact's values of the audience's other columns.
    pub variables: Vec<(String, String)>,
    pub summary: Option<String>,
    pub history: Vec<Utterance>,
    /// What may still be spent.
    pub remaining: MicroUsd,
    /// Answers that failed since the person's last message.
    pub failures: u32,
    pub now: DateTime<Utc>,
}

/// One message, as an answer needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    pub id: i64,
    pub author: Author,
    pub text: String,
    pub at: DateTime<Utc>,
    pub provider_at: Option<DateTime<Utc>>,
    pub provider_message_id: Option<String>,
}

/// What is to be said, and what becomes of the dialogue.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// In order; each leaves after the one before it.
    pub texts: Vec<(Author, String)>,
    pub state: Option<(DialogueState, String)>,
    pub events: Vec<DialogueNote>,
    /// What of it the task's integration is told.
    pub reports: Vec<NewReport>,
    /// After how much silence the person is reminded, and of what where the AI said it itself.
    pub reminder: Option<(Duration, Option<String>)>,
    pub summary: Option<(String, i64)>,
}

/// What happened in a dialogue beside its messages.
#[derive(Clone, Debug, PartialEq)]
pub struct DialogueNote {
    pub event: &'static str,
    pub detail: Value,
}

/// Whether an answer was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Committed {
    Taken,
    /// Something newer happened meanwhile, or the lane has moved: nothing is said.
    Void,
}

impl Store {
    /// Everything that an answer is made from; `None` when it is void already.
    pub async fn read_context(
        &self,
        turn: &HeldTurn,
    ) -> Result<Option<DialogueContext>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let Some(row) = sqlx::query!(
            r#"SELECT d.task, d.peer, d.summary, d.summary_until, d.failures, t.fields AS task_fields,
                m.fields AS "manager_fields?", ai.fields AS "ai_fields?",
                coalesce(c.fields->>'kind', '') AS "kind!",
                spending_limit(t.fields) + d.allowance - d.spent AS "remaining!", now() AS "now!",
                (SELECT contacts.variables FROM attempts a
                    JOIN contacts ON contacts.task_id = a.task_id AND contacts.position = a.position
                    WHERE a.channel = d.channel AND a.key = opening_key(d.task, d.peer)
                    ORDER BY a.id DESC LIMIT 1) AS variables
            FROM dialogues d JOIN tasks t ON t.id = d.task_id
            -- Whoever left is followed by another manager of the task.
            LEFT JOIN LATERAL (
                SELECT r.fields FROM resources r WHERE r.kind = 'Manager'
                    AND (r.name = d.manager OR t.fields->'managers' ? r.name)
                ORDER BY r.name = d.manager DESC, r.name LIMIT 1
            ) m ON true
            LEFT JOIN resources ai ON ai.kind = 'Ai' AND ai.name = $4
            LEFT JOIN resources c ON c.kind = 'Channel' AND c.name = d.channel
            WHERE d.id = $1 AND d.turn = $2 AND d.held_fence = $3 AND d.state = 'open'"#,
            turn.dialogue.0,
            turn.turn,
            turn.fence.0,
            turn.ai
        )
        .fetch_optional(&mut *transaction)
        .await?
        else {
            return Ok(None);
        };
        let history = sqlx::query!(
            r#"SELECT id AS "id!", author AS "author!", text AS "text!", at AS "at!", provider_at,
                provider_message_id
            FROM (
                SELECT *, sum(octet_length(text)) OVER (ORDER BY id DESC) - octet_length(text) AS newer_bytes
                FROM (
                    SELECT id, author, text, at, provider_at, provider_message_id FROM messages
                    WHERE dialogue_id = $1 AND id > $2 AND coalesce(state, '') NOT IN ('discarded', 'failed')
                    ORDER BY id DESC LIMIT $3
                ) latest
            ) counted
            WHERE newer_bytes < $4
            ORDER BY id DESC"#,
            turn.dialogue.0,
            row.summary_until.unwrap_or(0),
            HISTORY_MAX,
            HISTORY_BYTES_MAX
        )
        .fetch_all(&mut *transaction)
        .await?;
        let history = history.into_iter().rev().map(|row| {
            Ok(Utterance {
                id: row.id,
                author: parsed(&row.author)?,
                text: row.text,
                at: row.at,
                provider_at: row.provider_at,
                provider_message_id: row.provider_message_id,
            })
        });
        let fields = |json: Option<&Value>| json.map(fields_from_json).transpose();
        Ok(Some(DialogueContext {
            task: parsed(&row.task)?,
            peer: Address::from_stored(row.peer),
            task_fields: fields_from_json(&row.task_fields)?,
            manager_fields: fields(row.manager_fields.as_ref())?,
            ai_fields: fields(row.ai_fields.as_ref())?,
            channel_kind: row.kind,
            variables: variables_from_json(row.variables),
            summary: row.summary,
            history: in_order(history.collect::<Result<_, StoreError>>()?, |one| {
                (one.author == Author::Person).then(|| Written {
                    at: one.provider_at.unwrap_or(one.at),
                    id: one.provider_message_id.as_deref(),
                })
            }),
            remaining: MicroUsd::from_micros(row.remaining.max(0)),
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            now: row.now,
        }))
    }

    /// Saves what is to be said before any of it leaves; all of it, or nothing.
    pub async fn commit_answer(
        &self,
        turn: &HeldTurn,
        answer: &Answer,
    ) -> Result<Committed, StoreError> {
        let Answer { texts, state, events, reports, reminder, summary } = answer;
        let mut transaction = self.pool.begin().await?;
        if !is_current(&mut transaction, turn).await? {
            release(&mut transaction, turn).await?;
            transaction.commit().await?;
            return Ok(Committed::Void);
        }
        let (after, reminder_text) = match reminder {
            Some((after, text)) => (Some(interval(*after)), text.as_deref().map(kept)),
            None => (None, None),
        };
        let word = state.as_ref().map(|(state, _)| state.as_str());
        let reason = state.as_ref().map(|(_, reason)| kept(reason));
        sqlx::query!(
            "UPDATE dialogues SET held_fence = NULL, held_turn = NULL, due_at = NULL, failures = 0,
                -- Who is handed over waits on: for an operator, or for more to be granted.
                waiting_since = CASE WHEN $2::text IN ('with-operator', 'blocked') THEN waiting_since END,
                reminder_at = CASE WHEN $2 IS NULL THEN clock_timestamp() + $4 END,
                reminder_text = CASE WHEN $2 IS NULL THEN $5::text END,
                reminder_index = 0,
                turn = turn + ($2 IS NOT NULL)::int,
                succeeded_at = CASE WHEN $2 = 'succeeded' THEN coalesce(succeeded_at, clock_timestamp())
                    ELSE succeeded_at END,
                state = coalesce($2, state), state_reason = CASE WHEN $2 IS NULL THEN state_reason ELSE $3 END,
                state_by = CASE WHEN $2 IS NULL THEN state_by ELSE 'ai' END,
                state_at = CASE WHEN $2 IS NULL THEN state_at ELSE clock_timestamp() END,
                summary = coalesce($6, summary), summary_until = coalesce($7, summary_until)
            WHERE id = $1",
            turn.dialogue.0,
            word,
            reason,
            after,
            reminder_text,
            summary.as_ref().map(|(text, _)| kept(text)),
            summary.as_ref().map(|(_, until)| *until)
        )
        .execute(&mut *transaction)
        .await?;
        insert_texts(&mut transaction, turn.dialogue, texts).await?;
        for DialogueNote { event, detail } in events {
            insert_event(&mut transaction, turn.dialogue, event, "ai", detail).await?;
        }
        for report in reports {
            insert_report(&mut transaction, report).await?;
        }
        if let Some((state, reason)) = state {
            let detail = json!({ "reason": kept(reason) });
            insert_event(&mut transaction, turn.dialogue, state.as_str(), "ai", &detail).await?;
        }
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Committed::Taken)
    }

    /// An answer that is not there yet is made later: after a time, which is no failure of the dialogue's,
    /// or without one, later each time.
    pub async fn put_turn_off(
        &self,
        turn: &HeldTurn,
        after: Option<Duration>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE dialogues d SET held_fence = NULL, held_turn = NULL,
                failures = failures + ($4::interval IS NULL)::int,
                due_at = CASE WHEN due_at IS NOT NULL THEN greatest(due_at, clock_timestamp() + coalesce($4,
                    make_interval(secs => least($6::float8, $5::float8 * power(2, least(failures, 20)))))) END
            WHERE id = $1 AND held_fence = $2 AND held_turn = $3",
            turn.dialogue.0,
            turn.fence.0,
            turn.turn,
            after.map(interval),
            BACKOFF_FIRST_S,
            BACKOFF_MAX_S
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives a dialogue back whose answer is void, so that it is taken up again at once.
    pub async fn release_turn(&self, turn: &HeldTurn) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        release(&mut connection, turn).await
    }

    /// Lets an AI rest that does not answer; without a time, longer each time.
    pub async fn rest_ai(
        &self,
        ai: &str,
        class: &str,
        reason: &str,
        after: Option<Duration>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO ai_rests (ai, failures, not_before, class, reason)
            VALUES ($1, 1, now() + coalesce($4, make_interval(secs => $5)), $2, $3)
            -- The calls of one outage fail together, and count once.
            ON CONFLICT (ai) DO UPDATE SET class = excluded.class, reason = excluded.reason,
                not_before = CASE WHEN $4::interval IS NULL THEN ai_rests.not_before
                    ELSE greatest(ai_rests.not_before, excluded.not_before) END",
            ai,
            class,
            kept(reason),
            after.map(interval),
            BACKOFF_FIRST_S
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// An AI answered: whoever waits for it may ask.
    pub async fn wake_ai(&self, ai: &str) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM ai_rests WHERE ai = $1", ai).execute(&self.pool).await?;
        Ok(())
    }
}

/// Whether an answer still answers the latest turn, under the lane that it was begun with. Locks the dialogue.
async fn is_current(connection: &mut PgConnection, turn: &HeldTurn) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT d.id FROM dialogues d JOIN lanes l ON l.channel = d.channel
        WHERE d.id = $1 AND d.turn = $2 AND d.held_fence = $3 AND l.fence = $3 AND d.state = 'open'
        FOR UPDATE OF d",
        turn.dialogue.0,
        turn.turn,
        turn.fence.0
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

async fn release(connection: &mut PgConnection, turn: &HeldTurn) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE dialogues SET held_fence = NULL, held_turn = NULL
        WHERE id = $1 AND held_fence = $2 AND held_turn = $3",
        turn.dialogue.0,
        turn.fence.0,
        turn.turn
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_texts(
    connection: &mut PgConnection,
    dialogue: DialogueId,
    texts: &[(Author, String)],
) -> Result<(), StoreError> {
    for (author, text) in texts {
        sqlx::query!(
            "INSERT INTO messages (dialogue_id, channel, author, text, state, key, ready_at, turn)
            SELECT id, channel, $2, $3, 'waiting', new_message_key(), clock_timestamp(), turn
            FROM dialogues WHERE id = $1",
            dialogue.0,
            author.as_str(),
            kept(text)
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert_event(
    connection: &mut PgConnection,
    dialogue: DialogueId,
    event: &str,
    by: &str,
    detail: &Value,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO dialogue_events (dialogue_id, event, by, detail) VALUES ($1, $2, $3, $4)",
        dialogue.0,
        event,
        by,
        detail
    )
    .execute(connection)
    .await?;
    Ok(())
}
