//! What the rehearsal remembers of each person: how much they heard, and when they wrote.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::journal::{Direction, Entry};
use crate::domain::kind::ChannelKind;

/// More people than a rehearsal is watched with; whoever comes after them never answers.
const PEOPLE_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Acquaintances {
    people: HashMap<(String, String), Acquaintance>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Acquaintance {
    heard: usize,
    /// Before they heard anything of us.
    wrote_first: bool,
    wrote_at: Option<DateTime<Utc>>,
}

impl Acquaintances {
    /// Learns from a line of the journal. Which row of their lines the person says next, where it is a
    /// message of ours that reached a person who may answer it. Who wrote first has said the first row.
    pub(super) fn learn(&mut self, entry: &Entry) -> Option<usize> {
        let key = (entry.channel.clone(), entry.address.clone());
        let full = self.people.len() >= PEOPLE_MAX && !self.people.contains_key(&key);
        if full || !(entry.is_delivery() || entry.direction == Direction::FromPerson) {
            return None;
        }
        let person = self.people.entry(key).or_default();
        if entry.direction == Direction::FromPerson {
            person.wrote_first |= person.heard == 0;
            person.wrote_at = DateTime::from_timestamp_millis(entry.at_ms);
            return None;
        }
        person.heard += 1;
        Some(person.heard - 1 + usize::from(person.wrote_first))
    }

    pub(super) fn has_written(&self, channel: &str, address: &str) -> bool {
        self.wrote_at(channel, address).is_some()
    }

    /// The person wrote so lately that a free text may be sent.
    pub(super) fn window_is_open(
        &self,
        kind: ChannelKind,
        channel: &str,
        address: &str,
        now: DateTime<Utc>,
    ) -> bool {
        let age = self.wrote_at(channel, address).map(|at| (now - at).to_std().unwrap_or_default());
        let window = kind.facts().reply_window;
        age.is_some_and(|age| window.is_none_or(|window| age < window))
    }

    fn wrote_at(&self, channel: &str, address: &str) -> Option<DateTime<Utc>> {
        self.people.get(&(channel.to_owned(), address.to_owned()))?.wrote_at
    }
}
