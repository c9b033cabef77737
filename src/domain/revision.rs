//! History: every write of the desired state is a numbered revision.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};

use super::{contact::AudienceChange, fields::Fields, phase::Phase, subject::Subject, word::words};

words! {
    /// What made a revision.
    Cause {
        Apply = "apply", Rollback = "rollback", Start = "start", Pause = "pause", Stop = "stop",
        Delete = "delete", Resume = "resume",
    }

    /// What became of a subject in a revision.
    Action { Create = "create", Update = "update", Recreate = "recreate", Delete = "delete" }
}

/// Counts from 1, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevisionNumber(pub i64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no number of a revision: they count from 1")]
pub struct InvalidRevision(String);

impl FromStr for RevisionNumber {
    type Err = InvalidRevision;

    fn from_str(text: &str) -> Result<Self, InvalidRevision> {
        match text.parse() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(InvalidRevision(text.to_owned())),
        }
    }
}

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who writes, why, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    pub cause: Cause,
    pub by: String,
    /// The commit of the working tree that the manifests came from.
    pub commit: Option<String>,
    /// Whether they differed from that commit; absent where nobody could say.
    pub dirty: Option<bool>,
    pub message: Option<String>,
}

impl Provenance {
    pub fn new(cause: Cause, by: &str) -> Self {
        Self { cause, by: by.to_owned(), commit: None, dirty: None, message: None }
    }
}

#[derive(Clone, Debug)]
pub struct Revision {
    pub number: RevisionNumber,
    pub at: DateTime<Utc>,
    pub provenance: Provenance,
    /// By kind and name.
    pub changes: Vec<RevisionChange>,
}

/// One subject in a revision.
#[derive(Clone, Debug)]
pub struct RevisionChange {
    pub subject: Subject,
    pub action: Action,
    /// The specification that the revision found; absent for a new subject, or where only the phase
    /// changed.
    pub before: Option<Fields>,
    pub after: Option<Fields>,
    pub audience: Option<AudienceChange>,
    pub phase: Option<PhaseMove>,
}

/// A task's phase before and after; a new task had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseMove {
    pub from: Option<Phase>,
    pub to: Phase,
}
