//! The AIs as executors ask them: connected once for each specification.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    domain::{
        channel::{Secret, SecretReference},
        resource::AiSpec,
    },
    intelligence::{Ai, AiHttp},
};

type FindKey = dyn Fn(&str, &SecretReference) -> Result<Secret, String> + Send + Sync;
type FindAiEndpoint = dyn Fn() -> Option<String> + Send + Sync;

/// What it takes to connect an AI.
#[derive(Clone)]
pub struct AiConnector {
    pub http: AiHttp,
    /// The key of the AI with this name.
    pub find_key: Arc<FindKey>,
    /// An endpoint that replaces the manifest's, such as a rehearsal's.
    pub find_endpoint: Arc<FindAiEndpoint>,
}

impl fmt::Debug for AiConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AiConnector")
    }
}

/// An AI keeps what it learnt of its server for as long as its specification and key are the same.
#[derive(Clone, Debug)]
pub(super) struct Ais {
    connector: AiConnector,
    connected: Arc<Mutex<HashMap<String, Connected>>>,
}

#[derive(Debug)]
struct Connected {
    spec: AiSpec,
    key: Option<Secret>,
    ai: Ai,
}

impl Ais {
    pub(super) fn new(connector: AiConnector) -> Self {
        Self { connector, connected: Arc::default() }
    }

    /// The secret is looked up each time: one that was rotated counts at once.
    pub(super) fn connect(&self, name: &str, spec: &AiSpec) -> Result<Ai, String> {
        let AiConnector { http, find_key, find_endpoint } = &self.connector;
        let mut spec = spec.clone();
        if let Some(endpoint) = find_endpoint() {
            spec.endpoint = endpoint;
        }
        let key = match &spec.api_key {
            Some(reference) => {
                Some(find_key(name, reference).map_err(|missing| format!("`apiKey`: {missing}"))?)
            }
            None => None,
        };
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = connected.get(name)
            && known.spec == spec
            && known.key == key
        {
            return Ok(known.ai.clone());
        }
        let ai = Ai::connect(&spec, key.as_ref(), http).map_err(|error| error.to_string())?;
        connected.insert(name.to_owned(), Connected { spec, key, ai: ai.clone() });
        Ok(ai)
    }
}
