//! The journal: what the fake providers delivered and refused, one line of JSON each.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    fs::File,
    io,
    path::Path,
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::lines::{append_line, open_lines, read_lines};

/// The entries that are kept in memory beside the file, for tests and for a glance.
const RECENT_MAX: usize = 10_000;

/// Whose act a line of the journal tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// A message of ours.
    #[default]
    ToPerson,
    /// A person's words.
    FromPerson,
    /// A webhook that the provider brought us, or tried to.
    Push,
    /// "Read" or "typing", shown to the person.
    Sign,
}

/// How a call ended, as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Verdict {
    Delivered,
    AnswerWithheld,
    RepeatDropped,
    Refused(String),
}

/// One call, word or webhook. Its address is in the normal form of `nuncio`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(default, skip_serializing_if = "Direction::is_to_person")]
    pub direction: Direction,
    pub at: String,
    pub at_ms: i64,
    pub provider: String,
    /// Empty where the provider did not know the account.
    pub channel: String,
    pub address: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<i64>,
    /// What was attached for the message's later status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    pub verdict: Verdict,
    /// The row of the table of faults, where one made the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The message, or the one that a webhook tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a provider is asked to do, before there is a verdict.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) direction: Direction,
    pub(super) provider: &'static str,
    pub(super) channel: String,
    pub(super) address: String,
    pub(super) text: String,
    pub(super) key: Option<i64>,
    pub(super) attempt: Option<String>,
    pub(super) note: Option<&'static str>,
    /// The message that it is about, where it is not one itself.
    pub(super) about: Option<i64>,
}

/// The journal's file with what the providers remember of it.
#[derive(Debug, Default)]
pub(super) struct Journal {
    file: Option<File>,
    recent: VecDeque<Entry>,
    /// The first message of every key: VK drops repeats for ever.
    first_ids: HashMap<(String, i64), i64>,
    /// The calls that met a fault which only the first call meets.
    faulted: HashSet<(String, String, String)>,
    last_id: i64,
}

/// Reads a journal. A torn last line, which a killed rehearsal leaves, is passed over.
pub fn read_journal(path: &Path) -> io::Result<Vec<Entry>> {
    read_lines(path)
}

impl Journal {
    /// Opens the journal and remembers what it says, as `learn` may. Without a path it is kept in
    /// memory only.
    pub(super) fn open(path: Option<&Path>, mut learn: impl FnMut(&Entry)) -> io::Result<Self> {
        let mut journal = Self::default();
        let Some(path) = path else { return Ok(journal) };
        let file = open_lines(path)?;
        for entry in read_journal(path)? {
            learn(&entry);
            journal.remember(entry);
        }
        journal.file = Some(file);
        Ok(journal)
    }

    /// Writes the line first: what is not in the file was not done.
    pub(super) fn append(
        &mut self,
        call: &Call,
        at: DateTime<Utc>,
        verdict: Verdict,
        fault: Option<&str>,
    ) -> io::Result<Entry> {
        let message_id = match (&verdict, call.key) {
            _ if !call.direction.is_message() => call.about,
            (Verdict::Delivered | Verdict::AnswerWithheld, _) => Some(self.last_id + 1),
            (Verdict::RepeatDropped, Some(key)) => self.first_id(&call.channel, key),
            _ => None,
        };
        let entry = Entry {
            direction: call.direction,
            at: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            at_ms: at.timestamp_millis(),
            provider: call.provider.to_owned(),
            channel: call.channel.clone(),
            address: call.address.clone(),
            text: call.text.clone(),
            key: call.key,
            attempt: call.attempt.clone(),
            verdict,
            fault: fault.map(str::to_owned),
            message_id,
            note: call.note.map(str::to_owned),
        };
        if let Some(file) = &mut self.file {
            append_line(file, &entry)?;
        }
        self.remember(entry.clone());
        Ok(entry)
    }

    pub(super) fn first_id(&self, channel: &str, key: i64) -> Option<i64> {
        self.first_ids.get(&(channel.to_owned(), key)).copied()
    }

    pub(super) fn has_met(&self, call: &Call, fault: &str) -> bool {
        self.faulted.contains(&met(call.provider, &call.channel, &call.address, fault))
    }

    pub(super) fn recent(&self) -> Vec<Entry> {
        self.recent.iter().cloned().collect()
    }

    fn remember(&mut self, entry: Entry) {
        if let Some(fault) = &entry.fault {
            self.faulted.insert(met(&entry.provider, &entry.channel, &entry.address, fault));
        }
        if let Some(id) = entry.message_id {
            self.last_id = self.last_id.max(id);
            if let Some(key) = entry.key {
                self.first_ids.entry((entry.channel.clone(), key)).or_insert(id);
            }
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
    }
}

fn met(provider: &str, channel: &str, address: &str, fault: &str) -> (String, String, String) {
    (format!("{provider} {fault}"), channel.to_owned(), address.to_owned())
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::AnswerWithheld => f.write_str("delivered, answer withheld"),
            Self::RepeatDropped => f.write_str("repeat dropped"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl From<Verdict> for String {
    fn from(verdict: Verdict) -> Self {
        verdict.to_string()
    }
}

impl From<String> for Verdict {
    fn from(text: String) -> Self {
        match text.as_str() {
            "delivered" => Self::Delivered,
            "delivered, answer withheld" => Self::AnswerWithheld,
            "repeat dropped" => Self::RepeatDropped,
            other => Self::Refused(other.strip_prefix("refused: ").unwrap_or(other).to_owned()),
        }
    }
}

impl Direction {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(super) fn is_to_person(&self) -> bool {
        *self == Self::ToPerson
    }

    fn is_message(self) -> bool {
        matches!(self, Self::ToPerson | Self::FromPerson)
    }
}

impl Entry {
    /// The person has the message because of this call.
    pub fn is_delivery(&self) -> bool {
        self.direction == Direction::ToPerson
            && matches!(self.verdict, Verdict::Delivered | Verdict::AnswerWithheld)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn call(address: &str, key: i64) -> Call {
        Call {
            provider: "vk-user",
            channel: "vk-one".to_owned(),
            address: address.to_owned(),
            text: "Привет\n\"you\"".to_owned(),
            key: Some(key),
            ..Call::default()
        }
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let mut journal = Journal::open(Some(&path), |_| {}).unwrap();
        let first = journal.append(&call("1", 7), at, Verdict::Delivered, None).unwrap();
        assert_eq!(
            (first.at.as_str(), first.at_ms),
            ("2023-11-14T22:13:20.123Z", at.timestamp_millis())
        );
        drop(journal);
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"at\":\"2023")
            .unwrap();
        assert_eq!(read_journal(&path).unwrap(), std::slice::from_ref(&first));

        let mut journal = Journal::open(Some(&path), |_| {}).unwrap();
        assert_eq!(journal.first_id("vk-one", 7), Some(1));
        let refused = Verdict::Refused("too many".to_owned());
        let second = journal.append(&call("20429", 8), at, refused, Some("0429")).unwrap();
        drop(journal);
        assert_eq!(read_journal(&path).unwrap(), [first, second]);
        assert!(Journal::open(Some(&path), |_| {}).unwrap().has_met(&call("20429", 9), "0429"));
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, "{}\n{}\n").unwrap();
        let error = read_journal(&path).unwrap_err();
        assert!(error.to_string().starts_with("line 1 "), "{error}");
    }
}
