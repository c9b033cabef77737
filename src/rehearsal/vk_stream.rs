//! The stream of a VK account: its messages in order, as the long poll and the history tell them.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::{
    journal::{Direction, Entry},
    people::PICTURE,
};
use crate::domain::kind::ChannelKind;

/// What is kept of an account's stream, for its history.
const KEPT_MAX: usize = 10_000;

/// How far back a check may begin: as VK has it for whoever names no `pts`.
const CHECK_BACK_MAX: usize = 256;

/// VK lets a key expire after hours; here a rehearsal of a minute sees it.
const KEY_CHECKS_MAX: u64 = 50;

/// The messages of a page of the history.
const PAGE_MAX: usize = 200;

const OUTBOX: i64 = 2;
const UNREAD: i64 = 1;

/// The streams of all accounts, by the channel.
#[derive(Debug, Default)]
pub(super) struct Streams(HashMap<String, Stream>);

#[derive(Debug, Default)]
pub(super) struct Stream {
    messages: VecDeque<Entry>,
    /// Messages that are no longer kept.
    dropped: usize,
    checks: u64,
}

/// What a check with a place gets.
pub(super) enum Since {
    Nothing,
    Updates(Vec<Value>),
    /// The place is further back than a check may begin.
    TooOld,
    /// The place never was: the stream is another.
    Unknown,
}

impl Streams {
    /// Keeps a message of VK's; passes over everything else.
    pub(super) fn append(&mut self, entry: &Entry) {
        let is_message = entry.is_delivery() || entry.direction == Direction::FromPerson;
        if entry.provider != ChannelKind::VkUser.as_str() || !is_message {
            return;
        }
        let stream = self.of(&entry.channel);
        if stream.messages.len() == KEPT_MAX {
            stream.messages.pop_front();
            stream.dropped += 1;
        }
        stream.messages.push_back(entry.clone());
    }

    pub(super) fn of(&mut self, channel: &str) -> &mut Stream {
        self.0.entry(channel.to_owned()).or_default()
    }
}

impl Stream {
    /// Where "now" is.
    pub(super) fn end(&self) -> usize {
        self.dropped + self.messages.len()
    }

    /// The key that is good now.
    pub(super) fn key(&self) -> String {
        format!("key.{}", self.checks / KEY_CHECKS_MAX)
    }

    /// Counts a check, with which the key may end.
    pub(super) fn count_check(&mut self) {
        self.checks += 1;
    }

    pub(super) fn since(&self, place: i64) -> Since {
        let Ok(place) = usize::try_from(place) else { return Since::Unknown };
        if place > self.end() {
            return Since::Unknown;
        }
        if place < self.dropped || self.end() - place > CHECK_BACK_MAX {
            return Since::TooOld;
        }
        match self.messages.iter().skip(place - self.dropped).map(event).collect::<Vec<_>>() {
            updates if updates.is_empty() => Since::Nothing,
            updates => Since::Updates(updates),
        }
    }

    /// A page of the history; `None` where it does not reach back that far.
    pub(super) fn history(&self, place: i64) -> Option<Value> {
        let place = usize::try_from(place).ok()?.checked_sub(self.dropped)?;
        let page: Vec<_> = self.messages.iter().skip(place).take(PAGE_MAX).collect();
        let next = place + page.len();
        let items: Vec<_> = page.iter().map(|entry| item(entry)).collect();
        let mut history = json!({
            "history": page.iter().map(|entry| event(entry)).collect::<Vec<_>>(),
            "messages": { "count": items.len(), "items": items },
            "new_pts": self.dropped + next,
        });
        if next < self.messages.len() {
            history["more"] = json!(1);
        }
        Some(history)
    }
}

fn is_ours(entry: &Entry) -> bool {
    entry.direction == Direction::ToPerson
}

fn words(entry: &Entry) -> (&str, bool) {
    if entry.text == PICTURE { ("", true) } else { (&entry.text, false) }
}

/// Texts of events are HTML, as VK has it.
fn event(entry: &Entry) -> Value {
    let (text, picture) = words(entry);
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\n', "<br>");
    let attachments =
        if picture { json!({ "attach1_type": "photo", "attach1": "1_1" }) } else { json!({}) };
    let flags = if is_ours(entry) { OUTBOX | UNREAD } else { UNREAD };
    let peer: i64 = entry.address.parse().unwrap_or_default();
    let (id, seconds) = (entry.message_id.unwrap_or_default(), entry.at_ms / 1_000);
    let more = json!({ "title": " ... " });
    let random_id = entry.key.unwrap_or_default();
    json!([4, id, flags, peer, seconds, text, more, attachments, random_id])
}

fn item(entry: &Entry) -> Value {
    let (text, picture) = words(entry);
    let peer: i64 = entry.address.parse().unwrap_or_default();
    json!({
        "id": entry.message_id, "date": entry.at_ms / 1_000, "peer_id": peer,
        "from_id": if is_ours(entry) { 1 } else { peer }, "out": i32::from(is_ours(entry)),
        "text": text, "random_id": entry.key.unwrap_or_default(),
        "attachments": if picture { json!([{ "type": "photo" }]) } else { json!([]) },
    })
}
