//! Webhooks of providers: verified on the raw bytes, stored, and only then answered.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{
    limits::client_address, listen::Peer, problem::Problem, router::read_body, site::Site,
};
use crate::{
    channels::{Brought, Driver, Webhook, WebhookHeaders, WebhookRefused},
    domain::{channel::ChannelSpec, id::ChannelName, kind::ChannelKind},
    store::{Parcel, Raw, StoreError, Taken},
};

/// The largest batch of a provider is far below it.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A channel's specification and secrets are read anew after this.
const DRIVER_LIFETIME: Duration = Duration::from_secs(15);
/// More channels than one process serves; then they are read anew.
const DRIVERS_MAX: usize = 10_000;
/// Providers try again by themselves; this asks them to be patient.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Most calls are answered within it, and every provider waits longer for us.
const CALL_PATIENCE: Duration = Duration::from_secs(3);
const CALL_LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Headers by which the delivery could be followed up; none that may carry a credential.
const KEPT_HEADERS: &[&str] =
    &["content-type", "user-agent", "x-webhook-request-id", "x-webhook-timestamp", "x-request-id"];

pub(super) fn router() -> Router<Arc<Site>> {
    Router::new()
        .route("/hooks/{channel}", get(challenge).post(receive))
        .route("/hooks/{channel}/{token}", get(challenge).post(receive))
}

/// The drivers that read webhooks, for a short while.
#[derive(Default)]
pub(super) struct Readers(Mutex<HashMap<ChannelName, (Instant, Arc<Driver>)>>);

type Parameters = Query<Vec<(String, String)>>;

/// Where a webhook goes.
#[derive(Deserialize)]
struct Hook {
    channel: String,
    /// Known to the provider alone, where it signs nothing.
    token: Option<String>,
}

/// How a provider makes sure that the address is ours.
async fn challenge(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(Hook { channel, token: _ }): Path<Hook>,
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
    Path(Hook { channel: name, token }): Path<Hook>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let address = client_address(peer, &headers);
    let driver = reader(&site, &name, address).await?;
    let body = read_body(&site, &headers, body, BODY_BYTES_MAX).await?;
    let given = headers.iter().filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    let given: WebhookHeaders = given.collect();
    let webhook =
        Webhook { headers: &given, token: token.as_deref(), body: &body, at: (site.clock)() };
    let brought = match driver.read_webhook(&webhook) {
        Ok(brought) => brought,
        Err(refused) => {
            // Whoever cannot prove who they are has a limit; a provider has none.
            site.limits.request(address)?;
            warn!(channel = name, "a webhook was refused: {refused}");
            return Err(refusal(refused));
        }
    };
    let channel: ChannelName = name.parse().map_err(|_| Problem::unknown_channel())?;
    let others = if brought.for_others {
        brought_to_others(&site, &channel, driver.kind(), &webhook).await?
    } else {
        Vec::new()
    };
    let answer = brought.answer.clone();
    // Each is taken whole or not at all. Whoever takes theirs again loses nothing by it.
    let mut refused = None;
    for (channel, brought) in std::iter::once((channel, brought)).chain(others) {
        let Brought { received, kept: keepable, answer: _, for_others: _ } = &brought;
        let raw = Raw { headers: kept(&headers), body: keepable.as_deref().unwrap_or(&body) };
        let parcel = Parcel { channel: &channel, received, raw: Some(raw), cursor: None };
        let taken = receive_in_time(&site, &parcel).await?;
        if taken.unrouted > 0 {
            refused = Some("no task uses this channel at the moment; bring it again");
        } else if taken.early > 0 {
            refused = Some("a message that this may be about is on its way; bring it again");
        } else {
            debug!(%channel, fresh = taken.fresh, repeated = taken.repeated, "received");
        }
    }
    match refused {
        Some(detail) => Err(later(detail)),
        None => Ok(answer.unwrap_or_else(|| "ok".to_owned()).into_response()),
    }
}

/// What comes before the answer to our own call waits for it a little: not every provider comes again soon.
async fn receive_in_time(site: &Site, parcel: &Parcel<'_>) -> Result<Taken, StoreError> {
    let until = Instant::now() + CALL_PATIENCE;
    loop {
        let taken = site.store.receive(parcel).await?;
        if taken.early == 0 || Instant::now() >= until {
            return Ok(taken);
        }
        sleep(CALL_LOOK_PAUSE).await;
    }
}

/// An application of a provider may serve many accounts, and knows one address for all of them: what is not
/// for the channel at that address is offered to the others of its kind. Each proves it with its own secret
/// and takes what is its own.
async fn brought_to_others(
    site: &Site,
    addressed: &ChannelName,
    kind: ChannelKind,
    webhook: &Webhook<'_>,
) -> Result<Vec<(ChannelName, Brought)>, Problem> {
    let mut taken = Vec::new();
    for (name, spec) in site.store.read_channels_of(kind).await? {
        if name == *addressed {
            continue;
        }
        // One that is not connected cannot say whether there is anything for it.
        let known = site.readers.known(&name);
        let Ok(driver) = known.map_or_else(|| site.readers.connect(site, &name, &spec), Ok) else {
            continue;
        };
        match driver.read_webhook(webhook) {
            Ok(brought) if !brought.received.is_empty() => taken.push((name, brought)),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(taken)
}

/// The driver of a channel that may be pushed to.
async fn reader(site: &Site, name: &str, address: IpAddr) -> Result<Arc<Driver>, Problem> {
    let name: ChannelName = name.parse().map_err(|_| Problem::unknown_channel())?;
    if let Some(driver) = site.readers.known(&name) {
        return Ok(driver);
    }
    // Only names that exist are kept, so that whoever tries all of them is held up here.
    site.limits.request(address)?;
    let channels = site.store.read_channels(std::slice::from_ref(&name)).await?;
    let (name, spec) = channels.into_iter().next().ok_or_else(Problem::unknown_channel)?;
    site.readers.connect(site, &name, &spec).map_err(|reason| {
        warn!(channel = %name, "a webhook cannot be read: {reason}");
        later("the channel is not connected; bring it again")
    })
}

impl Readers {
    fn known(&self, name: &ChannelName) -> Option<Arc<Driver>> {
        let readers = self.locked();
        let (read_at, driver) = readers.get(name)?;
        (Instant::now() < *read_at + DRIVER_LIFETIME).then(|| Arc::clone(driver))
    }

    fn connect(
        &self,
        site: &Site,
        name: &ChannelName,
        spec: &ChannelSpec,
    ) -> Result<Arc<Driver>, String> {
        let driver = Arc::new((site.connect)(name, spec)?);
        let mut readers = self.locked();
        if readers.len() >= DRIVERS_MAX {
            readers.clear();
        }
        readers.insert(name.clone(), (Instant::now(), Arc::clone(&driver)));
        Ok(driver)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelName, (Instant, Arc<Driver>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
