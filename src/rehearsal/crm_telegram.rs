//! The fake Bot API for notifications: `POST /bot{token}/sendMessage` below the integration's name.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};

use super::{
    account,
    crm::{Crm, Taken, Told, address_in},
    faults::Fault,
};

const TEXT_UNITS_MAX: usize = 4096;

pub(super) fn router() -> Router<Arc<Crm>> {
    Router::new().route("/{integration}/{bot}/sendMessage", post(send_message))
}

fn error(status: StatusCode, description: &str, parameters: &Value) -> Response {
    let error = json!({
        "ok": false,
        "error_code": status.as_u16(),
        "description": description,
        "parameters": parameters,
    });
    (status, Json(error)).into_response()
}

async fn send_message(
    State(crm): State<Arc<Crm>>,
    Path((integration, bot)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let token = bot.strip_prefix("bot").unwrap_or_default();
    if account::channel_of(token, "token") != Some(&integration) {
        return error(StatusCode::UNAUTHORIZED, "Unauthorized", &json!({}));
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = message.get("text").and_then(Value::as_str).unwrap_or_default();
    let chat = match message.get("chat_id") {
        Some(Value::Number(id)) => id.to_string(),
        Some(Value::String(name)) => name.clone(),
        _ => String::new(),
    };
    if chat.is_empty() {
        return error(StatusCode::BAD_REQUEST, "Bad Request: chat_id is empty", &json!({}));
    }
    if text.is_empty() || text.encode_utf16().count() > TEXT_UNITS_MAX {
        return error(StatusCode::BAD_REQUEST, "Bad Request: message is too long", &json!({}));
    }
    let told = Told {
        receiver: "telegram",
        integration,
        action: "message",
        key: chat,
        text: text.to_owned(),
        address: address_in(text),
        ..Told::default()
    };
    match crm.keep(&told).await {
        Ok(Taken::Kept(id)) => {
            let date = crm.now().timestamp();
            Json(json!({"ok": true, "result": {"message_id": id, "date": date, "text": text}}))
                .into_response()
        }
        Ok(Taken::Fault(Fault::TooMany)) => error(
            StatusCode::TOO_MANY_REQUESTS,
            "Too Many Requests: retry after 3",
            &json!({"retry_after": 3}),
        ),
        _ => error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", &json!({})),
    }
}
