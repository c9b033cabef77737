//! Polling: channels whose provider pushes nothing are asked, one round after the other, for what arrived.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::drivers::Held;
use crate::{
    channels::{Driver, Polled, Receives},
    domain::id::ChannelName,
    store::{Parcel, Raw, Store, StoreError},
};

/// Between two rounds of a provider that is away or refuses us; a round itself takes its time.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// A round that ends at once, as the first does, is not followed by the next at once.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// A message that no task wants is asked for again, in case one will.
const UNROUTED_PAUSE: Duration = Duration::from_secs(30);

/// Polls the channels of the lanes that this executor holds, until `shutdown`.
#[derive(Debug)]
pub struct Receiver {
    store: Store,
    held: watch::Receiver<Held>,
}

impl Receiver {
    pub fn new(store: Store, held: watch::Receiver<Held>) -> Self {
        Self { store, held }
    }

    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = JoinSet::new();
        let mut polled: HashMap<ChannelName, (Arc<Driver>, CancellationToken)> = HashMap::new();
        loop {
            let held = self.held.borrow_and_update().clone();
            polled.retain(|channel, (driver, end)| {
                let stays = held.drivers.get(channel).is_some_and(|now| Arc::ptr_eq(now, driver));
                if !stays {
                    end.cancel();
                }
                stays
            });
            for (channel, driver) in held.drivers.iter() {
                if driver.receives() != Receives::Polling || polled.contains_key(channel) {
                    continue;
                }
                let end = shutdown.child_token();
                polled.insert(channel.clone(), (Arc::clone(driver), end.clone()));
                let polling = Polling {
                    store: self.store.clone(),
                    channel: channel.clone(),
                    driver: Arc::clone(driver),
                };
                rounds.spawn(polling.run(end));
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.held.changed() => if changed.is_err() { break },
                Some(_) = rounds.join_next() => {}
            }
        }
        // A round that is broken off loses nothing: its cursor was not moved.
        rounds.shutdown().await;
    }
}

/// The polling of one channel.
struct Polling {
    store: Store,
    channel: ChannelName,
    driver: Arc<Driver>,
}

impl Polling {
    async fn run(self, end: CancellationToken) {
        let mut failed = false;
        while !end.is_cancelled() {
            let round = tokio::select! {
                () = end.cancelled() => break,
                round = self.round() => round,
            };
            let pause = match round {
                Ok(pause) => {
                    failed = false;
                    pause
                }
                Err(reason) => {
                    if !std::mem::replace(&mut failed, true) {
                        warn!(channel = %self.channel, "nothing is received: {reason}");
                    }
                    FAILED_PAUSE
                }
            };
            tokio::select! {
                () = end.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
    }

    /// Asks once, and stores what came together with the place where the next round goes on.
    async fn round(&self) -> Result<Duration, String> {
        let away = |error: StoreError| format!("{:#}", anyhow::Error::from(error));
        let began = Instant::now();
        let cursor = self.store.read_cursor(&self.channel).await.map_err(away)?;
        let Polled { received, cursor, raw } =
            self.driver.poll(cursor.as_deref()).await.map_err(|outcome| outcome.reason)?;
        let parcel = Parcel {
            channel: &self.channel,
            received: &received,
            raw: (!received.is_empty())
                .then_some(Raw { headers: serde_json::json!({}), body: &raw }),
            cursor: Some(&cursor),
        };
        let taken = self.store.receive(&parcel).await.map_err(away)?;
        if taken.unrouted > 0 {
            debug!(channel = %self.channel, unrouted = taken.unrouted, "no task uses the channel");
            return Ok(UNROUTED_PAUSE);
        }
        Ok(ROUND_PAUSE.saturating_sub(began.elapsed()))
    }
}
