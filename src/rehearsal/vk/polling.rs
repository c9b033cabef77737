//! The receiving side of the fake VK API: the long poll, its history, and the signs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    super::{journal::Entry, stream::Since, world::World},
    api::{Asked, Called, MISSING, Refused, answer},
    events::{community_event, community_event_name, event, history as page_of_history},
};
use crate::domain::kind::ChannelKind;

/// The longest that VK lets a client wait.
const WAIT_MAX: Duration = Duration::from_secs(90);

/// The messages of a page of the history.
const PAGE_MAX: usize = 200;
const HISTORY_IS_GONE: i64 = 907;

/// Where the stream of an account is, and for a person's its place in the history too.
pub(super) async fn history_server(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let channel = Asked::read(&world, &headers, form)?.channel;
    let (key, end) = world.with_stream(&channel, |stream| (stream.key(), stream.end()));
    let server = world.long_poll_server("vk", &channel);
    Ok(answer(&json!({ "server": server, "key": key, "ts": end, "pts": end })))
}

/// Where the stream of a community is.
pub(super) async fn server(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    if !world.with_community(&asked.channel, |community| community.long_poll) {
        return Err(asked.refuse((100, "longpoll for this group is not enabled")));
    }
    let (key, end) = world.with_stream(&asked.channel, |stream| (stream.key(), stream.end()));
    world.meet(ChannelKind::VkPublic, &asked.channel);
    let server = world.long_poll_server("vk-public", &asked.channel);
    Ok(answer(&json!({ "server": server, "key": key, "ts": end.to_string() })))
}

pub(super) async fn history(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::read(&world, &headers, form)?;
    let place = ["pts", "ts"].iter().find_map(|name| asked.get(name).parse().ok());
    let Some(place) = place else { return Err(asked.refuse(MISSING)) };
    let group_id = world.account(&asked.channel).and_then(|id| id.parse::<i64>().ok());
    match world.with_stream(&asked.channel, |stream| stream.page(place, PAGE_MAX)) {
        Some(page) => Ok(answer(&page_of_history(&page, group_id.map_or(1, |id| -id)))),
        None => Err(asked.refuse((HISTORY_IS_GONE, "Value of ts or pts is too old"))),
    }
}

/// `GET {server}?act=a_check`: waits for the next message.
pub(super) async fn check(
    State(world): State<Arc<World>>,
    Extension(kind): Extension<ChannelKind>,
    Path(channel): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let get = |name: &str| query.get(name).map_or("", String::as_str);
    let failed = |failed: Value| Json(failed).into_response();
    let of_person = kind == ChannelKind::VkUser;
    if of_person && get("version") != "3" {
        return failed(json!({ "failed": 4, "min_version": 3, "max_version": 3 }));
    }
    let (Ok(place), Ok(wait)) = (get("ts").parse::<i64>(), get("wait").parse::<u64>()) else {
        return failed(json!({ "failed": 3 }));
    };
    let until = tokio::time::Instant::now() + Duration::from_secs(wait).min(WAIT_MAX);
    let key = get("key");
    let key_is_good = world.with_stream(&channel, |stream| {
        let good = stream.key() == key;
        if good && world.has_faults() {
            stream.count_check();
        }
        good
    });
    if !key_is_good {
        return failed(json!({ "failed": 2 }));
    }
    loop {
        // Before the look at the stream, so that nothing is missed between the two.
        let next = world.next_message();
        let (since, end) =
            world.with_stream(&channel, |stream| (stream.since(place), stream.end()));
        let updates = match since {
            Since::Messages(messages) if of_person => messages.iter().map(event).collect(),
            Since::Messages(messages) => community_events(&world, &channel, &messages),
            Since::TooOld if of_person => return failed(json!({ "failed": 1, "ts": end })),
            Since::TooOld => return failed(json!({ "failed": 1, "ts": end.to_string() })),
            Since::Unknown => return failed(json!({ "failed": 3 })),
            Since::Nothing => {
                tokio::select! {
                    () = next => continue,
                    () = tokio::time::sleep_until(until) => Vec::new(),
                    () = world.shutdown() => Vec::new(),
                }
            }
        };
        let news = if of_person {
            json!({ "ts": end, "pts": end, "updates": updates })
        } else {
            json!({ "ts": end.to_string(), "updates": updates })
        };
        return Json(news).into_response();
    }
}

/// Those that the settings of the community have switched on.
fn community_events(world: &World, channel: &str, messages: &[Entry]) -> Vec<Value> {
    let group_id = world.account(channel).unwrap_or_default();
    let is_told = |message: &&Entry| {
        world.with_community(channel, |community| {
            community.long_poll_events.contains(community_event_name(message))
        })
    };
    messages.iter().filter(is_told).map(|message| community_event(message, &group_id)).collect()
}
