//! Receiving: each provider is told how we want to hear what arrives; who pushes nothing is asked, one round
//! after the other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{drivers::Held, rounds::in_time};
use crate::{
    channels::{Driver, Polled, Receives},
    domain::{
        attempt::{Outcome, OutcomeClass},
        id::{ChannelName, ExecutorId},
    },
    store::{Parcel, Raw, Store, StoreError},
};

/// After the first round that failed; each further one in a row doubles it.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// A provider that refuses us, or stays away, is asked no more often than this.
const FAILED_PAUSE_MAX: Duration = Duration::from_mins(15);
/// While one waits after a failure, an operator may have mended it.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// A round that ends at once, as the first does, is not followed by the next at once.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// Somebody else may have told the provider otherwise since.
const ARRANGED_FOR: Duration = Duration::from_hours(1);
/// A message that no task wants is asked for again, in case one will.
const UNROUTED_PAUSE: Duration = Duration::from_secs(30);

/// Receives for the channels of the lanes that this executor holds, until `shutdown`.
#[derive(Debug)]
pub struct Receiver {
    store: Store,
    held: watch::Receiver<Held>,
    public_url: Option<String>,
}

impl Receiver {
    /// `public_url` is where providers reach our server, if they do.
    pub fn new(store: Store, held: watch::Receiver<Held>, public_url: Option<String>) -> Self {
        Self { store, held, public_url }
    }

    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = JoinSet::new();
        let mut attended: HashMap<ChannelName, (Arc<Driver>, CancellationToken, AbortHandle)> =
            HashMap::new();
        loop {
            let held = self.held.borrow_and_update().clone();
            attended.retain(|channel, (driver, end, running)| {
                let stays = held.drivers.get(channel).is_some_and(|now| Arc::ptr_eq(now, driver));
                if !stays {
                    end.cancel();
                }
                stays && !running.is_finished()
            });
            for (channel, driver) in held.drivers.iter() {
                let Some(executor) = held.executor else { break };
                if driver.receives() == Receives::Nothing || attended.contains_key(channel) {
                    continue;
                }
                let end = shutdown.child_token();
                let receiving = Receiving {
                    store: self.store.clone(),
                    executor,
                    channel: channel.clone(),
                    driver: Arc::clone(driver),
                    hook: self.public_url.as_ref().map(|url| format!("{url}/hooks/{channel}")),
                };
                let until = end.clone();
                let running = rounds.spawn(async move {
                    // What is under way when the channel is given up is broken off: nothing is lost by it.
                    tokio::select! {
                        () = until.cancelled() => {}
                        () = receiving.run() => {}
                    }
                });
                attended.insert(channel.clone(), (Arc::clone(driver), end, running));
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.held.changed() => if changed.is_err() { break },
                Some(ended) = rounds.join_next() => if ended.is_err() {
                    warn!("a driver failed while it received; it is asked again");
                    // Not at once: it may fail again.
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = sleep(FAILED_PAUSE) => {}
                    }
                }
            }
        }
        // A round that is broken off loses nothing: its cursor was not moved.
        rounds.shutdown().await;
    }
}

/// The receiving of one channel.
struct Receiving {
    store: Store,
    executor: ExecutorId,
    channel: ChannelName,
    driver: Arc<Driver>,
    /// Where its webhooks would come.
    hook: Option<String>,
}

impl Receiving {
    async fn run(self) {
        let mut failures = 0;
        let mut arranged_until = None;
        loop {
            let round = match arranged_until {
                Some(until) if Instant::now() < until => self.receive(until).await,
                _ => self.driver.arrange(self.hook.as_deref()).await.map(|()| {
                    arranged_until = Some(Instant::now() + ARRANGED_FOR);
                    Duration::ZERO
                }),
            };
            match round {
                Ok(pause) => {
                    if std::mem::take(&mut failures) > 0 || pause.is_zero() {
                        self.note(None).await;
                    }
                    sleep(pause).await;
                }
                Err(problem) => {
                    if failures == 0 {
                        warn!(channel = %self.channel, "nothing is received: {}", problem.reason);
                    }
                    failures += 1;
                    self.note(Some(&problem)).await;
                    self.rest(problem.after, failures).await;
                }
            }
        }
    }

    /// What there is to do until the provider is told anew: a round of polling, or nothing.
    async fn receive(&self, until: Instant) -> Result<Duration, Outcome> {
        match self.driver.receives() {
            Receives::Polling => self.round().await,
            Receives::Webhook | Receives::Nothing => Ok(until - Instant::now()),
        }
    }

    /// Asks once, and stores what came together with the place where the next round goes on.
    async fn round(&self) -> Result<Duration, Outcome> {
        let began = Instant::now();
        let cursor = in_time(self.store.read_cursor(&self.channel)).await.map_err(away)?;
        let Polled { received, cursor, raw } = self.driver.poll(cursor.as_deref()).await?;
        let parcel = Parcel {
            channel: &self.channel,
            received: &received,
            raw: (!received.is_empty())
                .then_some(Raw { headers: serde_json::json!({}), body: &raw }),
            cursor: Some(&cursor),
        };
        let taken = in_time(self.store.receive(&parcel)).await.map_err(away)?;
        if taken.unrouted > 0 {
            debug!(channel = %self.channel, unrouted = taken.unrouted, "no task uses the channel");
            return Ok(UNROUTED_PAUSE);
        }
        Ok(ROUND_PAUSE.saturating_sub(began.elapsed()))
    }

    /// A database that is away is told of by others.
    async fn note(&self, problem: Option<&Outcome>) {
        let noted = in_time(self.store.note_receiving(self.executor, &self.channel, problem)).await;
        if let Err(error) = noted {
            debug!(channel = %self.channel, "not noted: {:#}", anyhow::Error::from(error));
        }
    }

    /// Longer with each failure; until an operator ends it at the latest.
    async fn rest(&self, wanted: Option<Duration>, failures: u32) {
        let pause = FAILED_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1));
        let end = Instant::now() + pause.min(FAILED_PAUSE_MAX).max(wanted.unwrap_or_default());
        while Instant::now() < end {
            sleep_until(end.min(Instant::now() + LOOK_PAUSE)).await;
            if matches!(in_time(self.store.is_unheard(&self.channel)).await, Ok(false)) {
                break;
            }
        }
    }
}

fn away(error: StoreError) -> Outcome {
    Outcome::of(OutcomeClass::NotSent, format!("{:#}", anyhow::Error::from(error)))
}
