//! Dialogues as operators list them: by filter, page by page, each page from one index.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::{count, parsed},
    error::StoreError,
};
use crate::domain::{
    address::Address,
    dialogue::{Author, DialogueState},
    id::{ChannelName, DialogueId, TaskName},
    money::MicroUsd,
};

/// Dialogues of one statement: a few screens, and little to hold.
const PAGE: i64 = 500;
/// Of the last words so much is read: a line of a list has no room for more.
const LAST_WORDS_MAX: i32 = 200;

/// Which dialogues are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogueFilter {
    pub task: Option<TaskName>,
    pub channel: Option<ChannelName>,
    pub state: Option<DialogueState>,
    /// Every form that the person's address may have.
    pub peers: Option<Vec<String>>,
    /// Only where the person wrote last and nobody has answered; who waits longest comes first. Whoever
    /// wrote on after a success waits for nobody, and is there only where that state is asked for.
    pub waiting: bool,
}

/// One dialogue of a list.
#[derive(Clone, Debug)]
pub struct DialogueLine {
    pub id: DialogueId,
    pub state: DialogueState,
    pub task: String,
    pub channel: String,
    pub peer: Address,
    pub manager: String,
    /// The person's first message that nobody has answered.
    pub waiting_since: Option<DateTime<Utc>>,
    pub spent: MicroUsd,
    /// What may be spent in all.
    pub limit: MicroUsd,
    pub last: Option<LastWords>,
    pub now: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct LastWords {
    pub author: Author,
    pub at: DateTime<Utc>,
    /// The beginning.
    pub text: String,
}

/// How many dialogues are in each state, every state named, and who waits for an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogueCounts {
    pub states: BTreeMap<DialogueState, u64>,
    /// Those that have succeeded at some time, in whatever state they are by now.
    pub successes: u64,
    /// People who wrote where no AI answers, and no success was before.
    pub waiting_for_operator: u64,
    /// Since when the first of them waits.
    pub longest_since: Option<DateTime<Utc>>,
    /// People who wrote on after a success, mostly to say thank you.
    pub wrote_after_success: u64,
}

/// Dialogues to be read in pages: the newest message first, or who waits longest. Each page is of its own
/// moment: a long reading holds no snapshot, and may miss a dialogue that moved.
#[derive(Debug)]
pub struct DialogueReader<'s> {
    store: &'s Store,
    filter: &'s DialogueFilter,
    after: Option<Cursor>,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    last_message: i64,
    waiting_since: DateTime<Utc>,
    id: i64,
}

struct Row {
    id: i64,
    state: String,
    task: String,
    channel: String,
    peer: String,
    manager: String,
    waiting_since: Option<DateTime<Utc>>,
    last_message_id: i64,
    spent: i64,
    limit: i64,
    last_author: Option<String>,
    last_at: Option<DateTime<Utc>>,
    last_text: Option<String>,
    now: DateTime<Utc>,
}

impl Store {
    pub fn read_dialogues<'s>(&'s self, filter: &'s DialogueFilter) -> DialogueReader<'s> {
        let first = Cursor { last_message: i64::MAX, waiting_since: DateTime::UNIX_EPOCH, id: 0 };
        DialogueReader { store: self, filter, after: Some(first) }
    }

    /// Counts the dialogues of a task, a channel or a person, whatever state is wanted.
    pub async fn count_dialogues(
        &self,
        filter: &DialogueFilter,
    ) -> Result<DialogueCounts, StoreError> {
        let DialogueFilter { task, channel, peers, state: _, waiting: _ } = filter;
        let task = task.as_ref().map(TaskName::as_str);
        let channel = channel.as_ref().map(ChannelName::as_str);
        let rows = sqlx::query!(
            r#"SELECT d.state, count(*) AS "n!", count(d.succeeded_at) AS "n_succeeded!" FROM dialogues d
            WHERE ($1::text IS NULL OR d.task = $1) AND ($2::text IS NULL OR d.channel = $2)
                AND ($3::text[] IS NULL OR d.peer = ANY ($3))
            GROUP BY d.state"#,
            task,
            channel,
            peers.as_deref()
        )
        .fetch_all(&self.pool)
        .await?;
        let mut states: BTreeMap<DialogueState, u64> =
            DialogueState::ALL.iter().map(|state| (*state, 0)).collect();
        let mut successes = 0;
        for row in rows {
            states.insert(parsed(&row.state)?, count(row.n));
            successes += count(row.n_succeeded);
        }
        let waiting = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE d.state <> 'succeeded') AS "n!",
                count(*) FILTER (WHERE d.state = 'succeeded') AS "n_after!",
                min(d.waiting_since) FILTER (WHERE d.state <> 'succeeded') AS since
            FROM dialogues d
            WHERE d.waiting_since IS NOT NULL AND d.state IN ('with-operator', 'blocked', 'succeeded')
                AND ($1::text IS NULL OR d.task = $1) AND ($2::text IS NULL OR d.channel = $2)
                AND ($3::text[] IS NULL OR d.peer = ANY ($3))"#,
            task,
            channel,
            peers.as_deref()
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(DialogueCounts {
            states,
            successes,
            waiting_for_operator: count(waiting.n),
            longest_since: waiting.since,
            wrote_after_success: count(waiting.n_after),
        })
    }
}

