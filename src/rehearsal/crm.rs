//! What the fake CRMs share: their journal, which is all that they remember, and how a call meets its fault.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::Router;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    account, crm_amocrm, crm_bitrix24, crm_telegram, crm_webhook,
    faults::{self, Fault},
    journal::Verdict,
    lines::{drop_torn_line, read_lines},
    server::Options,
};
use crate::domain::{channel::Secret, resource::IntegrationKind};

/// What a CRM remembers of a rehearsal; the file has everything.
const ENTRIES_MAX: usize = 100_000;

/// An integration's name with this word is one whose receiver wants nothing any more.
pub(super) const GONE: &str = "gone";
/// An integration's name with this word is a Bitrix24 portal that works without leads.
pub(super) const SIMPLE: &str = "simple";

/// One thing that a CRM was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrmEntry {
    pub at: String,
    pub receiver: String,
    pub integration: String,
    /// `report`, `lead`, `deal`, `contact`, `comment`, `note` or `message`.
    pub action: String,
    /// By what it is found again: an origin, or the id of a report.
    pub key: String,
    /// What a comment or a note stands below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<i64>,
    pub text: String,
    pub verdict: Verdict,
    /// The row of the table of faults, where one made the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
}

impl CrmEntry {
    /// The CRM has it because of this call.
    pub fn is_kept(&self) -> bool {
        matches!(self.verdict, Verdict::Delivered | Verdict::AnswerWithheld)
    }
}

/// What a CRM is to write down.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) receiver: &'static str,
    pub(super) integration: String,
    pub(super) action: &'static str,
    pub(super) key: String,
    pub(super) parent: Option<i64>,
    pub(super) text: String,
    /// The address of the person, by whose ending a fault is met.
    pub(super) address: String,
}

/// What became of it.
pub(super) enum Taken {
    Kept(i64),
    Fault(Fault),
}

pub(super) struct Crm {
    options: Options,
    journal: Mutex<Journal>,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct Journal {
    file: Option<File>,
    entries: VecDeque<CrmEntry>,
    last_id: i64,
}

pub(super) fn router() -> Router<std::sync::Arc<Crm>> {
    Router::new()
        .nest("/webhook", crm_webhook::router())
        .nest("/bitrix24", crm_bitrix24::router())
        .nest("/amocrm", crm_amocrm::router())
        .nest("/telegram", crm_telegram::router())
}

/// The path below which an integration is found; for Bitrix24 with its secret.
pub(super) fn path_of(kind: IntegrationKind, integration: &str) -> String {
    let name = kind.as_str().trim_end_matches("-notification");
    let secret = account::secret(integration, "url");
    match kind {
        IntegrationKind::Bitrix24 => {
            format!("crm/{name}/{integration}/rest/1/{}/", secret.reveal())
        }
        _ => format!("crm/{name}/{integration}"),
    }
}

/// The fake credential of an integration; a signing secret has the form of one.
pub(super) fn secret(integration: &str, credential: &str) -> Secret {
    match credential {
        "secret" => crm_webhook::secret(integration),
        _ => account::secret(integration, credential),
    }
}

/// Where the CRMs' journal is: beside the providers' one.
pub fn crm_journal(journal: &Path) -> PathBuf {
    journal.with_extension("crm.jsonl")
}

/// Reads a CRMs' journal. A torn last line, which a killed rehearsal leaves, is passed over.
pub fn read_crm_journal(path: &Path) -> io::Result<Vec<CrmEntry>> {
    read_lines(path)
}

impl Crm {
    pub(super) fn open(options: Options, shutdown: CancellationToken) -> io::Result<Self> {
        let mut journal = Journal::default();
        if let Some(path) = options.journal.as_deref().map(crm_journal) {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            drop_torn_line(&mut file)?;
            file.rewind()?;
            let lines = BufReader::new(&file).lines().map_while(Result::ok);
            for entry in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                journal.remember(entry);
            }
            journal.file = Some(file);
        }
        Ok(Self { options, journal: Mutex::new(journal), shutdown })
    }

