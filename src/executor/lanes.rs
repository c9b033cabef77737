//! The lanes that this process holds: its registration, the lease and who guards it, and the drivers of what is held.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use super::drivers::{Connector, Drivers, Held};
use crate::{
    channels::Driver,
    domain::id::{ChannelName, ExecutorId, Fence},
    store::{Presence, Reviewed, Store, StoreError, Sweep},
};

/// Four of them fit into a lease, so that one that is lost or late costs nothing.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Lanes that could not be connected are tried again: a missing secret may have come.
const RECONNECT: Duration = Duration::from_secs(15);
/// Meanwhile nothing is granted; the next heartbeat goes on with it.
const REVIEW_AT_ONCE: Duration = Duration::from_millis(200);

/// Who an executor is, for the people who look at the database.
#[derive(Clone, Debug)]
pub struct Identity {
    pub host: String,
    pub pid: u32,
    pub new_id: fn() -> ExecutorId,
}

/// What an executor holds, and how it keeps it.
#[derive(Debug)]
pub(super) struct Lanes {
    store: Store,
    connector: Connector,
    identity: Identity,
    id: ExecutorId,
    fences: HashMap<ChannelName, Fence>,
    drivers: Drivers,
    /// Where the other loops of this process see what is held.
    held: watch::Sender<Held>,
    /// The session that shows others that we live; absent before the registration.
    presence: Option<Presence>,
    /// When the lease passes, by our own clock.
    lease: watch::Sender<Instant>,
    /// Lanes that somebody else had, and from when on nobody else has anything of them.
    let_go_at: HashMap<ChannelName, Instant>,
    next_heartbeat: Instant,
    next_reconnect: Instant,
}

impl Lanes {
    pub(super) fn new(store: Store, connector: Connector, identity: Identity) -> Self {
        let now = Instant::now();
        Self {
            store,
            connector,
            id: (identity.new_id)(),
            identity,
            fences: HashMap::new(),
            drivers: Drivers::default(),
            held: watch::Sender::default(),
            presence: None,
            lease: watch::Sender::new(now),
            let_go_at: HashMap::new(),
            next_heartbeat: now,
            next_reconnect: now,
        }
    }

    pub(super) fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// Whatever the loop waits for, nothing that only the holder may have outlives the lease; as long as this is
    /// kept.
    pub(super) fn guard(&self) -> JoinSet<()> {
        let mut guard = JoinSet::new();
        guard.spawn(guard_lease(self.lease.subscribe(), self.held()));
        guard
    }

    pub(super) fn id(&self) -> ExecutorId {
        self.id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fences.is_empty()
    }

    pub(super) fn fence(&self, channel: &ChannelName) -> Option<Fence> {
        self.fences.get(channel).copied()
    }

    pub(super) fn driver(&self, channel: &ChannelName) -> Option<Arc<Driver>> {
        self.drivers.get(channel)
    }

    pub(super) fn next_heartbeat(&self) -> Instant {
        self.next_heartbeat
    }

    /// What was true before may not be; the session may be gone with the connection.
    pub(super) fn doubt(&mut self) {
        self.next_heartbeat = Instant::now();
    }

    /// Somebody has changed something: the channels are read anew too.
    pub(super) fn look_again(&mut self) {
        self.next_heartbeat = Instant::now();
        self.next_reconnect = Instant::now();
    }

    /// Ends once no other loop looks at what is held.
    pub(super) async fn left_by_others(&self) {
        self.held.closed().await;
    }

    pub(super) fn give_up(&self) {
        self.held.borrow().give_up();
    }

    /// A heartbeat, where it is time for one. Says whether it was.
    pub(super) async fn keep_if_due(&mut self) -> Result<bool, StoreError> {
        if Instant::now() < self.next_heartbeat {
            return Ok(false);
        }
        self.next_heartbeat = Instant::now() + HEARTBEAT;
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
        let fences: HashMap<ChannelName, Fence> =
            held.into_iter().map(|lane| (lane.channel, lane.fence)).collect();
        // What another may take from now on, before anything else takes its time.
        for name in self.fences.keys().filter(|name| !fences.contains_key(*name)) {
            if let Some(driver) = self.drivers.get(name) {
                driver.give_up();
            }
        }
        if pause_ended {
            for task in self.store.resume_due().await? {
                info!(%task, "the pause is over");
            }
        }
        if fences != self.fences
            || Instant::now() >= self.next_reconnect
            || self.drivers.is_any_given_up()
        {
            if fences.len() != self.fences.len() {
                info!(lanes = fences.len(), "lanes held");
            }
            self.fences = fences;
            self.reconnect().await?;
        }
        Ok(true)
    }

    /// Says whether nobody is left to be looked at.
    async fn review_passed_over(&self) -> Result<bool, StoreError> {
        let until = Instant::now() + REVIEW_AT_ONCE;
        loop {
            let Reviewed { again, is_over } = self.store.review_passed_over().await?;
            if again > 0 {
                info!(again, "contacts that were passed over have their turn again");
            }
            if is_over || Instant::now() >= until {
                return Ok(is_over);
            }
        }
    }

    async fn reconnect(&mut self) -> Result<(), StoreError> {
        // What fails half-way is done again by the next pass.
        self.next_reconnect = Instant::now();
        // Whatever woke us may have removed contacts or suppressed people.
        self.store.settle_orphans().await?;
        self.store.close_orphaned_dialogues().await?;
        self.store.recount_portfolios().await?;
        let is_over = self.review_passed_over().await?;
        let names: Vec<ChannelName> = self.fences.keys().cloned().collect();
        let channels = self.store.read_channels(&names).await?;
        let news = self.drivers.reconnect(&self.connector, channels, &self.let_go_at);
        self.held.send_replace(Held { executor: Some(self.id), drivers: self.drivers.all() });
        self.store.set_unconnectable(self.id, &news).await?;
        if is_over {
            self.next_reconnect = Instant::now() + RECONNECT;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use tokio::{task::yield_now, time::timeout_at};

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
