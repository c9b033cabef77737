//! The only reader of the environment.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the module that the others are told to use"
)]

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::domain::{
    channel::{Secret, SecretReference},
    fields::Digest,
};

/// A text from the environment; an empty one counts as absent.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folders of `PATH`.
pub fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The server's address: `NUNCIO_DATABASE_URL`, then `DATABASE_URL`.
pub fn database_url() -> Option<String> {
    text("NUNCIO_DATABASE_URL").or_else(|| text("DATABASE_URL"))
}

/// The repository to follow: `NUNCIO_GIT_URL`, where it may hold a password.
pub fn git_url() -> Option<String> {
    text("NUNCIO_GIT_URL")
}

/// Where notices of changes go: `NUNCIO_NOTIFY_URL`; such addresses are often secrets themselves.
pub fn notify_url() -> Option<String> {
    text("NUNCIO_NOTIFY_URL")
}

/// Where the embedded database of a tasks folder keeps its data: `NUNCIO_DATA`, or a folder of the
/// user's state that is named after the tasks folder, so that two projects do not share a database.
pub fn data_folder(tasks: &Path) -> PathBuf {
    if let Some(folder) = text("NUNCIO_DATA") {
        return PathBuf::from(folder);
    }
    let whole = std::path::absolute(tasks).unwrap_or_else(|_| tasks.to_owned());
    let whole = fs::canonicalize(&whole).unwrap_or(whole);
    let project = whole.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let digest = Digest::of_bytes(whole.as_os_str().as_encoded_bytes()).to_string();
    let project: String = project
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(24)
        .collect();
    state_folder().join(format!("{project}-{}", &digest[..8]))
}

/// Root's is not below its home: Postgres runs as another user there, who may not enter a home.
fn state_folder() -> PathBuf {
    if rustix::process::getuid().is_root() {
        return PathBuf::from("/var/lib/nuncio");
    }
    match (text("XDG_STATE_HOME"), text("HOME")) {
        (Some(state), _) => Path::new(&state).join("nuncio"),
        (None, Some(home)) => Path::new(&home).join(".local/state/nuncio"),
        (None, None) => env::temp_dir().join("nuncio"),
    }
}

/// Who acts, for the record: the user, and `sudo`'s caller where there is one.
pub fn actor() -> String {
    text("NUNCIO_ACTOR")
        .or_else(|| text("SUDO_USER"))
        .or_else(|| text("USER"))
        .or_else(|| text("LOGNAME"))
        .unwrap_or_else(|| {
            let uid = rustix::process::getuid().as_raw();
            let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
            account_of(uid, &accounts).map_or_else(|| format!("uid {uid}"), str::to_owned)
        })
}

/// The name of a user in the lines of a passwd file. A user of a directory service has a name in the
/// environment, as everybody has who logged in; this is for services and containers.
fn account_of(uid: u32, accounts: &str) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        (parts.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The filter of logs: `NUNCIO_LOG`.
pub fn log_filter() -> Option<String> {
    text("NUNCIO_LOG")
}

/// Why a secret is not there. Says the reference, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingSecret {
    #[error("the environment variable `{0}` is not set")]
    Environment(String),
    #[error("the file `{path}` cannot be read: {reason}")]
    File { path: String, reason: String },
}

/// A secret is a line, not a document.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Looks a secret up, each time anew: a rotated one is used without a restart.
pub fn secret(reference: &SecretReference) -> Result<Secret, MissingSecret> {
    match reference {
        SecretReference::Environment(name) => {
            text(name).map(Secret::new).ok_or_else(|| MissingSecret::Environment(name.clone()))
        }
        SecretReference::File(path) => {
            let missing = |reason: String| MissingSecret::File { path: path.clone(), reason };
            let length = fs::metadata(path).map_err(|error| missing(error.to_string()))?.len();
            if length > SECRET_BYTES_MAX {
                return Err(missing("it is too large for a secret".to_owned()));
            }
            let read: io::Result<String> = fs::read_to_string(path);
            let value = read.map_err(|error| missing(error.to_string()))?;
            match value.trim_end_matches(['\r', '\n']) {
                "" => Err(missing("it is empty".to_owned())),
                value => Ok(Secret::new(value.to_owned())),
            }
        }
    }
}

/// `NO_COLOR` with any value: no colour, whatever else is said.
pub fn no_color() -> bool {
    text("NO_COLOR").is_some()
}

/// `CLICOLOR_FORCE` other than `0`: colour also where no terminal is.
pub fn force_color() -> bool {
    text("CLICOLOR_FORCE").is_some_and(|value| value != "0")
}

/// The language and encoding of texts: `LC_ALL`, then `LC_CTYPE`, then `LANG`.
pub fn locale() -> Option<String> {
    text("LC_ALL").or_else(|| text("LC_CTYPE")).or_else(|| text("LANG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number_in_any_passwd_file() {
        let accounts =
            "# users\nroot:x:0:0:root:/root:/bin/sh\nbroken\n:x:7:7::/:\nanna:x:1000:1000::/:\n";
        for (uid, name) in [(0, Some("root")), (1000, Some("anna")), (7, None), (5, None)] {
            assert_eq!(account_of(uid, accounts), name, "{uid}");
        }
    }
}