impl DialogueReader<'_> {
    /// The next dialogues; nothing after the last.
    pub async fn next_page(&mut self) -> Result<Option<Vec<DialogueLine>>, StoreError> {
        let Some(after) = self.after else { return Ok(None) };
        let rows = if self.filter.waiting {
            self.longest(after).await?
        } else {
            self.newest(after).await?
        };
        let is_full = i64::try_from(rows.len()).is_ok_and(|length| length == PAGE);
        self.after = rows.last().filter(|_| is_full).map(|row| Cursor {
            last_message: row.last_message_id,
            waiting_since: row.waiting_since.unwrap_or(after.waiting_since),
            id: row.id,
        });
        rows.into_iter().map(Row::line).collect::<Result<_, _>>().map(Some)
    }

    fn states(&self) -> Vec<String> {
        let DialogueFilter { state: wanted, waiting, .. } = self.filter;
        let is_wanted = |state: &DialogueState| match (wanted, waiting) {
            (_, true) if *state == DialogueState::Closed => false,
            (None, true) => *state != DialogueState::Succeeded,
            (wanted, _) => wanted.is_none_or(|wanted| wanted == *state),
        };
        let wanted = DialogueState::ALL.iter().filter(|state| is_wanted(state));
        wanted.map(ToString::to_string).collect()
    }

    async fn newest(&self, after: Cursor) -> Result<Vec<Row>, StoreError> {
        let DialogueFilter { task, channel, peers, .. } = self.filter;
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT d.id AS "id!", d.state AS "state!", d.task AS "task!", d.channel AS "channel!",
                d.peer AS "peer!", d.manager AS "manager!", d.waiting_since,
                d.last_message_id AS "last_message_id!", d.spent AS "spent!",
                spending_limit(t.fields) + d.allowance AS "limit!",
                m.author AS "last_author?", m.at AS "last_at?", left(m.text, $7) AS "last_text?",
                clock_timestamp() AS "now!"
            FROM unnest($1::text[]) AS wanted (state)
            CROSS JOIN LATERAL (
                -- One state at a time: so each list is the end of one index.
                SELECT * FROM dialogues d
                WHERE d.state = wanted.state AND d.last_message_id < $2
                    AND ($3::text IS NULL OR d.task = $3) AND ($4::text IS NULL OR d.channel = $4)
                    AND ($5::text[] IS NULL OR d.peer = ANY ($5))
                ORDER BY d.last_message_id DESC LIMIT $6
            ) d
            JOIN tasks t ON t.id = d.task_id
            LEFT JOIN messages m ON m.id = d.last_message_id
            ORDER BY d.last_message_id DESC LIMIT $6"#,
            &self.states(),
            after.last_message,
            task.as_ref().map(TaskName::as_str),
            channel.as_ref().map(ChannelName::as_str),
            peers.as_deref(),
            PAGE,
            LAST_WORDS_MAX
        )
        .fetch_all(&self.store.pool)
        .await?;
        Ok(rows)
    }

    async fn longest(&self, after: Cursor) -> Result<Vec<Row>, StoreError> {
        let DialogueFilter { task, channel, peers, .. } = self.filter;
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT d.id AS "id!", d.state AS "state!", d.task AS "task!", d.channel AS "channel!",
                d.peer AS "peer!", d.manager AS "manager!", d.waiting_since,
                d.last_message_id AS "last_message_id!", d.spent AS "spent!",
                spending_limit(t.fields) + d.allowance AS "limit!",
                m.author AS "last_author?", m.at AS "last_at?", left(m.text, $8) AS "last_text?",
                clock_timestamp() AS "now!"
            FROM unnest($1::text[]) AS wanted (state)
            CROSS JOIN LATERAL (
                -- One state at a time: so each list is the beginning of one index.
                SELECT * FROM dialogues d
                WHERE d.waiting_since IS NOT NULL AND d.state = wanted.state
                    AND (d.waiting_since, d.id) > ($2, $3)
                    AND ($4::text IS NULL OR d.task = $4) AND ($5::text IS NULL OR d.channel = $5)
                    AND ($6::text[] IS NULL OR d.peer = ANY ($6))
                ORDER BY d.waiting_since, d.id LIMIT $7
            ) d
            JOIN tasks t ON t.id = d.task_id
            LEFT JOIN messages m ON m.id = d.last_message_id
            ORDER BY d.waiting_since, d.id LIMIT $7"#,
            &self.states(),
            after.waiting_since,
            after.id,
            task.as_ref().map(TaskName::as_str),
            channel.as_ref().map(ChannelName::as_str),
            peers.as_deref(),
            PAGE,
            LAST_WORDS_MAX
        )
        .fetch_all(&self.store.pool)
        .await?;
        Ok(rows)
    }
}

impl Row {
    fn line(self) -> Result<DialogueLine, StoreError> {
        let last = match (self.last_author, self.last_at, self.last_text) {
            (Some(author), Some(at), Some(text)) => {
                Some(LastWords { author: parsed(&author)?, at, text })
            }
            _ => None,
        };
        Ok(DialogueLine {
            id: DialogueId(self.id),
            state: parsed(&self.state)?,
            task: self.task,
            channel: self.channel,
            peer: Address::from_stored(self.peer),
            manager: self.manager,
            waiting_since: self.waiting_since,
            spent: MicroUsd::from_micros(self.spent),
            limit: MicroUsd::from_micros(self.limit),
            last,
            now: self.now,
        })
    }
}
