//! A report: one event of a dialogue, told to an integration at least once and known by its id.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    address::Address,
    id::{ChannelName, DialogueId, ReportId, ResourceName, TaskName},
    resource::DialogueEvent,
    word::words,
};

words! {
    /// How far a report has come.
    ReportState {
        /// To be delivered now or later.
        Waiting = "waiting",
        Sent = "sent",
        /// Given up; an operator may replay it.
        Dead = "dead",
    }
}

/// Characters of a report's texts that are kept. The smallest receiver, a Telegram message, takes 4096.
pub const SUMMARY_CHARACTERS_MAX: usize = 2_000;
/// A CRM's comment that is longer is read by nobody, and Bitrix24 cuts a text column at 64 KiB.
pub const TRANSCRIPT_CHARACTERS_MAX: usize = 12_000;

/// Who it is about, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportContact {
    /// As the channel knows the person.
    pub address: Address,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
}

/// An event that happened in a dialogue and is to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReport {
    pub dialogue: DialogueId,
    pub task: TaskName,
    pub channel: ChannelName,
    pub event: DialogueEvent,
    pub at: DateTime<Utc>,
    /// What the person said that shows it.
    pub evidence: String,
    pub contact: ReportContact,
    pub summary: String,
    /// The dialogue as a person reads it; its end where it is long.
    pub transcript: String,
    /// The name of the virtual employee.
    pub manager: String,
}

/// A report on its way to its integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The same for every try, so that a receiver can drop a repeat.
    pub id: ReportId,
    /// The first report of this dialogue to this integration: names the lead that all of them share.
    pub origin: ReportId,
    pub integration: ResourceName,
    pub new: NewReport,
}

/// One try to deliver a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportCall<'a> {
    pub report: &'a Report,
    /// Every try there ever was, with this one. Past the first an earlier one may have arrived.
    pub tries: u32,
    /// What the receiver called the lead when an earlier report of the dialogue arrived.
    pub remote_id: Option<&'a str>,
    pub now: DateTime<Utc>,
}

/// How one try ended. Reasons are for people: never an address, a text or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    Done {
        /// The lead that later reports of the dialogue belong to, where the receiver has such a thing.
        remote_id: Option<String>,
    },
    /// It failed, or nobody knows: the same report is tried again, not before `after`.
    Retry { after: Option<Duration>, reason: String },
    /// The receiver is asked too much: nothing goes there for a while, and no try is lost by it.
    Throttled { after: Duration, reason: String },
    /// The receiver wants nothing any more, until its manifest is changed.
    Gone { reason: String },
    /// It will never take this one.
    Refused { reason: String },
}

impl NewReport {
    /// What makes this event another one than an earlier of its kind in the dialogue. A chat succeeds
    /// once, however often and in whatever words an AI says so; a contact is obtained once by its value.
    pub fn about(&self) -> String {
        let ReportContact { phone, email, .. } = &self.contact;
        match self.event {
            DialogueEvent::Success | DialogueEvent::Interest => String::new(),
            DialogueEvent::ContactObtained => {
                let word = |text: &Option<String>| {
                    text.as_deref().unwrap_or_default().trim().to_lowercase()
                };
                format!("{}\n{}", word(phone), word(email))
            }
        }
    }

    /// The report as it is kept: what is too long loses its middle or its beginning.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.evidence = head(&self.evidence, SUMMARY_CHARACTERS_MAX);
        self.summary = head(&self.summary, SUMMARY_CHARACTERS_MAX);
        self.transcript = tail(&self.transcript, TRANSCRIPT_CHARACTERS_MAX);
        self
    }
}

/// The beginning of a text, marked where it was cut. Without the one character that Postgres refuses.
pub fn head(text: &str, characters: usize) -> String {
    let text = text.replace('\0', "");
    match text.char_indices().nth(characters) {
        None => text,
        Some(_) => text.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The end of a text: of a dialogue that is what was agreed.
fn tail(text: &str, characters: usize) -> String {
    let text = text.replace('\0', "");
    let count = text.chars().count();
    if count <= characters {
        return text;
    }
    let kept = text.chars().skip(count - characters.saturating_sub(1));
    ['…'].into_iter().chain(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_what_counts() {
        for (text, cut_head, cut_tail) in [
            ("", "", ""),
            ("abcd", "abcd", "abcd"),
            ("abcde", "abc…", "…cde"),
            ("жёлтый", "жёл…", "…тый"),
            ("a\0b", "ab", "ab"),
        ] {
            assert_eq!((head(text, 4), tail(text, 4)), (cut_head.to_owned(), cut_tail.to_owned()));
        }
    }
}
