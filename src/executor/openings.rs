//! The loop that sends openings: heartbeat, record, grant, call; again and again.
//!
//! A wake-up carries no data; every pass looks at everything. Calls run beside the loop and outside any
//! transaction. What a stop leaves unanswered stays in doubt.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    drivers::{Connector, Drivers, Held},
    message::compose,
    rounds::{Rounds, say_last_words},
};
use crate::{
    channels::OpeningCall,
    domain::{
        attempt::{Outcome, OutcomeClass, Permit},
        id::{AttemptId, ChannelName, ExecutorId, Fence, TaskName},
    },
    store::{Finished, Presence, Store, StoreError, Sweep},
};

/// Four of them fit into a lease, so that one that is lost or late costs nothing.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Lanes that could not be connected are tried again: a missing secret may have come.
const RECONNECT: Duration = Duration::from_secs(15);
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Between two looks when a lane is due and nothing was granted, because a row was locked.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);
/// How long running calls may finish after a stop was asked for. What takes longer stays in doubt.
const GRACE: Duration = Duration::from_secs(3);
/// How long the database may then take to be told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Who an executor is, for the people who look at the database.
#[derive(Clone, Debug)]
pub struct Identity {
    pub host: String,
    pub pid: u32,
    pub new_id: fn() -> ExecutorId,
}

/// What is known of a call while it runs.
#[derive(Clone, Debug)]
struct Call {
    attempt: AttemptId,
    task: TaskName,
    channel: ChannelName,
}

/// What a call said, as far as it came to words, and how it ended.
#[derive(Clone, Debug)]
struct Said {
    text: Option<String>,
    outcome: Outcome,
}

impl Said {
    fn nothing(outcome: Outcome) -> Self {
        Self { text: None, outcome }
    }
}

/// The sender of openings.
#[derive(Debug)]
pub struct Executor {
    store: Store,
    connector: Connector,
    identity: Identity,
    id: ExecutorId,
    lanes: HashMap<ChannelName, Fence>,
    drivers: Drivers,
    /// Where the other loops of this process see what is held.
    held: watch::Sender<Held>,
    calls: JoinSet<Said>,
    /// Attempts whose call runs.
    calling: HashMap<tokio::task::Id, Call>,
    /// Calls that ended and are not recorded yet.
    ended: Vec<(Call, Said)>,
    /// The session that shows others that we live; absent before the registration.
    presence: Option<Presence>,
    /// When the lease passes, by our own clock.
    lease: watch::Sender<Instant>,
    /// Lanes that somebody else had, and from when on nobody else has anything of them.
    let_go_at: HashMap<ChannelName, Instant>,
    next_heartbeat: Instant,
    next_reconnect: Instant,
    next_housekeeping: Instant,
}

impl Executor {
    pub fn new(store: Store, connector: Connector, identity: Identity) -> Self {
        let now = Instant::now();
        Self {
            store,
            connector,
            id: (identity.new_id)(),
            identity,
            lanes: HashMap::new(),
            drivers: Drivers::default(),
            held: watch::Sender::default(),
            calls: JoinSet::new(),
            calling: HashMap::new(),
            ended: Vec::new(),
            presence: None,
            lease: watch::Sender::new(now),
            let_go_at: HashMap::new(),
            next_heartbeat: now,
            next_reconnect: now,
            next_housekeeping: now,
        }
    }

