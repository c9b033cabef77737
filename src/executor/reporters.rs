//! How the integration of a report is connected.

use std::{collections::BTreeMap, fmt, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        channel::{Secret, SecretReference},
        id::ResourceName,
        resource::{IntegrationKind, IntegrationSpec},
    },
    integrations::{Http, Reporter},
};

type FindSecret =
    dyn Fn(&ResourceName, &str, &SecretReference) -> Result<Secret, String> + Send + Sync;
type FindEndpoint = dyn Fn(&ResourceName, IntegrationKind) -> Option<Secret> + Send + Sync;

/// What it takes to connect an integration: the HTTP client, and where secrets and receivers are found.
#[derive(Clone)]
pub struct ReportConnector {
    pub http: Http,
    /// The credentials of an integration by name; its address is the one named `url`.
    pub find_secret: Arc<FindSecret>,
    /// An address that replaces the receiver's own, such as a rehearsal's.
    pub find_endpoint: Arc<FindEndpoint>,
    pub clock: fn() -> DateTime<Utc>,
}

impl fmt::Debug for ReportConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportConnector")
    }
}

impl ReportConnector {
    /// Connects anew for each report: a rotated secret counts at once, and reports are rare.
    pub fn connect(&self, name: &ResourceName, spec: &IntegrationSpec) -> Result<Reporter, String> {
        let endpoint = (self.find_endpoint)(name, spec.kind);
        let mut secrets = BTreeMap::new();
        let url = spec.url.iter().map(|url| ("url", url)).filter(|_| endpoint.is_none());
        let named = spec.credentials.iter().map(|(name, reference)| (name.as_str(), reference));
        for (credential, reference) in url.chain(named) {
            let secret = (self.find_secret)(name, credential, reference)
                .map_err(|missing| format!("`{credential}`: {missing}"))?;
            secrets.insert(credential.to_owned(), secret);
        }
        Reporter::connect(spec, &secrets, endpoint, &self.http).map_err(|error| error.to_string())
    }
}
