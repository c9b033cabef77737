//! The events of one visitor's chat, as `text/event-stream`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, Sse},
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, Interval, interval_at};

use super::{
    hub::{Seat, Tidings},
    site::Site,
    visitor::Visitor,
};
use crate::{domain::dialogue::Author, store::Shown};

/// Proxies close what is silent for a minute; the page takes three missed beats for a lost connection.
const BEAT: Duration = Duration::from_secs(15);
/// Shorter than a connection may live, so that the stream ends in order.
const STREAM_LIFETIME: Duration = Duration::from_secs(50 * 60);

/// A message as the page reads it.
#[derive(Debug, Serialize)]
pub(super) struct ShownMessage {
    id: i64,
    /// `visitor` or `us`.
    from: &'static str,
    text: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<String>,
}

impl ShownMessage {
    pub(super) fn of(shown: Shown) -> Self {
        let Shown { position, dialogue: _, peer, author, text, at, sent_as } = shown;
        let prefix = sent_name(peer.as_str(), "");
        Self {
            id: position.0,
            from: if author == Author::Person { "visitor" } else { "us" },
            text,
            created_at: at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            client_message_id: sent_as
                .and_then(|sent_as| Some(sent_as.strip_prefix(&prefix)?.to_owned())),
        }
    }
}

/// The name of a visitor's message within its channel: another visitor's may have the same of its own.
pub(super) fn sent_name(visitor: &str, client_message_id: &str) -> String {
    format!("{visitor}:{client_message_id}")
}

/// Whom a stream is for.
pub(super) struct Hello {
    pub(super) visitor: Visitor,
    /// The browser keeps their pass in a cookie.
    pub(super) is_kept: bool,
    pub(super) has_earlier: bool,
}

struct Flow {
    seat: Seat,
    beat: Interval,
    until: Instant,
    site: Arc<Site>,
}

/// The stream: who it is for, what they saw not yet, and then whatever happens.
pub(super) fn events(site: Arc<Site>, hello: &Hello, seat: Seat, history: Vec<Shown>) -> Response {
    let Hello { visitor, is_kept, has_earlier } = hello;
    let thread = visitor.thread_tag();
    let hello = json!({ "thread": thread, "is_kept": is_kept, "has_earlier": has_earlier });
    let mut first = vec![event("hello", &hello)];
    first.extend(history.into_iter().map(message));
    let now = Instant::now();
    let flow =
        Flow { seat, beat: interval_at(now + BEAT, BEAT), until: now + STREAM_LIFETIME, site };
    let later = stream::unfold(flow, |mut flow| async move {
        let events = tokio::select! {
            () = flow.site.shutdown.cancelled() => return None,
            () = tokio::time::sleep_until(flow.until) => return None,
            tidings = flow.seat.tidings.recv() => match tidings? {
                Tidings::Messages(messages) => messages.into_iter().map(message).collect(),
                Tidings::Typing(on) => vec![event("typing", &json!({ "on": on }))],
            },
            _ = flow.beat.tick() => vec![event("beat", &json!({}))],
        };
        Some((stream::iter(events), flow))
    });
    let all = stream::iter(first).chain(later.flatten()).map(Ok::<_, Infallible>);
    // Proxies that collect answers are told not to.
    let headers = [("x-accel-buffering", "no"), ("cache-control", "no-store")];
    (headers, Sse::new(all)).into_response()
}

fn message(shown: Shown) -> Event {
    let id = shown.position.to_string();
    event("message", &ShownMessage::of(shown)).id(id)
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("texts and numbers are JSON");
    Event::default().event(name).data(data)
}
