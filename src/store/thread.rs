//! One dialogue whole: how it stands and why, what was said in it, and what happened beside.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    connect::Store,
    encoding::{count, parsed},
    error::StoreError,
    resting::AiRest,
};
use crate::domain::{
    address::Address,
    dialogue::{Author, DialogueState, MessageState},
    id::{DialogueId, MessageId},
    kind::ChannelKind,
    money::MicroUsd,
    phase::{Phase, paused_by},
};

/// Messages of one statement.
const PAGE: usize = 500;
/// Takeovers and evidence are few; a dialogue with more of them is shown by its latest.
const EVENTS_MAX: i64 = 1000;

/// A dialogue, and everything that decides what happens next in it.
#[derive(Clone, Debug)]
pub struct Thread {
    pub id: DialogueId,
    pub task: String,
    pub channel: String,
    pub kind: Option<ChannelKind>,
    pub peer: Address,
    pub manager: String,
    pub created_at: DateTime<Utc>,
    pub state: DialogueState,
    pub state_by: String,
    pub state_reason: Option<String>,
    pub state_at: DateTime<Utc>,
    /// The person's first message that nobody has answered.
    pub waiting_since: Option<DateTime<Utc>>,
    pub wrote_last_at: Option<DateTime<Utc>>,
    /// When the AI is to answer.
    pub due_at: Option<DateTime<Utc>>,
    /// Answers that failed since the person's last message.
    pub failures: u64,
    /// An answer is being made at this moment.
    pub answering: bool,
    pub reminder_at: Option<DateTime<Utc>>,
    pub suppressed: bool,
    pub spent: MicroUsd,
    /// What the task grants each dialogue.
    pub limit: MicroUsd,
    /// What operators granted beyond it.
    pub allowance: MicroUsd,
    pub calls: Calls,
    pub phase: Phase,
    pub phase_by: String,
    pub ended: bool,
    pub ai: String,
    /// Its AI rests, and no fallback does its part.
    pub resting: Option<AiRest>,
    pub way_out: WayOut,
    pub waiting_message: Option<WaitingMessage>,
    pub sending: Option<MessageId>,
    /// The first message whose outcome nobody knows.
    pub in_doubt: Option<MessageId>,
    pub n_messages: u64,
    pub now: DateTime<Utc>,
}

impl Thread {
    /// What may be spent in all.
    pub fn whole_limit(&self) -> MicroUsd {
        self.limit.checked_add(self.allowance).unwrap_or(self.limit)
    }
}

/// What the calls of the AI came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    pub n: u64,
    /// Under way, or lost in a crash: their reservation counts as spent.
    pub unsettled: u64,
    /// The server did not say what they used.
    pub estimated: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// The channel, as far as replies are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayOut {
    Open,
    /// Nobody leads its lane.
    Unled,
    Blocked {
        reason: String,
        until: Option<DateTime<Utc>>,
    },
    /// The channel is not applied any more.
    Gone,
}

/// The next message of ours that has not left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingMessage {
    pub ready_at: DateTime<Utc>,
    /// Why it did not leave the last time.
    pub reason: Option<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadMessage {
    pub id: MessageId,
    pub author: Author,
    pub text: String,
    pub at: DateTime<Utc>,
    /// By the provider's clock.
    pub provider_at: Option<DateTime<Utc>>,
    pub said_by: Option<String>,
    /// Of ours.
    pub state: Option<MessageState>,
    pub reason: Option<String>,
    /// Of ours that left.
    pub left_at: Option<DateTime<Utc>>,
    provider_message_id: Option<String>,
}

/// What happened beside the messages.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadEvent {
    pub at: DateTime<Utc>,
    pub event: String,
    pub by: String,
    pub detail: Value,
}

