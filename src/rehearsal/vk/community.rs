//! A community of the fake VK: what it tells of itself, and the settings of its long poll.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::{Value, json};

use super::{
    super::world::World,
    api::{Asked, Called, Refused, account_objection, answer, channel_of, error, parameters},
    callback::Server,
    events::API_VERSION,
};

/// The id of a community that nobody has named yet.
const UNNAMED: &str = "200500100";

/// The events that a community can be told of and that happen here.
const EVENTS: &[&str] = &["message_new", "message_reply", "message_allow", "message_deny"];

/// As VK makes one: nothing is told of.
#[derive(Debug, Default)]
pub(in crate::rehearsal) struct Community {
    pub(super) long_poll: bool,
    pub(super) long_poll_events: BTreeSet<String>,
    pub(super) servers: Vec<Server>,
}

pub(super) async fn get_by_id(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Response {
    let parameters = parameters(form);
    let channel = channel_of(&headers, &parameters).unwrap_or_default();
    let id = world.account(channel).unwrap_or_else(|| UNNAMED.to_owned());
    let mut community = json!({
        "id": id.parse::<i64>().unwrap_or_default(), "name": channel, "screen_name": format!("club{id}"),
        "is_closed": 0, "type": "group",
    });
    match account_objection(&world, channel, &parameters) {
        None => {}
        // The token of a banned community still tells whose it is.
        Some((37, _)) => community["deactivated"] = json!("banned"),
        Some((code, message)) => return error(&parameters, code, message),
    }
    answer(&json!({ "groups": [community], "profiles": [] }))
}

pub(super) async fn token_permissions(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let rights = [("manage", 262_144), ("messages", 4_096)];
    let permissions = rights.map(|(name, setting)| json!({ "name": name, "setting": setting }));
    Asked::read(&world, &headers, form)?;
    Ok(answer(&json!({ "mask": 266_240, "permissions": permissions })))
}

pub(super) async fn long_poll_settings(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    let settings = world.with_community(&asked.channel, |community| {
        json!({
            "is_enabled": community.long_poll, "api_version": API_VERSION,
            "events": shown(&community.long_poll_events),
        })
    });
    Ok(answer(&settings))
}

pub(super) async fn set_long_poll_settings(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    let asked = Asked::of_community(&world, &headers, form)?;
    world.with_community(&asked.channel, |community| {
        match asked.get("enabled") {
            "1" => community.long_poll = true,
            "0" => community.long_poll = false,
            _ => {}
        }
        switch(&mut community.long_poll_events, &asked);
    });
    Ok(answer(&json!(1)))
}

/// 0 or 1 for each event.
pub(super) fn shown(on: &BTreeSet<String>) -> Value {
    let events =
        EVENTS.iter().map(|name| ((*name).to_owned(), json!(i32::from(on.contains(*name)))));
    Value::Object(events.collect())
}

/// What is not named stays as it is.
pub(super) fn switch(on: &mut BTreeSet<String>, asked: &Asked) {
    for name in EVENTS {
        match asked.get(name) {
            "1" => drop(on.insert((*name).to_owned())),
            "0" => drop(on.remove(*name)),
            _ => {}
        }
    }
}
