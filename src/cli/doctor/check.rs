//! One thing that was looked at: how it stands, and how to mend it.

use serde::Serialize;

use crate::{cli::sentence::hung, manifest::clean};

/// How something stands, in rising order of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// It works, and not as well as it could.
    Warn,
    /// Something will not work.
    Fail,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, message: impl AsRef<str>) -> Self {
        Self { check, verdict: Verdict::Ok, message: clean(message.as_ref()), remedy: None }
    }

    pub(super) fn warn(check: &'static str, message: impl AsRef<str>, remedy: &str) -> Self {
        let remedy = Some(remedy.to_owned());
        Self { verdict: Verdict::Warn, remedy, ..Self::ok(check, message) }
    }

    pub(super) fn fail(check: &'static str, message: impl AsRef<str>, remedy: &str) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, message, remedy) }
    }

    /// A line, and one below it for the way out.
    pub(super) fn shown(&self, color: bool) -> String {
        let Self { check, verdict, message, remedy } = self;
        let (word, code) = match verdict {
            Verdict::Ok => ("ok  ", "32"),
            Verdict::Warn => ("warn", "1;33"),
            Verdict::Fail => ("fail", "1;31"),
        };
        let lead = format!("{word}  ");
        let message = hung(&format!("{lead}{check}: {message}"), lead.len());
        let message = message.strip_prefix(word).unwrap_or(&message).to_owned();
        let word = if color { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() };
        let remedy = remedy.as_ref().map(|remedy| {
            let remedy = format!("      → {remedy}");
            format!("\n{}", hung(&remedy, "      → ".chars().count()))
        });
        format!("{word}{message}{}", remedy.unwrap_or_default())
    }
}
