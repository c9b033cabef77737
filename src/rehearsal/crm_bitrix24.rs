//! The fake Bitrix24 portal: `POST /rest/{user}/{secret}/{method}` below the integration's name.

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
    crm::{Crm, CrmEntry, SIMPLE, Taken, Told, address_in},
    faults::Fault,
};

const RECEIVER: &str = "bitrix24";
const PAGE: usize = 50;

/// The kinds of elements, by their number.
const TYPES: &[(i64, &str)] = &[(1, "lead"), (2, "deal"), (3, "contact")];

pub(super) fn router() -> Router<Arc<Crm>> {
    Router::new().route("/{integration}/rest/{user}/{secret}/{method}", post(call))
}

/// A method's answer, or its error.
type Answered = Result<Value, (StatusCode, &'static str)>;

async fn call(
    State(crm): State<Arc<Crm>>,
    Path((integration, _, secret, method)): Path<(String, String, String, String)>,
    body: Bytes,
) -> Response {
    let parameters: Value = serde_json::from_slice(&body).unwrap_or_default();
    let portal = Portal { crm: &crm, integration };
    let answered = if account::channel_of(&secret, "url") != Some(&portal.integration) {
        Err((StatusCode::UNAUTHORIZED, "INVALID_CREDENTIALS"))
    } else if crm.is_gone(&portal.integration) {
        Err((StatusCode::INTERNAL_SERVER_ERROR, "PORTAL_DELETED"))
    } else {
        match method.trim_end_matches(".json") {
            "crm.settings.mode.get" => Ok(json!(if portal.is_simple() { 2 } else { 1 })),
            "crm.item.list" => portal.list(&parameters),
            "crm.item.add" => portal.add(&parameters).await,
            "crm.timeline.comment.list" => Ok(portal.comments(&parameters)),
            "crm.timeline.comment.add" => portal.comment(&parameters).await,
            _ => Err((StatusCode::NOT_FOUND, "ERROR_METHOD_NOT_FOUND")),
        }
    };
    let at = crm.now();
    let time = json!({
        "start": at.timestamp(),
        "finish": at.timestamp(),
        "duration": 0.01,
        "processing": 0.01,
        "date_start": at.to_rfc3339(),
        "date_finish": at.to_rfc3339(),
        "operating": 0,
        "operating_reset_at": at.timestamp() + 600,
    });
    match answered {
        Ok(result) => Json(json!({"result": result, "time": time})).into_response(),
        Err((status, code)) => {
            (status, Json(json!({"error": code, "error_description": code}))).into_response()
        }
    }
}

struct Portal<'a> {
    crm: &'a Crm,
    integration: String,
}

impl Portal<'_> {
    fn is_simple(&self) -> bool {
        self.integration.contains(SIMPLE)
    }

    fn action(&self, parameters: &Value) -> Result<&'static str, (StatusCode, &'static str)> {
        let number = parameters.get("entityTypeId").and_then(Value::as_i64);
        let known = TYPES.iter().find(|(known, _)| Some(*known) == number);
        known
            .map(|(_, action)| *action)
            .filter(|action| !(self.is_simple() && *action == "lead"))
            .ok_or((StatusCode::BAD_REQUEST, "NOT_FOUND"))
    }

    fn is_own(&self, entry: &CrmEntry, action: &str) -> bool {
        entry.receiver == RECEIVER
            && entry.integration == self.integration
            && entry.action == action
    }

    fn list(&self, parameters: &Value) -> Answered {
        let action = self.action(parameters)?;
        let origin = parameters.pointer("/filter/originId").and_then(Value::as_str);
        let all = self.crm.list(|entry| self.is_own(entry, action) && Some(&*entry.key) == origin);
        let items: Vec<Value> = all
            .iter()
            .rev()
            .take(PAGE)
            .map(|entry| json!({"id": entry.id, "comments": entry.text, "originId": entry.key}))
            .collect();
        Ok(json!({"items": items}))
    }

    async fn add(&self, parameters: &Value) -> Answered {
        let action = self.action(parameters)?;
        let text_at = |path: &str| parameters.pointer(path).and_then(Value::as_str);
        let title = text_at("/fields/title").or(text_at("/fields/name")).unwrap_or_default();
        if title.is_empty() || text_at("/fields/originatorId").is_none() {
            return Err((StatusCode::BAD_REQUEST, "CRM_FIELD_ERROR_REQUIRED"));
        }
        let comments = text_at("/fields/comments").unwrap_or_default();
        let text = if action == "contact" { title } else { comments };
        let told = Told {
            action,
            key: text_at("/fields/originId").unwrap_or_default().to_owned(),
            text: text.to_owned(),
            address: address_in(comments),
            ..self.told()
        };
        Ok(json!({"item": {"id": self.keep(&told).await?}}))
    }

    fn comments(&self, parameters: &Value) -> Value {
        let parent = parameters.pointer("/filter/ENTITY_ID").and_then(Value::as_i64);
        let all = self.crm.list(|entry| self.is_own(entry, "comment") && entry.parent == parent);
        let page = all.iter().take(PAGE);
        // Older methods give numbers as texts.
        let id = |entry: &CrmEntry| entry.id.unwrap_or_default().to_string();
        page.map(|entry| json!({"ID": id(entry), "COMMENT": entry.text})).collect()
    }

    async fn comment(&self, parameters: &Value) -> Answered {
        let text = parameters.pointer("/fields/COMMENT").and_then(Value::as_str);
        let parent = parameters.pointer("/fields/ENTITY_ID").and_then(Value::as_i64);
        let action = parameters.pointer("/fields/ENTITY_TYPE").and_then(Value::as_str);
        let (Some(text), Some(action)) = (text, action) else {
            return Err((StatusCode::BAD_REQUEST, "ERROR_CORE"));
        };
        if self.crm.find(|entry| self.is_own(entry, action) && entry.id == parent).is_none() {
            return Err((StatusCode::BAD_REQUEST, "OWNER_NOT_FOUND"));
        }
        let told = Told {
            action: "comment",
            parent,
            text: text.to_owned(),
            address: address_in(text),
            ..self.told()
        };
        Ok(json!(self.keep(&told).await?))
    }

    fn told(&self) -> Told {
        Told { receiver: RECEIVER, integration: self.integration.clone(), ..Told::default() }
    }

    async fn keep(&self, told: &Told) -> Result<i64, (StatusCode, &'static str)> {
        match self.crm.keep(told).await {
            Ok(Taken::Kept(id)) => Ok(id),
            // Bitrix24's "too many" is a 503.
            Ok(Taken::Fault(Fault::TooMany)) => {
                Err((StatusCode::SERVICE_UNAVAILABLE, "QUERY_LIMIT_EXCEEDED"))
            }
            _ => Err((StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR")),
        }
    }
}
