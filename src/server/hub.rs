//! Everybody who looks at a dialogue at this moment, and the one loop that looks into the database for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{limits::Limits, problem::Problem};
use crate::store::{News, Shown, Store, StoreError, Wakeups, Watched};

/// Of one visitor: more tabs than anybody looks at.
const STREAMS_A_VISITOR: usize = 8;
/// Below the limit of connections, so that streams leave room for messages.
const STREAMS_MAX: usize = 600;
/// Tidings that one stream has not sent yet; a reader that is slower asks anew from where it was.
const QUEUE: usize = 32;
/// Dialogues that one statement asks for.
const WATCHED_AT_ONCE: usize = 500;
/// Wake-ups within it are one look.
const LOOK_PAUSE: Duration = Duration::from_millis(40);
/// A lost wake-up costs no more than this.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// Between two tries while the database is away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// A connection that died without a word never answers.
const DATABASE_DEADLINE: Duration = Duration::from_secs(15);

/// What a stream is told.
#[derive(Debug)]
pub(super) enum Tidings {
    Messages(Vec<Shown>),
    Typing(bool),
}

#[derive(Debug)]
struct Entry {
    watched: Watched,
    typing: bool,
    sender: mpsc::Sender<Tidings>,
}

#[derive(Debug, Default)]
struct Entries {
    next_id: u64,
    by_id: HashMap<u64, Entry>,
}

#[derive(Debug)]
pub(super) struct Hub {
    store: Store,
    entries: Arc<Mutex<Entries>>,
    /// Somebody joined, or there is more to read.
    look: Notify,
    /// Changes with every look, for those who wait for whatever happens.
    looked: watch::Sender<u64>,
}

/// A place at the hub; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    entries: Arc<Mutex<Entries>>,
    pub(super) tidings: mpsc::Receiver<Tidings>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.entries).by_id.remove(&self.id);
    }
}

/// A holder that panicked left a map that is whole.
fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(super) fn new(store: Store) -> Self {
        let (looked, _) = watch::channel(0);
        Self { store, entries: Arc::default(), look: Notify::new(), looked }
    }

    /// Tells what happens to one person's dialogues from now on.
    pub(super) fn join(&self, watched: Watched) -> Result<Seat, Problem> {
        let (sender, tidings) = mpsc::channel(QUEUE);
        let mut entries = lock(&self.entries);
        let same = |entry: &&Entry| {
            entry.watched.peer == watched.peer && entry.watched.channel == watched.channel
        };
        if entries.by_id.len() >= STREAMS_MAX
            || entries.by_id.values().filter(same).count() >= STREAMS_A_VISITOR
        {
            return Err(Problem::too_many(Duration::from_secs(10)));
        }
        entries.next_id += 1;
        let id = entries.next_id;
        entries.by_id.insert(id, Entry { watched, typing: false, sender });
        drop(entries);
        self.look.notify_one();
        Ok(Seat { id, entries: Arc::clone(&self.entries), tidings })
    }

    /// Changes whenever something may have been said somewhere.
    pub(super) fn looks(&self) -> watch::Receiver<u64> {
        self.looked.subscribe()
    }

    /// Looks at each wake-up, until `shutdown`.
    pub(super) async fn run(&self, limits: &Limits, forget: Duration, shutdown: CancellationToken) {
        let looking = async {
            let mut wakeups = None;
            let mut away = false;
            loop {
                match timeout(DATABASE_DEADLINE, self.pass(&mut wakeups)).await {
                    Ok(Ok(())) => {
                        if away {
                            info!("the database is back for the visitors");
                            away = false;
                        }
                        self.wait(&mut wakeups).await;
                        sleep(LOOK_PAUSE).await;
                    }
                    failed => {
                        let error = failed.unwrap_or(Err(StoreError::Silent)).err();
                        if let (false, Some(error)) = (away, error) {
                            warn!("visitors see nothing new: {:#}", anyhow::Error::from(error));
                        }
                        away = true;
                        wakeups = None;
                        sleep(AWAY_PAUSE).await;
                    }
                }
            }
        };
        let forgetting = async {
            loop {
                sleep(forget).await;
                limits.forget();
                if let Err(error) = self.store.forget_silent_visitors().await {
                    warn!("silent visitors stay: {:#}", anyhow::Error::from(error));
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = looking => {}
            () = forgetting => {}
        }
    }

    async fn wait(&self, wakeups: &mut Option<Wakeups>) {
        let woken = async {
            match wakeups {
                Some(wakeups) => wakeups.next().await,
                None => Ok(()),
            }
        };
        let lost = tokio::select! {
            woken = woken => woken.is_err(),
            () = self.look.notified() => false,
            () = sleep(LOOK_AGAIN) => false,
        };
        if lost {
            *wakeups = None;
        }
    }

    async fn pass(&self, wakeups: &mut Option<Wakeups>) -> Result<(), StoreError> {
        // Registered before looking, so that none falls in between.
        if wakeups.is_none() {
            *wakeups = Some(self.store.dialogue_wakeups().await?);
        }
        self.looked.send_modify(|looks| *looks = looks.wrapping_add(1));
        let watched: Vec<(u64, Watched)> = lock(&self.entries)
            .by_id
            .iter()
            .map(|(id, entry)| (*id, entry.watched.clone()))
            .collect();
        for some in watched.chunks(WATCHED_AT_ONCE) {
            let questions: Vec<Watched> = some.iter().map(|(_, watched)| watched.clone()).collect();
            let news = self.store.read_news(&questions).await?;
            for ((id, _), news) in some.iter().zip(news) {
                self.tell(*id, news);
            }
        }
        Ok(())
    }

    fn tell(&self, id: u64, news: News) {
        let News { messages, typing, more } = news;
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.by_id.get_mut(&id) else { return };
        let mut tidings = Vec::new();
        if let Some(last) = messages.last() {
            entry.watched.after = last.position;
            tidings.push(Tidings::Messages(messages));
        }
        if entry.typing != typing {
            entry.typing = typing;
            tidings.push(Tidings::Typing(typing));
        }
        let is_behind = tidings.into_iter().any(|one| entry.sender.try_send(one).is_err());
        if is_behind {
            // The stream ends, and its reader asks again from the last message that it got.
            entries.by_id.remove(&id);
        } else if more {
            self.look.notify_one();
        }
    }
}
