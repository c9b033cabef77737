//! A review: which files were looked at, and what was found in them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Finding;
use crate::{
    domain::place::Place,
    manifest::{Counts, Diagnostic, Loaded, Severity, Sources},
    plan::{BLOCKED, Blocked, Plan, Rejection},
};

/// What a command looked at, and what it found.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Review {
    /// The command that looked: `validate` or `plan`.
    pub(in crate::cli) command: &'static str,
    /// Sorted by place.
    pub(in crate::cli) findings: Vec<Finding>,
    /// Every file that was looked at, whether or not something was found in it.
    pub(in crate::cli) files: BTreeSet<Arc<str>>,
    pub(in crate::cli) n_documents: usize,
    pub(in crate::cli) n_tasks: usize,
    /// Where the pipeline's checkout is: its tools know files only by their paths below it.
    pub(in crate::cli) root: Option<PathBuf>,
}

impl Review {
    pub(in crate::cli) fn of_loaded(command: &'static str, loaded: &Loaded) -> Self {
        let Loaded { desired: _, diagnostics, sources, counts } = loaded;
        Self::of_diagnostics(command, diagnostics, sources, *counts)
    }

    /// A review of what a reading of manifests found; further findings may be added.
    pub(in crate::cli) fn of_diagnostics(
        command: &'static str,
        diagnostics: &[Diagnostic],
        sources: &Sources,
        counts: Counts,
    ) -> Self {
        let findings: Vec<Finding> =
            diagnostics.iter().map(|found| Finding::of_diagnostic(found, sources)).collect();
        // A file that could not be read has no source, but a finding.
        let found_in = findings.iter().map(|finding| Arc::clone(&finding.place.file));
        let files = sources.files().cloned().chain(found_in).collect();
        let root = std::env::current_dir().ok();
        Self {
            command,
            findings,
            files,
            n_documents: counts.documents,
            n_tasks: counts.tasks,
            root,
        }
    }

    /// What a rule forbids is an error, and so is what has to wait, each at its manifest.
    pub(in crate::cli) fn add_plan(&mut self, plan: &Plan) {
        for Rejection { code, subject, place, message, remedies, .. } in &plan.rejections {
            let (message, hint) = (format!("{subject}: {message}"), remedies.first());
            let (code, place) = (code.as_str(), place.clone());
            let hint = hint.map(String::as_str);
            self.add(Finding::new(Severity::Error, code, place, 1, &message, hint));
        }
        for Blocked { subject, file, message, remedies, .. } in &plan.blocked {
            let place = Place { file: file.as_str().into(), line: 1, column: 1 };
            let (message, hint) = (format!("{subject}: {message}"), remedies.first());
            let hint = hint.map(String::as_str);
            self.add(Finding::new(Severity::Error, BLOCKED, place, 0, &message, hint));
        }
        self.findings.sort_by(|one, other| {
            (&one.place, one.code, &one.message).cmp(&(&other.place, other.code, &other.message))
        });
    }

    fn add(&mut self, finding: Finding) {
        self.files.insert(Arc::clone(&finding.place.file));
        self.findings.push(finding);
    }

    pub(in crate::cli) fn n_errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_error()).count()
    }

    pub(in crate::cli) fn n_warnings(&self) -> usize {
        self.findings.len() - self.n_errors()
    }

    /// `2 errors, 1 warning in 3 files`
    pub(in crate::cli) fn summary(&self) -> String {
        format!(
            "{}, {} in {}",
            counted(self.n_errors(), "error"),
            counted(self.n_warnings(), "warning"),
            counted(self.files.len(), "file")
        )
    }

    /// A file as the tools of a pipeline know it: relative to the checkout where it lies inside.
    pub(super) fn path_of<'a>(&self, file: &'a str) -> &'a str {
        let inside = self.root.as_ref().and_then(|root| Path::new(file).strip_prefix(root).ok());
        inside.and_then(Path::to_str).unwrap_or(file).trim_start_matches("./")
    }

    pub(super) fn findings_in<'a>(&'a self, file: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| &*finding.place.file == file)
    }
}

pub(in crate::cli) fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
