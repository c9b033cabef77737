//! Messages to the fake Avito's chats, and what is marked as read.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    super::{
        faults::Fault,
        journal::{Call, Direction},
        world::{Served, World},
    },
    api::{Objection, Place, chat_of, error},
    events::message_id,
};
use crate::domain::kind::ChannelKind;

/// Short enough to see the second call in a rehearsal of a minute.
const TOO_MANY_WAIT: Duration = Duration::from_secs(3);

const TEXT_CHARACTERS_MAX: usize = 1_000;

pub(super) async fn send(
    State(world): State<Arc<World>>,
    place: Path<Place>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let text = body.pointer("/message/text").and_then(Value::as_str).unwrap_or_default();
    let chat = chat_of(&world, &headers, &place);
    // Whose call it was is known even of one that is refused.
    let call = Call {
        provider: ChannelKind::Avito.as_str(),
        channel: chat.as_ref().map(|(channel, _)| channel.clone()).unwrap_or_default(),
        address: format!("{}:{}", ChannelKind::Avito, place.chat),
        text: text.to_owned(),
        ..Call::default()
    };
    let objection = chat.err().or_else(|| body_objection(&body, text));
    if let Some(objection) = objection {
        let why = format!("error {}", objection.status().as_u16());
        return match world.refuse(&call, why) {
            Ok(()) => objection.answer(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    match world.deliver(&call).await {
        Ok(Served::Delivered(entry) | Served::Repeated(entry)) => Json(json!({
            "id": message_id(&entry), "created": entry.at_ms / 1_000, "direction": "out", "type": "text",
            "content": { "text": entry.text },
        }))
        .into_response(),
        Ok(Served::Fault(fault)) => answer_fault(fault),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) async fn read(
    State(world): State<Arc<World>>,
    place: Path<Place>,
    headers: HeaderMap,
) -> Response {
    let (channel, address) = match chat_of(&world, &headers, &place) {
        Ok(chat) => chat,
        Err(objection) => return objection.answer(),
    };
    let last = world.with_stream(&channel, |stream| {
        stream.messages().rfind(|entry| entry.address == address).and_then(|entry| entry.message_id)
    });
    world.with_seller(&channel, |seller| {
        seller.read.insert(address.clone(), last.unwrap_or_default())
    });
    let call = Call {
        direction: Direction::Sign,
        provider: ChannelKind::Avito.as_str(),
        channel,
        address,
        note: Some("read"),
        ..Call::default()
    };
    match world.note(&call) {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn body_objection(body: &Value, text: &str) -> Option<Objection> {
    if body.get("type").and_then(Value::as_str) != Some("text") {
        return Some(Objection::Validation("type"));
    }
    let fits = (1..=TEXT_CHARACTERS_MAX).contains(&text.chars().count());
    (!fits || text.trim().is_empty()).then_some(Objection::Validation("message"))
}

fn answer_fault(fault: Fault) -> Response {
    match fault {
        Fault::TooMany => {
            let wait = [(RETRY_AFTER, TOO_MANY_WAIT.as_secs().to_string())];
            (wait, error(StatusCode::TOO_MANY_REQUESTS)).into_response()
        }
        Fault::RecipientBlocks => Objection::Forbidden.answer(),
        Fault::NotOnMessenger | Fault::RecipientDeleted => Objection::NotFound.answer(),
        _ => error(StatusCode::SERVICE_UNAVAILABLE),
    }
}
