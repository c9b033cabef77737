//! This machine: git, the kernel's limit of watched folders, and what a terminal can show.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::check::Check;

/// Folders that are counted; a tasks folder has a handful, and a home directory may be given by mistake.
const FOLDERS_MAX: u64 = 100_000;
/// Folders around the tasks folder that `watch` follows as well.
const FOLDERS_AROUND: u64 = 3;
/// Other programs of the user watch too: editors and file managers take thousands.
const SHARE_OF_LIMIT: u64 = 4;

pub(super) fn git(search_path: &[PathBuf]) -> Check {
    match search_path.iter().map(|folder| folder.join("git")).find(|path| path.is_file()) {
        Some(path) => Check::ok("git", path.display().to_string()),
        None => Check::warn(
            "git",
            "the program `git` is not in PATH",
            "install it, so that plans can say which commit they are of",
        ),
    }
}

/// `None` where the kernel has no such limit.
pub(super) fn inotify(folder: &Path) -> Option<Check> {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    let limit: u64 = limit.trim().parse().ok()?;
    Some(watches(limit, count_folders(folder) + FOLDERS_AROUND))
}

fn watches(limit: u64, needed: u64) -> Check {
    if needed <= limit / SHARE_OF_LIMIT {
        return Check::ok("inotify", format!("{needed} of {limit} watches are needed"));
    }
    Check::warn(
        "inotify",
        format!("{needed} of {limit} watches are needed: changes may be seen late"),
        "raise it: `sysctl fs.inotify.max_user_watches=524288`",
    )
}

/// The folder and those below it. What cannot be read counts as nothing.
fn count_folders(folder: &Path) -> u64 {
    let mut open = vec![folder.to_owned()];
    let mut count = 0;
    while let Some(folder) = open.pop() {
        count += 1;
        if count >= FOLDERS_MAX {
            break;
        }
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let below = entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        open.extend(below.map(|entry| entry.path()));
    }
    count
}

pub(super) fn locale(locale: Option<&str>) -> Check {
    let is_utf8 = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.contains("utf-8") || name.contains("utf8")
    };
    match locale {
        Some(name) if is_utf8(name) => Check::ok("terminal", format!("the locale is {name}")),
        other => Check::warn(
            "terminal",
            format!("the locale is {}, not of UTF-8", other.unwrap_or("not set")),
            "export LANG=C.UTF-8, so that names and symbols such as ▶ are shown",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn what_a_machine_lacks_is_a_warning() {
        let empty = tempfile::tempdir().unwrap();
        let cases = [
            (watches(8192, 10), Verdict::Ok),
            (watches(8192, 4000), Verdict::Warn),
            (watches(0, 4), Verdict::Warn),
            (locale(Some("ru_RU.UTF-8")), Verdict::Ok),
            (locale(Some("C.utf8")), Verdict::Ok),
            (locale(Some("POSIX")), Verdict::Warn),
            (locale(None), Verdict::Warn),
            (git(&[empty.path().to_owned()]), Verdict::Warn),
        ];
        for (check, verdict) in cases {
            assert_eq!(check.verdict, verdict, "{check:?}");
        }
    }

    #[test]
    fn folders_are_counted_to_the_bottom_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("a/again")).unwrap();
        assert_eq!(count_folders(root.path()), 3);
    }
}
