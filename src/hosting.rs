//! A part of the composition root: the server of the channels that this program hosts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    clock,
    executor::Connector,
    rehearsal::Rehearsal,
    server::{self, Hosting, PublicUrl},
    store::Store,
};

/// Where the server of web chats is, and how it is seen.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// Nothing: it does not listen, but for a rehearsal, which takes a free port of this machine.
    pub listen: Option<SocketAddr>,
    pub public_url: Option<PublicUrl>,
}

/// Starts the server of the channels that this program hosts; says it where that is wanted and not asked for.
pub async fn host_channels(
    store: &Store,
    web: &WebOptions,
    rehearsal: Option<&Rehearsal>,
    connector: &Connector,
    shutdown: &CancellationToken,
    loops: &TaskTracker,
) -> anyhow::Result<()> {
    let WebOptions { listen, public_url } = web.clone();
    let free = rehearsal.map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let Some(address) = listen.or(free) else {
        loops.spawn(miss_server(store.clone(), shutdown.clone()));
        return Ok(());
    };
    let hosting = Hosting {
        store: store.clone(),
        public_url: public_url.clone(),
        find_secret: Arc::clone(&connector.find_secret),
        connect: {
            let connector = connector.clone();
            Arc::new(move |name, spec| connector.connect(name, spec))
        },
        clock: clock::now,
    };
    let listening = server::listen(hosting, address, shutdown.clone(), loops)
        .await
        .with_context(|| format!("the server of web chats cannot listen on {address}"))?;
    let shown = public_url
        .map_or_else(|| format!("http://{}", listening.address), |url| url.as_str().to_owned());
    info!(
        "web chats are at {shown}/chat/CHANNEL, webhooks of providers go to {shown}/hooks/CHANNEL"
    );
    if let Some(rehearsal) = rehearsal {
        rehearsal.push_webhooks_to(format!("http://{}", listening.address));
    }
    Ok(())
}

/// Between two looks whether a server is missing.
const MISSING_LOOK: Duration = Duration::from_secs(10);

/// Says once that channels need a server that nobody asked for.
async fn miss_server(store: Store, shutdown: CancellationToken) {
    loop {
        match store.list_attended_hosted().await {
            Ok(channels) if !channels.is_empty() => {
                let channels = channels.join(", ");
                warn!(
                    channels,
                    "nobody can reach these channels from here: give --listen ADDRESS or NUNCIO_LISTEN"
                );
                break;
            }
            // A database that is away is told of by others.
            Ok(_) | Err(_) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(MISSING_LOOK) => {}
        }
    }
}
