//! The receiving side of the fake VK API: the long poll, its history, and the signs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Form, Json,
    extract::{Path, Query, State, rejection::FormRejection},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    faults::Fault,
    journal::{Call, Direction},
    vk::{Parameters, broken, channel_of, error},
    vk_stream::Since,
    world::World,
};
use crate::domain::kind::ChannelKind;

/// The longest that VK lets a client wait.
const WAIT_MAX: Duration = Duration::from_secs(90);

const HISTORY_IS_GONE: i64 = 907;

type Called = Result<Form<Parameters>, FormRejection>;

pub(super) async fn server(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Response {
    let parameters = parameters(form);
    let channel = match account(&world, &headers, &parameters) {
        Ok(channel) => channel,
        Err((code, message)) => return error(&parameters, code, message),
    };
    let (key, end) = world.with_stream(&channel, |stream| (stream.key(), stream.end()));
    let server = world.long_poll_server(&channel);
    Json(json!({ "response": { "server": server, "key": key, "ts": end, "pts": end } }))
        .into_response()
}

pub(super) async fn history(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Response {
    let parameters = parameters(form);
    let channel = match account(&world, &headers, &parameters) {
        Ok(channel) => channel,
        Err((code, message)) => return error(&parameters, code, message),
    };
    let place = ["pts", "ts"].iter().find_map(|name| parameters.get(*name)?.parse().ok());
    let Some(place) = place else {
        return error(&parameters, 100, "One of the parameters specified was missing or invalid");
    };
    match world.with_stream(&channel, |stream| stream.history(place)) {
        Some(history) => Json(json!({ "response": history })).into_response(),
        None => error(&parameters, HISTORY_IS_GONE, "Value of ts or pts is too old"),
    }
}

pub(super) async fn mark_as_read(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Response {
    sign(&world, &headers, &parameters(form), "read")
}

pub(super) async fn set_activity(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Response {
    sign(&world, &headers, &parameters(form), "typing")
}

/// `GET {server}?act=a_check`: waits for the next message.
pub(super) async fn check(
    State(world): State<Arc<World>>,
    Path(channel): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let get = |name: &str| query.get(name).map_or("", String::as_str);
    let failed = |failed: Value| Json(failed).into_response();
    if get("version") != "3" {
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
            Since::Updates(updates) => updates,
            Since::TooOld => return failed(json!({ "failed": 1, "ts": end })),
            Since::Unknown => return failed(json!({ "failed": 3 })),
            Since::Nothing => {
                tokio::select! {
                    () = next => continue,
                    () = tokio::time::sleep_until(until) => Vec::new(),
                    () = world.shutdown() => Vec::new(),
                }
            }
        };
        return Json(json!({ "ts": end, "pts": end, "updates": updates })).into_response();
    }
}

fn parameters(form: Called) -> Parameters {
    form.map(|Form(parameters)| parameters).unwrap_or_default()
}

/// The channel of the account that calls, or VK's refusal.
fn account(
    world: &World,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<String, (i64, &'static str)> {
    let Some(channel) = channel_of(headers, parameters) else {
        return Err((5, "User authorization failed: invalid access_token (4)."));
    };
    match world.account_fault(channel) {
        Some(Fault::AccountBanned) => return Err((37, "User was banned")),
        Some(_) => return Err((5, "User authorization failed: access_token has expired.")),
        None => {}
    }
    if !parameters.contains_key("v") {
        return Err((8, "Invalid request: v (version) is required"));
    }
    Ok(channel.to_owned())
}

fn sign(
    world: &World,
    headers: &HeaderMap,
    parameters: &Parameters,
    sign: &'static str,
) -> Response {
    let channel = match account(world, headers, parameters) {
        Ok(channel) => channel,
        Err((code, message)) => return error(parameters, code, message),
    };
    let call = Call {
        direction: Direction::Sign,
        provider: ChannelKind::VkUser.as_str(),
        channel,
        address: parameters.get("peer_id").cloned().unwrap_or_default(),
        note: Some(sign),
        ..Call::default()
    };
    match world.note(&call) {
        Ok(()) => Json(json!({ "response": 1 })).into_response(),
        Err(_) => broken(),
    }
}
