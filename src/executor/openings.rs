//! The loop that sends openings: heartbeat, record, grant, call; again and again.
//!
//! A wake-up carries no data; every pass looks at everything. Calls run beside the loop and outside any
//! transaction. What a stop leaves unanswered stays in doubt.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    drivers::{Connector, Held},
    lanes::{Identity, Lanes},
    message::{Unsayable, compose},
    rounds::{Refusals, Rounds, say_last_words},
};
use crate::{
    channels::OpeningCall,
    domain::{
        attempt::{Message, Outcome, OutcomeClass, Permit},
        id::{AttemptId, ChannelName, TaskName},
    },
    store::{Finished, Intended, Kept, Store, StoreError},
};

const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Between two looks when a lane is due and nothing was granted, because a row was locked.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);
/// How long running calls may finish after a stop was asked for. What takes longer stays in doubt.
const GRACE: Duration = Duration::from_secs(3);
/// How long the database may then take to be told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is known of a call while it runs.
#[derive(Clone, Debug)]
struct Call {
    attempt: AttemptId,
    task: TaskName,
    channel: ChannelName,
}

/// The sender of openings.
#[derive(Debug)]
pub struct Executor {
    store: Store,
    lanes: Lanes,
    calls: JoinSet<Outcome>,
    /// Attempts whose call runs.
    calling: HashMap<tokio::task::Id, Call>,
    /// Calls that ended and are not recorded yet.
    ended: Vec<(Call, Outcome)>,
    next_housekeeping: Instant,
    refusals: Refusals,
}

impl Executor {
    pub fn new(store: Store, connector: Connector, identity: Identity) -> Self {
        Self {
            lanes: Lanes::new(store.clone(), connector, identity),
            store,
            calls: JoinSet::new(),
            calling: HashMap::new(),
            ended: Vec::new(),
            next_housekeeping: Instant::now(),
            refusals: Refusals::default(),
        }
    }

    /// What this executor holds, for the loops that work on it as well.
    pub fn held(&self) -> watch::Receiver<Held> {
        self.lanes.held()
    }

