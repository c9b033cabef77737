//! The account under which the server runs: Postgres refuses root.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use rustix::process::getuid;

use super::server::EmbeddedError;

/// The account under which the server runs: Postgres refuses root.
pub(super) enum Account {
    Ours,
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    pub(super) fn of_server() -> Result<Self, EmbeddedError> {
        if !getuid().is_root() {
            return Ok(Self::Ours);
        }
        let accounts = fs::read_to_string("/etc/passwd").map_err(|_| EmbeddedError::NoUser)?;
        let find = |wanted: &str| {
            accounts.lines().find_map(|line| {
                let mut parts = line.split(':');
                let name = parts.next().filter(|name| *name == wanted)?;
                let uid = parts.nth(1)?.parse().ok()?;
                let gid = parts.next()?.parse().ok()?;
                Some(Self::Other { name: name.to_owned(), uid, gid })
            })
        };
        find("postgres").or_else(|| find("nobody")).ok_or(EmbeddedError::NoUser)
    }

    /// Whether the account may pass every folder down to the data, such as a home that is closed.
    pub(super) fn check_reach(&self, root: &Path) -> Result<(), EmbeddedError> {
        let Self::Other { name, uid, gid } = self else { return Ok(()) };
        for folder in root.ancestors() {
            let Ok(facts) = fs::metadata(folder) else { continue };
            let mode = facts.permissions().mode();
            let may_enter = (facts.uid() == *uid && mode & 0o100 != 0)
                || (facts.gid() == *gid && mode & 0o010 != 0)
                || mode & 0o001 != 0;
            if !may_enter {
                return Err(EmbeddedError::Unreachable {
                    folder: folder.to_owned(),
                    user: name.clone(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        // What the caller's environment says of Postgres (PGPORT, PGDATA) is not about this server.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
        command
    }

    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        if let Self::Other { uid, gid, .. } = self {
            chown(path, Some(*uid), Some(*gid))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }
}
