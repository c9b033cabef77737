//! The loop that posts our messages to the systems behind `api` channels.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Connector,
    rounds::{Rounds, in_time},
};
use crate::{
    channels::{CallbackMessage, Posted, Receiver},
    domain::{channel::ChannelSpec, id::ChannelName},
    store::{CallbackEnd, DueCallback, Store, StoreError},
};

/// A wake-up that was lost costs no more than this.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// Between two looks at what others hold.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// The poster of callbacks. Several may run: what one has leased, the others leave.
#[derive(Debug)]
pub struct Callbacks {
    store: Store,
    connector: Connector,
    clock: fn() -> DateTime<Utc>,
    /// What was said of a channel last, so that it is said once.
    problems: HashMap<ChannelName, String>,
}

impl Callbacks {
    pub fn new(store: Store, connector: Connector, clock: fn() -> DateTime<Utc>) -> Self {
        Self { store, connector, clock, problems: HashMap::new() }
    }

    /// Posts until `shutdown`. A call that is broken off is made again, with the same id.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let posting = async {
            let mut rounds = Rounds::of("callbacks");
            loop {
                rounds.register(self.store.dialogue_wakeups()).await;
                // Without a deadline: the calls are made within it.
                let until = rounds.judge(self.pass().await).unwrap_or_else(|again| again);
                tokio::select! {
                    () = rounds.woken() => {}
                    () = sleep_until(until) => {}
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = posting => {}
        }
    }

    /// Posts all that is due; gives the time of the next look.
    async fn pass(&mut self) -> Result<Instant, StoreError> {
        loop {
            let due = in_time(self.store.lease_callbacks()).await?;
            if due.is_empty() {
                let next = in_time(self.store.next_callback_in()).await?;
                let wait = next.map_or(LOOK_AGAIN, |next| next.clamp(BUSY_PAUSE, LOOK_AGAIN));
                return Ok(Instant::now() + wait);
            }
            let names: Vec<ChannelName> = due.iter().map(|one| one.channel.clone()).collect();
            let specs: HashMap<ChannelName, ChannelSpec> =
                in_time(self.store.read_channels(&names)).await?.into_iter().collect();
            let mut calls = JoinSet::new();
            for callback in due {
                let receiver = self.receiver(&callback.channel, specs.get(&callback.channel));
                calls.spawn(post(receiver, callback, (self.clock)()));
            }
            while let Some(called) = calls.join_next().await {
                // A call that panicked keeps its lease, and is made again after it.
                let Ok((callback, end)) = called else { continue };
                self.tell(&callback, &end);
                in_time(self.store.record_callback(&callback, &end)).await?;
            }
        }
    }

    fn receiver(
        &self,
        channel: &ChannelName,
        spec: Option<&ChannelSpec>,
    ) -> Result<Receiver, String> {
        let spec = spec.ok_or("the channel is gone")?;
        let secret = match spec.credentials.get("callbackSecret") {
            Some(reference) => {
                Some((self.connector.find_secret)(channel, "callbackSecret", reference)?)
            }
            None => None,
        };
        Receiver::connect(spec, secret.as_ref(), &self.connector.http)
            .map_err(|error| error.to_string())
    }

    fn tell(&mut self, callback: &DueCallback, end: &CallbackEnd) {
        let channel = &callback.channel;
        match end {
            CallbackEnd::Delivered => {
                if self.problems.remove(channel).is_some() {
                    info!(%channel, "callbacks are taken again");
                }
            }
            CallbackEnd::Again { reason, .. } => {
                if self.problems.insert(channel.clone(), reason.clone()).as_ref() != Some(reason) {
                    warn!(%channel, "a callback was not taken: {reason}");
                }
            }
            CallbackEnd::Gone { reason, .. } => {
                warn!(%channel, "nothing is posted any more until `callbackUrl` changes: {reason}");
            }
        }
    }
}

async fn post(
    receiver: Result<Receiver, String>,
    callback: DueCallback,
    now: DateTime<Utc>,
) -> (DueCallback, CallbackEnd) {
    let end = match receiver {
        Err(reason) => CallbackEnd::Again { after: None, reason },
        Ok(receiver) => {
            let message = CallbackMessage {
                id: callback.position.0,
                channel: &callback.channel,
                peer: &callback.peer,
                author: callback.author,
                text: &callback.text,
                at: callback.at,
            };
            match receiver.post(&message, now).await {
                Posted::Taken => CallbackEnd::Delivered,
                Posted::Gone => CallbackEnd::Gone {
                    url: receiver.url().to_owned(),
                    reason: "the receiver answers 410".to_owned(),
                },
                Posted::Refused { after, reason } => CallbackEnd::Again { after, reason },
            }
        }
    };
    (callback, end)
}
