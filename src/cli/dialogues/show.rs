//! `nuncio dialogue show`: one dialogue whole.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{
    dialogue_id, no_such_dialogue,
    page::{Style, conversation, head},
    rows::owed_since,
    sentence::why,
};
use crate::{
    cli::{
        Common, ExitStatus,
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output, columns},
        sentence::wrapped_to,
        values,
    },
    domain::{dialogue::MessageState, id::DialogueId, kind::ChannelKind},
    service::Database,
    store::{Calls, Thread, ThreadEvent, ThreadMessage},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The dialogue, by its number in `nuncio dialogues`
    #[arg(value_parser = dialogue_id)]
    id: DialogueId,
    /// How many messages, the latest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    limit: i64,
    /// Show addresses and contacts also where no terminal is
    #[arg(long)]
    show_addresses: bool,
    /// How the dialogue is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

/// Years of a talkative person; an answer is held whole.
const MESSAGES_MAX: i64 = 10_000;

fn limit(text: &str) -> Result<i64, String> {
    values::count_within(text, 1..=MESSAGES_MAX)
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let Some(thread) = store.read_thread(args.id).await? else { return no_such_dialogue(args.id) };
    let at_most = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let messages = store.read_messages(args.id, at_most).await?;
    let earlier = thread.n_messages.saturating_sub(messages.len() as u64);
    // With the beginning left out, what happened before it is left out as well.
    let since =
        messages.first().filter(|_| earlier > 0).map_or(thread.created_at, |first| first.at);
    let events = store.read_dialogue_events(args.id, since).await?;
    let shows_addresses = args.show_addresses || io::stdout().is_terminal();
    if args.output == AnswerForm::Json {
        output.json(&shown(&thread, &messages, &events, earlier, shows_addresses));
        return Ok(ExitStatus::Success);
    }
    let style = Style { width: columns(), shows_addresses };
    let sentence = why(&thread);
    let mut text = wrapped_to(&sentence, style.width, 2);
    text.push('\n');
    text.push_str(&head(&thread, &sentence, style));
    if earlier > 0 {
        writeln!(text, "\n… {earlier} earlier messages; --limit N shows them")
            .expect("a String takes all text");
    }
    text.push_str(&conversation(&thread, &messages, &events, style));
    output.data(&text);
    Ok(ExitStatus::Success)
}

/// A dialogue for programs.
#[derive(Serialize)]
struct ShownJson<'a> {
    format_version: &'static str,
    id: i64,
    /// The sentence that people read first.
    why: String,
    task: &'a str,
    channel: &'a str,
    kind: Option<&'static str>,
    /// Absent unless addresses are shown.
    address: Option<&'a str>,
    manager: &'a str,
    created_at: DateTime<Utc>,
    state: &'static str,
    state_by: &'a str,
    state_reason: Option<&'a str>,
    state_at: DateTime<Utc>,
    waiting_since: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    reminder_at: Option<DateTime<Utc>>,
    suppressed: bool,
    spent: String,
    limit: String,
    /// Beyond the limit.
    granted: String,
    ai: &'a str,
    ai_calls: CallsJson,
    messages: Vec<MessageJson<'a>>,
    events: Vec<EventJson<'a>>,
    /// Messages before those that are given.
    earlier_messages: u64,
}

#[derive(Serialize)]
struct CallsJson {
    calls: u64,
    unsettled: u64,
    estimated: u64,
    input_tokens: u64,
    output_tokens: u64,
}

#[derive(Serialize)]
struct MessageJson<'a> {
    id: i64,
    author: &'static str,
    text: &'a str,
    at: DateTime<Utc>,
    provider_at: Option<DateTime<Utc>>,
    said_by: Option<&'a str>,
    /// Of ours.
    state: Option<&'static str>,
    reason: Option<&'a str>,
    /// Of ours that left.
    left_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct EventJson<'a> {
    at: DateTime<Utc>,
    event: &'a str,
    by: &'a str,
    detail: Value,
}

fn shown<'a>(
    thread: &'a Thread,
    messages: &'a [ThreadMessage],
    events: &'a [ThreadEvent],
    earlier_messages: u64,
    shows_addresses: bool,
) -> ShownJson<'a> {
    let Calls { n, unsettled, estimated, input_tokens, output_tokens } = thread.calls;
    ShownJson {
        format_version: FORMAT_VERSION,
        id: thread.id.0,
        why: why(thread),
        task: &thread.task,
        channel: &thread.channel,
        kind: thread.kind.map(ChannelKind::as_str),
        address: shows_addresses.then(|| thread.peer.as_str()),
        manager: &thread.manager,
        created_at: thread.created_at,
        state: thread.state.as_str(),
        state_by: &thread.state_by,
        state_reason: thread.state_reason.as_deref(),
        state_at: thread.state_at,
        waiting_since: owed_since(thread.state, thread.waiting_since),
        due_at: thread.due_at,
        reminder_at: thread.reminder_at,
        suppressed: thread.suppressed,
        spent: thread.spent.to_string(),
        limit: thread.limit.to_string(),
        granted: thread.allowance.to_string(),
        ai: &thread.ai,
        ai_calls: CallsJson { calls: n, unsettled, estimated, input_tokens, output_tokens },
        messages: messages.iter().map(message).collect(),
        events: events.iter().map(|one| event(one, shows_addresses)).collect(),
        earlier_messages,
    }
}

fn message(message: &ThreadMessage) -> MessageJson<'_> {
    let ThreadMessage {
        id, author, text, at, provider_at, said_by, state, reason, left_at, ..
    } = message;
    MessageJson {
        id: id.0,
        author: author.as_str(),
        text,
        at: *at,
        provider_at: *provider_at,
        said_by: said_by.as_deref(),
        state: state.map(MessageState::as_str),
        reason: reason.as_deref(),
        left_at: *left_at,
    }
}

fn event(event: &ThreadEvent, shows_addresses: bool) -> EventJson<'_> {
    let ThreadEvent { at, event, by, detail } = event;
    let mut detail = detail.clone();
    if !shows_addresses && let Some(contact) = detail.get_mut("contact") {
        *contact = Value::Null;
    }
    EventJson { at: *at, event, by, detail }
}