    /// What this executor holds, for the loops that work on it as well.
    pub fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// Sends until `shutdown`, and then leaves in order.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = Rounds::of("openings");
        let mut guard = JoinSet::new();
        guard.spawn(guard_lease(self.lease.subscribe(), self.held()));
        while !shutdown.is_cancelled() {
            rounds.register(self.store.wakeups()).await;
            // A pass that is broken off loses nothing: permits that were granted unseen are found in
            // flight, and what ended is kept until its record succeeded.
            let until = rounds.look(self.pass()).await.unwrap_or_else(|again| {
                // What was true before may not be; the session may be gone with the connection.
                self.next_heartbeat = Instant::now();
                again
            });
            self.wait(&shutdown, &mut rounds, until).await;
        }
        self.leave(guard).await;
    }

    /// One look at everything. Gives the time of the next one.
    async fn pass(&mut self) -> Result<Instant, StoreError> {
        if Instant::now() >= self.next_heartbeat {
            self.next_heartbeat = Instant::now() + HEARTBEAT;
            self.keep_lanes().await?;
        }
        if Instant::now() >= self.next_housekeeping {
            self.next_housekeeping = Instant::now() + HOUSEKEEPING;
            self.store.keep_partitions().await?;
            let settled = self.store.settle_orphans().await?;
            debug!(settled, "housekeeping");
        }
        self.record().await?;
        let granted = self.grant().await?;
        let next = match self.store.next_turn_in(self.id).await? {
            Some(wait) if granted == 0 => Instant::now() + wait.max(LOCKED_PAUSE),
            Some(wait) => Instant::now() + wait,
            None => self.next_heartbeat,
        };
        Ok(next.min(self.next_heartbeat))
    }

    async fn keep_lanes(&mut self) -> Result<(), StoreError> {
        // At once, and not at the next heartbeat: what ended meanwhile is recorded under the new lease.
        let (held, pause_ended) = loop {
            if self.presence.is_none() {
                // A new name each time: of a registration that failed half-way nobody knows the end.
                self.id = (self.identity.new_id)();
                let Identity { host, pid, .. } = &self.identity;
                self.presence = Some(self.store.register_executor(self.id, host, *pid).await?);
            }
            // Before the statement: the lease runs from its end.
            let renewed_at = Instant::now();
            match self.store.sweep_lanes(self.id).await? {
                Sweep::Holds { lease, lanes, pause_ended } => {
                    self.lease.send_replace(renewed_at + lease);
                    break (lanes, pause_ended);
                }
                Sweep::Expired => {
                    warn!("the lease was lost; the lanes are leased anew");
                    self.presence = None;
                }
            }
        };
        let now = Instant::now();
        self.let_go_at = held
            .iter()
            .filter(|lane| !lane.let_go_in.is_zero())
            .map(|lane| (lane.channel.clone(), now + lane.let_go_in))
            .collect();
        let lanes: HashMap<ChannelName, Fence> =
            held.into_iter().map(|lane| (lane.channel, lane.fence)).collect();
        // What another may take from now on, before anything else takes its time.
        for name in self.lanes.keys().filter(|name| !lanes.contains_key(*name)) {
            if let Some(driver) = self.drivers.get(name) {
                driver.give_up();
            }
        }
        if pause_ended {
            for task in self.store.resume_due().await? {
                info!(%task, "the pause is over");
            }
        }
        if lanes != self.lanes
            || Instant::now() >= self.next_reconnect
            || self.drivers.is_any_given_up()
        {
            if lanes.len() != self.lanes.len() {
                info!(lanes = lanes.len(), "lanes held");
            }
            self.lanes = lanes;
            self.reconnect().await?;
        }
        self.settle_abandoned().await
    }

    async fn reconnect(&mut self) -> Result<(), StoreError> {
        // What fails half-way is done again by the next pass.
        self.next_reconnect = Instant::now();
        // Whatever woke us may have removed contacts or suppressed people.
        self.store.settle_orphans().await?;
        let names: Vec<ChannelName> = self.lanes.keys().cloned().collect();
        let channels = self.store.read_channels(&names).await?;
        let news = self.drivers.reconnect(&self.connector, channels, &self.let_go_at);
        self.held.send_replace(Held { executor: Some(self.id), drivers: self.drivers.all() });
        self.store.set_unconnectable(self.id, &news).await?;
        self.next_reconnect = Instant::now() + RECONNECT;
        Ok(())
    }

    /// Settles what a killed executor, or a lost answer of the database, left in flight.
    async fn settle_abandoned(&mut self) -> Result<(), StoreError> {
        let known: Vec<AttemptId> = self
            .calling
            .values()
            .map(|call| call.attempt)
            .chain(self.ended.iter().map(|(call, _)| call.attempt))
            .collect();
        let abandoned = self.store.list_abandoned(self.id, &known).await?;
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
                text: None,
                outcome: without_rest(Outcome::of(class, reason)),
            });
        }
        self.store.record_outcomes(&finished).await?;
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
            .filter_map(|(call, said)| {
                Some(Finished {
                    attempt: call.attempt,
                    channel: call.channel.clone(),
                    fence: *self.lanes.get(&call.channel)?,
                    text: said.text.clone(),
                    outcome: said.outcome.clone(),
                })
            })
            .collect();
        let recorded: HashSet<AttemptId> =
            self.store.record_outcomes(&finished).await?.into_iter().collect();
        // What has no lane any more is settled by whoever has it.
        for (call, said) in self.ended.drain(..) {
            report(&call, &said.outcome, recorded.contains(&call.attempt));
        }
        Ok(())
    }

    async fn grant(&mut self) -> Result<usize, StoreError> {
        if self.lanes.is_empty() {
            return Ok(0);
        }
        // Before the statement: the permit's time runs from its grant, which is later.
        let asked_at = Instant::now();
        let permits = self.store.grant_permits(self.id).await?;
        let granted = permits.len();
        for permit in permits {
            self.call(permit, asked_at);
        }
        Ok(granted)
    }

    fn call(&mut self, permit: Permit, asked_at: Instant) {
        let driver = self.drivers.get(&permit.channel);
        let known = Call {
            attempt: permit.attempt,
            task: permit.task.clone(),
            channel: permit.channel.clone(),
        };
        debug!(task = %permit.task, channel = %permit.channel, attempt = %permit.attempt, "permit");
        let call = self.calls.spawn(async move {
            let Permit { attempt, address, key, valid_for, .. } = &permit;
            match (driver, compose(&permit)) {
                (None, _) => Said::nothing(Outcome::of(
                    OutcomeClass::NotSent,
                    "the channel is not connected",
                )),
                (_, Err(unsayable)) => Said::nothing(Outcome::of(
                    OutcomeClass::MessagePermanent,
                    unsayable.to_string(),
                )),
                // Our own clock may only make us stop earlier: a process that was frozen since the
                // grant must not call outside the lease or the hours.
                _ if asked_at.elapsed() > *valid_for => Said::nothing(without_rest(Outcome::of(
                    OutcomeClass::NotSent,
                    "the permit ran out before the call",
                ))),
                (Some(driver), Ok(message)) => {
                    let call =
                        OpeningCall { address, message: &message, key: *key, attempt: *attempt };
                    let outcome = driver.open(&call).await;
                    Said { text: Some(message.to_string()), outcome }
                }
            }
        });
        self.calling.insert(call.id(), known);
    }

    fn take(&mut self, joined: Result<(tokio::task::Id, Said), JoinError>) {
        let (call, said) = match joined {
            Ok(ended) => ended,
            // A driver that panicked: nobody knows what it had done before.
            Err(error) => {
                let outcome = Outcome::of(OutcomeClass::InDoubt, "the driver failed in the call");
                (error.id(), Said::nothing(outcome))
            }
        };
        if let Some(call) = self.calling.remove(&call) {
            self.ended.push((call, said));
        }
    }

    /// Waits for the next thing to happen, and takes what ended.
    async fn wait(&mut self, shutdown: &CancellationToken, rounds: &mut Rounds, until: Instant) {
        // Every arm may be dropped at any moment: the calls stay in their set, a lost wake-up is made
        // up by the next heartbeat.
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(joined) = self.calls.join_next_with_id() => self.take(joined),
            () = rounds.woken() => {
                self.next_heartbeat = Instant::now();
                self.next_reconnect = Instant::now();
            }
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
        if timeout_at(deadline + LAST_WORDS / 2, self.held.closed()).await.is_err() {
            debug!("the lanes are given back before everybody has left");
        }
        // Before the lanes go back: who takes one begins at once.
        self.held.borrow().give_up();
        let last_words = async {
            self.record().await?;
            self.store.release_lanes(self.id).await
        };
        let deadline = deadline + LAST_WORDS;
        say_last_words(deadline, "the lanes were not given back", last_words).await;
    }
}

