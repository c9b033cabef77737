//! The folder that manifests stand in: which files they may name.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// Where a manifest stands.
pub(super) struct Ground {
    /// The folder, resolved; nothing outside it is read. `None` for text that stands in no folder.
    pub(super) folder: Option<PathBuf>,
    /// The directory of the manifest, below the folder as it was given.
    pub(super) directory: PathBuf,
    /// The same, as the user names it.
    pub(super) shown: String,
}

impl Ground {
    /// A file that a manifest names, as a path to open and as the user calls it.
    pub(super) fn file(&self, named: &str) -> Result<(PathBuf, Arc<str>), String> {
        let Some(folder) = &self.folder else {
            return Err("only a manifest in a folder can name a file".to_owned());
        };
        let relative = Path::new(named);
        let plain =
            |part| matches!(part, Component::Normal(_) | Component::ParentDir | Component::CurDir);
        if !relative.components().all(plain) {
            return Err(format!("`{named}` is not relative to this manifest"));
        }
        let path = self.directory.join(relative);
        // Judged before the file is looked for: what stands outside is not even said to exist.
        let mut around = fs::canonicalize(&self.directory).map_err(|error| why(named, &error))?;
        for part in relative.components() {
            match part {
                Component::ParentDir => drop(around.pop()),
                part => around.push(part),
            }
            if !around.starts_with(folder) {
                return Err(format!("`{named}` leads out of the tasks folder"));
            }
        }
        let resolved = fs::canonicalize(&path).map_err(|error| why(named, &error))?;
        if !resolved.starts_with(folder) {
            return Err(format!("`{named}` leads out of the tasks folder"));
        }
        let metadata = fs::metadata(&resolved).map_err(|error| why(named, &error))?;
        if !metadata.is_file() {
            return Err(format!("`{named}` is not a file"));
        }
        fs::File::open(&resolved).map_err(|error| why(named, &error))?;
        Ok((path, shown_below(&self.shown, named).into()))
    }
}

/// Why a named file cannot be read, without the system's own path in it.
pub(super) fn why(named: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("`{named}` does not exist"),
        io::ErrorKind::PermissionDenied => format!("`{named}` may not be read"),
        _ => format!("`{named}` cannot be read: {error}"),
    }
}

pub(super) fn shown_below(shown: &str, name: &str) -> String {
    match shown.trim_end_matches('/') {
        "" if shown.is_empty() => name.to_owned(),
        directory => format!("{directory}/{name}"),
    }
}
