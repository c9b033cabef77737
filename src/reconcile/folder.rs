//! Follows a folder: turns whatever happens in it into "look again", once it is quiet.
//!
//! File events are hints. They carry no data here, they may be lost, and content decides what changed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// An editor's save is several events within a few milliseconds.
const QUIET: Duration = Duration::from_millis(120);
/// A folder that never becomes quiet is read all the same.
const QUIET_PATIENCE: Duration = Duration::from_secs(2);

/// Watches a folder, its parent, and where a symlink leads.
pub(super) struct Folder {
    path: PathBuf,
    changed: Arc<Notify>,
    n_events: Arc<AtomicU64>,
    watched: Option<(PathBuf, RecommendedWatcher)>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, changed: Arc::default(), n_events: Arc::default(), watched: None }
    }

    /// Watches what the path means now; a swapped symlink means another folder.
    pub(super) fn follow(&mut self) -> Result<(), notify::Error> {
        let target = fs::canonicalize(&self.path)?;
        if self.watched.as_ref().is_some_and(|(watched, _)| *watched == target) {
            return Ok(());
        }
        self.watched = None;
        let (changed, n_events) = (Arc::clone(&self.changed), Arc::clone(&self.n_events));
        // The folder itself could be swapped, and every symlink on the way to it.
        let name = std::path::absolute(&self.path)?;
        let links = name.ancestors().filter(|part| *part == name || part.is_symlink());
        let mut swapped: Vec<PathBuf> = links.map(Path::to_owned).collect();
        swapped.push(target.clone());
        let (inside, around) = (target.clone(), swapped.clone());
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // An error is an overflow or a lost watch: look again.
                if let Ok(event) = event {
                    // Reading is an event too, and our own reading must not wake us.
                    if event.kind.is_access() {
                        return;
                    }
                    // Neither must what lies beside the folder, such as a log that is written to.
                    let concerns =
                        |path: &PathBuf| path.starts_with(&inside) || around.contains(path);
                    if !event.paths.is_empty() && !event.paths.iter().any(concerns) {
                        return;
                    }
                }
                n_events.fetch_add(1, Ordering::Relaxed);
                changed.notify_one();
            })?;
        watcher.watch(&target, RecursiveMode::Recursive)?;
        for parent in swapped.iter().filter_map(|link| link.parent()) {
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

    /// How many events there were: two numbers that differ say that something happened between them.
    pub(super) fn n_events(&self) -> u64 {
        self.n_events.load(Ordering::Relaxed)
    }

    /// Waits until nothing happens in the folder any more; at once if nothing did.
    pub(super) async fn quiet(&self) {
        let patience = Instant::now() + QUIET_PATIENCE;
        while Instant::now() < patience {
            if timeout(QUIET, self.changed.notified()).await.is_err() {
                break;
            }
        }
    }
}
