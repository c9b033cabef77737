//! The fake Instagram API: `/me/messages`, and the subscription of an account to its events.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    faults::Fault,
    instagram_events::message_id,
    journal::{Call, Direction},
    meta::{channel_of, error, is_digits, is_version},
    world::{Served, World},
};
use crate::domain::kind::ChannelKind;

/// Short enough to see the second call in a rehearsal of a minute.
const TOO_MANY_WAIT: Duration = Duration::from_secs(3);

const TEXT_BYTES_MAX: usize = 1_000;

/// An HTTP status with Meta's own code, subcode and name of an error.
type Objection = (StatusCode, i64, Option<i64>, &'static str);

pub(super) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/{version}/me", get(me))
        .route("/{version}/app", get(application))
        .route("/{version}/me/messages", post(messages))
        .route("/{version}/{account}/subscribed_apps", get(subscribed).post(subscribe))
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    fields: String,
    #[serde(default)]
    subscribed_fields: String,
}

fn call(headers: &HeaderMap) -> Call {
    let channel = channel_of(headers).unwrap_or_default().to_owned();
    Call { provider: ChannelKind::Instagram.as_str(), channel, ..Call::default() }
}

fn refused((status, code, subcode, name): Objection) -> Response {
    error(status, code, subcode, name)
}

/// The account's id is known once it was subscribed by it.
async fn me(
    State(world): State<Arc<World>>,
    Path(version): Path<String>,
    Query(Fields { fields, .. }): Query<Fields>,
    headers: HeaderMap,
) -> Response {
    let call = call(&headers);
    if let Some(objection) = objection(&world, &version, &call) {
        return refused(objection);
    }
    let mut me = json!({ "id": "24601" });
    if let Some(account) = world.account(&call.channel) {
        if fields.contains("user_id") {
            me["user_id"] = json!(account);
        }
        if fields.contains("instagram_business_account") {
            me["instagram_business_account"] = json!({ "id": account });
        }
    }
    Json(me).into_response()
}

async fn application(
    State(world): State<Arc<World>>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Response {
    match objection(&world, &version, &call(&headers)) {
        Some(objection) => refused(objection),
        None => Json(json!({ "id": "1701", "name": "Rehearsal" })).into_response(),
    }
}

async fn subscribed(
    State(world): State<Arc<World>>,
    Path((version, _)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let call = call(&headers);
    if let Some(objection) = objection(&world, &version, &call) {
        return refused(objection);
    }
    // Somebody else's application is there as well.
    let mut all = vec![json!({ "id": "4", "name": "Other", "subscribed_fields": ["feed"] })];
    if world.has_met(&call.channel) {
        all.push(json!({ "id": "1701", "name": "Rehearsal", "subscribed_fields": ["feed"] }));
    }
    Json(json!({ "data": all })).into_response()
}

async fn subscribe(
    State(world): State<Arc<World>>,
    Path((version, account)): Path<(String, String)>,
    Query(Fields { subscribed_fields, .. }): Query<Fields>,
    headers: HeaderMap,
) -> Response {
    let call = call(&headers);
    let is_account = account == "me" || is_digits(&account);
    let objection = objection(&world, &version, &call).or_else(|| {
        let incomplete = !is_account || subscribed_fields.is_empty();
        incomplete.then_some((StatusCode::BAD_REQUEST, 100, None, "Invalid parameter"))
    });
    if let Some(objection) = objection {
        return refused(objection);
    }
    if account != "me" {
        world.calls_as(&call.channel, &account);
    }
    world.meet(ChannelKind::Instagram, &call.channel);
    Json(json!({ "success": true })).into_response()
}

async fn messages(
    State(world): State<Arc<World>>,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let text_at = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let recipient = text_at("/recipient/id");
    let call = Call {
        address: format!("instagram:{recipient}"),
        text: text_at("/message/text").to_owned(),
        ..call(&headers)
    };
    let objection = objection(&world, &version, &call)
        .or_else(|| body_objection(&body, recipient))
        .or_else(|| (!world.window_is_open(&call)).then_some(OUTSIDE_WINDOW));
    if let Some(objection) = objection {
        return match world.refuse(&call, format!("error {}", objection.1)) {
            Ok(()) => refused(objection),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    match text_at("/sender_action") {
        "" => {}
        action => return sign(&world, call, recipient, action),
    }
    match world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => Json(json!({
            "recipient_id": recipient, "message_id": message_id(&entry),
        }))
        .into_response(),
        Ok(Served::Fault(fault)) => answer_fault(fault),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn sign(world: &World, call: Call, recipient: &str, action: &str) -> Response {
    let note = match action {
        "mark_seen" => "read",
        _ => "typing",
    };
    match world.note(&Call { direction: Direction::Sign, note: Some(note), ..call }) {
        Ok(()) => Json(json!({ "recipient_id": recipient })).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const OUTSIDE_WINDOW: Objection =
    (StatusCode::FORBIDDEN, 10, Some(2_534_022), "This message is sent outside of allowed window.");

fn objection(world: &World, version: &str, call: &Call) -> Option<Objection> {
    if !is_version(version) {
        return Some((StatusCode::BAD_REQUEST, 2_500, None, "Unknown path components"));
    }
    if call.channel.is_empty() {
        return Some((StatusCode::UNAUTHORIZED, 190, None, "Invalid OAuth access token"));
    }
    match world.account_fault(&call.channel)? {
        Fault::AccountBanned => Some((
            StatusCode::BAD_REQUEST,
            368,
            None,
            "The action attempted has been deemed abusive or is otherwise disallowed",
        )),
        _ => Some((StatusCode::UNAUTHORIZED, 190, Some(463), "Session has expired")),
    }
}

fn body_objection(body: &Value, recipient: &str) -> Option<Objection> {
    let bad = |name| Some((StatusCode::BAD_REQUEST, 100, None, name));
    if !is_digits(recipient) {
        return bad("The parameter recipient is required");
    }
    // What answers here is no human.
    if body.get("tag").is_some() {
        return bad("Message tags are not for this application");
    }
    let text = body.pointer("/message/text").and_then(Value::as_str);
    match (text, body.get("sender_action").and_then(Value::as_str)) {
        (Some(text), None) if text.is_empty() || text.len() > TEXT_BYTES_MAX => {
            bad("Length of param message[text] must be less than or equal to 1000")
        }
        (Some(_), None) | (None, Some("mark_seen" | "typing_on" | "typing_off")) => None,
        _ => bad("Exactly one of message and sender_action must be set"),
    }
}

fn answer_fault(fault: Fault) -> Response {
    let bad = StatusCode::BAD_REQUEST;
    match fault {
        Fault::TooMany => {
            let wait = [(RETRY_AFTER, TOO_MANY_WAIT.as_secs().to_string())];
            let refusal = error(bad, 613, None, "Calls to this api have exceeded the rate limit.");
            (wait, refusal).into_response()
        }
        Fault::RecipientBlocks => error(bad, 551, None, "This person isn't available right now."),
        Fault::NotOnMessenger | Fault::RecipientDeleted => {
            error(bad, 100, Some(2_534_014), "The requested user cannot be found.")
        }
        _ => error(StatusCode::SERVICE_UNAVAILABLE, 2, None, "Service temporarily unavailable"),
    }
}
