//! Webhooks on their way: brought again and again until they are taken.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        Request, Uri,
        header::{CONTENT_TYPE, HOST},
    },
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    journal::{Call, Direction, Entry, Verdict},
    news::News,
    waba_events, waha_events,
    world::World,
};
use crate::domain::kind::ChannelKind;

/// Providers wait for a few seconds only.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Enough for a receiver that is restarted; the last pauses are a minute each.
const ATTEMPTS_MAX: u32 = 12;

/// The first pause is a person's second, or this where that is none; the others double it, up to
/// 64 times.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const DOUBLINGS_MAX: u32 = 6;

/// A webhook as it is brought every time.
struct Webhook {
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// Brings the news, where the provider tells such, until the receiver answers 2xx.
pub(super) async fn push(world: &Arc<World>, entry: &Entry, news: News) {
    let Some(webhook) = webhook(world, entry, news) else { return };
    let Some(base) = world.push_target().await else { return };
    let call = Call {
        direction: Direction::Push,
        provider: if is_waba(entry) { ChannelKind::Waba } else { ChannelKind::WhatsappWeb }
            .as_str(),
        channel: entry.channel.clone(),
        address: entry.address.clone(),
        note: Some(news.name()),
        about: entry.message_id,
        ..Call::default()
    };
    for attempt in 0..ATTEMPTS_MAX {
        let posted = tokio::select! {
            posted = tokio::time::timeout(TIMEOUT, post(world, &base, &entry.channel, &webhook)) => {
                posted
            }
            () = world.shutdown() => return,
        };
        let verdict = match posted.unwrap_or(Err("no answer in time")) {
            Ok(status) if (200..300).contains(&status) => Verdict::Delivered,
            Ok(status) => Verdict::Refused(format!("HTTP {status}")),
            Err(why) => Verdict::Refused(why.to_owned()),
        };
        let taken = verdict == Verdict::Delivered;
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

fn is_waba(entry: &Entry) -> bool {
    entry.provider == ChannelKind::Waba.as_str()
}

fn webhook(world: &World, entry: &Entry, news: News) -> Option<Webhook> {
    let account = world.account(&entry.channel)?;
    if is_waba(entry) {
        let body = waba_events::body(news, entry, &account)?;
        let signature = waba_events::signature(&entry.channel, &body);
        return Some(Webhook { headers: vec![("X-Hub-Signature-256", signature)], body });
    }
    let now = world.now();
    let body = waha_events::body(news, entry, &account, now);
    let request = format!("{}-{}", news.name(), entry.message_id.unwrap_or_default());
    let headers = vec![
        ("X-Webhook-Hmac", waha_events::signature(&entry.channel, &body)),
        ("X-Webhook-Hmac-Algorithm", "sha512".to_owned()),
        ("X-Webhook-Timestamp", now.timestamp_millis().to_string()),
        ("X-Webhook-Request-Id", request),
    ];
    Some(Webhook { headers, body })
}

/// The status of the answer. The room has no HTTP client of its own, and one request a connection
/// needs none.
async fn post(
    world: &World,
    base: &str,
    channel: &str,
    webhook: &Webhook,
) -> Result<u16, &'static str> {
    let url = format!("{}/hooks/{channel}", base.trim_end_matches('/'));
    let uri: Uri = url.parse().map_err(|_| "the address for webhooks is no URL")?;
    let authority = uri.authority().ok_or("the address for webhooks names no host")?.clone();
    let path = uri.path().to_owned();
    let port = authority.port_u16().unwrap_or(80);
    let socket = TcpStream::connect((authority.host(), port)).await.map_err(|_| "not reached")?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|_| "no HTTP")?;
    world.tracker().spawn(async move { drop(connection.await) });
    let mut request = Request::post(path)
        .header(HOST, authority.as_str())
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in &webhook.headers {
        request = request.header(*name, value);
    }
    let request = request
        .body(Body::from(webhook.body.clone()))
        .map_err(|_| "the webhook cannot be written")?;
    let answer = sender.send_request(request).await.map_err(|_| "the connection broke")?;
    Ok(answer.status().as_u16())
}
