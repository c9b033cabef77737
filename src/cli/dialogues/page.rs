//! A conversation as people read it: who, when, what was said and what became of it.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::words::{cents, shown_author, shown_state};
use crate::{
    cli::{audience::shown, sentence::wrapped_to},
    domain::{
        dialogue::{Author, MessageState},
        money::MicroUsd,
    },
    store::{Calls, Thread, ThreadEvent, ThreadMessage},
};

/// How a page is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) width: usize,
    pub(super) shows_addresses: bool,
}

fn clock(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// What is known of the dialogue before anything was said in it.
pub(super) fn head(thread: &Thread, style: Style) -> String {
    let Thread { id, task, channel, peer, manager, state, state_by, state_at, .. } = thread;
    let Thread { created_at, spent, limit, allowance, calls, .. } = thread;
    let who = shown(peer.as_str(), style.shows_addresses);
    let reason = thread.state_reason.as_ref().map(|reason| format!(": {reason}"));
    let granted = match allowance.micros() {
        0 => String::new(),
        _ => format!(", {} of it granted", cents(*allowance)),
    };
    let whole = limit.checked_add(*allowance).unwrap_or(*limit);
    let lines = [
        format!(
            "dialogue {id}: {}, by {state_by}, since {} UTC{}",
            shown_state(*state),
            clock(*state_at),
            reason.unwrap_or_default()
        ),
        format!("  task {task}, channel {channel}, manager {manager}, with {who}"),
        format!(
            "  begun {} UTC; spent ${spent} of {}{granted}{}",
            clock(*created_at),
            cents(whole),
            called(*calls)
        ),
    ];
    lines.iter().map(|line| wrapped_to(line, style.width, 2)).collect()
}

fn called(calls: Calls) -> String {
    let Calls { n, unsettled, estimated, .. } = calls;
    let noun = if n == 1 { "call" } else { "calls" };
    let mut text = format!(", in {n} {noun} of the AI");
    if unsettled > 0 {
        write!(text, ", {unsettled} not settled").expect("a String takes all text");
    }
    if estimated > 0 {
        write!(text, ", {estimated} estimated").expect("a String takes all text");
    }
    text
}

/// What was said, with what happened in between, by time.
pub(super) fn conversation(
    thread: &Thread,
    messages: &[ThreadMessage],
    events: &[ThreadEvent],
    style: Style,
) -> String {
    let mut text = String::new();
    let mut events = events.iter().peekable();
    for message in messages {
        while let Some(event) = events.next_if(|event| event.at < message.at) {
            text.push_str(&happened(event, style));
        }
        text.push_str(&said(thread, message, style));
    }
    for event in events {
        text.push_str(&happened(event, style));
    }
    text
}

fn said(thread: &Thread, message: &ThreadMessage, style: Style) -> String {
    let ThreadMessage { id, author, text, at, said_by, state, reason, .. } = message;
    let who = match (author, said_by) {
        (Author::Ai, _) => format!("AI, as {}", thread.manager),
        (Author::Operator, Some(by)) => format!("operator {by}"),
        (author, _) => shown_author(*author).to_owned(),
    };
    let line = match state {
        None => format!("{} {who}", clock(*at)),
        Some(state @ (MessageState::InDoubt | MessageState::Failed | MessageState::Discarded)) => {
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{} ! {who}, m{id} {state}{why}", clock(*at))
        }
        Some(state) => format!("{} {who}, {state}", clock(*at)),
    };
    let mut page = format!("\n{}", wrapped_to(&line, style.width, 4));
    // Further in than any line of ours: what is said cannot look like one.
    for line in text.lines() {
        page.push_str(wrapped_to(&format!("    {line}"), style.width, 0).trim_end());
        page.push('\n');
    }
    page
}

fn happened(event: &ThreadEvent, style: Style) -> String {
    let ThreadEvent { at, event, by, detail } = event;
    let line = format!("{} * {event}, by {by}{}", clock(*at), told(detail, style.shows_addresses));
    format!("\n{}", wrapped_to(&line, style.width, 4))
}

/// The evidence and the reason of an event.
fn told(detail: &Value, shows_addresses: bool) -> String {
    let text =
        |name: &str| detail.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut parts = Vec::new();
    if let Some(contact) = text("contact") {
        let contact = shown(contact, shows_addresses);
        parts.push(format!("{} {contact}", text("contact_kind").unwrap_or("contact")));
    }
    parts.extend(text("summary").map(str::to_owned));
    parts.extend(text("quote").map(|quote| format!("“{quote}”")));
    parts.extend(text("reason").map(str::to_owned));
    if let Some(micros) = detail.get("granted_micros").and_then(Value::as_i64) {
        parts.push(format!("{} granted", cents(MicroUsd::from_micros(micros))));
    }
    if let (Some(message), Some(word)) = (detail.get("message").and_then(Value::as_i64), text("as"))
    {
        parts.push(format!("message m{message} as {word}"));
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}
