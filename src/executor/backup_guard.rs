//! What is remembered of the database outside of it, so that a restored one is known before it sends.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::rounds::in_time;
use crate::store::{DatabaseIdentity, Store, StoreError};

/// A backup is older than this, or what it has forgotten is seconds of sending.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// Compares the database with what was noted of it, and turns the guard on when it is not the same
/// any more, or knows of fewer attempts than it did.
#[derive(Debug)]
pub struct BackupGuard {
    store: Store,
    folder: PathBuf,
    by: String,
    /// A folder that cannot be used is told once.
    warned: bool,
}

impl BackupGuard {
    /// Notes are kept in `folder`, one for each database.
    pub fn new(store: Store, folder: PathBuf, by: String) -> Self {
        Self { store, folder, by, warned: false }
    }

    /// Looks once; after it the guard is on if it has to be. The new state is noted only then, so
    /// that lifting the guard is the last word.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let mut identity = in_time(self.store.read_identity()).await?;
        let path = self.folder.join(format!("database-{}.json", identity.installation));
        let noted = read(&path);
        if noted.as_ref().is_ok_and(|noted| noted.as_ref() == Some(&identity)) {
            return Ok(());
        }
        let misfit = match &noted {
            Ok(None) => None,
            Ok(Some(noted)) => {
                // Another `watch` beside this one may have noted attempts that are newer than our look.
                identity = in_time(self.store.read_identity()).await?;
                misfit(noted, &identity)
            }
            Err(problem) => Some(format!("the note of it cannot be read: {problem}")),
        };
        if let Some(misfit) = misfit
            && in_time(self.store.raise_guard(&self.by, &misfit)).await?
        {
            error!("the backup guard is on, and nothing is sent: {misfit}");
        }
        match write(&path, &identity) {
            Ok(()) => self.warned = false,
            Err(problem) if !self.warned => {
                warn!(%problem, "a restored database would not be noticed: {}", path.display());
                self.warned = true;
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Looks until `shutdown`. While the database is away there is nothing to compare, and nothing sent.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(NOTE_EVERY) => {}
            }
            let _looked = self.look().await;
        }
    }
}

/// How the database is not what it was, if so.
fn misfit(noted: &DatabaseIdentity, found: &DatabaseIdentity) -> Option<String> {
    let is_other_server =
        noted.system.is_some() && found.system.is_some() && noted.system != found.system;
    if is_other_server {
        Some("the database is a copy on another server".to_owned())
    } else if noted.database != found.database {
        Some("the database is a copy beside the one that was used".to_owned())
    } else if noted.last_attempt > found.last_attempt {
        let (noted, found) = (noted.last_attempt, found.last_attempt);
        Some(format!("attempt {noted} was made, and the database knows of none after {found}"))
    } else {
        None
    }
}

fn read(path: &Path) -> io::Result<Option<DatabaseIdentity>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whole or not at all, also over a loss of power.
fn write(path: &Path, identity: &DatabaseIdentity) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, identity)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_and_an_older_state_do_not_fit() {
        let noted = DatabaseIdentity {
            installation: "i".to_owned(),
            system: Some("7".to_owned()),
            database: 5,
            last_attempt: 100,
        };
        let cases = [
            (noted.clone(), None),
            (DatabaseIdentity { last_attempt: 101, ..noted.clone() }, None),
            // The role's rights changed, and nothing is known.
            (DatabaseIdentity { system: None, ..noted.clone() }, None),
            (DatabaseIdentity { last_attempt: 99, ..noted.clone() }, Some("none after 99")),
            (DatabaseIdentity { database: 6, ..noted.clone() }, Some("beside")),
            (
                DatabaseIdentity { system: Some("8".to_owned()), ..noted.clone() },
                Some("another server"),
            ),
        ];
        for (found, wanted) in cases {
            let misfit = misfit(&noted, &found);
            let fits = match (&misfit, wanted) {
                (Some(misfit), Some(wanted)) => misfit.contains(wanted),
                (misfit, wanted) => misfit.is_none() && wanted.is_none(),
            };
            assert!(fits, "{found:?}: {misfit:?}");
        }
    }
}
