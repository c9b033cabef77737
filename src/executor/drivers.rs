//! The drivers of the lanes that an executor holds.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use tokio::time::Instant;
use tracing::warn;

use crate::{
    channels::{Driver, Http, Vault},
    domain::{
        channel::{ChannelSpec, Secret, SecretReference},
        id::{ChannelName, ExecutorId},
        kind::Way,
    },
};

type FindSecret =
    dyn Fn(&ChannelName, &str, &SecretReference) -> Result<Secret, String> + Send + Sync;
type FindEndpoint = dyn Fn(&ChannelSpec) -> Option<String> + Send + Sync;
type FindVault = dyn Fn(&ChannelName) -> Arc<dyn Vault> + Send + Sync;

/// What it takes to connect a channel: the HTTP client, and where secrets and providers are found.
#[derive(Clone)]
pub struct Connector {
    pub http: Http,
    pub find_secret: Arc<FindSecret>,
    /// An endpoint that replaces the provider's own, such as a rehearsal's.
    pub find_endpoint: Arc<FindEndpoint>,
    /// Where an account that has to be signed in to keeps its session.
    pub find_vault: Arc<FindVault>,
}

impl Held {
    pub(super) fn give_up(&self) {
        for driver in self.drivers.values() {
            driver.give_up();
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    pub fn connect(&self, name: &ChannelName, spec: &ChannelSpec) -> Result<Driver, String> {
        self.make(name, &self.resolve(name, spec)?)
    }

    /// The specification and the secrets that a driver is made of.
    fn resolve(&self, name: &ChannelName, spec: &ChannelSpec) -> Result<Ingredients, String> {
        let mut spec = spec.clone();
        if let Some(endpoint) = (self.find_endpoint)(&spec) {
            spec.endpoint = Some(endpoint);
        }
        let mut secrets = BTreeMap::new();
        for (credential, reference) in &spec.credentials {
            let required =
                spec.kind.facts().credentials.iter().any(|c| c.name == credential && c.required);
            match (self.find_secret)(name, credential, reference) {
                Ok(secret) => {
                    secrets.insert(credential.clone(), secret);
                }
                Err(missing) if required => return Err(format!("`{credential}`: {missing}")),
                // Needed for receiving only; whoever receives will say so.
                Err(_) => {}
            }
        }
        Ok(Ingredients { spec, secrets })
    }

    fn make(
        &self,
        name: &ChannelName,
        Ingredients { spec, secrets }: &Ingredients,
    ) -> Result<Driver, String> {
        let vault = (self.find_vault)(name);
        Driver::connect_with(spec, secrets, &self.http, &vault).map_err(|error| error.to_string())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Ingredients {
    spec: ChannelSpec,
    secrets: BTreeMap<String, Secret>,
}

/// What an executor holds at the moment: the loops of its process work on it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Absent before the first registration.
    pub(super) executor: Option<ExecutorId>,
    pub(super) drivers: Arc<HashMap<ChannelName, Arc<Driver>>>,
}

/// The connected drivers by channel.
#[derive(Debug, Default)]
pub(super) struct Drivers {
    connected: Arc<HashMap<ChannelName, Arc<Driver>>>,
    made_of: HashMap<ChannelName, Ingredients>,
    /// Why the others are not; told once, until it changes.
    problems: BTreeMap<ChannelName, String>,
}

impl Drivers {
    pub(super) fn get(&self, channel: &ChannelName) -> Option<Arc<Driver>> {
        self.connected.get(channel).map(Arc::clone)
    }

    pub(super) fn all(&self) -> Arc<HashMap<ChannelName, Arc<Driver>>> {
        Arc::clone(&self.connected)
    }

    /// Whether the lease had passed unnoticed.
    pub(super) fn is_any_given_up(&self) -> bool {
        self.connected.values().any(|driver| driver.is_given_up())
    }

    /// Connects the channels: a changed specification and a rotated secret count from now on, and what is
    /// as it was keeps its driver; all others are given up. A new driver of a channel in `let_go_at` holds
    /// off until then. Gives, for each channel, why it cannot be connected.
    pub(super) fn reconnect(
        &mut self,
        connector: &Connector,
        channels: Vec<(ChannelName, ChannelSpec)>,
        let_go_at: &HashMap<ChannelName, Instant>,
    ) -> Vec<(ChannelName, Option<String>)> {
        let before = std::mem::take(&mut self.problems);
        let mut made_of = std::mem::take(&mut self.made_of);
        let mut connected = HashMap::with_capacity(channels.len());
        let mut news = Vec::with_capacity(channels.len());
        for (name, spec) in channels {
            // Nobody is called where the people read their messages from us.
            let driver = match spec.kind.facts().way {
                Way::Hosted => Ok(None),
                Way::Provider => connector.resolve(&name, &spec).and_then(|ingredients| {
                    let kept = match made_of.remove(&name) {
                        Some(before) if before == ingredients => self.connected.get(&name).cloned(),
                        _ => None,
                    };
                    let kept = kept.filter(|driver| !driver.is_given_up());
                    let driver = match kept {
                        Some(driver) => driver,
                        None => {
                            let driver = connector.make(&name, &ingredients)?;
                            if let Some(until) = let_go_at.get(&name) {
                                driver.hold_off(*until);
                            }
                            Arc::new(driver)
                        }
                    };
                    self.made_of.insert(name.clone(), ingredients);
                    Ok(Some(driver))
                }),
            };
            let problem = match driver {
                Ok(driver) => {
                    connected.extend(driver.map(|driver| (name.clone(), driver)));
                    None
                }
                Err(problem) => {
                    if before.get(&name) != Some(&problem) {
                        warn!(channel = %name, "blocked: {problem}");
                    }
                    self.problems.insert(name.clone(), problem.clone());
                    Some(problem)
                }
            };
            news.push((name, problem));
        }
        for (name, driver) in self.connected.iter() {
            if connected.get(name).is_none_or(|now| !Arc::ptr_eq(now, driver)) {
                driver.give_up();
            }
        }
        self.connected = Arc::new(connected);
        news
    }
}
