//! The fake WhatsApp gateway in the dialect of wuzapi: `/user/check`, `/chat/send/text` and the signs.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    account,
    faults::Fault,
    journal::{Call, Direction},
    whatsapp::account_of,
    world::{Hook, Served, World},
    wuzapi_events::message_id,
};
use crate::domain::kind::ChannelKind;

/// Short enough to see the second call in a rehearsal of a minute.
const TOO_MANY_WAIT: Duration = Duration::from_secs(3);

/// The faults that show when a number is looked up; the others meet the message itself.
const LOOK_UP_FAULTS: &[Fault] =
    &[Fault::NotOnMessenger, Fault::RecipientDeleted, Fault::Unavailable];

pub(super) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/session/status", get(status))
        .route("/webhook", get(webhook).post(set_webhook))
        .route("/user/check", post(check))
        .route("/chat/send/text", post(send))
        .route("/chat/markread", post(read))
        .route("/chat/presence", post(typing))
}

type Body = Result<Json<Value>, JsonRejection>;

fn call(headers: &HeaderMap) -> Call {
    let token = headers.get("token").and_then(|value| value.to_str().ok());
    let channel = token.and_then(|token| account::channel_of(token, "apiKey"));
    Call {
        provider: ChannelKind::WhatsappWeb.as_str(),
        channel: channel.unwrap_or_default().to_owned(),
        ..Call::default()
    }
}

fn succeeded(data: &Value) -> Response {
    Json(json!({ "code": 200, "data": data, "success": true })).into_response()
}

fn refusal(status: StatusCode, error: &str) -> Response {
    let body = json!({ "code": status.as_u16(), "error": error, "success": false });
    (status, Json(body)).into_response()
}

