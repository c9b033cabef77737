//! The one printer: data on stdout, everything else on stderr, colour where it is wanted.
#![expect(clippy::print_stderr, reason = "this is the one printer")]

use std::{
    borrow::Cow,
    collections::BTreeSet,
    ffi::OsString,
    io::{self, IsTerminal as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use super::{
    ExitStatus,
    failure::{FORMAT_VERSION, Failure},
    tame::tame,
};
use crate::{
    config,
    manifest::{Diagnostic, Severity, Sources, render_human},
};

/// More codes than a line of a terminal takes; whoever reads four knows how to ask for a fifth.
const CODES_MAX: usize = 4;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// How an answer is written: for people, or as exactly one JSON value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum AnswerForm {
    #[default]
    Human,
    Json,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ListForm {
    #[default]
    Human,
    Json,
    Csv,
}

/// Whoever read what is written may have seen enough: that is no error of ours.
pub(super) fn unless_reader_left(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What any terminal shows without breaking words itself, and what is wrapped to where there is none.
const COLUMNS: usize = 80;
/// Longer lines are hard to read.
const COLUMNS_MAX: usize = 120;

/// How wide what is written for people may be.
pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    match size.map(|size| usize::from(size.ws_col)) {
        Ok(columns) if columns > 0 => columns.clamp(COLUMNS / 2, COLUMNS_MAX),
        _ => COLUMNS,
    }
}

/// What was said so far, for the last words.
#[derive(Debug, Default)]
struct Said {
    answered: AtomicBool,
    error: Mutex<Option<String>>,
    hint: Mutex<Option<String>>,
    codes: Mutex<BTreeSet<&'static str>>,
}

/// The printer of one run. Cheap to copy: what it has said is kept for as long as the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) stdout_color: bool,
    pub(super) stderr_color: bool,
    quiet: bool,
    /// With JSON standard output is exactly one value, however the run ends.
    form: AnswerForm,
    said: &'static Said,
}

impl Output {
    pub(super) fn new(choice: ColorChoice, quiet: bool, form: AnswerForm) -> Self {
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
            form,
            said: Box::leak(Box::default()),
        }
    }

    fn is_json(self) -> bool {
        self.form == AnswerForm::Json
    }

    /// Prints what was asked for. A reader that has left is no error of ours.
    pub(super) fn data(self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        // JSON escapes what would steer a terminal, and its reader wants the text itself.
        let text = if self.is_json() { Cow::Borrowed(text) } else { tame(text) };
        self.data_exactly(&format!("{text}{end}"));
    }

    /// Prints a text that is a file's, byte for byte.
    pub(super) fn data_exactly(self, text: &str) {
        use std::io::Write as _;
        let before = self.said.answered.swap(true, Ordering::Relaxed);
        debug_assert!(!(before && self.is_json()), "an answer in JSON is one value");
        let mut stdout = std::io::stdout().lock();
        drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    }

    /// Prints an answer as JSON; in one call, for it is one value.
    pub(super) fn json(self, answer: &impl Serialize) {
        self.data(&serde_json::to_string_pretty(answer).expect("our answers have text keys"));
    }

    /// An answer that is too large to be held: it goes out as it is written.
    pub(super) fn stream(self) -> impl std::io::Write {
        self.said.answered.store(true, Ordering::Relaxed);
        std::io::BufWriter::new(std::io::stdout())
    }

    /// Prints what helps to follow, unless it should be quiet.
    pub(super) fn note(self, text: &str) {
        if !self.quiet {
            eprintln!("{}", tame(text));
        }
    }

    pub(super) fn error(self, text: &str) {
        let prefix = if self.stderr_color { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
        eprintln!("{prefix}: {}", tame(text));
        *self.said.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    pub(super) fn hint(self, text: &str) {
        let prefix = if self.stderr_color { "\u{1b}[1;36mhint\u{1b}[0m" } else { "hint" };
        eprintln!("{prefix}: {}", tame(text));
        *self.said.hint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// Names a code at the end of the run, once, as one that `nuncio explain` tells more of.
    pub(super) fn explain_later(self, code: &'static str) {
        self.said.codes.lock().unwrap_or_else(PoisonError::into_inner).insert(code);
    }

    /// Prints every diagnostic; says whether one of them is an error.
    pub(super) fn diagnostics(self, all: &[Diagnostic], sources: &Sources) -> bool {
        let is_error = |d: &&Diagnostic| d.severity == Severity::Error;
        let shown: Vec<Diagnostic> =
            all.iter().filter(|d| !self.quiet || is_error(d)).cloned().collect();
        for Diagnostic { code, .. } in &shown {
            self.explain_later(code.as_str());
        }
        if !shown.is_empty() {
            eprintln!("{}\n", render_human(&shown, sources, self.stderr_color).trim_end());
        }
        all.iter().any(|d| is_error(&d))
    }

    /// Prints an error with its causes and the way out.
    pub(super) fn fail(self, error: &anyhow::Error) -> ExitStatus {
        self.failure(&Failure::of_error(error))
    }

    fn failure(self, failure: &Failure) -> ExitStatus {
        let Failure { message, hint, status, .. } = failure;
        self.error(message);
        if let Some(hint) = hint {
            self.hint(hint);
        }
        self.answer_in_json(failure);
        *status
    }

    /// Arguments that no command has. Help and version come here too: they are answers, not errors.
    pub(super) fn usage(self, error: &clap::Error) -> ExitStatus {
        use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as NoCommand;
        if !error.use_stderr() {
            drop(error.print());
            return ExitStatus::Success;
        }
        let failure = Failure::of_usage(error);
        if error.kind() == NoCommand {
            // The help says best which there are.
            drop(error.print());
            self.answer_in_json(&failure);
            return failure.status;
        }
        self.failure(&failure)
    }

    /// The last words of a run: where more is told, and the one JSON value if none was printed.
    pub(super) fn finish(self, status: ExitStatus) -> ExitStatus {
        let Said { answered, error, hint, codes } = self.said;
        let codes = take(codes);
        if !codes.is_empty() && !self.quiet {
            let more = if codes.len() > CODES_MAX { ", …" } else { "" };
            let codes: Vec<&str> = codes.into_iter().take(CODES_MAX).collect();
            eprintln!("For more: nuncio explain {}{more}", codes.join(", "));
        }
        if self.is_json() && !answered.load(Ordering::Relaxed) {
            if status == ExitStatus::Success {
                self.data(&format!("{:#}", serde_json::json!({"format_version": FORMAT_VERSION})));
            } else {
                self.answer_in_json(&Failure::of_status(status, take(error), take(hint)));
            }
        }
        status
    }

    /// An error takes the place of the answer, unless that was printed already.
    fn answer_in_json(self, failure: &Failure) {
        if self.is_json() && !self.said.answered.load(Ordering::Relaxed) {
            self.data(&failure.to_json());
        }
    }
}

fn take<T: Default>(said: &Mutex<T>) -> T {
    std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What the arguments ask for. They may be wrong otherwise, and the answer to that has to be JSON as
/// well, so clap cannot be asked.
pub(super) fn answer_form(arguments: &[OsString]) -> AnswerForm {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let options = &arguments[..end];
    let wants_json = options.iter().any(|option| option == "--output=json")
        || options.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    if wants_json { AnswerForm::Json } else { AnswerForm::Human }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_by_its_option_alone() {
        let cases = [
            ("plan --output json", AnswerForm::Json),
            ("plan --nonsense --output=json", AnswerForm::Json),
            ("status --output", AnswerForm::Human),
            ("status json", AnswerForm::Human),
            ("plan --output human json", AnswerForm::Human),
            ("validate -- --output json", AnswerForm::Human),
        ];
        for (line, wanted) in cases {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(answer_form(&arguments), wanted, "{line}");
        }
    }
}
