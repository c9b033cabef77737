//! A chat as its visitor meets it, on a page of its own or within a site: the document, the messages, the events.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Extension, Path, Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    limits::client_address,
    listen::Peer,
    origin::{is_foreign, is_our_own},
    page,
    problem::Problem,
    router::read_json,
    site::Site,
    stream::{self, Hello, ShownMessage, sent_name},
    surface::{Surface, may_be_embedded},
    visitor::{Pass, Recognised, Stranger, Visitor, cookie_name, recognise},
    words::Words,
};
use crate::{
    domain::{
        dialogue::{Delivery, Received},
        id::{ChannelName, MessagePosition},
    },
    store::{Excerpt, HostedChannel, Parcel, Shown, Stored, Watched},
};

/// What fits on a page and is still read by a person.
pub(super) const TEXT_CHARACTERS_MAX: usize = 4000;

pub(super) fn router(surface: Surface) -> Router<Arc<Site>> {
    let path = |rest: &str| format!("{}/{{channel}}{rest}", surface.folder());
    Router::new()
        .route(&path(""), get(document))
        .route(&path("/theme.css"), get(theme))
        .route(&path("/messages"), get(history).post(send))
        .route(&path("/events"), get(events))
        .layer(Extension(surface))
}

/// The channel of a path, if it is shown on this surface; `visitor` may have a dialogue that keeps it attended.
async fn shown_channel(
    site: &Site,
    surface: Surface,
    name: &str,
    visitor: Option<Visitor>,
) -> Result<(ChannelName, HostedChannel), Problem> {
    let channel: ChannelName = name.parse().map_err(|_| Problem::unknown_channel())?;
    let peer = visitor.map(Visitor::peer);
    let hosted = site.store.read_hosted_channel(&channel, peer.as_ref()).await?;
    match hosted {
        Some(hosted) if surface.shows(&hosted.spec) => Ok((channel, hosted)),
        _ => Err(Problem::unknown_channel()),
    }
}

async fn document(
    State(site): State<Arc<Site>>,
    Extension(surface): Extension<Surface>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let words = Words::of(&headers);
    let (channel, hosted) = match shown_channel(&site, surface, &name, None).await {
        Ok(found) => found,
        Err(problem) => return page::missing(words, problem),
    };
    if surface == Surface::Embedded && !may_be_embedded(&headers, &hosted.spec.allowed_origins()) {
        let problem = Problem::foreign_origin("this chat is shown within its own site only");
        return page::missing(words, problem);
    }
    let mut response = page::chat(&channel, &hosted, surface, words);
    // An old cookie is given again, to live on from now.
    let pass = Pass::of(&headers, &cookie_name(&channel, site.is_https())).or_else(Pass::issue);
    let set = pass.and_then(|pass| pass.set_cookie(&channel, surface, site.is_https()));
    response.headers_mut().extend(set.map(|set| (header::SET_COOKIE, set)));
    response
}

async fn theme(
    State(site): State<Arc<Site>>,
    Extension(surface): Extension<Surface>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (_, hosted) = shown_channel(&site, surface, &name, None).await?;
    Ok(page::theme(&hosted))
}

/// Whoever shows no pass that holds gets one, and asks again.
async fn require_visitor(
    site: &Site,
    surface: Surface,
    channel: &ChannelName,
    headers: &HeaderMap,
) -> Result<Recognised, Response> {
    recognise(site, channel, surface, headers).await.map_err(|stranger| match stranger {
        Stranger::Problem(problem) => problem.into_response(),
        Stranger::Unknown => Stranger::welcome(site, channel, surface),
    })
}

/// Of what was said nothing is told to pages of others.
async fn require_reader(
    site: &Site,
    surface: Surface,
    name: &str,
    headers: &HeaderMap,
) -> Result<(ChannelName, Recognised), Response> {
    if is_foreign(headers, site.public_url.as_ref()) {
        let detail = "what was said is told to the page itself only";
        return Err(Problem::foreign_origin(detail).into_response());
    }
    let found = shown_channel(site, surface, name, None).await;
    let (channel, _) = found.map_err(IntoResponse::into_response)?;
    let recognised = require_visitor(site, surface, &channel, headers).await?;
    Ok((channel, recognised))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    client_message_id: Uuid,
    text: String,
}

async fn send(
    State(site): State<Arc<Site>>,
    Extension(surface): Extension<Surface>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    if !is_our_own(&headers, site.public_url.as_ref()) {
        return Err(refuse(Problem::foreign_origin(
            "messages are taken from the page itself only",
        )));
    }
    let Message { client_message_id, text } =
        read_json(&site, &headers, body).await.map_err(refuse)?;
    check_text(&text).map_err(refuse)?;
    let (channel, _) = shown_channel(&site, surface, &name, None).await.map_err(refuse)?;
    let Recognised { visitor, .. } = require_visitor(&site, surface, &channel, &headers).await?;
    site.limits.message(visitor.0, client_address(peer, &headers)).map_err(refuse)?;
    let sent_as = sent_name(&visitor.0.to_string(), &client_message_id.to_string());
    let stored = take(&site, surface, &channel, visitor, sent_as, text).await.map_err(refuse)?;
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

/// Whether a message is the one that is kept.
pub(super) fn is_the_same(stored: &Stored, text: &str) -> bool {
    let kept = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    kept.eq(stored.text.chars())
}

/// Stores a message once, whatever its sender repeats, and gives it as it is kept.
async fn take(
    site: &Site,
    surface: Surface,
    channel: &ChannelName,
    visitor: Visitor,
    sent_as: String,
    text: String,
) -> Result<Stored, Problem> {
    let matching = |stored: Stored| {
        if is_the_same(&stored, &text) {
            return Ok(stored);
        }
        Err(Problem::key_reused("client_message_id"))
    };
    // A repeat is answered also where nobody is any more: it was taken when somebody was.
    if let Some(stored) = site.store.find_received(channel, &sent_as).await? {
        return matching(stored);
    }
    let (_, hosted) = shown_channel(site, surface, channel.as_str(), Some(visitor)).await?;
    if !hosted.attended {
        return Err(Problem::nobody_here());
    }
    let what = Delivery::Message { id: sent_as.clone(), text: text.clone() };
    let received = [Received::of(visitor.peer(), None, what)];
    let parcel = Parcel { channel, received: &received, raw: None, cursor: None };
    if site.store.receive(&parcel).await?.unrouted > 0 {
        return Err(Problem::nobody_here());
    }
    let stored = site.store.find_received(channel, &sent_as).await?;
    matching(stored.ok_or_else(Problem::nobody_here)?)
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
    Extension(surface): Extension<Surface>,
    Path(name): Path<String>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    let (channel, Recognised { visitor, .. }) =
        require_reader(&site, surface, &name, &headers).await?;
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
    Extension(surface): Extension<Surface>,
    Path(name): Path<String>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    let (channel, recognised) = require_reader(&site, surface, &name, &headers).await?;
    let Recognised { visitor, pass, is_kept } = recognised;
    // The next time the cookie may do.
    let renewed = pass.set_cookie(&channel, surface, site.is_https()).filter(|_| !is_kept);
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
    let hello = Hello { visitor, is_kept, has_earlier };
    let mut response = stream::events(site, &hello, seat, history);
    response.headers_mut().extend(renewed.map(|set| (header::SET_COOKIE, set)));
    Ok(response)
}