impl Store {
    /// The dialogue that a message belongs to.
    pub async fn dialogue_of(&self, message: MessageId) -> Result<Option<DialogueId>, StoreError> {
        let found =
            sqlx::query_scalar!("SELECT dialogue_id FROM messages WHERE id = $1", message.0)
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.map(DialogueId))
    }

    pub async fn read_thread(&self, dialogue: DialogueId) -> Result<Option<Thread>, StoreError> {
        let Some(row) = sqlx::query!(
            r#"SELECT d.*, spending_limit(t.fields) AS "limit!", t.phase, t.phase_by, t.phase_reason,
                t.resume_at, t.deleted_at IS NOT NULL AS "ended!", coalesce(t.fields->>'ai', '') AS "ai!",
                is_suppressed_on(d.channel, d.peer, d.task) AS "suppressed!", c.fields->>'kind' AS kind,
                l.channel IS NULL AS "gone!", e.id IS NULL AS "unled!",
                NOT may_answer(l.blocked_class, l.blocked_until) AS "blocked!",
                l.blocked_reason AS "blocked_reason?", l.blocked_until AS "blocked_until?",
                d.held_fence IS NOT NULL AND d.held_fence IS NOT DISTINCT FROM l.fence AS "answering!",
                calls.n AS "n_calls!", calls.unsettled AS "n_unsettled!", calls.estimated AS "n_estimated!",
                calls.input AS "input!", calls.output AS "output!",
                waiting.ready_at AS "ready_at?", waiting.reason AS "waiting_reason?",
                (SELECT m.id FROM messages m WHERE m.dialogue_id = d.id AND m.state = 'sending'
                    ORDER BY m.id LIMIT 1) AS sending,
                -- Not the first row in the order of ids, for which every doubt there is might be read.
                (SELECT (array_agg(m.id ORDER BY m.id))[1] FROM messages m WHERE m.dialogue_id = d.id
                    AND m.state = 'in-doubt' AND m.author <> 'opening') AS in_doubt,
                (SELECT max(m.at) FROM messages m WHERE m.dialogue_id = d.id AND m.author = 'person')
                    AS wrote_last_at,
                (SELECT count(*) FROM messages m WHERE m.dialogue_id = d.id) AS "n_messages!",
                clock_timestamp() AS "now!"
            FROM dialogues d
            JOIN tasks t ON t.id = d.task_id
            LEFT JOIN resources c ON c.kind = 'Channel' AND c.name = d.channel
            LEFT JOIN lanes l ON l.channel = d.channel
            LEFT JOIN living_executors e ON e.id = l.owner
            CROSS JOIN LATERAL (
                SELECT count(*) AS n, count(*) FILTER (WHERE a.settled_at IS NULL) AS unsettled,
                    count(*) FILTER (WHERE a.estimated) AS estimated,
                    coalesce(sum(a.input_tokens), 0)::bigint AS input,
                    coalesce(sum(a.output_tokens), 0)::bigint AS output
                FROM ai_calls a WHERE a.dialogue_id = d.id
                    OR a.draft_id = ANY (ARRAY(SELECT dr.id FROM drafts dr WHERE dr.dialogue_id = d.id))
            ) calls
            LEFT JOIN LATERAL (
                SELECT m.ready_at, m.reason FROM messages m
                WHERE m.dialogue_id = d.id AND m.state = 'waiting' ORDER BY m.id LIMIT 1
            ) waiting ON true
            WHERE d.id = $1"#,
            dialogue.0
        )
        .fetch_optional(&self.pool)
        .await?
        else {
            return Ok(None);
        };
        let resting = self.list_resting(Some(&row.task)).await?.remove(&row.task);
        let way_out = if row.gone {
            WayOut::Gone
        } else if row.blocked {
            let reason = row.blocked_reason.unwrap_or_else(|| "no reason is known".to_owned());
            WayOut::Blocked { reason, until: row.blocked_until }
        } else if row.unled {
            WayOut::Unled
        } else {
            WayOut::Open
        };
        Ok(Some(Thread {
            id: dialogue,
            task: row.task,
            channel: row.channel,
            kind: row.kind.as_deref().map(parsed).transpose()?,
            peer: Address::from_stored(row.peer),
            manager: row.manager,
            created_at: row.created_at,
            state: parsed(&row.state)?,
            state_by: row.state_by,
            state_reason: row.state_reason,
            state_at: row.state_at,
            waiting_since: row.waiting_since,
            wrote_last_at: row.wrote_last_at,
            due_at: row.due_at,
            failures: count(row.failures.into()),
            answering: row.answering,
            reminder_at: row.reminder_at,
            suppressed: row.suppressed,
            spent: MicroUsd::from_micros(row.spent),
            limit: MicroUsd::from_micros(row.limit),
            allowance: MicroUsd::from_micros(row.allowance),
            calls: Calls {
                n: count(row.n_calls),
                unsettled: count(row.n_unsettled),
                estimated: count(row.n_estimated),
                input_tokens: count(row.input),
                output_tokens: count(row.output),
            },
            phase: parsed(&row.phase)?,
            phase_by: paused_by(&row.phase_by, row.phase_reason.as_deref(), row.resume_at),
            ended: row.ended,
            ai: row.ai,
            resting: resting.filter(|rest| rest.fallback.is_none()),
            way_out,
            waiting_message: row
                .ready_at
                .map(|ready_at| WaitingMessage { ready_at, reason: row.waiting_reason }),
            sending: row.sending.map(MessageId),
            in_doubt: row.in_doubt.map(MessageId),
            n_messages: count(row.n_messages),
            now: row.now,
        }))
    }

    /// The latest messages of a dialogue, in the order in which they came.
    pub async fn read_messages(
        &self,
        dialogue: DialogueId,
        at_most: usize,
    ) -> Result<Vec<ThreadMessage>, StoreError> {
        let mut messages: Vec<ThreadMessage> = Vec::new();
        let mut before = i64::MAX;
        while messages.len() < at_most {
            let page = PAGE.min(at_most - messages.len());
            let rows = sqlx::query!(
                "SELECT id, author, text, at, provider_at, provider_message_id, said_by, state, reason,
                    CASE WHEN state IN ('sent', 'delivered', 'read') THEN sending_at END AS left_at
                FROM messages
                WHERE dialogue_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
                dialogue.0,
                before,
                i64::try_from(page).unwrap_or(i64::MAX)
            )
            .fetch_all(&self.pool)
            .await?;
            let is_last = rows.len() < page;
            for row in rows {
                before = row.id;
                messages.push(ThreadMessage {
                    id: MessageId(row.id),
                    author: parsed(&row.author)?,
                    text: row.text,
                    at: row.at,
                    provider_at: row.provider_at,
                    said_by: row.said_by,
                    state: row.state.as_deref().map(parsed).transpose()?,
                    reason: row.reason,
                    left_at: row.left_at,
                    provider_message_id: row.provider_message_id,
                });
            }
            if is_last {
                break;
            }
        }
        messages.reverse();
        Ok(in_order(messages, |one| {
            (one.author == Author::Person).then(|| Written {
                at: one.provider_at.unwrap_or(one.at),
                id: one.provider_message_id.as_deref(),
            })
        }))
    }

    /// What happened in a dialogue since a moment, in order.
    pub async fn read_dialogue_events(
        &self,
        dialogue: DialogueId,
        since: DateTime<Utc>,
    ) -> Result<Vec<ThreadEvent>, StoreError> {
        let rows = sqlx::query!(
            "SELECT at, event, by, detail FROM dialogue_events
            WHERE dialogue_id = $1 AND at >= $2 ORDER BY id DESC LIMIT $3",
            dialogue.0,
            since,
            EVENTS_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        let events = rows.into_iter().rev().map(|row| ThreadEvent {
            at: row.at,
            event: row.event,
            by: row.by,
            detail: row.detail,
        });
        Ok(events.collect())
    }
}

