//! The rehearsal's providers, in this process: they outlive the programs that tests kill.

use std::{path::PathBuf, time::Duration};

use nuncio::{
    clock,
    domain::kind::ChannelKind,
    rehearsal::{
        AiEntry, Entry, Options, Rehearsal, ai_journal, read_ai_journal, read_journal, start,
    },
};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) struct Providers {
    rehearsal: Rehearsal,
    journal: PathBuf,
    _folder: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Providers {
    /// Providers that answer after `delay`, with or without the table of faults.
    pub(crate) fn start(delay: Duration, faults: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            faults,
            hang_for: Duration::from_secs(30),
            answer_delay: delay,
            people: None,
            journal: Some(journal.clone()),
            clock: clock::now,
        };
        let tracker = TaskTracker::new();
        let rehearsal =
            runtime.block_on(start(options, CancellationToken::new(), &tracker)).unwrap();
        Self { rehearsal, journal, _folder: folder, _runtime: runtime }
    }

    pub(crate) fn endpoint(&self, kind: ChannelKind) -> String {
        self.rehearsal.endpoint(kind).unwrap()
    }

    pub(crate) fn ai_endpoint(&self) -> String {
        self.rehearsal.ai_endpoint()
    }

    /// Every call of the AI, oldest first.
    pub(crate) fn ai_journal(&self) -> Vec<AiEntry> {
        read_ai_journal(&ai_journal(&self.journal)).unwrap()
    }

    /// The credential by which a provider knows a channel, or the AI's server an AI.
    pub(crate) fn secret(channel: &str, credential: &str) -> String {
        Rehearsal::secret(channel, credential).reveal().to_owned()
    }

    /// Everything that the providers saw, oldest first.
    pub(crate) fn journal(&self) -> Vec<Entry> {
        if self.journal.exists() { read_journal(&self.journal).unwrap() } else { Vec::new() }
    }

    pub(crate) fn deliveries(&self) -> Vec<Entry> {
        self.journal().into_iter().filter(Entry::is_delivery).collect()
    }
}