fn refuse(world: &World, call: &Call, status: StatusCode, error: &str) -> Response {
    match world.refuse(call, error) {
        Ok(()) => refusal(status, error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Why the gateway does not know the account.
fn stranger(world: &World, call: &Call) -> Option<&'static str> {
    let expired = world.account_fault(&call.channel) == Some(Fault::CredentialExpired);
    (call.channel.is_empty() || expired).then_some("Unauthorized")
}

fn is_banned(world: &World, call: &Call) -> bool {
    world.account_fault(&call.channel) == Some(Fault::AccountBanned)
}

async fn status(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    let call = call(&headers);
    match stranger(&world, &call) {
        Some(error) => refusal(StatusCode::UNAUTHORIZED, error),
        None => {
            let works = !is_banned(&world, &call);
            succeeded(&json!({ "Connected": works, "LoggedIn": works }))
        }
    }
}

async fn webhook(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    let call = call(&headers);
    if let Some(error) = stranger(&world, &call) {
        return refusal(StatusCode::UNAUTHORIZED, error);
    }
    let hook = world.hook(&call.channel);
    let events = if hook.is_some() { "Message,ReadReceipt" } else { "" };
    let events: Vec<_> = events.split(',').collect();
    succeeded(
        &json!({ "webhook": hook.map(|hook| hook.url).unwrap_or_default(), "subscribe": events }),
    )
}

async fn set_webhook(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    let call = call(&headers);
    if let Some(error) = stranger(&world, &call) {
        return refusal(StatusCode::UNAUTHORIZED, error);
    }
    let Ok(Json(body)) = body else {
        return refusal(StatusCode::BAD_REQUEST, "Could not decode payload");
    };
    let url = body.get("webhookurl").and_then(Value::as_str).unwrap_or_default();
    world.set_hook(&call.channel, Some(Hook { url: url.to_owned(), secret: None }));
    succeeded(&json!({ "webhook": url }))
}

async fn check(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let asked = body.pointer("/Phone/0").and_then(Value::as_str).unwrap_or_default();
    let phone = asked.trim_start_matches('+');
    let account = account_of(phone);
    let call = Call { address: format!("+{account}"), ..call(&headers) };
    if let Some(error) = stranger(&world, &call) {
        return refuse(&world, &call, StatusCode::UNAUTHORIZED, error);
    }
    if !is_phone(phone) {
        return refuse(&world, &call, StatusCode::BAD_REQUEST, "Missing Phone in Payload");
    }
    let answer = |is_there: bool| {
        let jid = format!("{account}@s.whatsapp.net");
        let user = json!({
            "IsInWhatsapp": is_there, "JID": jid, "Query": asked, "VerifiedName": "",
        });
        succeeded(&json!({ "Users": [user] }))
    };
    match world.refused_by_fault(&call, LOOK_UP_FAULTS) {
        Ok(None) => {}
        Ok(Some(Fault::NotOnMessenger | Fault::RecipientDeleted)) => return answer(false),
        Ok(Some(_)) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
    world.looked_up(&call);
    answer(true)
}

async fn send(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let text_at = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let phone = digits_of(text_at("Phone"));
    let mut call = Call {
        address: format!("+{phone}"),
        text: text_at("Body").to_owned(),
        attempt: Some(text_at("Id").to_owned()).filter(|id| !id.is_empty()),
        ..call(&headers)
    };
    if let Some(error) = stranger(&world, &call) {
        return refuse(&world, &call, StatusCode::UNAUTHORIZED, error);
    }
    if is_banned(&world, &call) {
        let error = "Error sending message: server returned error 463";
        return refuse(&world, &call, StatusCode::INTERNAL_SERVER_ERROR, error);
    }
    for (name, error) in
        [("Phone", "Missing Phone in Payload"), ("Body", "Missing Body in Payload")]
    {
        if text_at(name).is_empty() || !is_phone(phone) {
            return refuse(&world, &call, StatusCode::BAD_REQUEST, error);
        }
    }
    let sent = |id: &str| {
        let at = world.now().to_rfc3339();
        succeeded(&json!({ "Details": "Sent", "Id": id, "Timestamp": at }))
    };
    if account_of(phone) != phone {
        // Accepted, and it never arrives.
        return match world.refuse(&call, "the chat is nobody's") {
            Ok(()) => sent(text_at("Id")),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    if !world.was_looked_up(&call) && !world.has_written(&call.channel, &call.address) {
        call.note = Some("sent without user/check before it");
    }
    match world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => sent(&message_id(&entry)),
        Ok(Served::Fault(fault)) => match fault {
            Fault::TooMany => {
                let wait = [(RETRY_AFTER, TOO_MANY_WAIT.as_secs().to_string())];
                (wait, refusal(StatusCode::TOO_MANY_REQUESTS, "Too many requests")).into_response()
            }
            Fault::RecipientBlocks => {
                let error = format!("Error sending message: no LID found for {phone} from server");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, &error)
            }
            // Only whoever sends without the look-up comes here: accepted, and it never arrives.
            Fault::NotOnMessenger | Fault::RecipientDeleted => sent(text_at("Id")),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn read(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let has_id = body.pointer("/Id/0").and_then(Value::as_str).is_some_and(|id| !id.is_empty());
    let chat = if has_id { body.get("Chat") } else { None };
    sign(&world, &headers, chat, "read")
}

async fn typing(State(world): State<Arc<World>>, headers: HeaderMap, body: Body) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let composes = body.get("State").and_then(Value::as_str) == Some("composing");
    sign(&world, &headers, if composes { body.get("Phone") } else { None }, "typing")
}

fn sign(world: &World, headers: &HeaderMap, chat: Option<&Value>, sign: &'static str) -> Response {
    let phone = digits_of(chat.and_then(Value::as_str).unwrap_or_default());
    let call = Call { address: format!("+{phone}"), ..call(headers) };
    if let Some(error) = stranger(world, &call) {
        return refuse(world, &call, StatusCode::UNAUTHORIZED, error);
    }
    if !is_phone(phone) {
        return refuse(world, &call, StatusCode::BAD_REQUEST, "Could not decode Payload");
    }
    match world.note(&Call { direction: Direction::Sign, note: Some(sign), ..call }) {
        Ok(()) => succeeded(&json!({ "Details": "done" })),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Of a phone or of a chat.
fn digits_of(chat: &str) -> &str {
    chat.trim_start_matches('+').trim_end_matches("@s.whatsapp.net")
}

fn is_phone(text: &str) -> bool {
    (7..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
