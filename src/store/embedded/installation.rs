//! The server's programs, wherever a system keeps them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::server::{EmbeddedError, Layout, SERVER_VERSION_MIN};

/// The folder of the programs that belong to the server of a data folder.
pub fn programs(data: &Path, search_path: &[PathBuf]) -> Option<PathBuf> {
    let cluster = Layout { root: data.to_owned() }.cluster();
    Some(Installation::find(&cluster, search_path).ok()?.programs)
}

/// The programs of one version.
pub(super) struct Installation {
    pub(super) programs: PathBuf,
}

impl Installation {
    /// The programs that fit the cluster, or the newest for a new one.
    pub(super) fn find(cluster: &Path, search_path: &[PathBuf]) -> Result<Self, EmbeddedError> {
        let wanted = fs::read_to_string(cluster.join("PG_VERSION")).ok();
        let wanted = wanted.as_deref().map(str::trim);
        let mut found: Vec<(u32, PathBuf)> = candidate_folders(search_path)
            .into_iter()
            .filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
            .filter_map(|folder| Some((major_version(&folder)?, folder)))
            .filter(|(version, _)| *version >= SERVER_VERSION_MIN)
            .collect();
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        if found.is_empty() {
            return Err(EmbeddedError::NotInstalled);
        }
        let fits = |version: u32| wanted.is_none_or(|wanted| wanted == version.to_string());
        match found.into_iter().find(|(version, _)| fits(*version)) {
            Some((_, programs)) => Ok(Self { programs }),
            None => Err(EmbeddedError::OtherVersion {
                data: cluster.to_owned(),
                version: wanted.unwrap_or_default().to_owned(),
            }),
        }
    }
}

fn candidate_folders(search_path: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = search_path.to_vec();
    let versioned = [
        ("/usr/lib/postgresql", "bin"),
        ("/usr", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/Library/PostgreSQL", "bin"),
    ];
    for (parent, below) in versioned {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_postgres = parent.to_ascii_lowercase().contains("postgresql")
                || name.starts_with("pgsql-")
                || name.starts_with("postgresql");
            if of_postgres {
                folders.push(entry.path().join(below));
            }
        }
    }
    folders
}

fn major_version(programs: &Path) -> Option<u32> {
    let answer = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
