//! The fake WhatsApp gateway in the dialect of WAHA: `check-exists`, `sendText` and the signs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    account,
    faults::Fault,
    journal::{Call, Direction},
    waha_events::message_id,
    whatsapp::account_of,
    world::{Served, World},
};
use crate::domain::kind::ChannelKind;

/// Short enough to see the second call in a rehearsal of a minute.
const TOO_MANY_WAIT: Duration = Duration::from_secs(3);

/// The faults that show when a number is looked up; the others meet the message itself.
const LOOK_UP_FAULTS: &[Fault] =
    &[Fault::NotOnMessenger, Fault::RecipientDeleted, Fault::Unavailable];

pub(super) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/api/contacts/check-exists", get(check_exists))
        .route("/api/sendText", post(send_text))
        .route("/api/sessions/{session}", get(session))
        .route("/api/sendSeen", post(seen))
        .route("/api/startTyping", post(typing))
        .route("/api/stopTyping", post(typing_ended))
}

async fn session(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(session): Path<String>,
) -> Response {
    let call = call(&headers, String::new(), "");
    if call.channel.is_empty() {
        return refusal(StatusCode::UNAUTHORIZED, "the key is unknown");
    }
    let status = match world.account_fault(&call.channel) {
        None => "WORKING",
        Some(Fault::AccountBanned) => "FAILED",
        Some(_) => return refusal(StatusCode::UNAUTHORIZED, "the key has expired"),
    };
    Json(json!({ "name": session, "status": status })).into_response()
}

async fn check_exists(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let get = |name: &str| query.get(name).map_or("", String::as_str);
    let phone = get("phone").trim_start_matches('+');
    let account = account_of(phone);
    let call = call(&headers, format!("+{account}"), "");
    if let Some(refused) = account_objection(&world, &call) {
        return refused;
    }
    if !is_phone(phone) || get("session").is_empty() {
        return refuse(&world, &call, StatusCode::BAD_REQUEST, "the query is incomplete");
    }
    match world.refused_by_fault(&call, LOOK_UP_FAULTS) {
        Ok(None) => {}
        Ok(Some(Fault::NotOnMessenger | Fault::RecipientDeleted)) => {
            return Json(json!({ "numberExists": false })).into_response();
        }
        Ok(Some(_)) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
    world.looked_up(&call);
    Json(json!({ "numberExists": true, "chatId": format!("{account}@c.us") })).into_response()
}

async fn send_text(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let text_at = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let chat = text_at("chatId");
    let phone = chat.strip_suffix("@c.us").unwrap_or_default();
    let mut call = call(&headers, format!("+{phone}"), text_at("text"));
    if let Some(refused) = account_objection(&world, &call) {
        return refused;
    }
    if !is_phone(phone) || text_at("session").is_empty() || text_at("text").is_empty() {
        return refuse(&world, &call, StatusCode::BAD_REQUEST, "the body is incomplete");
    }
    world.calls_as(&call.channel, text_at("session"));
    if account_of(phone) != phone {
        // Accepted, and it never arrives.
        let id = format!("true_{chat}_0000000000000000");
        return match world.refuse(&call, "the chat is nobody's") {
            Ok(()) => (StatusCode::CREATED, Json(json!({ "id": id, "ack": 1 }))).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    if !world.was_looked_up(&call) && !world.has_written(&call.channel, &call.address) {
        call.note = Some("sent without check-exists before it");
    }
    match world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => {
            let id = message_id(&entry);
            let message = json!({
                "id": id, "timestamp": entry.at_ms / 1_000, "from": "me", "fromMe": true,
                "to": chat, "body": call.text, "ack": 1, "source": "api",
            });
            (StatusCode::CREATED, Json(message)).into_response()
        }
        Ok(Served::Fault(fault)) => match fault {
            Fault::TooMany => {
                let wait = [(RETRY_AFTER, TOO_MANY_WAIT.as_secs().to_string())];
                (wait, refusal(StatusCode::TOO_MANY_REQUESTS, "Too many requests")).into_response()
            }
            Fault::RecipientBlocks => {
                let message = format!("no LID found for {chat} from server");
                let body = json!({ "statusCode": 500, "exception": { "message": message } });
                (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
            }
            // Only whoever sends without the look-up comes here: accepted, and it never arrives.
            Fault::NotOnMessenger | Fault::RecipientDeleted => {
                let id = format!("true_{chat}_0000000000000000");
                (StatusCode::CREATED, Json(json!({ "id": id, "ack": 1 }))).into_response()
            }
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

type Body = Result<Json<Value>, JsonRejection>;

async fn seen(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    sign(&world, &headers, body, "read")
}

async fn typing(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    sign(&world, &headers, body, "typing")
}

async fn typing_ended(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    sign(&world, &headers, body, "typing ended")
}

fn sign(world: &World, headers: &HeaderMap, body: Body, sign: &'static str) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let text_at = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let phone = text_at("chatId").strip_suffix("@c.us").unwrap_or_default();
    let call = call(headers, format!("+{phone}"), "");
    if let Some(refused) = account_objection(world, &call) {
        return refused;
    }
    if !is_phone(phone) || text_at("session").is_empty() {
        return refuse(world, &call, StatusCode::BAD_REQUEST, "the body is incomplete");
    }
    let call = Call { direction: Direction::Sign, note: Some(sign), ..call };
    match world.note(&call) {
        Ok(()) => (StatusCode::CREATED, Json(json!({ "success": true }))).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn call(headers: &HeaderMap, address: String, text: &str) -> Call {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    Call {
        provider: ChannelKind::WhatsappWeb.as_str(),
        channel: key
            .and_then(|key| account::channel_of(key, "apiKey"))
            .unwrap_or_default()
            .to_owned(),
        address,
        text: text.to_owned(),
        ..Call::default()
    }
}

fn account_objection(world: &World, call: &Call) -> Option<Response> {
    if call.channel.is_empty() {
        return Some(refuse(world, call, StatusCode::UNAUTHORIZED, "the key is unknown"));
    }
    if world.account_fault(&call.channel)? != Fault::AccountBanned {
        return Some(refuse(world, call, StatusCode::UNAUTHORIZED, "the key has expired"));
    }
    if world.refuse(call, "the session has failed").is_err() {
        return Some(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let body = json!({
        "error": "Session status is not as expected. Try again later or restart the session",
        "session": "default", "status": "FAILED", "expected": ["WORKING"],
    });
    Some((StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response())
}

fn refuse(world: &World, call: &Call, status: StatusCode, why: &str) -> Response {
    match world.refuse(call, why) {
        Ok(()) => refusal(status, why),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "statusCode": status.as_u16(), "message": message }))).into_response()
}

fn is_phone(text: &str) -> bool {
    (7..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
