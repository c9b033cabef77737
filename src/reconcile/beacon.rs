//! Says in the database that this watch lives, and how it stands.

use std::time::Duration;

use tokio::{
    sync::watch::{Receiver, Sender},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    domain::id::WatchId,
    store::{Store, StoreError, WatchReport},
};

/// Well below the time after which a silent watch counts as gone.
const EVERY: Duration = Duration::from_secs(5);
/// A database that is away must not hold a shutdown up.
const FAREWELL: Duration = Duration::from_secs(1);

/// Who watches, and what.
#[derive(Clone, Debug)]
pub struct WatchIdentity {
    pub id: WatchId,
    pub host: String,
    pub pid: u32,
}

/// How the watch stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) commit: Option<String>,
    pub(super) dirty: Option<bool>,
    pub(super) passed: Option<Instant>,
    pub(super) applied: Option<Instant>,
    pub(super) failure: Option<(String, Instant)>,
}

/// A failure that passes by itself or not, and since when.
pub(super) type Failing = Option<(String, Instant)>;

/// Writes the watch's row when something changed, and every few seconds.
#[derive(Debug)]
pub struct Beacon {
    pub(super) store: Store,
    pub(super) identity: WatchIdentity,
    pub(super) folder: String,
    pub(super) source: Option<String>,
    pub(super) standing: Receiver<Standing>,
    /// Of the checkout that the watch keeps.
    pub(super) fetching: Option<Receiver<Failing>>,
}

impl Beacon {
    /// Runs until `shutdown`, and says then that the watch ends.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let report = self.report();
            tokio::select! {
                saved = timeout(EVERY, self.store.save_watch(self.identity.id, &report)) => {
                    // The controller needs the same database, and says what is wrong with it.
                    if let Err(error) = saved.unwrap_or(Err(StoreError::Silent)) {
                        debug!("the watch's row was not written: {:#}", anyhow::Error::from(error));
                    }
                }
                () = shutdown.cancelled() => break,
            }
            let fetching = async {
                match &mut self.fetching {
                    Some(fetching) => changed(fetching).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed(&mut self.standing) => {}
                () = fetching => {}
                () = sleep(EVERY) => {}
                () = shutdown.cancelled() => break,
            }
        }
        drop(timeout(FAREWELL, self.store.end_watch(self.identity.id)).await);
    }

    fn report(&mut self) -> WatchReport {
        let standing = self.standing.borrow_and_update().clone();
        let fetching = self.fetching.as_mut().and_then(|it| it.borrow_and_update().clone());
        let Standing { commit, dirty, passed, applied, failure } = standing;
        WatchReport {
            host: self.identity.host.clone(),
            pid: self.identity.pid,
            folder: self.folder.clone(),
            source: self.source.clone(),
            commit,
            dirty,
            passed: passed.map(|at| at.elapsed()),
            applied: applied.map(|at| at.elapsed()),
            failure: failure.or(fetching).map(|(message, at)| (message, at.elapsed())),
        }
    }
}

/// Waits for news; for ever if nobody is left to have any.
async fn changed<T>(of: &mut Receiver<T>) {
    if of.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Changes the standing without waking the beacon: it is written with the next beat.
pub(super) fn note(standing: &Sender<Standing>, change: impl FnOnce(&mut Standing)) {
    standing.send_if_modified(|standing| {
        change(standing);
        false
    });
}
