//! A review: which files were looked at, and what was found in them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Finding;
use crate::manifest::{Diagnostic, Loaded, Sources};

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
        let review = Self::of_diagnostics(command, diagnostics, sources);
        Self { n_documents: counts.documents, n_tasks: counts.tasks, ..review }
    }

    /// A review of what a reading of manifests found; further findings may be added.
    pub(in crate::cli) fn of_diagnostics(
        command: &'static str,
        diagnostics: &[Diagnostic],
        sources: &Sources,
    ) -> Self {
        let findings: Vec<Finding> =
            diagnostics.iter().map(|found| Finding::of_diagnostic(found, sources)).collect();
        // A file that could not be read has no source, but a finding.
        let found_in = findings.iter().map(|finding| Arc::clone(&finding.place.file));
        let files = sources.files().cloned().chain(found_in).collect();
        let root = std::env::current_dir().ok();
        Self { command, findings, files, n_documents: 0, n_tasks: 0, root }
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