    /// Sends until `shutdown`, and then leaves in order.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = Rounds::of("openings");
        let guard = self.lanes.guard();
        while !shutdown.is_cancelled() {
            rounds.register(self.store.wakeups()).await;
            // A pass that is broken off loses nothing: permits that were granted unseen are found in
            // flight, and what ended is kept until its record succeeded.
            let until = rounds.look(self.pass()).await.unwrap_or_else(|again| {
                self.lanes.doubt();
                again
            });
            self.wait(&shutdown, &mut rounds, until).await;
        }
        self.leave(guard).await;
    }

    /// One look at everything. Gives the time of the next one.
    async fn pass(&mut self) -> Result<Instant, StoreError> {
        if self.lanes.keep_if_due().await? {
            self.settle_abandoned().await?;
        }
        if Instant::now() >= self.next_housekeeping {
            self.next_housekeeping = Instant::now() + HOUSEKEEPING;
            self.store.keep_partitions().await?;
            let settled = self.store.settle_orphans().await?;
            debug!(settled, "housekeeping");
        }
        self.record().await?;
        let granted = self.grant().await?;
        let next = match self.store.next_turn_in(self.lanes.id()).await? {
            Some(wait) if granted == 0 => Instant::now() + wait.max(LOCKED_PAUSE),
            Some(wait) => Instant::now() + wait,
            None => self.lanes.next_heartbeat(),
        };
        Ok(next.min(self.lanes.next_heartbeat()))
    }

    /// Settles what a killed executor, or a lost answer of the database, left in flight.
    async fn settle_abandoned(&mut self) -> Result<(), StoreError> {
        let known: Vec<AttemptId> = self
            .calling
            .values()
            .map(|call| call.attempt)
            .chain(self.ended.iter().map(|(call, _)| call.attempt))
            .collect();
        let abandoned = self.store.list_abandoned(self.lanes.id(), &known).await?;
        if abandoned.is_empty() {
            return Ok(());
        }
        let mut finished = Vec::with_capacity(abandoned.len());
        for attempt in abandoned {
            // Under our own fence only we could have called, and we know that we did not.
            let (class, reason) = if attempt.under_this_fence {
                (OutcomeClass::NotSent, "the permit was lost before the call")
            } else {
                (OutcomeClass::InDoubt, "the executor stopped before it recorded the answer")
            };
            warn!(channel = %attempt.channel, attempt = %attempt.attempt, "{reason}");
            finished.push(Finished {
                attempt: attempt.attempt,
                channel: attempt.channel,
                fence: attempt.fence,
                outcome: without_rest(Outcome::of(class, reason)),
            });
        }
        drop(self.store.record_outcomes(&finished).await?);
        Ok(())
    }

    /// Records what ended. On an error everything is kept for the next pass.
    async fn record(&mut self) -> Result<(), StoreError> {
        while let Some(joined) = self.calls.try_join_next_with_id() {
            self.take(joined);
        }
        if self.ended.is_empty() {
            return Ok(());
        }
        // The fence that is held now: if the lane was lost and leased again while the call ran, and
        // nobody has settled the attempt, its true outcome still counts.
        let finished: Vec<Finished> = self
            .ended
            .iter()
            .filter_map(|(call, outcome)| {
                Some(Finished {
                    attempt: call.attempt,
                    channel: call.channel.clone(),
                    fence: self.lanes.fence(&call.channel)?,
                    outcome: outcome.clone(),
                })
            })
            .collect();
        let Kept { recorded, refused, why } = self.store.record_outcomes(&finished).await?;
        self.refusals.tell("openings", refused.len(), why);
        let (kept, ended): (Vec<_>, Vec<_>) =
            self.ended.drain(..).partition(|(call, _)| refused.contains(&call.attempt));
        // As long as it stands here, nobody takes it for a permit that was not used.
        self.ended = kept;
        // What has no lane any more is settled by whoever has it.
        for (call, outcome) in ended {
            report(&call, &outcome, recorded.contains(&call.attempt));
        }
        Ok(())
    }

    async fn grant(&mut self) -> Result<usize, StoreError> {
        if self.lanes.is_empty() {
            return Ok(0);
        }
        // Before the statement: the permit's time runs from its grant, which is later.
        let asked_at = Instant::now();
        let permits = self.store.grant_permits(self.lanes.id()).await?;
        let granted = permits.len();
        for (permit, message) in self.intend(permits).await? {
            self.call(permit, message, asked_at);
        }
        Ok(granted)
    }

    /// Keeps what each permit is about to say, and gives it; or the outcome of what is not to be said.
    async fn intend(
        &self,
        permits: Vec<Permit>,
    ) -> Result<Vec<(Permit, Result<Message, Outcome>)>, StoreError> {
        let mut composed = Vec::with_capacity(permits.len());
        let mut intended = Vec::with_capacity(permits.len());
        for permit in permits {
            let message = compose(&permit);
            if let Ok(message) = &message {
                intended.push(Intended {
                    attempt: permit.attempt,
                    channel: permit.channel.clone(),
                    fence: permit.fence,
                    text: message.to_string(),
                });
            }
            composed.push((permit, message));
        }
        let kept = match &intended[..] {
            [] => Vec::new(),
            intended => self.store.intend(intended).await?,
        };
        let allowed = |(permit, message): (Permit, Result<Message, Unsayable>)| {
            let message = match message {
                Ok(message) if kept.contains(&permit.attempt) => Ok(message),
                Ok(_) => Err(without_rest(Outcome::of(
                    OutcomeClass::NotSent,
                    "the permit was taken back before the call",
                ))),
                Err(unsayable) => {
                    Err(Outcome::of(OutcomeClass::MessagePermanent, unsayable.to_string()))
                }
            };
            (permit, message)
        };
        Ok(composed.into_iter().map(allowed).collect())
    }

    fn call(&mut self, permit: Permit, message: Result<Message, Outcome>, asked_at: Instant) {
        let driver = self.lanes.driver(&permit.channel);
        let known = Call {
            attempt: permit.attempt,
            task: permit.task.clone(),
            channel: permit.channel.clone(),
        };
        debug!(task = %permit.task, channel = %permit.channel, attempt = %permit.attempt, "permit");
        let call = self.calls.spawn(async move {
            let Permit { attempt, address, key, valid_for, .. } = &permit;
            match (driver, message) {
                (_, Err(outcome)) => outcome,
                (None, _) => Outcome::of(OutcomeClass::NotSent, "the channel is not connected"),
                // Our own clock may only make us stop earlier: a process that was frozen since the
                // grant must not call outside the lease or the hours.
                _ if asked_at.elapsed() > *valid_for => without_rest(Outcome::of(
                    OutcomeClass::NotSent,
                    "the permit ran out before the call",
                )),
                (Some(driver), Ok(message)) => {
                    let call =
                        OpeningCall { address, message: &message, key: *key, attempt: *attempt };
                    driver.open(&call).await
                }
            }
        });
        self.calling.insert(call.id(), known);
    }

    fn take(&mut self, joined: Result<(tokio::task::Id, Outcome), JoinError>) {
        let (call, outcome) = match joined {
            Ok(ended) => ended,
            // A driver that panicked: nobody knows what it had done before.
            Err(error) => {
                let outcome = Outcome::of(OutcomeClass::InDoubt, "the driver failed in the call");
                (error.id(), outcome)
            }
        };
        if let Some(call) = self.calling.remove(&call) {
            self.ended.push((call, outcome));
        }
    }

    /// Waits for the next thing to happen, and takes what ended.
    async fn wait(&mut self, shutdown: &CancellationToken, rounds: &mut Rounds, until: Instant) {
        // Every arm may be dropped at any moment: the calls stay in their set, a lost wake-up is made
        // up by the next heartbeat.
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(joined) = self.calls.join_next_with_id() => self.take(joined),
            () = rounds.woken() => self.lanes.look_again(),
            () = sleep_until(until) => {}
        }
    }

    /// No more permits; running calls may finish for a while; the lanes go back.
    async fn leave(mut self, guard: JoinSet<()>) {
        let deadline = Instant::now() + GRACE;
        while let Ok(Some(joined)) = timeout_at(deadline, self.calls.join_next_with_id()).await {
            self.take(joined);
        }
        let unanswered = self.calls.len();
        self.calls.abort_all();
        if unanswered > 0 {
            warn!(unanswered, "calls without an answer stay in doubt");
        }
        // It looks at what is held, as the other loops do.
        drop(guard);
        // They work on the lanes as well: whoever took one now would settle their calls.
        if timeout_at(deadline + LAST_WORDS / 2, self.lanes.left_by_others()).await.is_err() {
            debug!("the lanes are given back before everybody has left");
        }
        // Before the lanes go back: who takes one begins at once.
        self.lanes.give_up();
        let last_words = async {
            self.record().await?;
            self.store.release_lanes(self.lanes.id()).await
        };
        let deadline = deadline + LAST_WORDS;
        say_last_words(deadline, "the lanes were not given back", last_words).await;
    }
}

/// The failure was ours: the provider needs no rest from us.
fn without_rest(outcome: Outcome) -> Outcome {
    Outcome { after: Some(Duration::ZERO), ..outcome }
}

fn report(call: &Call, outcome: &Outcome, recorded: bool) {
    let Call { attempt, task, channel } = call;
    let Outcome { class, reason, .. } = outcome;
    if !recorded {
        warn!(%task, %channel, %attempt, %class, "the lane moved on before the outcome was recorded");
    } else if *class == OutcomeClass::Sent {
        info!(%task, %channel, %attempt, "sent");
    } else {
        warn!(%task, %channel, %attempt, %class, "{reason}");
    }
}
