//! The stream of an account: its messages in order, for the providers that are asked for what arrived.

use std::collections::{HashMap, VecDeque};

use super::journal::{Direction, Entry};

/// What is kept of an account's stream, for its history.
const KEPT_MAX: usize = 10_000;

/// How far back a check may begin: as VK has it for whoever names no `pts`.
const CHECK_BACK_MAX: usize = 256;

/// VK lets a key expire after hours; here a rehearsal of a minute sees it.
const KEY_CHECKS_MAX: u64 = 50;

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
    Messages(Vec<Entry>),
    /// The place is further back than a check may begin.
    TooOld,
    /// The place never was: the stream is another.
    Unknown,
}

/// A part of the stream from a place on.
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Where the next one begins.
    pub(super) next: usize,
    pub(super) more: bool,
}

impl Streams {
    /// Keeps a message; passes over everything else.
    pub(super) fn append(&mut self, entry: &Entry) {
        if !(entry.is_delivery() || entry.direction == Direction::FromPerson) {
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

    /// What is kept of it, in order.
    pub(super) fn messages(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.messages.iter()
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
        match self.messages.iter().skip(place - self.dropped).cloned().collect::<Vec<_>>() {
            messages if messages.is_empty() => Since::Nothing,
            messages => Since::Messages(messages),
        }
    }

    /// Up to `entries_max` messages from a place on; `None` where the stream does not reach back that far.
    pub(super) fn page(&self, place: i64, entries_max: usize) -> Option<Page> {
        let place = usize::try_from(place).ok()?.checked_sub(self.dropped)?;
        let entries: Vec<_> = self.messages.iter().skip(place).take(entries_max).cloned().collect();
        let next = place + entries.len();
        Some(Page { entries, next: self.dropped + next, more: next < self.messages.len() })
    }
}
