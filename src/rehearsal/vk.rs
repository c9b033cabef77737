//! The fake VK API: methods that are called by form and answer errors with HTTP 200.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Form, Json, Router,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    account,
    faults::Fault,
    journal::Call,
    vk_polling,
    world::{Served, World},
};
use crate::domain::kind::ChannelKind;

const TEXT_CHARACTERS_MAX: usize = 9_000;

pub(super) type Parameters = BTreeMap<String, String>;

pub(super) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/method/messages.send", post(messages_send))
        .route("/method/users.get", post(users_get))
        .route("/method/messages.getLongPollServer", post(vk_polling::server))
        .route("/method/messages.getLongPollHistory", post(vk_polling::history))
        .route("/method/messages.markAsRead", post(vk_polling::mark_as_read))
        .route("/method/messages.setActivity", post(vk_polling::set_activity))
        .route("/longpoll/{channel}", get(vk_polling::check))
        .fallback(unknown_method)
}

async fn unknown_method() -> Response {
    error(&Parameters::new(), 3, "Unknown method passed.")
}

async fn messages_send(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Result<Form<Parameters>, FormRejection>,
) -> Response {
    // VK does not read other encodings: to it such a call has no parameters.
    let parameters = form.map(|Form(parameters)| parameters).unwrap_or_default();
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);
    let call = Call {
        provider: ChannelKind::VkUser.as_str(),
        channel: channel_of(&headers, &parameters).unwrap_or_default().to_owned(),
        address: get("peer_id").to_owned(),
        text: get("message").to_owned(),
        key: get("random_id").parse().ok().filter(|key| *key != 0),
        ..Call::default()
    };
    if let Some((code, message)) = objection(&world, &call, &parameters) {
        return match world.refuse(&call, format!("error {code}")) {
            Ok(()) => error(&parameters, code, message),
            Err(_) => broken(),
        };
    }
    match world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => {
            Json(json!({ "response": entry.message_id })).into_response()
        }
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
    if call.channel.is_empty() {
        return Some((5, "User authorization failed: invalid access_token (4)."));
    }
    match world.account_fault(&call.channel) {
        Some(Fault::AccountBanned) => return Some((37, "User was banned")),
        Some(_) => return Some((5, "User authorization failed: access_token has expired.")),
        None => {}
    }
    if get("v").is_empty() {
        return Some((8, "Invalid request: v (version) is required"));
    }
    let missing = "One of the parameters specified was missing or invalid";
    match get("peer_id").parse::<i64>() {
        Ok(id) if id != 0 && id.unsigned_abs() < 2_000_000_000 => {}
        _ => return Some((100, missing)),
    }
    if get("random_id").parse::<i64>().is_err() || get("message").trim().is_empty() {
        return Some((100, missing));
    }
    if get("message").chars().count() > TEXT_CHARACTERS_MAX {
        return Some((914, "Message is too long"));
    }
    None
}

async fn users_get(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    form: Result<Form<Parameters>, FormRejection>,
) -> Response {
    let parameters = form.map(|Form(parameters)| parameters).unwrap_or_default();
    let Some(channel) = channel_of(&headers, &parameters) else {
        return error(&parameters, 5, "User authorization failed: invalid access_token (4).");
    };
    if !parameters.contains_key("v") {
        return error(&parameters, 8, "Invalid request: v (version) is required");
    }
    let mut account = json!({ "id": 1, "first_name": "Rehearsal", "last_name": channel });
    match world.account_fault(channel) {
        None => {}
        Some(Fault::AccountBanned) => account["deactivated"] = json!("banned"),
        Some(_) => {
            return error(&parameters, 5, "User authorization failed: access_token has expired.");
        }
    }
    Json(json!({ "response": [account] })).into_response()
}

pub(super) fn channel_of<'a>(
    headers: &'a HeaderMap,
    parameters: &'a Parameters,
) -> Option<&'a str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let token = token.or_else(|| parameters.get("access_token").map(String::as_str))?;
    account::channel_of(token, "token")
}

/// An error repeats the parameters, texts and all, as VK's do.
pub(super) fn error(parameters: &Parameters, code: i64, message: &str) -> Response {
    let request_params: Vec<Value> = parameters
        .iter()
        .filter(|(key, _)| *key != "access_token")
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    let error = json!({
        "error_code": code, "error_msg": message, "request_params": request_params,
    });
    Json(json!({ "error": error })).into_response()
}

/// The journal cannot be written, so nothing is delivered.
pub(super) fn broken() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
