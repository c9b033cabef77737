//! Follows a folder: turns whatever happens in it into "look again", once it is quiet.
//!
//! File events are hints. They carry no data here, they may be lost, and content decides what changed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// An editor's save is several events within a few milliseconds.
const QUIET: Duration = Duration::from_millis(120);
/// A folder that never becomes quiet is read all the same.
const QUIET_PATIENCE: Duration = Duration::from_secs(2);
/// A git operation holds `index.lock` while it writes files; a crashed one leaves it for ever.
const GIT_PATIENCE: Duration = Duration::from_secs(30);

/// Watches a folder, its parent, and where a symlink leads.
pub(super) struct Folder {
    path: PathBuf,
    changed: Arc<Notify>,
    watched: Option<(PathBuf, RecommendedWatcher)>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, changed: Arc::new(Notify::new()), watched: None }
    }

    /// Watches what the path means now; a swapped symlink means another folder.
    pub(super) fn follow(&mut self) -> Result<(), notify::Error> {
        let target = fs::canonicalize(&self.path)?;
        if self.watched.as_ref().is_some_and(|(watched, _)| *watched == target) {
            return Ok(());
        }
        self.watched = None;
        let changed = Arc::clone(&self.changed);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading is an event too, and our own reading must not wake us. An error is an overflow
                // or a lost watch: look again.
                if event.is_ok_and(|event| event.kind.is_access()) {
                    return;
                }
                changed.notify_one();
            })?;
        watcher.watch(&target, RecursiveMode::Recursive)?;
        // The parent of the name (a symlink is swapped there) and of the folder itself.
        let name = std::path::absolute(&self.path)?;
        for parent in [name.parent(), target.parent()].into_iter().flatten() {
            // A parent that may not be watched leaves the timer.
            drop(watcher.watch(parent, RecursiveMode::NonRecursive));
        }
        self.watched = Some((target, watcher));
        Ok(())
    }

    /// Waits for a change. May be dropped at any time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
        // What `quiet` waits for begins with this event.
        self.changed.notify_one();
    }

    /// Waits until nothing happens in the folder any more; at once if nothing did.
    pub(super) async fn quiet(&self) {
        let patience = Instant::now() + QUIET_PATIENCE;
        while Instant::now() < patience {
            if timeout(QUIET, self.changed.notified()).await.is_err() {
                break;
            }
        }
        let patience = Instant::now() + GIT_PATIENCE;
        while git_is_writing(&self.path).unwrap_or(false) && Instant::now() < patience {
            sleep(QUIET).await;
        }
    }
}

/// Whether a git operation is under way in the working tree around the folder.
fn git_is_writing(folder: &Path) -> io::Result<bool> {
    let folder = fs::canonicalize(folder)?;
    let git = folder.ancestors().map(|ancestor| ancestor.join(".git")).find(|git| git.is_dir());
    Ok(git.is_some_and(|git| git.join("index.lock").exists()))
}
