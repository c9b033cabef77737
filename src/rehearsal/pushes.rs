//! Webhooks on their way: brought again and again until they are taken.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{
        Request, Uri,
        header::{CONTENT_TYPE, HOST},
    },
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    avito, instagram_events,
    journal::{Call, Direction, Entry, Verdict},
    news::News,
    telegram, vk, waba_events, waha_events,
    world::World,
    wuzapi_events,
};
use crate::domain::kind::ChannelKind;

/// Providers wait for a few seconds only.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Avito says of itself that it waits for no longer.
const AVITO_TIMEOUT: Duration = Duration::from_secs(2);

/// Enough for a receiver that is restarted; the last pauses are a minute each.
const ATTEMPTS_MAX: u32 = 12;

/// The first pause is a person's second, or this where that is none; the others double it, up to
/// 64 times.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const DOUBLINGS_MAX: u32 = 6;

/// A webhook as it is brought every time.
pub(super) struct Webhook {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// Brings the news, where the provider tells such, until the receiver answers 2xx.
pub(super) async fn push(world: &Arc<World>, entry: &Entry, news: News) {
    let Ok(kind) = entry.provider.parse::<ChannelKind>() else { return };
    if !is_pushed(world, kind, &entry.channel) {
        return;
    }
    let Some(webhook) = webhook(world, kind, entry, news) else { return };
    let Some(url) = address(world, &entry.channel).await else { return };
    let call = Call {
        direction: Direction::Push,
        provider: kind.as_str(),
        channel: entry.channel.clone(),
        address: entry.address.clone(),
        note: Some(news.name()),
        about: entry.message_id,
        ..Call::default()
    };
    for attempt in 0..attempts_max(world, kind, &entry.channel) {
        let posted = tokio::select! {
            posted = post(world, &url, &webhook) => posted,
            () = tokio::time::sleep(patience(kind)) => Err("no answer in time"),
            () = world.shutdown() => return,
        };
        let verdict = match posted {
            Ok(read) if !(200..300).contains(&read.status) => {
                Verdict::Refused(format!("HTTP {}", read.status))
            }
            Ok(read) if wanted(kind).is_some_and(|wanted| read.body != wanted) => {
                Verdict::Refused("another answer than is wanted".to_owned())
            }
            Ok(_) => Verdict::Delivered,
            Err(why) => Verdict::Refused(why.to_owned()),
        };
        let taken = verdict == Verdict::Delivered;
        if matches!(kind, ChannelKind::TelegramBot | ChannelKind::TelegramBusiness) {
            telegram::note_push(world, entry, &verdict);
        }
        // A journal that cannot be written ends the rehearsal of the next call.
        if world.note_as(&call, verdict).is_err() || taken {
            return;
        }
        let pause = world.person_second().max(PAUSE_MIN) * 2_u32.pow(attempt.min(DOUBLINGS_MAX));
        if !world.pause(pause).await {
            return;
        }
    }
}

/// Whether the provider brings what happens. Of kinds that can be asked as well, only whose channel was
/// given an address.
fn is_pushed(world: &World, kind: ChannelKind, channel: &str) -> bool {
    match kind {
        ChannelKind::Waba | ChannelKind::WhatsappWeb | ChannelKind::Instagram => true,
        ChannelKind::VkUser | ChannelKind::TelegramCloud => false,
        _ => world.hook(channel).is_some(),
    }
}

fn patience(kind: ChannelKind) -> Duration {
    if kind == ChannelKind::Avito { AVITO_TIMEOUT } else { TIMEOUT }
}

/// What the answer has to be, to the letter; most are content with any success.
fn wanted(kind: ChannelKind) -> Option<&'static str> {
    (kind == ChannelKind::VkPublic).then_some(vk::TAKEN)
}

/// The one that the provider was told, or the usual one. `None` where the rehearsal ended first.
async fn address(world: &World, channel: &str) -> Option<String> {
    if let Some(hook) = world.hook(channel) {
        return Some(hook.url);
    }
    let base = world.push_target().await?;
    Some(format!("{}/hooks/{channel}", base.trim_end_matches('/')))
}

/// WAHA is told where webhooks go by hand, wuzapi by a call.
fn speaks_wuzapi(world: &World, channel: &str) -> bool {
    world.hook(channel).is_some()
}

/// wuzapi brings a webhook once: what nobody took is lost.
fn attempts_max(world: &World, kind: ChannelKind, channel: &str) -> u32 {
    let once = kind == ChannelKind::WhatsappWeb && speaks_wuzapi(world, channel);
    if once { 1 } else { ATTEMPTS_MAX }
}

fn webhook(world: &World, kind: ChannelKind, entry: &Entry, news: News) -> Option<Webhook> {
    match kind {
        ChannelKind::Avito => avito::webhook(world, entry, news),
        ChannelKind::Instagram => instagram_events::webhook(world, entry, news),
        ChannelKind::TelegramBot | ChannelKind::TelegramBusiness => {
            telegram::webhook(world, kind, entry, news)
        }
        ChannelKind::Waba => waba_events::webhook(world, entry, news),
        ChannelKind::VkPublic => vk::webhook(world, entry, news),
        ChannelKind::WhatsappWeb if speaks_wuzapi(world, &entry.channel) => {
            wuzapi_events::webhook(entry, news)
        }
        ChannelKind::WhatsappWeb => waha_events::webhook(world, entry, news),
        _ => None,
    }
}

/// What is read of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Longer than any answer that a provider wants to read.
const ANSWER_BYTES_MAX: usize = 1_024;

/// Brings a webhook once.
pub(super) async fn post(
    world: &World,
    url: &str,
    webhook: &Webhook,
) -> Result<Answer, &'static str> {
    let posted = tokio::time::timeout(TIMEOUT, exchange(world, url, webhook)).await;
    posted.unwrap_or(Err("no answer in time"))
}

/// The room has no HTTP client of its own, and one request a connection needs none.
async fn exchange(world: &World, url: &str, webhook: &Webhook) -> Result<Answer, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "the address for webhooks is no URL")?;
    let authority = uri.authority().ok_or("the address for webhooks names no host")?.clone();
    let path = uri.path().to_owned();
    let port = authority.port_u16().unwrap_or(80);
    let socket = TcpStream::connect((authority.host(), port)).await.map_err(|_| "not reached")?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|_| "no HTTP")?;
    world.tracker().spawn(async move { drop(connection.await) });
    let mut request = Request::post(path).header(HOST, authority.as_str());
    if !webhook.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &webhook.headers {
        request = request.header(*name, value);
    }
    let request = request
        .body(Body::from(webhook.body.clone()))
        .map_err(|_| "the webhook cannot be written")?;
    let answer = sender.send_request(request).await.map_err(|_| "the connection broke")?;
    let status = answer.status().as_u16();
    let body = to_bytes(Body::new(answer.into_body()), ANSWER_BYTES_MAX).await.unwrap_or_default();
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}
