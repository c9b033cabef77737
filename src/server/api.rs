//! The API of `api` channels: messages in by REST, messages out by polling. `openapi.json` describes it.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Extension, Path, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::{
    chat::{check_text, is_the_same},
    limits::client_address,
    listen::Peer,
    problem::Problem,
    router::read_json,
    site::Site,
};
use crate::{
    domain::{
        address::{Address, GIVEN_NAME_BYTES_MAX},
        dialogue::{Author, Delivery, Received},
        id::{ChannelName, MessagePosition},
        kind::ChannelKind,
    },
    store::{Excerpt, HostedChannel, HostedDialogue, Parcel, Shown, Stored},
};

/// Longer, and proxies on the way give up.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A UUID has 36; a digest in hexadecimal 64.
const KEY_LENGTH_MAX: usize = 255;

const DESCRIPTION: &str = include_str!("assets/openapi.json");

pub(super) fn router() -> Router<Arc<Site>> {
    Router::new()
        .route("/api/v1/openapi.json", get(describe))
        .route("/api/v1/{channel}/dialogues/{peer}/messages", post(send))
        .route("/api/v1/{channel}/dialogues/{peer}", get(thread))
        .route("/api/v1/{channel}/messages", get(poll))
}

async fn describe() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

/// The channel that the caller has the key of. Whether there is a channel is said to nobody else.
async fn authorise(
    site: &Site,
    name: &str,
    peer: Option<&Address>,
    Peer(address): Peer,
    headers: &HeaderMap,
) -> Result<(ChannelName, HostedChannel), Response> {
    let found = match name.parse::<ChannelName>() {
        Ok(channel) => {
            let hosted = site.store.read_hosted_channel(&channel, peer).await;
            let hosted = hosted.map_err(|error| Problem::from(error).into_response())?;
            hosted.filter(|hosted| hosted.spec.kind == ChannelKind::Api).map(|h| (channel, h))
        }
        Err(_) => None,
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|text| text.strip_prefix("Bearer ")).map(str::trim);
    if let (Some((channel, hosted)), Some(shown)) = (found, shown) {
        let reference = hosted.spec.credentials.get("apiKey");
        let secret = reference.map(|reference| (site.find_secret)(&channel, "apiKey", reference));
        match secret {
            Some(Ok(secret)) => {
                // Of digests, so that not even the length of the key shows in the time.
                let [known, shown] = [secret.reveal().trim(), shown].map(Sha256::digest);
                if !secret.reveal().trim().is_empty() && bool::from(known.ct_eq(&shown)) {
                    site.limits.caller(&channel).map_err(IntoResponse::into_response)?;
                    return Ok((channel, hosted));
                }
            }
            Some(Err(missing)) => {
                warn!(%channel, "nobody can use the API: `apiKey`: {missing}");
                let detail = "the channel cannot be used: its key is missing here";
                let problem =
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-configured", detail);
                return Err(problem.retry_after(Duration::from_secs(60)).into_response());
            }
            None => {}
        }
    }
    // Whoever guesses has the limit of a stranger.
    let client = client_address(address, headers);
    site.limits.request(client).map_err(IntoResponse::into_response)?;
    let detail = "no such channel, or not its key";
    let mut refusal =
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", detail).into_response();
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Err(refusal)
}

/// The caller's own name for a person.
fn read_peer(text: &str) -> Result<Address, Problem> {
    Address::of_given_name(text).ok_or_else(|| {
        Problem::bad_request(format!(
            "the name of a person has 1 to {GIVEN_NAME_BYTES_MAX} letters, digits or characters of `._-:@+`"
        ))
    })
}

fn read_key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    let key = key.map(str::trim).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| {
        Problem::bad_request("give an `Idempotency-Key`, a new one for each message")
    })?;
    if key.len() > KEY_LENGTH_MAX {
        let detail = format!("an `Idempotency-Key` has at most {KEY_LENGTH_MAX} characters");
        return Err(Problem::bad_request(detail));
    }
    Ok(key.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    text: String,
}