    pub(super) fn entries(&self) -> Vec<CrmEntry> {
        self.journal().entries.iter().cloned().collect()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.options.clock)()
    }

    pub(super) fn is_gone(&self, integration: &str) -> bool {
        self.options.faults && integration.contains(GONE)
    }

    /// The first thing that the CRM keeps and that is as asked for.
    pub(super) fn find(&self, is_it: impl Fn(&CrmEntry) -> bool) -> Option<CrmEntry> {
        self.journal().entries.iter().find(|entry| entry.is_kept() && is_it(entry)).cloned()
    }

    /// Everything that the CRM keeps and that is as asked for, the latest first.
    pub(super) fn list(&self, is_it: impl Fn(&CrmEntry) -> bool) -> Vec<CrmEntry> {
        let journal = self.journal();
        journal
            .entries
            .iter()
            .rev()
            .filter(|entry| entry.is_kept() && is_it(entry))
            .cloned()
            .collect()
    }

    pub(super) fn note(&self, told: &Told, verdict: Verdict) -> io::Result<CrmEntry> {
        self.journal().append(told, self.now(), verdict, None)
    }

    /// Keeps it, unless a fault is met. Where the answer is to be withheld, this takes as long as it is.
    pub(super) async fn keep(&self, told: &Told) -> io::Result<Taken> {
        let entry = self.keep_at_once(told)?;
        let length = match &entry {
            Ok(entry) if entry.verdict == Verdict::AnswerWithheld => self.options.hang_for,
            _ => self.options.answer_delay,
        };
        if !length.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(length) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        Ok(match entry {
            Ok(entry) => Taken::Kept(entry.id.unwrap_or_default()),
            Err(fault) => Taken::Fault(fault),
        })
    }

    fn keep_at_once(&self, told: &Told) -> io::Result<Result<CrmEntry, Fault>> {
        let now = self.now();
        let mut journal = self.journal();
        let row = self.options.faults.then(|| faults::of_address(&told.address)).flatten();
        let met = |ending: &str| {
            journal.entries.iter().any(|entry| {
                entry.fault.as_deref() == Some(ending)
                    && entry.integration == told.integration
                    && entry.text == told.text
                    && entry.key == told.key
            })
        };
        let row = row.filter(|row| !(row.once && met(row.ending)));
        match row.map(|row| (row.fault, row.ending)) {
            Some((Fault::AnswerWithheld, ending)) => {
                journal.append(told, now, Verdict::AnswerWithheld, Some(ending)).map(Ok)
            }
            Some((fault @ (Fault::TooMany | Fault::Unavailable), ending)) => {
                let verdict = Verdict::Refused(fault.to_string());
                journal.append(told, now, verdict, Some(ending)).map(|_| Err(fault))
            }
            // The other faults are those of messengers.
            _ => journal.append(told, now, Verdict::Delivered, None).map(Ok),
        }
    }

    /// A handler that panicked left at worst a line that was not written.
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Writes the line first: what is not in the file was not done.
    fn append(
        &mut self,
        told: &Told,
        at: DateTime<Utc>,
        verdict: Verdict,
        fault: Option<&str>,
    ) -> io::Result<CrmEntry> {
        let mut entry = CrmEntry {
            at: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            receiver: told.receiver.to_owned(),
            integration: told.integration.clone(),
            action: told.action.to_owned(),
            key: told.key.clone(),
            parent: told.parent,
            text: told.text.clone(),
            verdict,
            fault: fault.map(str::to_owned),
            id: None,
        };
        entry.id = entry.is_kept().then_some(self.last_id + 1);
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.flush()?;
        }
        self.remember(entry.clone());
        Ok(entry)
    }

    fn remember(&mut self, entry: CrmEntry) {
        self.last_id = self.last_id.max(entry.id.unwrap_or_default());
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

/// The person's address as a report's words have it.
pub(super) fn address_in(text: &str) -> String {
    let address = text.lines().find_map(|line| line.strip_prefix("Address: "));
    address.unwrap_or_default().to_owned()
}
