//! Finds the manifests of a folder.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    diagnostic::{Code, Diagnostic},
    ground::shown_below,
};
use crate::domain::place::Place;

/// A folder of tasks is sorted by hand; deeper trees are a mistake, such as a link to somewhere else.
const FOLDER_DEPTH_MAX: usize = 32;

/// Whether a file is called as manifests are.
pub fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

/// A manifest that was found.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// As the user names it.
    pub(super) shown: String,
}

/// The manifests of a folder in the order of their names, and what could not be looked at.
///
/// Names that begin with `.` or `_` are skipped, but links that lead into them are followed: this is
/// how Kubernetes swaps the files of a mounted folder at once.
pub(super) fn find(
    folder: &Path,
    resolved: &Path,
    shown_as: &str,
) -> io::Result<(Vec<Entry>, Vec<Diagnostic>)> {
    let mut search = Search { root: resolved, entries: Vec::new(), faults: Vec::new() };
    let mut around = BTreeSet::from([resolved.to_owned()]);
    search.directory(folder, shown_as, &mut around)?;
    search.entries.sort_by(|one, other| one.shown.cmp(&other.shown));
    Ok((search.entries, search.faults))
}

struct Search<'a> {
    root: &'a Path,
    entries: Vec<Entry>,
    faults: Vec<Diagnostic>,
}

impl Search<'_> {
    fn fault(&mut self, code: Code, shown: &str, message: String) {
        let place = Place { file: Arc::from(shown), line: 1, column: 1 };
        self.faults.push(Diagnostic::error(code, place, 0, message));
    }

    /// `around` holds the resolved directories from the folder down to this one.
    fn directory(
        &mut self,
        directory: &Path,
        shown: &str,
        around: &mut BTreeSet<PathBuf>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let raw = entry.file_name();
            let name = raw.to_string_lossy();
            if name.starts_with(['.', '_']) {
                continue;
            }
            self.entry(&entry.path(), &shown_below(shown, &name), around);
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, shown: &str, around: &mut BTreeSet<PathBuf>) {
        let is_manifest = is_manifest(path);
        // Follows links.
        let resolved = match fs::canonicalize(path) {
            Ok(resolved) => resolved,
            Err(error) => {
                // A broken link to something else than a manifest is nobody's concern here.
                let is_loop = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
                if is_loop {
                    self.fault(Code::SymlinkLoop, shown, "the link leads to itself".to_owned());
                } else if is_manifest {
                    self.fault(Code::Unreadable, shown, format!("it cannot be read: {error}"));
                }
                return;
            }
        };
        if !resolved.starts_with(self.root) {
            if is_manifest || resolved.is_dir() {
                self.fault(
                    Code::Unreadable,
                    shown,
                    "the link leads out of the tasks folder".to_owned(),
                );
            }
            return;
        }
        if resolved.is_dir() {
            if around.len() > FOLDER_DEPTH_MAX {
                let message = format!("folders are nested deeper than {FOLDER_DEPTH_MAX} levels");
                return self.fault(Code::TooDeep, shown, message);
            }
            if !around.insert(resolved.clone()) {
                let message = "the link leads to a folder that it stands in".to_owned();
                return self.fault(Code::SymlinkLoop, shown, message);
            }
            if let Err(error) = self.directory(path, shown, around) {
                self.fault(Code::Unreadable, shown, format!("the folder cannot be read: {error}"));
            }
            around.remove(&resolved);
        } else if is_manifest && !resolved.is_file() {
            // A pipe would be waited for without end.
            self.fault(Code::Unreadable, shown, "it is not a regular file".to_owned());
        } else if is_manifest {
            self.entries.push(Entry { path: path.to_owned(), shown: shown.to_owned() });
        }
    }
}
