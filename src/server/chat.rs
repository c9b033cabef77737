//! The page of a `page-messenger`: the document, the messages, the events.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Extension, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    limits::client_address,
    listen::Peer,
    origin::is_our_own,
    page,
    problem::Problem,
    router::read_json,
    site::Site,
    stream::{self, ShownMessage, sent_name},
    visitor::{Pass, Stranger, Visitor, cookie_name, recognise},
    words::Words,
};
use crate::{
    domain::{
        dialogue::{Delivery, Received},
        id::{ChannelName, MessagePosition},
        kind::ChannelKind,
    },
    store::{Excerpt, HostedChannel, Parcel, Shown, Stored, Watched},
};

/// What fits on a page and is still read by a person.
pub(super) const TEXT_CHARACTERS_MAX: usize = 4000;

pub(super) fn router() -> Router<Arc<Site>> {
    Router::new()
        .route("/chat/{channel}", get(document))
        .route("/chat/{channel}/theme.css", get(theme))
        .route("/chat/{channel}/messages", get(history).post(send))
        .route("/chat/{channel}/events", get(events))
        .route("/assets/{version}/{name}", get(page::asset))
}

/// The channel of a path, if it is a page; `visitor` may have a dialogue that keeps it attended.
async fn page_channel(
    site: &Site,
    name: &str,
    visitor: Option<Visitor>,
) -> Result<(ChannelName, HostedChannel), Problem> {
    let channel: ChannelName = name.parse().map_err(|_| Problem::unknown_channel())?;
    let peer = visitor.map(Visitor::peer);
    let hosted = site.store.read_hosted_channel(&channel, peer.as_ref()).await?;
    match hosted {
        Some(hosted) if hosted.spec.kind == ChannelKind::PageMessenger => Ok((channel, hosted)),
        _ => Err(Problem::unknown_channel()),
    }
}

async fn document(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let words = Words::of(&headers);
    let (channel, hosted) = match page_channel(&site, &name, None).await {
        Ok(found) => found,
        Err(problem) => return page::missing(words, problem),
    };
    let mut response = page::chat(&channel, &hosted, words);
    // An old cookie is given again, to live on from now.
    let cookie = cookie_name(&channel, site.is_https());
    let pass = Pass::of(&headers, &cookie).or_else(Pass::issue);
    if let Some(set) = pass.and_then(|pass| pass.set_cookie(&cookie, site.is_https())) {
        response.headers_mut().insert(header::SET_COOKIE, set);
    }
    response
}

async fn theme(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (_, hosted) = page_channel(&site, &name, None).await?;
    Ok(page::theme(&hosted))
}

