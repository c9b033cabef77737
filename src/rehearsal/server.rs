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
    answers::{self, Thread},
    avito,
    crm::{self, Crm, CrmEntry},
    instagram,
    journal::Entry,
    strangers, telegram, telegram_cloud, vk, waba, waha,
    world::World,
    wuzapi,
};
use crate::{
    channels::AccountSession,
    domain::{
        channel::{ChannelSpec, Secret},
        kind::ChannelKind,
        resource::IntegrationKind,
    },
};

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
    /// Telegram's accounts speak no HTTP.
    data_centre: SocketAddr,
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
    let accounts = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let data_centre = accounts.local_addr()?;
    let world = Arc::new(World::open(options, address, tracker.clone(), shutdown.clone())?);
    world.go_on();
    tracker.spawn(telegram_cloud::serve(Arc::clone(&world), accounts));
    let router = Router::new()
        .nest("/avito", avito::router())
        .nest("/instagram", instagram::router())
        .nest("/telegram-bot", telegram::router(ChannelKind::TelegramBot))
        .nest("/telegram-business", telegram::router(ChannelKind::TelegramBusiness))
        .nest("/vk", vk::people())
        .nest("/vk-public", vk::communities())
        .nest("/waba", waba::router())
        .nest("/waha", waha::router())
        .nest("/wuzapi", wuzapi::router())
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
    Ok(Rehearsal { address, data_centre, world, crm, ai })
}

impl Rehearsal {
    /// The `endpoint` of a channel; `None` where the rehearsal has no such provider.
    pub fn endpoint_of(&self, spec: &ChannelSpec) -> Option<String> {
        match (spec.kind, spec.setting("gateway")) {
            (ChannelKind::WhatsappWeb, Some("wuzapi")) => {
                Some(format!("http://{}/wuzapi", self.address))
            }
            (kind, _) => self.endpoint(kind),
        }
    }

    /// The `endpoint` of the usual channel of a kind.
    pub fn endpoint(&self, kind: ChannelKind) -> Option<String> {
        let path = match kind {
            ChannelKind::Avito => "avito",
            ChannelKind::TelegramCloud => return Some(format!("tcp://{}", self.data_centre)),
            ChannelKind::Instagram => "instagram",
            ChannelKind::TelegramBot | ChannelKind::TelegramBusiness => kind.as_str(),
            ChannelKind::VkUser => "vk",
            ChannelKind::VkPublic => "vk-public",
            ChannelKind::Waba => "waba",
            ChannelKind::WhatsappWeb => "waha",
            _ => return None,
        };
        Some(format!("http://{}/{path}", self.address))
    }

    /// Somebody of the kind's people: an address with these last digits.
    pub fn address(kind: ChannelKind, ending: &str) -> String {
        strangers::address(kind, ending)
    }

    /// A person writes to an account, of their own accord.
    pub fn person_writes(&self, kind: ChannelKind, channel: &str, address: &str, text: &str) {
        let (channel, address) = (channel.to_owned(), address.to_owned());
        answers::write(&self.world, &Thread { kind, channel, address }, text);
    }

    /// The owner of an account writes to a person, in the messenger's own app.
    pub fn owner_writes(&self, kind: ChannelKind, channel: &str, address: &str, text: &str) {
        let (channel, address) = (channel.to_owned(), address.to_owned());
        answers::type_by_hand(&self.world, &Thread { kind, channel, address }, text);
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

    /// The session of the account behind a `telegram-cloud` channel; always the same. `None`: nobody is there.
    pub fn telegram_session(channel: &str) -> Option<AccountSession> {
        telegram_cloud::session_of(channel)
    }

    /// The owner ends the session of an account, from another of their devices.
    pub fn end_telegram_session(&self, channel: &str) {
        self.world.sign_out(channel);
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
