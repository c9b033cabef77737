//! The fake WhatsApp Cloud API: `POST /{version}/{phone_number_id}/messages`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    faults::Fault,
    journal::{Call, Direction},
    meta::{channel_of, error, is_digits, is_version},
    waba_events::{BY_ID, USER_ID_BEGIN, message_id, user_id},
    whatsapp::account_of,
    world::{Served, World},
};
use crate::domain::kind::ChannelKind;

/// Short enough to see the second call in a rehearsal of a minute.
const TOO_MANY_WAIT: Duration = Duration::from_secs(3);

const TEXT_CHARACTERS_MAX: usize = 4_096;

const CALLBACK_DATA_CHARACTERS_MAX: usize = 512;

/// An HTTP status with Meta's own code and name of an error.
type Objection = (StatusCode, i64, &'static str);

pub(super) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/{version}/{phone_number_id}/messages", post(messages))
        .route("/{version}/{phone_number_id}", get(number))
}

async fn number(
    State(world): State<Arc<World>>,
    Path((version, phone_number_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let channel = channel_of(&headers).unwrap_or_default().to_owned();
    let call = Call { provider: ChannelKind::Waba.as_str(), channel, ..Call::default() };
    let objection =
        known_path(&version, &phone_number_id).or_else(|| account_objection(&world, &call));
    match objection {
        Some((status, code, name)) => error(status, code, None, name),
        None => Json(json!({ "id": phone_number_id })).into_response(),
    }
}

async fn messages(
    State(world): State<Arc<World>>,
    Path((version, phone_number_id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let text_at = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let to = recipient(&body);
    let account = account_of(to);
    let by_id = is_by_id(&body);
    let call = Call {
        provider: ChannelKind::Waba.as_str(),
        channel: channel_of(&headers).unwrap_or_default().to_owned(),
        address: format!("+{account}"),
        text: shown(&body),
        attempt: body.get("biz_opaque_callback_data").and_then(Value::as_str).map(str::to_owned),
        note: by_id.then_some(BY_ID),
        ..Call::default()
    };
    if text_at("/status") == "read" {
        return sign(&world, call, &body);
    }
    let objection = known_path(&version, &phone_number_id)
        .or_else(|| account_objection(&world, &call))
        .or_else(|| body_objection(&body, world.window_is_open(&call)));
    if let Some((status, code, name)) = objection {
        return match world.refuse(&call, format!("error {code}")) {
            Ok(()) => error(status, code, None, name),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    world.calls_as(&call.channel, &phone_number_id);
    match world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => Json(json!({
            "messaging_product": "whatsapp",
            "contacts": [if by_id {
                json!({ "input": user_id(&entry), "user_id": user_id(&entry) })
            } else {
                json!({ "input": to, "wa_id": account })
            }],
            "messages": [{
                "id": message_id(&entry),
                "message_status": "accepted",
            }],
        }))
        .into_response(),
        Ok(Served::Fault(fault)) => answer_fault(fault),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The digits of who is written to: by the phone, or by the id that stands for it.
fn recipient(body: &Value) -> &str {
    let text_at = |path: &str| body.pointer(path).and_then(Value::as_str);
    let phone = text_at("/to").map(|to| to.trim_start_matches('+'));
    phone.or_else(|| text_at("/recipient")?.strip_prefix(USER_ID_BEGIN)).unwrap_or_default()
}

/// Of a phone and an id, the phone counts.
fn is_by_id(body: &Value) -> bool {
    body.get("to").is_none() && body.get("recipient").is_some()
}

/// "Read", and with it "typing": nothing but the message tells whose it was.
fn sign(world: &World, call: Call, body: &Value) -> Response {
    if let Some((status, code, name)) = account_objection(world, &call) {
        return error(status, code, None, name);
    }
    if body.get("message_id").and_then(Value::as_str).is_none_or(str::is_empty) {
        return error(StatusCode::BAD_REQUEST, 131_009, None, "Parameter value is not valid");
    }
    let note = if body.get("typing_indicator").is_some() { "read, typing" } else { "read" };
    let call =
        Call { direction: Direction::Sign, address: String::new(), note: Some(note), ..call };
    match world.note(&call) {
        Ok(()) => Json(json!({ "success": true })).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer_fault(fault: Fault) -> Response {
    match fault {
        Fault::TooMany => {
            let wait = [(RETRY_AFTER, TOO_MANY_WAIT.as_secs().to_string())];
            let refusal = error(StatusCode::TOO_MANY_REQUESTS, 130_429, None, "Rate limit hit");
            (wait, refusal).into_response()
        }
        Fault::RecipientBlocks => error(
            StatusCode::BAD_REQUEST,
            131_050,
            None,
            "User has stopped marketing messages from this business",
        ),
        Fault::NotOnMessenger | Fault::RecipientDeleted => {
            error(StatusCode::BAD_REQUEST, 131_026, None, "Message undeliverable")
        }
        _ => error(StatusCode::SERVICE_UNAVAILABLE, 131_016, None, "Service unavailable"),
    }
}

fn known_path(version: &str, phone_number_id: &str) -> Option<Objection> {
    let known = is_version(version) && is_digits(phone_number_id);
    (!known).then_some((StatusCode::BAD_REQUEST, 100, "Unsupported post request"))
}

fn account_objection(world: &World, call: &Call) -> Option<Objection> {
    if call.channel.is_empty() {
        return Some((StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token"));
    }
    match world.account_fault(&call.channel)? {
        Fault::AccountBanned => Some((StatusCode::FORBIDDEN, 131_031, "Account has been locked")),
        _ => Some((StatusCode::UNAUTHORIZED, 190, "Access token has expired")),
    }
}

fn body_objection(body: &Value, window_is_open: bool) -> Option<Objection> {
    let text_at = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let bad = |code, name| Some((StatusCode::BAD_REQUEST, code, name));
    if text_at("/messaging_product") != "whatsapp" {
        return bad(100, "The parameter messaging_product is required");
    }
    let to = recipient(body);
    if !(7..=15).contains(&to.len()) || !to.bytes().all(|byte| byte.is_ascii_digit()) {
        return bad(131_009, "Parameter value is not valid");
    }
    if text_at("/biz_opaque_callback_data").chars().count() > CALLBACK_DATA_CHARACTERS_MAX {
        return bad(131_009, "Parameter value is not valid");
    }
    match text_at("/type") {
        "template" => template_objection(body),
        "text" => {
            let length = text_at("/text/body").chars().count();
            if !(1..=TEXT_CHARACTERS_MAX).contains(&length) {
                return bad(131_009, "Parameter value is not valid");
            }
            if window_is_open { None } else { bad(131_047, "Re-engagement message") }
        }
        _ => bad(131_051, "Unsupported message type"),
    }
}

fn template_objection(body: &Value) -> Option<Objection> {
    let text_at = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let bad = |code, name| Some((StatusCode::BAD_REQUEST, code, name));
    let name = text_at("/template/name");
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || !name.bytes().all(named) || text_at("/template/language/code").is_empty()
    {
        return bad(132_001, "Template does not exist in the translation");
    }
    let Some(components) = body.pointer("/template/components")?.as_array() else {
        return bad(100, "Invalid parameter");
    };
    for component in components {
        let is_body = component.get("type").and_then(Value::as_str) == Some("body");
        let Some(parameters) = component.get("parameters").and_then(Value::as_array) else {
            return bad(131_008, "Required parameter is missing");
        };
        let text = |parameter: &Value| {
            parameter.get("type").and_then(Value::as_str) == Some("text")
                && parameter
                    .get("text")
                    .and_then(Value::as_str)
                    .is_some_and(|text| !text.is_empty())
        };
        if !is_body || parameters.is_empty() || !parameters.iter().all(text) {
            return bad(132_012, "Template parameter format does not match");
        }
    }
    None
}

/// The template as the journal shows it, such as `spring_offer (ru): Anna · 5 %`.
fn shown(body: &Value) -> String {
    let text_at = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let parameters = body.pointer("/template/components/0/parameters").and_then(Value::as_array);
    let variables: Vec<_> = parameters
        .into_iter()
        .flatten()
        .filter_map(|parameter| parameter.get("text")?.as_str())
        .collect();
    match (text_at("/template/name"), text_at("/template/language/code")) {
        ("", _) => text_at("/text/body").to_owned(),
        (name, language) if variables.is_empty() => format!("{name} ({language})"),
        (name, language) => format!("{name} ({language}): {}", variables.join(" · ")),
    }
}
