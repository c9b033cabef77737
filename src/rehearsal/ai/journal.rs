//! The AI's journal: what was asked, answered and billed, one line of JSON a call.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{money::MicroUsd, resource::Prices},
    rehearsal::lines::{append_line, open_lines, read_lines},
};

/// The entries that are kept in memory beside the file, for tests and for a glance.
const RECENT_MAX: usize = 10_000;

/// One call. Tokens are those that are billed; a refused call has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AiEntry {
    pub at: String,
    pub at_ms: i64,
    /// The AI that the key belongs to; empty where the key is unknown.
    pub ai: String,
    /// Whom the call is for, where the caller says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub model: String,
    /// Of the HTTP answer.
    pub status: u16,
    /// The code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The row of the table of faults, where one was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The person's last words.
    pub said: String,
    /// What was answered, also where nobody got to read it.
    pub answer: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub completion_tokens: u64,
    pub reasoning_tokens: u64,
}

impl AiEntry {
    pub fn is_billed(&self) -> bool {
        self.prompt_tokens > 0
    }

    /// What the call cost at these prices, rounded up. Not the client's own arithmetic: it is what
    /// that is compared with.
    pub fn billed(&self, prices: &Prices) -> MicroUsd {
        let fresh = i128::from(self.prompt_tokens - self.cached_tokens);
        let parts = [
            (fresh, prices.input),
            (i128::from(self.cached_tokens), prices.cached_input),
            (i128::from(self.completion_tokens), prices.output),
        ];
        let millionths: i128 =
            parts.iter().map(|(tokens, price)| tokens * i128::from(price.micros())).sum();
        let micros = (millionths + 999_999) / 1_000_000;
        MicroUsd::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// Where the AI's journal is: beside the providers' one.
pub fn ai_journal(journal: &Path) -> PathBuf {
    journal.with_extension("ai.jsonl")
}

/// Reads an AI's journal. A torn last line, which a killed rehearsal leaves, is passed over.
pub fn read_ai_journal(path: &Path) -> io::Result<Vec<AiEntry>> {
    read_lines(path)
}

/// The file, and which calls met a fault that only the first call meets.
#[derive(Debug, Default)]
pub(super) struct AiJournal {
    file: Option<File>,
    recent: VecDeque<AiEntry>,
    met: HashSet<[String; 3]>,
    length: u64,
}

impl AiJournal {
    /// Opens the journal beside the providers' one and remembers what it says.
    pub(super) fn open(providers: Option<&Path>) -> io::Result<Self> {
        let mut journal = Self::default();
        let Some(path) = providers.map(ai_journal) else { return Ok(journal) };
        let file = open_lines(&path)?;
        for entry in read_ai_journal(&path)? {
            journal.remember(entry);
        }
        journal.file = Some(file);
        Ok(journal)
    }

    /// Writes the line first: what is not in the file is not billed.
    pub(super) fn append(&mut self, entry: AiEntry) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            append_line(file, &entry)?;
        }
        self.remember(entry);
        Ok(())
    }

    pub(super) fn has_met(&self, ai: &str, said: &str, fault: &str) -> bool {
        self.met.contains(&[ai, said, fault].map(str::to_owned))
    }

    /// How many calls there were.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn recent(&self) -> Vec<AiEntry> {
        self.recent.iter().cloned().collect()
    }

    fn remember(&mut self, entry: AiEntry) {
        if let Some(fault) = &entry.fault {
            self.met.insert([entry.ai.clone(), entry.said.clone(), fault.clone()]);
        }
        self.length += 1;
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
    }
}
