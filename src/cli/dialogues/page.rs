//! A conversation as people read it: who, when, what was said and what became of it.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::words::{shown_author, shown_state};
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

/// What is known of the dialogue before anything was said in it, beyond the sentence that stands before it.
pub(super) fn head(thread: &Thread, sentence: &str, style: Style) -> String {
    let Thread { id, task, channel, peer, manager, state, state_by, state_at, .. } = thread;
    let Thread { created_at, spent, allowance, calls, .. } = thread;
    let who = shown(peer.as_str(), style.shows_addresses);
    let reason = thread.state_reason.as_deref().filter(|reason| !holds(sentence, reason));
    let reason = reason.map(|reason| format!(": {reason}"));
    let granted = match allowance.micros() {
        0 => String::new(),
        _ => format!(", ${allowance} of it granted"),
    };
    let lines = [
        format!(
            "dialogue {id}: {}, by {state_by}, since {} UTC{}",
            shown_state(*state),
            clock(*state_at),
            reason.unwrap_or_default()
        ),
        format!("  task {task}, channel {channel}, manager {manager}, with {who}"),
        format!(
            "  begun {} UTC; spent ${spent} of ${}{granted}{}",
            clock(*created_at),
            thread.whole_limit(),
            called(*calls)
        ),
    ];
    lines.iter().map(|line| wrapped_to(line, style.width, 2)).collect()
}

/// Words as they are compared: whatever ends them, and breaks their lines.
fn bare(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').to_owned()
}

fn holds(text: &str, part: &str) -> bool {
    bare(text).contains(&bare(part))
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

/// What was said, with what happened in between, by time. What stands above is not said again.
pub(super) fn conversation(
    thread: &Thread,
    messages: &[ThreadMessage],
    events: &[ThreadEvent],
    style: Style,
) -> String {
    let mut page = Page { thread, style, text: String::new(), told: Vec::new(), in_events: false };
    page.told.extend(thread.state_reason.as_deref());
    let mut events = events.iter().peekable();
    for message in messages {
        while let Some(event) = events.next_if(|event| event.at < message.at) {
            page.happened(event);
        }
        page.said(message);
    }
    for event in events {
        page.happened(event);
    }
    page.text
}

/// A conversation in the writing.
struct Page<'t> {
    thread: &'t Thread,
    style: Style,
    text: String,
    /// Words that stand on the page already.
    told: Vec<&'t str>,
    /// The last line is of an event: what happened together stands together.
    in_events: bool,
}

impl<'t> Page<'t> {
    fn said(&mut self, message: &'t ThreadMessage) {
        let ThreadMessage { id, author, text, at, said_by, state, reason, left_at, .. } = message;
        let who = match (author, said_by) {
            (Author::Ai, _) => format!("AI, as {}", self.thread.manager),
            (Author::Operator, Some(by)) => format!("operator {by}"),
            (author, _) => shown_author(*author).to_owned(),
        };
        let line = match state {
            None => format!("{} {who}", clock(*at)),
            Some(
                state @ (MessageState::InDoubt | MessageState::Failed | MessageState::Discarded),
            ) => {
                let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("{} ! {who}, m{id} {state}{why}", clock(*at))
            }
            Some(state) => format!("{} {who}, {state}{}", clock(*at), left_late(*at, *left_at)),
        };
        let page = &mut self.text;
        page.push('\n');
        page.push_str(&wrapped_to(&line, self.style.width, 4));
        // Further in than any line of ours: what is said cannot look like one.
        for line in text.lines() {
            page.push_str(wrapped_to(&format!("    {line}"), self.style.width, 0).trim_end());
            page.push('\n');
        }
        self.told.push(text);
        self.in_events = false;
    }

    fn happened(&mut self, event: &'t ThreadEvent) {
        let ThreadEvent { at, event, by, detail } = event;
        if !self.in_events {
            self.text.push('\n');
        }
        let told = self.evidence(detail);
        let line = format!("{} * {event}, by {by}{told}", clock(*at));
        self.text.push_str(&wrapped_to(&line, self.style.width, 4));
        self.in_events = true;
    }

    /// The evidence and the reason of an event, as far as they are news.
    fn evidence(&mut self, detail: &'t Value) -> String {
        let text = |name: &str| detail.get(name).and_then(Value::as_str);
        let mut parts = Vec::new();
        if let Some(contact) = text("contact").filter(|contact| !contact.is_empty()) {
            let contact = shown(contact, self.style.shows_addresses);
            parts.push(format!("{} {contact}", text("contact_kind").unwrap_or("contact")));
        }
        for (name, mark, end) in [("summary", "", ""), ("quote", "“", "”"), ("reason", "", "")]
        {
            let Some(words) = text(name).filter(|words| !words.is_empty()) else { continue };
            let is_told = |told: &&str| match name {
                // A quote is a part of what was said.
                "quote" => holds(told, words),
                _ => bare(told) == bare(words),
            };
            if !self.told.iter().any(is_told) {
                parts.push(format!("{mark}{words}{end}"));
                self.told.push(words);
            }
        }
        if let Some(micros) = detail.get("granted_micros").and_then(Value::as_i64) {
            parts.push(format!("${} granted", MicroUsd::from_micros(micros)));
        }
        if let (Some(message), Some(word)) =
            (detail.get("message").and_then(Value::as_i64), text("as"))
        {
            let became = match word {
                "sent" => "counts as sent",
                // As older versions wrote it.
                "retry" | "not sent" => "is sent again",
                _ => "is not sent again",
            };
            parts.push(format!("m{message} {became}"));
        }
        if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
    }
}

/// What leaves within this leaves at once, as people see it.
const AT_ONCE: TimeDelta = TimeDelta::seconds(3);

/// When a message left, where that was later than it was written.
fn left_late(at: DateTime<Utc>, left_at: Option<DateTime<Utc>>) -> String {
    match left_at {
        Some(left_at) if left_at - at >= AT_ONCE => {
            let form = if left_at.date_naive() == at.date_naive() {
                "; it left %H:%M:%S"
            } else {
                "; it left %Y-%m-%d %H:%M:%S"
            };
            left_at.format(form).to_string()
        }
        _ => String::new(),
    }
}
