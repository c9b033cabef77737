//! The drivers of the lanes that an executor holds.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use tracing::warn;

use crate::{
    channels::{Driver, Http},
    domain::{
        channel::{ChannelSpec, Secret, SecretReference},
        id::ChannelName,
        kind::{ChannelKind, Way},
    },
};

type FindSecret =
    dyn Fn(&ChannelName, &str, &SecretReference) -> Result<Secret, String> + Send + Sync;
type FindEndpoint = dyn Fn(ChannelKind) -> Option<String> + Send + Sync;

/// What it takes to connect a channel: the HTTP client, and where secrets and providers are found.
#[derive(Clone)]
pub struct Connector {
    pub http: Http,
    pub find_secret: Arc<FindSecret>,
    /// An endpoint that replaces the provider's own, such as a rehearsal's.
    pub find_endpoint: Arc<FindEndpoint>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    pub fn connect(&self, name: &ChannelName, spec: &ChannelSpec) -> Result<Driver, String> {
        let mut spec = spec.clone();
        if let Some(endpoint) = (self.find_endpoint)(spec.kind) {
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
        Driver::connect(&spec, &secrets, &self.http).map_err(|error| error.to_string())
    }
}

/// The connected drivers by channel.
#[derive(Debug, Default)]
pub(super) struct Drivers {
    connected: HashMap<ChannelName, Arc<Driver>>,
    /// Why the others are not; told once, until it changes.
    problems: BTreeMap<ChannelName, String>,
}

impl Drivers {
    pub(super) fn get(&self, channel: &ChannelName) -> Option<Arc<Driver>> {
        self.connected.get(channel).map(Arc::clone)
    }

    /// Connects every channel anew: a changed specification and a rotated secret count from now on.
    /// Gives, for each, why it cannot be connected.
    pub(super) fn reconnect(
        &mut self,
        connector: &Connector,
        channels: Vec<(ChannelName, ChannelSpec)>,
    ) -> Vec<(ChannelName, Option<String>)> {
        self.connected.clear();
        let before = std::mem::take(&mut self.problems);
        let mut news = Vec::with_capacity(channels.len());
        for (name, spec) in channels {
            // Nobody is called: its people read from the database.
            if spec.kind.facts().way == Way::Hosted {
                news.push((name, None));
                continue;
            }
            let problem = match connector.connect(&name, &spec) {
                Ok(driver) => {
                    self.connected.insert(name.clone(), Arc::new(driver));
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
        news
    }
}
