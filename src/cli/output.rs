//! The one printer: data on stdout, everything else on stderr, colour where it is wanted.
#![expect(clippy::print_stderr, reason = "this is the one printer")]

use std::io::IsTerminal as _;

use super::ExitStatus;
use crate::{
    config,
    manifest::{Diagnostic, LoadError, Severity, Sources, render_concise, render_human},
    reconcile::{ApplyError, SurveyError},
    store::{StoreError, embedded::EmbeddedError},
};

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) stdout_color: bool,
    pub(super) stderr_color: bool,
    quiet: bool,
}

impl Output {
    pub(super) fn new(choice: ColorChoice, quiet: bool) -> Self {
        let wants = |terminal: bool| match choice {
            _ if config::no_color() => false,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => config::force_color() || terminal,
        };
        Self {
            stdout_color: wants(std::io::stdout().is_terminal()),
            stderr_color: wants(std::io::stderr().is_terminal()),
            quiet,
        }
    }

    /// Prints what was asked for. A reader that has left is no error of ours.
    pub(super) fn data(self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.data_exactly(&format!("{text}{end}"));
    }

    /// Prints a text that is a file's, byte for byte.
    #[expect(clippy::unused_self, reason = "whoever prints holds the printer")]
    pub(super) fn data_exactly(self, text: &str) {
        use std::io::Write as _;
        let mut stdout = std::io::stdout().lock();
        drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    }

    /// Prints what helps to follow, unless it should be quiet.
    pub(super) fn note(self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    pub(super) fn error(self, text: &str) {
        let prefix = if self.stderr_color { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
        eprintln!("{prefix}: {text}");
    }

    pub(super) fn hint(self, text: &str) {
        let prefix = if self.stderr_color { "\u{1b}[1;36mhint\u{1b}[0m" } else { "hint" };
        eprintln!("{prefix}: {text}");
    }

    /// Prints every diagnostic; says whether one of them is an error.
    pub(super) fn diagnostics(self, all: &[Diagnostic], sources: &Sources) -> bool {
        let is_error = |d: &&Diagnostic| d.severity == Severity::Error;
        let shown: Vec<Diagnostic> =
            all.iter().filter(|d| !self.quiet || is_error(d)).cloned().collect();
        if !shown.is_empty() {
            eprintln!("{}\n", render_human(&shown, sources, self.stderr_color).trim_end());
        }
        all.iter().any(|d| is_error(&d))
    }

    /// Prints every diagnostic on one line each, as data.
    pub(super) fn concise_diagnostics(self, all: &[Diagnostic]) {
        if !all.is_empty() {
            self.data(&render_concise(all));
        }
    }

    /// Prints an error with its causes and the way out.
    pub(super) fn fail(self, error: &anyhow::Error) -> ExitStatus {
        let mut text = error.to_string();
        for cause in error.chain().skip(1) {
            let cause = cause.to_string();
            // Some libraries say their causes themselves.
            if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        self.error(&text);
        let store = store_error(error);
        let hint = store
            .and_then(StoreError::hint)
            .or_else(|| find::<EmbeddedError>(error).map(EmbeddedError::hint));
        if let Some(hint) = hint {
            self.hint(hint);
        } else if find::<LoadError>(error).or_else(|| folder_error(error)).is_some() {
            self.hint("name the folder of the manifests with --tasks DIR");
        }
        match store {
            Some(StoreError::Locked { .. }) => ExitStatus::Locked,
            Some(StoreError::Stale(_)) => ExitStatus::Stale,
            _ if matches!(find(error), Some(ApplyError::AudienceChanged(_))) => ExitStatus::Stale,
            _ => ExitStatus::Error,
        }
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
