//! An error as the command line tells it: its code, its causes, the way out and the exit code.

use schemars::JsonSchema;
use serde::Serialize;

use super::{ExitStatus, usage};
use crate::{
    domain::{
        address::InvalidAddress,
        id::{ChannelName, TaskName},
        word::words,
    },
    manifest::{LoadError, nearest},
    reconcile::{ApplyError, SurveyError},
    store::{StoreError, embedded::EmbeddedError},
};

/// The version of everything that is printed as JSON.
pub(super) const FORMAT_VERSION: &str = "1.0";

words! {
    /// What kept a command from its answer: `explain` knows each by this word.
    ErrorCode {
        Usage = "usage", NotFound = "not-found", TasksFolder = "tasks-folder", Rejected = "rejected", Stale = "stale",
        Locked = "locked", DatabaseAway = "database-away", DatabaseRefused = "database-refused",
        DatabaseUrl = "database-url", DatabaseVersion = "database-version",
        DatabaseSchema = "database-schema", DatabasePurpose = "database-purpose",
        PrivateServer = "private-server", Interrupted = "interrupted", Failed = "failed",
    }
}

/// A path that holds nothing to look at: in a pipeline a wrong one must not pass for a right one.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoManifest {
    #[error("there is no manifest in `{0}`")]
    Empty(String),
    #[error("`{0}` is no manifest: its name ends neither in .yaml nor in .yml")]
    OtherFile(String),
}

/// A name that nothing has.
#[derive(Debug, thiserror::Error)]
#[error("there is no {what}")]
pub(super) struct NotFound {
    what: String,
    hint: String,
}

impl NotFound {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// A task that is neither of those that there are.
    pub(super) fn task<'a>(name: &TaskName, there: impl IntoIterator<Item = &'a TaskName>) -> Self {
        let near = nearest(name.as_str(), there.into_iter().map(TaskName::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`nuncio status` lists them".to_owned(),
        };
        Self::new(format!("task `{name}`"), hint)
    }

    /// A channel that is none of those that there are.
    pub(super) fn channel(name: &ChannelName, there: &[ChannelName]) -> Self {
        let near = nearest(name.as_str(), there.iter().map(ChannelName::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`nuncio status NAME` lists the channels of a task".to_owned(),
        };
        Self::new(format!("channel `{name}`"), hint)
    }
}

/// Arguments that only show to be wrong once they are used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadArgument(pub(super) String);

/// Words that may mean several people or things.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct Ambiguous {
    pub(super) what: String,
    pub(super) hint: String,
}

/// An error with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) status: ExitStatus,
}

/// An error as JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Failure")]
pub(super) struct FailureJson {
    /// The minor number grows with additions, the major one with anything else.
    #[schemars(regex(pattern = r"^1\.\d+$"))]
    format_version: &'static str,
    error: ErrorJson,
}

/// What kept the command from its answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
struct ErrorJson {
    /// What `nuncio explain` knows it by.
    #[schemars(extend("enum" = ErrorCode::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>()))]
    code: &'static str,
    message: String,
    /// The way out, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    hint: Option<String>,
    /// What the program exits with.
    exit_code: u8,
}

impl Failure {
    /// An error of the rooms below, with all of its causes in one line.
    pub(super) fn of_error(error: &anyhow::Error) -> Self {
        let mut message = error.to_string();
        for cause in error.chain().skip(1) {
            let cause = cause.to_string();
            // Some libraries say their causes themselves.
            if !message.contains(&cause) {
                message.push_str(": ");
                message.push_str(&cause);
            }
        }
        if let Some(NotFound { hint, .. }) = find(error) {
            let (code, hint) = (ErrorCode::NotFound, Some(hint.clone()));
            return Self { code, message, hint, status: status_of(code) };
        }
        if let Some(Ambiguous { hint, .. }) = find(error) {
            let (code, hint) = (ErrorCode::Usage, Some(hint.clone()));
            return Self { code, message, hint, status: status_of(code) };
        }
        let (code, hint) = if let Some(store) = store_error(error) {
            (code_of_store(store), store.hint())
        } else if let Some(embedded) = find::<EmbeddedError>(error) {
            (ErrorCode::PrivateServer, Some(embedded.hint()))
        } else if find::<BadArgument>(error).is_some() || find::<InvalidAddress>(error).is_some() {
            (ErrorCode::Usage, Some("`nuncio COMMAND --help` tells every option"))
        } else if find::<NoManifest>(error).is_some() {
            (ErrorCode::TasksFolder, Some("name a manifest, or a folder of them"))
        } else if find::<LoadError>(error).or_else(|| folder_error(error)).is_some() {
            (ErrorCode::TasksFolder, Some("name the folder of the manifests with --tasks DIR"))
        } else if matches!(find(error), Some(ApplyError::AudienceChanged(_))) {
            (ErrorCode::Stale, None)
        } else {
            (ErrorCode::Failed, None)
        };
        Self { code, message, hint: hint.map(str::to_owned), status: status_of(code) }
    }