/// Ends what only the holder of a lane may have when the lease has passed, whatever the loop waits for then.
async fn guard_lease(mut lease: watch::Receiver<Instant>, mut held: watch::Receiver<Held>) {
    loop {
        let until = *lease.borrow_and_update();
        let renewed = tokio::select! {
            () = sleep_until(until) => {
                held.borrow_and_update().give_up();
                // What is connected meanwhile, by a look that took longer than the lease, is of no use either.
                tokio::select! {
                    renewed = lease.changed() => renewed,
                    changed = held.changed() => changed,
                }
            }
            renewed = lease.changed() => renewed,
        };
        if renewed.is_err() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use tokio::task::yield_now;

    use super::*;
    use crate::{
        channels::{Driver, Http},
        domain::{
            channel::{ChannelSpec, Secret},
            kind::ChannelKind,
        },
    };

    fn account() -> Arc<Driver> {
        let spec = ChannelSpec {
            kind: ChannelKind::TelegramCloud,
            daily_limit: None,
            endpoint: None,
            credentials: BTreeMap::new(),
            settings: BTreeMap::new(),
        };
        let secrets = [("apiId", "1"), ("apiHash", "h"), ("phone", "+79123450000")];
        let secrets =
            secrets.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).into();
        Arc::new(Driver::connect(&spec, &secrets, &Http::new().unwrap()).unwrap())
    }

    const LEASE: Duration = Duration::from_secs(8);

    #[tokio::test]
    async fn what_only_one_may_have_ends_with_the_lease_and_not_before() {
        let first = account();
        let name: ChannelName = "sales".parse().unwrap();
        let drivers = Arc::new(HashMap::from([(name, Arc::clone(&first))]));
        let held = watch::Sender::new(Held { executor: None, drivers });
        let lease = watch::Sender::new(Instant::now() + LEASE);
        let mut guard = JoinSet::new();
        guard.spawn(guard_lease(lease.subscribe(), held.subscribe()));
        for _ in 0..5 {
            yield_now().await;
            assert!(!first.is_given_up());
            lease.send_replace(Instant::now() + LEASE);
        }
        // The database answers no more, and time goes on.
        lease.send_replace(Instant::now());
        let ends = async {
            while !first.is_given_up() {
                yield_now().await;
            }
        };
        timeout_at(Instant::now() + LEASE, ends).await.unwrap();
        // As does what a look connects that took longer than the lease.
        let late = account();
        let drivers = Arc::new(HashMap::from([("sales".parse().unwrap(), Arc::clone(&late))]));
        held.send_replace(Held { executor: None, drivers });
        let ends = async {
            while !late.is_given_up() {
                yield_now().await;
            }
        };
        timeout_at(Instant::now() + LEASE, ends).await.unwrap();
        drop(lease);
        guard.join_next().await.unwrap().unwrap();
    }
}
