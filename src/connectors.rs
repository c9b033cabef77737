//! A part of the composition root: how providers, AIs and integrations are found, the real ones or a rehearsal's.

use std::sync::Arc;

use crate::{
    channels::{self, NoVault, Vault},
    clock, config,
    domain::id::ChannelName,
    executor::{AiConnector, Connector, ReportConnector},
    integrations, intelligence,
    rehearsal::Rehearsal,
    store::Store,
    vaults::{RehearsedVault, StoredVault},
};

/// What it takes to call the providers of channels, or a rehearsal's. Without a database, nobody is signed in.
pub fn connector(
    store: Option<&Store>,
    rehearsal: Option<&Rehearsal>,
) -> anyhow::Result<Connector> {
    let http = channels::Http::new()?;
    let (store, is_rehearsed) = (store.cloned(), rehearsal.is_some());
    let find_vault = Arc::new(move |channel: &ChannelName| -> Arc<dyn Vault> {
        let Some(store) = store.clone() else { return Arc::new(NoVault) };
        let vault = StoredVault { store, channel: channel.clone() };
        if is_rehearsed { Arc::new(RehearsedVault(vault)) } else { Arc::new(vault) }
    });
    Ok(match rehearsal {
        Some(rehearsal) => {
            let rehearsal = rehearsal.clone();
            Connector {
                http,
                find_secret: Arc::new(|channel, credential, _| {
                    Ok(Rehearsal::secret(channel.as_str(), credential))
                }),
                find_endpoint: Arc::new(move |spec| rehearsal.endpoint_of(spec)),
                find_vault,
            }
        }
        None => Connector {
            http,
            find_secret: Arc::new(|_, _, reference| {
                config::secret(reference).map_err(|missing| missing.to_string())
            }),
            find_endpoint: Arc::new(|_| None),
            find_vault,
        },
    })
}

/// What it takes to ask the AIs, or a rehearsal's.
pub fn ai_connector(rehearsal: Option<&Rehearsal>) -> anyhow::Result<AiConnector> {
    let http = intelligence::AiHttp::new()?;
    Ok(match rehearsal {
        Some(rehearsal) => {
            let rehearsal = rehearsal.clone();
            AiConnector {
                http,
                find_key: Arc::new(|ai, _| Ok(Rehearsal::secret(ai, "apiKey"))),
                find_endpoint: Arc::new(move || Some(rehearsal.ai_endpoint())),
            }
        }
        None => AiConnector {
            http,
            find_key: Arc::new(|_, reference| {
                config::secret(reference).map_err(|missing| missing.to_string())
            }),
            find_endpoint: Arc::new(|| None),
        },
    })
}

/// What it takes to report to integrations, or to a rehearsal's.
pub fn report_connector(rehearsal: Option<&Rehearsal>) -> anyhow::Result<ReportConnector> {
    let (http, clock) = (integrations::Http::new()?, clock::now);
    Ok(match rehearsal {
        Some(rehearsal) => {
            let rehearsal = rehearsal.clone();
            ReportConnector {
                http,
                find_secret: Arc::new(|integration, credential, _| {
                    Ok(Rehearsal::integration_secret(integration.as_str(), credential))
                }),
                find_endpoint: Arc::new(move |integration, kind| {
                    Some(rehearsal.integration_url(kind, integration.as_str()))
                }),
                clock,
            }
        }
        None => ReportConnector {
            http,
            find_secret: Arc::new(|_, _, reference| {
                config::secret(reference).map_err(|missing| missing.to_string())
            }),
            find_endpoint: Arc::new(|_, _| None),
            clock,
        },
    })
}
