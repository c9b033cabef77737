//! What every request of the server shares.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{bounds::Bounds, hooks::Readers, hub::Hub, limits::Limits, origin::PublicUrl};
use crate::{
    channels::Driver,
    domain::{
        channel::{ChannelSpec, Secret, SecretReference},
        id::ChannelName,
    },
    store::Store,
};

/// Looks up a credential of a channel: by the channel, the credential's name, and what the manifest refers to.
pub type FindSecret =
    dyn Fn(&ChannelName, &str, &SecretReference) -> Result<Secret, String> + Send + Sync;

/// Makes the driver that reads a channel's webhooks.
pub type Connect = dyn Fn(&ChannelName, &ChannelSpec) -> Result<Driver, String> + Send + Sync;

/// What it takes to host channels.
#[derive(Clone)]
pub struct Hosting {
    pub store: Store,
    /// How people reach the server, where that is not how it listens.
    pub public_url: Option<PublicUrl>,
    pub find_secret: Arc<FindSecret>,
    pub connect: Arc<Connect>,
    pub bounds: Bounds,
    pub clock: fn() -> DateTime<Utc>,
}

impl fmt::Debug for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hosting")
    }
}

pub(super) struct Site {
    /// With connections of its own: whatever visitors do, the executor finds one.
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) limits: Limits,
    pub(super) bounds: Bounds,
    pub(super) public_url: Option<PublicUrl>,
    pub(super) find_secret: Arc<FindSecret>,
    pub(super) connect: Arc<Connect>,
    pub(super) readers: Readers,
    pub(super) clock: fn() -> DateTime<Utc>,
    pub(super) shutdown: CancellationToken,
}

/// One listens, one reads for everybody who looks; the rest serve requests, each for milliseconds.
const CONNECTIONS_MAX: u32 = 6;

impl Site {
    pub(super) fn new(hosting: Hosting, shutdown: CancellationToken) -> Self {
        let Hosting { store, public_url, find_secret, connect, bounds, clock } = hosting;
        let store = store.beside(CONNECTIONS_MAX);
        let hub = Hub::new(store.clone());
        Self {
            store,
            hub,
            limits: Limits::new(),
            bounds,
            public_url,
            find_secret,
            connect,
            readers: Readers::default(),
            clock,
            shutdown,
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.public_url.as_ref().is_some_and(PublicUrl::is_https)
    }
}