async fn send(
    State(site): State<Arc<Site>>,
    Extension(address): Extension<Peer>,
    Path((name, peer)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    let read = read_peer(&peer);
    let (channel, hosted) = authorise(&site, &name, read.as_ref().ok(), address, &headers).await?;
    let peer = read.map_err(refuse)?;
    let key = read_key(&headers).map_err(refuse)?;
    let Message { text } = read_json(&site, &headers, body).await.map_err(refuse)?;
    check_text(&text).map_err(refuse)?;
    let (stored, is_repeat) =
        take(&site, &channel, &hosted, &peer, key, text).await.map_err(refuse)?;
    let answer = json!({
        "id": stored.position.0,
        "peer": peer.as_str(),
        "created_at": shown_time(&stored.at),
    });
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    if is_repeat {
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Stores a message once; gives how it is kept, and whether it was there before.
async fn take(
    site: &Site,
    channel: &ChannelName,
    hosted: &HostedChannel,
    peer: &Address,
    key: String,
    text: String,
) -> Result<(Stored, bool), Problem> {
    let matching = |stored: Stored| {
        if stored.peer == *peer && is_the_same(&stored, &text) {
            Ok(stored)
        } else {
            Err(Problem::key_reused("Idempotency-Key"))
        }
    };
    if let Some(stored) = site.store.find_received(channel, &key).await? {
        return matching(stored).map(|stored| (stored, true));
    }
    if !hosted.attended {
        return Err(Problem::nobody_here());
    }
    let what = Delivery::Message { id: key.clone(), text: text.clone() };
    let received = [Received::of(peer.clone(), None, what)];
    let parcel = Parcel { channel, received: &received, raw: None, cursor: None };
    let taken = site.store.receive(&parcel).await?;
    if taken.unrouted > 0 {
        return Err(Problem::nobody_here());
    }
    let stored = site.store.find_received(channel, &key).await?.ok_or_else(Problem::nobody_here)?;
    matching(stored).map(|stored| (stored, taken.fresh == 0))
}

fn shown_time(at: &chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[derive(Serialize)]
struct ApiMessage {
    id: i64,
    peer: String,
    /// `person`, `ai`, `operator`, `reminder` or `handover`.
    author: &'static str,
    text: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
}

impl ApiMessage {
    fn of(shown: Shown) -> Self {
        let Shown { position, dialogue: _, peer, author, text, at, sent_as } = shown;
        Self {
            id: position.0,
            peer: peer.to_string(),
            author: Author::as_str(author),
            text,
            created_at: shown_time(&at),
            idempotency_key: sent_as,
        }
    }
}

#[derive(Deserialize)]
struct Poll {
    #[serde(default)]
    after: i64,
    #[serde(default)]
    wait: u64,
}

async fn poll(
    State(site): State<Arc<Site>>,
    Extension(address): Extension<Peer>,
    Path(name): Path<String>,
    Query(Poll { after, wait }): Query<Poll>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let (channel, _) = authorise(&site, &name, None, address, &headers).await?;
    let until = Instant::now() + Duration::from_secs(wait).min(WAIT_MAX);
    // Registered before looking, so that no message falls in between.
    let mut looks = site.hub.looks();
    loop {
        let shown = site.store.read_outgoing(&channel, MessagePosition(after)).await;
        let shown = shown.map_err(|error| Problem::from(error).into_response())?;
        let is_over = Instant::now() >= until || site.shutdown.is_cancelled();
        if !shown.is_empty() || is_over {
            let next = shown.last().map_or(after, |shown| shown.position.0);
            let messages: Vec<ApiMessage> = shown.into_iter().map(ApiMessage::of).collect();
            let headers = [(header::CACHE_CONTROL, "no-store")];
            return Ok(
                (headers, Json(json!({ "messages": messages, "next": next }))).into_response()
            );
        }
        tokio::select! {
            _ = timeout_at(until, looks.changed()) => {}
            () = site.shutdown.cancelled() => {}
        }
    }
}

#[derive(Deserialize)]
struct From {
    after: Option<i64>,
}

async fn thread(
    State(site): State<Arc<Site>>,
    Extension(address): Extension<Peer>,
    Path((name, peer)): Path<(String, String)>,
    Query(From { after }): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    let (channel, _) = authorise(&site, &name, None, address, &headers).await?;
    let peer = read_peer(&peer).map_err(refuse)?;
    let excerpt = after.map_or(Excerpt::Latest, |after| Excerpt::After(MessagePosition(after)));
    let thread = site.store.read_hosted_dialogue(&channel, &peer, excerpt).await;
    let thread = thread.map_err(|error| refuse(error.into()))?;
    let Some(HostedDialogue { state, messages }) = thread else {
        let detail = "nobody of this name has written";
        return Err(refuse(Problem::new(StatusCode::NOT_FOUND, "unknown-person", detail)));
    };
    let messages: Vec<ApiMessage> = messages.into_iter().map(ApiMessage::of).collect();
    let answer = json!({ "peer": peer.as_str(), "state": state.as_str(), "messages": messages });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