    /// Arguments that the command does not have.
    pub(super) fn of_usage(error: &clap::Error) -> Self {
        let (message, hint) = usage::told(error);
        Self { code: ErrorCode::Usage, message, hint: Some(hint), status: ExitStatus::Usage }
    }

    /// A command that ended badly after it had said why.
    pub(super) fn of_status(
        status: ExitStatus,
        message: Option<String>,
        hint: Option<String>,
    ) -> Self {
        let code = match status {
            ExitStatus::Rejected => ErrorCode::Rejected,
            ExitStatus::Stale => ErrorCode::Stale,
            ExitStatus::Locked => ErrorCode::Locked,
            ExitStatus::Usage => ErrorCode::Usage,
            ExitStatus::Interrupted | ExitStatus::Terminated => ErrorCode::Interrupted,
            _ => ErrorCode::Failed,
        };
        let message = message.unwrap_or_else(|| "the command failed".to_owned());
        Self { code, message, hint, status }
    }

    pub(super) fn to_json(&self) -> String {
        let Self { code, message, hint, status } = self.clone();
        let json = FailureJson {
            format_version: FORMAT_VERSION,
            error: ErrorJson { code: code.as_str(), message, hint, exit_code: status.code() },
        };
        serde_json::to_string_pretty(&json).expect("texts and numbers are JSON")
    }
}

fn code_of_store(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::Away(_) | StoreError::Silent => ErrorCode::DatabaseAway,
        StoreError::Refused(_) | StoreError::Denied(_) => ErrorCode::DatabaseRefused,
        StoreError::BadUrl(_) => ErrorCode::DatabaseUrl,
        StoreError::TooOld(_) => ErrorCode::DatabaseVersion,
        StoreError::Migration(_) => ErrorCode::DatabaseSchema,
        StoreError::WrongPurpose(_) => ErrorCode::DatabasePurpose,
        StoreError::Locked { .. } => ErrorCode::Locked,
        StoreError::Stale(_) => ErrorCode::Stale,
        _ => ErrorCode::Failed,
    }
}

fn status_of(code: ErrorCode) -> ExitStatus {
    match code {
        ErrorCode::Locked => ExitStatus::Locked,
        ErrorCode::Stale => ExitStatus::Stale,
        ErrorCode::Rejected => ExitStatus::Rejected,
        ErrorCode::Usage => ExitStatus::Usage,
        _ => ExitStatus::Error,
    }
}

fn find<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref::<E>())
}

/// The store's error, also inside those that only pass it on.
fn store_error(error: &anyhow::Error) -> Option<&StoreError> {
    find::<StoreError>(error).or_else(|| match (find(error), find(error)) {
        (Some(SurveyError::Store(store)), _) | (_, Some(ApplyError::Store(store))) => Some(store),
        _ => None,
    })
}

fn folder_error(error: &anyhow::Error) -> Option<&LoadError> {
    match find(error) {
        Some(SurveyError::Folder(folder)) => Some(folder),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_what_its_reader_does_next() {
        let locked = || StoreError::Locked { holder: None, waited: std::time::Duration::ZERO };
        let cases: Vec<(anyhow::Error, ErrorCode, u8)> = vec![
            (StoreError::Silent.into(), ErrorCode::DatabaseAway, 1),
            (SurveyError::Store(StoreError::Silent).into(), ErrorCode::DatabaseAway, 1),
            (anyhow::Error::from(locked()).context("while applying"), ErrorCode::Locked, 5),
            (ApplyError::Store(StoreError::Stale("a".into())).into(), ErrorCode::Stale, 4),
            (EmbeddedError::NoUser.into(), ErrorCode::PrivateServer, 1),
            (anyhow::anyhow!("no task `a`"), ErrorCode::Failed, 1),
        ];
        for (error, code, exit) in cases {
            let failure = Failure::of_error(&error);
            assert_eq!((failure.code, failure.status.code()), (code, exit), "{error:#}");
            let json: serde_json::Value = serde_json::from_str(&failure.to_json()).unwrap();
            assert_eq!(json["error"]["exit_code"], exit);
        }
    }
}