/// When a person wrote a message, as far as their provider tells.
pub(super) struct Written<'a> {
    pub(super) at: DateTime<Utc>,
    /// The provider's.
    pub(super) id: Option<&'a str>,
}

/// The order in which it was said: deliveries of one person may arrive in another order than they were
/// written in, and only the provider knows: by its clock, and where that stood still, by its numbers.
/// `written` gives nothing for what is ours.
pub(super) fn in_order<T>(
    mut messages: Vec<T>,
    written: impl Fn(&T) -> Option<Written<'_>>,
) -> Vec<T> {
    for run in messages.chunk_by_mut(|a, b| written(a).is_some() && written(b).is_some()) {
        // Other providers' ids are no numbers, and say nothing of the order.
        let number = |one: &T| written(one)?.id?.parse::<u64>().ok();
        let are_numbered = run.iter().all(|one| number(one).is_some());
        run.sort_by_key(|one| {
            (written(one).map(|written| written.at), number(one).filter(|_| are_numbered))
        });
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_ordered_by_its_provider() {
        // Seconds of the provider and its id; ours have neither. In the order of arrival, and as it is shown.
        type Case<'a> = (&'a [(Option<i64>, &'a str)], &'a [&'a str]);
        let cases: [Case<'_>; 4] = [
            (&[(Some(2), "b"), (Some(1), "a")], &["a", "b"]),
            // One second: numbers tell, other ids do not.
            (&[(Some(1), "12"), (Some(1), "9"), (Some(1), "10")], &["9", "10", "12"]),
            (&[(Some(1), "wamid.B"), (Some(1), "wamid.A")], &["wamid.B", "wamid.A"]),
            // Nothing moves over a message of ours.
            (
                &[(Some(2), "5"), (None, "ours"), (Some(1), "4"), (Some(1), "3")],
                &["5", "ours", "3", "4"],
            ),
        ];
        for (came, wanted) in cases {
            let shown = in_order(came.to_vec(), |(second, id)| {
                let at = DateTime::from_timestamp((*second)?, 0)?;
                Some(Written { at, id: Some(id) })
            });
            let shown: Vec<&str> = shown.iter().map(|(_, id)| *id).collect();
            assert_eq!(shown, wanted);
        }
    }
}
