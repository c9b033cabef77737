//! Webhooks of providers: verified on the raw bytes, stored, and only then answered.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::{limits::client_address, listen::Peer, problem::Problem, site::Site};
use crate::{
    channels::{Driver, WebhookHeaders, WebhookRefused},
    domain::id::ChannelName,
    store::{Parcel, Raw},
};

/// The largest batch of a provider is far below it.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// A channel's specification and secrets are read anew after this.
const DRIVER_LIFETIME: Duration = Duration::from_secs(15);
/// More channels than one process serves; then they are read anew.
const DRIVERS_MAX: usize = 10_000;
/// Providers try again by themselves; this asks them to be patient.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Headers by which the delivery could be followed up; none that may carry a credential.
const KEPT_HEADERS: &[&str] =
    &["content-type", "user-agent", "x-webhook-request-id", "x-webhook-timestamp", "x-request-id"];

pub(super) fn router() -> Router<Arc<Site>> {
    Router::new().route("/hooks/{channel}", get(challenge).post(receive))
}

/// The drivers that read webhooks, for a short while.
#[derive(Default)]
pub(super) struct Readers(Mutex<HashMap<ChannelName, (Instant, Arc<Driver>)>>);

type Parameters = Query<Vec<(String, String)>>;

/// How a provider makes sure that the address is ours.
async fn challenge(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Result<Response, Problem> {
    let driver = reader(&site, &channel, client_address(peer, &headers)).await?;
    match driver.answer_challenge(&query) {
        Some(answer) => Ok(answer.into_response()),
        None => {
            site.limits.request(client_address(peer, &headers))?;
            let detail = "this is no challenge that the channel can answer";
            Err(Problem::new(StatusCode::FORBIDDEN, "not-verified", detail))
        }
    }
}

async fn receive(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let address = client_address(peer, &headers);
    let driver = reader(&site, &name, address).await?;
    let body = read_body(&headers, body).await?;
    let given = headers.iter().filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    let given: WebhookHeaders = given.collect();
    let received = match driver.read_webhook(&given, &body, (site.clock)()) {
        Ok(received) => received,
        Err(refused) => {
            // Whoever cannot prove who they are has a limit; a provider has none.
            site.limits.request(address)?;
            warn!(channel = name, "a webhook was refused: {refused}");
            return Err(refusal(refused));
        }
    };
    let channel: ChannelName = name.parse().map_err(|_| Problem::unknown_channel())?;
    let raw = Raw { headers: kept(&headers), body: &body };
    let parcel = Parcel { channel: &channel, received: &received, raw: Some(raw), cursor: None };
    let taken = site.store.receive(&parcel).await?;
    if taken.unrouted > 0 {
        return Err(later("no task uses this channel at the moment; bring it again"));
    }
    if taken.early > 0 {
        return Err(later("this is news of a message that is on its way; bring it again"));
    }
    debug!(%channel, fresh = taken.fresh, repeated = taken.repeated, "received");
    Ok("ok".into_response())
}

/// The driver of a channel that may be pushed to.
async fn reader(site: &Site, name: &str, address: IpAddr) -> Result<Arc<Driver>, Problem> {
    let name: ChannelName = name.parse().map_err(|_| Problem::unknown_channel())?;
    let now = Instant::now();
    if let Some((read_at, driver)) = site.readers.locked().get(&name)
        && now < *read_at + DRIVER_LIFETIME
    {
        return Ok(Arc::clone(driver));
    }
    // Only names that exist are kept, so that whoever tries all of them is held up here.
    site.limits.request(address)?;
    let channels = site.store.read_channels(std::slice::from_ref(&name)).await?;
    let (name, spec) = channels.into_iter().next().ok_or_else(Problem::unknown_channel)?;
    let driver = (site.connect)(&name, &spec).map_err(|reason| {
        warn!(channel = %name, "a webhook cannot be read: {reason}");
        later("the channel is not connected; bring it again")
    })?;
    let driver = Arc::new(driver);
    let mut readers = site.readers.locked();
    if readers.len() >= DRIVERS_MAX {
        readers.clear();
    }
    readers.insert(name, (now, Arc::clone(&driver)));
    Ok(driver)
}

impl Readers {
    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelName, (Instant, Arc<Driver>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that says itself that it is too long is not read at all.
async fn read_body(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let detail = format!("the body is longer than {BODY_BYTES_MAX} bytes, or broke off");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|n: usize| n > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let read = timeout(BODY_DEADLINE, to_bytes(body, BODY_BYTES_MAX)).await.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the body came too slowly")
    })?;
    Ok(read.map_err(|_| too_large())?.to_vec())
}

fn kept(headers: &HeaderMap) -> Value {
    let kept = KEPT_HEADERS.iter().filter_map(|name| {
        Some(((*name).to_owned(), Value::from(headers.get(*name)?.to_str().ok()?)))
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

fn refusal(refused: WebhookRefused) -> Problem {
    let (status, kind) = match refused {
        WebhookRefused::NotConfigured => (StatusCode::FORBIDDEN, "not-configured"),
        WebhookRefused::SignatureMissing | WebhookRefused::SignatureWrong => {
            (StatusCode::UNAUTHORIZED, "not-verified")
        }
        WebhookRefused::TooOld => (StatusCode::FORBIDDEN, "too-old"),
        WebhookRefused::Unreadable => (StatusCode::BAD_REQUEST, "unreadable"),
    };
    Problem::new(status, kind, refused.to_string())
}

fn later(detail: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "later", detail).retry_after(RETRY_AFTER)
}
