//! The server of the rehearsal: one listener on the loopback for all fake providers.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    account,
    ai::{self, AiEntry, AiProvider},
    crm::{self, Crm, CrmEntry},
    journal::Entry,
    vk, waba, waha,
    world::World,
};
use crate::domain::{channel::Secret, kind::ChannelKind, resource::IntegrationKind};

/// How the rehearsal behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the table of faults holds. Without it every call that is in order succeeds.
    pub faults: bool,
    /// How long a withheld answer is held back; longer than any client waits.
    pub hang_for: Duration,
    /// How long a provider thinks before it answers.
    pub answer_delay: Duration,
    /// How long a second of the table of people takes; zero has them answer at once. `None`: nobody
    /// answers, and no webhook is pushed.
    pub people: Option<Duration>,
    /// Where the journal is kept; the AI's stands beside it. It is appended to, and what it says is
    /// remembered.
    pub journal: Option<PathBuf>,
    pub clock: fn() -> DateTime<Utc>,
}

/// A running rehearsal.
#[derive(Clone)]
pub struct Rehearsal {
    address: SocketAddr,
    world: Arc<World>,
    crm: Arc<Crm>,
    ai: Arc<AiProvider>,
}

/// Starts the fake providers on a free port of the loopback. They end with `shutdown`.
pub async fn start(
    options: Options,
    shutdown: CancellationToken,
    tracker: &TaskTracker,
) -> io::Result<Rehearsal> {
    let crm = Arc::new(Crm::open(options.clone(), shutdown.clone())?);
    let ai = Arc::new(AiProvider::open(options.clone(), shutdown.clone())?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let world = Arc::new(World::open(options, address, tracker.clone(), shutdown.clone())?);
    let router = Router::new()
        .nest("/vk", vk::router())
        .nest("/waba", waba::router())
        .nest("/waha", waha::router())
        .with_state(Arc::clone(&world))
        .nest("/crm", crm::router().with_state(Arc::clone(&crm)))
        .nest("/ai/v1", ai::router().with_state(Arc::clone(&ai)));
    tracker.spawn(async move {
        let server =
            axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the rehearsal ended");
        }
    });
    Ok(Rehearsal { address, world, crm, ai })
}

impl Rehearsal {
    /// The `endpoint` of a channel of this kind; `None` where the rehearsal has no such provider.
    pub fn endpoint(&self, kind: ChannelKind) -> Option<String> {
        let path = match kind {
            ChannelKind::VkUser => "vk",
            ChannelKind::Waba => "waba",
            ChannelKind::WhatsappWeb => "waha",
            _ => return None,
        };
        Some(format!("http://{}/{path}", self.address))
    }

    /// The `endpoint` of every AI.
    pub fn ai_endpoint(&self) -> String {
        format!("http://{}/ai/v1", self.address)
    }

    /// The fake credential of a channel, or the `apiKey` of an AI; always the same. The provider
    /// reads the name from it.
    pub fn secret(channel: &str, credential: &str) -> Secret {
        account::secret(channel, credential)
    }

    /// Where an integration is told in place of its own address.
    pub fn integration_url(&self, kind: IntegrationKind, integration: &str) -> Secret {
        Secret::new(format!("http://{}/{}", self.address, crm::path_of(kind, integration)))
    }

    /// The fake credential of an integration; always the same.
    pub fn integration_secret(integration: &str, credential: &str) -> Secret {
        crm::secret(integration, credential)
    }

    /// What the CRMs were told, oldest first.
    pub fn crm_entries(&self) -> Vec<CrmEntry> {
        self.crm.entries()
    }

    /// Says where the providers bring their webhooks: to `/hooks/{channel}` below `base`, such as
    /// `http://127.0.0.1:8080`. What happened before waits for it.
    pub fn push_webhooks_to(&self, base: String) {
        self.world.push_webhooks_to(base);
    }

    /// The latest entries of the journal, oldest first. The file has all of them.
    pub fn recent(&self) -> Vec<Entry> {
        self.world.recent()
    }

    /// The latest entries of the AI's journal, oldest first.
    pub fn recent_ai(&self) -> Vec<AiEntry> {
        self.ai.recent()
    }
}
