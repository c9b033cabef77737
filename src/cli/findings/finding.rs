//! One finding, whoever made it: the loader of manifests, or the rules of a plan.

use crate::{
    domain::place::Place,
    manifest::{Diagnostic, Severity, Sources, clean},
};

/// What is wrong, where, and the way out. It shows no source line, which could hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    pub(in crate::cli) severity: Severity,
    /// What `nuncio explain` knows it by.
    pub(in crate::cli) code: &'static str,
    pub(in crate::cli) place: Place,
    /// Characters from the place on, all in its line; 0 where the file as a whole is meant.
    pub(in crate::cli) length: u32,
    pub(in crate::cli) message: String,
    pub(in crate::cli) hint: Option<String>,
}

impl Finding {
    pub(in crate::cli) fn of_diagnostic(diagnostic: &Diagnostic, sources: &Sources) -> Self {
        let Diagnostic { severity, code, place, length, message, hint } = diagnostic;
        // A length may mean "the rest of the line", however long that is.
        let rest = sources.line(place).map_or(1, |line| {
            let characters = u32::try_from(line.trim_end().chars().count()).unwrap_or(u32::MAX);
            (characters + 1).saturating_sub(place.column).max(1)
        });
        let length = (*length).min(rest);
        Self::new(*severity, code.as_str(), place.clone(), length, message, hint.as_deref())
    }

    pub(in crate::cli) fn new(
        severity: Severity,
        code: &'static str,
        place: Place,
        length: u32,
        message: &str,
        hint: Option<&str>,
    ) -> Self {
        Self { severity, code, place, length, message: clean(message), hint: hint.map(clean) }
    }

    /// The column behind the last one that is meant.
    pub(super) fn end_column(&self) -> u32 {
        self.place.column.saturating_add(self.length)
    }

    /// The message with its way out, in two lines.
    pub(super) fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\nHint: {hint}", self.message),
            None => self.message.clone(),
        }
    }

    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
