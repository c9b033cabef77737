//! The sending side of the fake VK API, and the signs.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{
    super::{
        faults::Fault,
        journal::{Call, Direction},
        world::{Served, World},
    },
    api::{
        Asked, Called, MISSING, Parameters, Refused, account_objection, answer, broken, channel_of,
        error, parameters,
    },
};
use crate::domain::kind::ChannelKind;

const TEXT_CHARACTERS_MAX: usize = 9_000;

pub(super) async fn send(
    State(world): State<Arc<World>>,
    Extension(kind): Extension<ChannelKind>,
    headers: HeaderMap,
    form: Called,
) -> Response {
    let parameters = parameters(form);
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);
    let call = Call {
        provider: kind.as_str(),
        channel: channel_of(&headers, &parameters).unwrap_or_default().to_owned(),
        address: get("peer_id").to_owned(),
        text: get("message").to_owned(),
        key: get("random_id").parse().ok().filter(|key| *key != 0),
        ..Call::default()
    };
    let objection = objection(&world, &call, &parameters)
        .or_else(|| (kind == ChannelKind::VkPublic).then(|| permission(&world, &call)).flatten());
    if let Some((code, message)) = objection {
        return match world.refuse(&call, format!("error {code}")) {
            Ok(()) => error(&parameters, code, message),
            Err(_) => broken(),
        };
    }
    match world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => answer(&json!(entry.message_id)),
        Ok(Served::Fault(fault)) => match fault {
            Fault::TooMany => error(&parameters, 6, "Too many requests per second"),
            Fault::RecipientBlocks => {
                error(&parameters, 900, "Can't send messages for users from blacklist")
            }
            Fault::NotOnMessenger => error(&parameters, 936, "Contact not found"),
            Fault::RecipientDeleted => error(&parameters, 18, "User was deleted or banned"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "<html>503</html>").into_response(),
        },
        Err(_) => broken(),
    }
}

/// What VK has against a call before it looks at the recipient.
fn objection(world: &World, call: &Call, parameters: &Parameters) -> Option<(i64, &'static str)> {
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);
    if let Some(objection) = account_objection(world, &call.channel, parameters) {
        return Some(objection);
    }
    match get("peer_id").parse::<i64>() {
        Ok(id) if id != 0 && id.unsigned_abs() < 2_000_000_000 => {}
        _ => return Some(MISSING),
    }
    if get("random_id").parse::<i64>().is_err() || get("message").trim().is_empty() {
        return Some(MISSING);
    }
    if get("message").chars().count() > TEXT_CHARACTERS_MAX {
        return Some((914, "Message is too long"));
    }
    None
}

/// A community may write to who wrote to it, and not for ever.
fn permission(world: &World, call: &Call) -> Option<(i64, &'static str)> {
    if !world.has_written(&call.channel, &call.address) {
        return Some((901, "Can't send messages for users without permission"));
    }
    (!world.window_is_open(call)).then_some((950, "Can't send message, reply timed out"))
}

pub(super) async fn users_get(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Called,
) -> Response {
    let parameters = parameters(form);
    let channel = channel_of(&headers, &parameters).unwrap_or_default();
    let mut account = json!({ "id": 1, "first_name": "Rehearsal", "last_name": channel });
    match account_objection(&world, channel, &parameters) {
        None => {}
        // The token of a banned account still tells whose it is.
        Some((37, _)) => account["deactivated"] = json!("banned"),
        Some((code, message)) => return error(&parameters, code, message),
    }
    answer(&json!([account]))
}

pub(super) async fn mark_as_read(
    State(world): State<Arc<World>>,
    Extension(kind): Extension<ChannelKind>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    sign(&world, kind, &headers, form, "read")
}

pub(super) async fn set_activity(
    State(world): State<Arc<World>>,
    Extension(kind): Extension<ChannelKind>,
    headers: HeaderMap,
    form: Called,
) -> Result<Response, Refused> {
    sign(&world, kind, &headers, form, "typing")
}

fn sign(
    world: &World,
    kind: ChannelKind,
    headers: &HeaderMap,
    form: Called,
    sign: &'static str,
) -> Result<Response, Refused> {
    let asked = Asked::read(world, headers, form)?;
    let call = Call {
        direction: Direction::Sign,
        provider: kind.as_str(),
        address: asked.get("peer_id").to_owned(),
        channel: asked.channel,
        note: Some(sign),
        ..Call::default()
    };
    match world.note(&call) {
        Ok(()) => Ok(answer(&json!(1))),
        Err(_) => Ok(broken()),
    }
}
