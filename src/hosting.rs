//! A part of the composition root: the server of the channels that this program hosts.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    channels::Receives,
    clock,
    domain::{channel::ChannelSpec, fields::Digest, id::ChannelName, kind::Way},
    executor::Connector,
    rehearsal::Rehearsal,
    server::{self, Bounds, Hosting, PublicUrl},
    store::{Store, StoreError},
};

/// Where the server of web chats is, and how it is seen.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// Nothing: it does not listen, but for a rehearsal, which takes a port of this machine.
    pub listen: Option<SocketAddr>,
    pub public_url: Option<PublicUrl>,
}

/// Below the ports that systems give out by themselves, and above those of well-known servers.
const USUAL_PORTS: Range<u16> = 20_000..30_000;

/// The port of the chats of a rehearsal in this database: the same at each start, so that whoever has a chat open
/// finds it again.
async fn usual_port(store: &Store) -> Result<u16, StoreError> {
    let identity = store.read_identity().await?;
    let digest =
        Digest::of_bytes(format!("{} {}", identity.installation, identity.database).as_bytes());
    let number = u16::from_str_radix(&digest.to_string()[..4], 16).unwrap_or_default();
    let length = USUAL_PORTS.end - USUAL_PORTS.start;
    Ok(USUAL_PORTS.start + number % length)
}

/// Starts the server of the channels that this program hosts; says it where that is wanted and not asked for.
/// Gives the address by which providers reach it, where there is one.
pub async fn host_channels(
    store: &Store,
    web: &WebOptions,
    rehearsal: Option<&Rehearsal>,
    connector: &Connector,
    shutdown: &CancellationToken,
    loops: &TaskTracker,
) -> anyhow::Result<Option<String>> {
    let WebOptions { listen, public_url } = web.clone();
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let usual = match rehearsal {
        Some(_) => Some(here(usual_port(store).await?)),
        None => None,
    };
    let Some(address) = listen.or(usual) else {
        let connector = connector.clone();
        let lacks =
            move |name: &ChannelName, spec: &ChannelSpec| needs_server(&connector, name, spec);
        loops.spawn(tell_lack(store.clone(), lacks, NO_SERVER, shutdown.clone()));
        return Ok(None);
    };
    let hosting = Hosting {
        store: store.clone(),
        public_url: public_url.clone(),
        find_secret: Arc::clone(&connector.find_secret),
        connect: {
            let connector = connector.clone();
            Arc::new(move |name, spec| connector.connect(name, spec))
        },
        bounds: Bounds::default(),
        clock: clock::now,
    };
    let mut listening = server::listen(hosting.clone(), address, shutdown.clone(), loops).await;
    if listening.is_err() && listen.is_none() {
        warn!("port {} is taken; chats that were open there find nothing", address.port());
        listening = server::listen(hosting, here(0), shutdown.clone(), loops).await;
    }
    let listening =
        listening.with_context(|| format!("the server of web chats cannot listen on {address}"))?;
    let local = format!("http://{}", listening.address);
    let public = public_url.map(|url| url.as_str().to_owned());
    let shown = public.as_ref().unwrap_or(&local);
    info!(
        "web chats are at {shown}/chat/CHANNEL, iframes at /embed/CHANNEL, widgets at /widget/CHANNEL.js, systems \
        call /api/v1/CHANNEL, providers /hooks/CHANNEL"
    );
    if let Some(rehearsal) = rehearsal {
        rehearsal.push_webhooks_to(local.clone());
        // Its providers are on this machine.
        return Ok(Some(local));
    }
    if !public.as_ref().is_some_and(|url| url.starts_with("https://")) {
        let lacks = |_: &ChannelName, spec: &ChannelSpec| spec.kind.is_embedded();
        loops.spawn(tell_lack(store.clone(), lacks, NO_HTTPS, shutdown.clone()));
    }
    Ok(public)
}

/// Between two looks at the channels that tasks use.
const LOOK: Duration = Duration::from_secs(10);

/// Says of the channels that tasks in progress use, once for each, that they lack something.
async fn tell_lack<L>(store: Store, lacks: L, what: &'static str, shutdown: CancellationToken)
where
    L: Fn(&ChannelName, &ChannelSpec) -> bool,
{
    let mut told = BTreeSet::new();
    while !shutdown.is_cancelled() {
        // A database that is away is told of by others.
        let attended = store.list_attended_channels().await.unwrap_or_default();
        let lacking = attended.into_iter().filter(|(name, spec)| lacks(name, spec));
        let news = lacking.map(|(name, _)| name).filter(|name| told.insert(name.clone()));
        let channels: Vec<String> = news.map(|name| name.to_string()).collect();
        if !channels.is_empty() {
            warn!(channels = channels.join(", "), "{what}");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

const NO_SERVER: &str =
    "nobody can reach these channels from here: give --listen ADDRESS or NUNCIO_LISTEN";

/// Whether people, or the provider, come to us.
fn needs_server(connector: &Connector, name: &ChannelName, spec: &ChannelSpec) -> bool {
    match spec.kind.facts().way {
        Way::Hosted => true,
        // One that cannot be connected is blocked, and told of as that.
        Way::Provider => connector
            .connect(name, spec)
            .is_ok_and(|driver| matches!(driver.receives(), Receives::Webhook | Receives::Nothing)),
    }
}

const NO_HTTPS: &str = "sites cannot embed these channels without HTTPS: put a proxy with TLS before the server, \
    and give --public-url https://… or NUNCIO_PUBLIC_URL";