/// Whoever shows no cookie that holds gets one, and asks again.
async fn require_visitor(
    site: &Site,
    name: &str,
    headers: &HeaderMap,
) -> Result<(ChannelName, Visitor), Response> {
    let channel: ChannelName =
        name.parse().map_err(|_| Problem::unknown_channel().into_response())?;
    match recognise(site, &channel, headers).await {
        Ok(visitor) => Ok((channel, visitor)),
        Err(Stranger::Problem(problem)) => Err(problem.into_response()),
        Err(Stranger::Unknown) => {
            let mut response = Stranger::unknown().into_response();
            let cookie = cookie_name(&channel, site.is_https());
            let set = Pass::issue().and_then(|pass| pass.set_cookie(&cookie, site.is_https()));
            if let Some(set) = set {
                response.headers_mut().insert(header::SET_COOKIE, set);
            }
            Err(response)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    client_message_id: Uuid,
    text: String,
}

async fn send(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    if !is_our_own(&headers, site.public_url.as_ref()) {
        let detail = "messages are taken from the page itself only";
        let problem = Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail);
        return Err(refuse(problem));
    }
    let Message { client_message_id, text } = read_json(&headers, body).await.map_err(refuse)?;
    check_text(&text).map_err(refuse)?;
    let channel: ChannelName = name.parse().map_err(|_| refuse(Problem::unknown_channel()))?;
    page_channel(&site, channel.as_str(), None).await.map_err(refuse)?;
    let (channel, visitor) = require_visitor(&site, &name, &headers).await?;
    site.limits.message(visitor.0, client_address(peer, &headers)).map_err(refuse)?;
    let sent_as = sent_name(&visitor.0.to_string(), &client_message_id.to_string());
    let stored = take(&site, &channel, visitor, sent_as, text).await.map_err(refuse)?;
    let answer = json!({
        "id": stored.position.0,
        "created_at": stored.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "thread": visitor.thread_tag(),
    });
    Ok(Json(answer).into_response())
}

pub(super) fn check_text(text: &str) -> Result<(), Problem> {
    if text.chars().all(|c| c.is_whitespace() || c.is_control()) {
        return Err(Problem::unprocessable("the text is empty"));
    }
    if text.chars().count() > TEXT_CHARACTERS_MAX {
        let detail = format!("the text is longer than {TEXT_CHARACTERS_MAX} characters");
        return Err(Problem::unprocessable(detail));
    }
    Ok(())
}

/// Stores a message once, whatever its sender repeats, and gives it as it is kept.
async fn take(
    site: &Site,
    channel: &ChannelName,
    visitor: Visitor,
    sent_as: String,
    text: String,
) -> Result<Stored, Problem> {
    // A repeat is answered also where nobody is any more: it was taken when somebody was.
    if let Some(stored) = site.store.find_received(channel, &sent_as).await? {
        return Ok(stored);
    }
    if !page_channel(site, channel.as_str(), Some(visitor)).await?.1.attended {
        return Err(Problem::nobody_here());
    }
    let received = [Received {
        peer: visitor.peer(),
        at: None,
        what: Delivery::Message { id: sent_as.clone(), text },
    }];
    let parcel = Parcel { channel, received: &received, raw: None, cursor: None };
    if site.store.receive(&parcel).await?.unrouted > 0 {
        return Err(Problem::nobody_here());
    }
    site.store.find_received(channel, &sent_as).await?.ok_or_else(Problem::nobody_here)
}

#[derive(Deserialize)]
struct Place {
    after: Option<i64>,
    before: Option<i64>,
}

impl Place {
    fn excerpt(&self) -> Excerpt {
        match (self.after, self.before) {
            (Some(after), _) => Excerpt::After(MessagePosition(after)),
            (None, Some(before)) => Excerpt::Before(MessagePosition(before)),
            (None, None) => Excerpt::Latest,
        }
    }
}

async fn history(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    page_channel(&site, &name, None).await.map_err(refuse)?;
    let (channel, visitor) = require_visitor(&site, &name, &headers).await?;
    let shown = site.store.read_shown(&channel, &visitor.peer(), place.excerpt()).await;
    let shown = shown.map_err(|error| refuse(error.into()))?;
    let has_earlier = has_earlier(&site, &channel, visitor, &shown).await.map_err(refuse)?;
    let messages: Vec<ShownMessage> = shown.into_iter().map(ShownMessage::of).collect();
    let answer = json!({ "messages": messages, "has_earlier": has_earlier });
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(answer)).into_response())
}

async fn has_earlier(
    site: &Site,
    channel: &ChannelName,
    visitor: Visitor,
    shown: &[Shown],
) -> Result<bool, Problem> {
    let Some(first) = shown.first() else { return Ok(false) };
    let before = Excerpt::Before(first.position);
    Ok(!site.store.read_shown(channel, &visitor.peer(), before).await?.is_empty())
}

async fn events(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    page_channel(&site, &name, None).await.map_err(refuse)?;
    let (channel, visitor) = require_visitor(&site, &name, &headers).await?;
    // A browser that comes back by itself says what it got last.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let (history, after) = match last.or(place.after).filter(|after| *after > 0) {
        Some(after) => (Vec::new(), MessagePosition(after)),
        None => {
            let latest = site.store.read_shown(&channel, &visitor.peer(), Excerpt::Latest).await;
            let latest = latest.map_err(|error| refuse(error.into()))?;
            let after = latest.last().map_or(MessagePosition(0), |shown| shown.position);
            (latest, after)
        }
    };
    let has_earlier = has_earlier(&site, &channel, visitor, &history).await.map_err(refuse)?;
    let watched = Watched { channel, peer: visitor.peer(), after };
    let seat = site.hub.join(watched).map_err(refuse)?;
    Ok(stream::events(site, visitor, seat, history, has_earlier))
}
