//! What the rounds of every loop share: registered for wake-ups before a look, a look under a deadline, and
//! patience while the database is away.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

use crate::store::{StoreError, Wakeups};

/// A connection that died without a word never answers; no look takes so long.
const DATABASE_DEADLINE: Duration = Duration::from_secs(15);
/// Between two tries while the database is away.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// The rounds of one loop.
#[derive(Debug)]
pub(super) struct Rounds {
    /// What waits while the database is away.
    what: &'static str,
    wakeups: Option<Wakeups>,
    is_away: bool,
}

impl Rounds {
    pub(super) fn of(what: &'static str) -> Self {
        Self { what, wakeups: None, is_away: false }
    }

    /// Called before looking, so that no wake-up falls in between.
    pub(super) async fn register<F>(&mut self, registration: F)
    where
        F: Future<Output = Result<Wakeups, StoreError>>,
    {
        if self.wakeups.is_none() {
            let registered = timeout(DATABASE_DEADLINE, registration).await;
            self.wakeups = registered.ok().and_then(Result::ok);
        }
    }

    /// One look, broken off when the database is silent. Without an answer, when to look again.
    pub(super) async fn look<T, F>(&mut self, look: F) -> Result<T, Instant>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let looked = in_time(look).await;
        self.judge(looked)
    }

    /// Says once that the database is away, and once that it is back.
    pub(super) fn judge<T>(&mut self, looked: Result<T, StoreError>) -> Result<T, Instant> {
        let what = self.what;
        match looked {
            Ok(found) => {
                if std::mem::take(&mut self.is_away) {
                    info!("the database is back: {what} go on");
                }
                Ok(found)
            }
            Err(error) => {
                // The connection of the wake-ups may have gone silent as well, and would say nothing of it.
                self.wakeups = None;
                if !std::mem::replace(&mut self.is_away, true) {
                    warn!("{what} wait for the database: {:#}", anyhow::Error::from(error));
                }
                Err(Instant::now() + AWAY_PAUSE)
            }
        }
    }

    /// Waits for a wake-up. May be dropped at any moment.
    pub(super) async fn woken(&mut self) {
        match &mut self.wakeups {
            Some(wakeups) => {
                if wakeups.next().await.is_err() {
                    self.wakeups = None;
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// Outcomes that the database refuses to keep.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    are_told: bool,
}

impl Refusals {
    /// Says once that there are some, and once that there are none any more.
    pub(super) fn tell(&mut self, of: &str, n: usize, why: Option<StoreError>) {
        let were_told = std::mem::replace(&mut self.are_told, why.is_some());
        match why {
            Some(why) if !were_told => error!(
                n,
                "outcomes of {of} cannot be recorded, and their channels wait: {:#}",
                anyhow::Error::from(why)
            ),
            None if were_told => info!("outcomes of {of} are recorded again"),
            _ => {}
        }
    }
}

/// A question to the database, given up when it is silent.
pub(super) async fn in_time<T, F>(question: F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    timeout(DATABASE_DEADLINE, question).await.unwrap_or(Err(StoreError::Silent))
}

/// What a loop still tells the database when it leaves; `lost` is what becomes of it otherwise.
pub(super) async fn say_last_words<F>(deadline: Instant, lost: &str, words: F)
where
    F: Future<Output = Result<(), StoreError>>,
{
    match timeout_at(deadline, words).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("{lost}: {:#}", anyhow::Error::from(error)),
        Err(_) => warn!("{lost}: the database did not answer in time"),
    }
}
