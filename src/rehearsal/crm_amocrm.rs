//! The fake amoCRM account: leads with a contact, and notes, below `/api/v4` of the integration's name.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    account,
    crm::{Crm, CrmEntry, Taken, Told, address_in},
    faults::Fault,
};

const RECEIVER: &str = "amocrm";

pub(super) fn router() -> Router<Arc<Crm>> {
    Router::new()
        .route("/{integration}/api/v4/leads", get(leads))
        .route("/{integration}/api/v4/leads/complex", post(add))
        .route("/{integration}/api/v4/leads/{lead}/notes", get(notes).post(note))
}

fn problem(status: StatusCode, title: &str) -> Response {
    let problem = json!({
        "title": title,
        "type": "https://httpstatus.es/400",
        "status": status.as_u16(),
        "detail": title,
    });
    (status, Json(problem)).into_response()
}

fn refused(integration: &str, headers: &HeaderMap) -> Option<Response> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
    let is_known = account::channel_of(token, "token") == Some(integration);
    (!is_known).then(|| problem(StatusCode::UNAUTHORIZED, "Unauthorized"))
}

fn is_own(entry: &CrmEntry, integration: &str, action: &str) -> bool {
    entry.receiver == RECEIVER && entry.integration == integration && entry.action == action
}

async fn leads(
    State(crm): State<Arc<Crm>>,
    Path(integration): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refused(&integration, &headers) {
        return refused;
    }
    let wanted = query.get("query").map(String::as_str).unwrap_or_default();
    let found =
        crm.list(|entry| is_own(entry, &integration, "lead") && entry.text.contains(wanted));
    let leads: Vec<Value> =
        found.iter().map(|lead| json!({"id": lead.id, "name": lead.text})).collect();
    page("leads", &leads)
}

async fn notes(
    State(crm): State<Arc<Crm>>,
    Path((integration, lead)): Path<(String, i64)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refused(&integration, &headers) {
        return refused;
    }
    let found = crm.list(|entry| is_own(entry, &integration, "note") && entry.parent == Some(lead));
    let notes: Vec<Value> = found
        .iter()
        .map(|note| json!({"id": note.id, "note_type": "common", "params": {"text": note.text}}))
        .collect();
    page("notes", &notes)
}

fn page(name: &str, all: &[Value]) -> Response {
    if all.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    Json(json!({"_page": 1, "_embedded": {name: all}})).into_response()
}

async fn add(
    State(crm): State<Arc<Crm>>,
    Path(integration): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refused(&integration, &headers) {
        return refused;
    }
    let leads: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text_at = |path: &str| leads.pointer(path).and_then(Value::as_str).unwrap_or_default();
    if !leads.is_array() || text_at("/0/name").is_empty() {
        return problem(StatusCode::BAD_REQUEST, "Bad Request");
    }
    let phone = "/0/_embedded/contacts/0/custom_fields_values/0/values/0/value";
    let told = Told {
        receiver: RECEIVER,
        integration,
        action: "lead",
        key: text_at("/0/request_id").to_owned(),
        text: text_at("/0/name").to_owned(),
        address: text_at(phone).to_owned(),
        ..Told::default()
    };
    let request_id = told.key.clone();
    kept(&crm, &told, |id| {
        let lead = json!({
            "id": id,
            "contact_id": id + 1_000_000,
            "company_id": null,
            "request_id": [request_id],
            "merged": false,
        });
        Json(json!([lead])).into_response()
    })
    .await
}

async fn note(
    State(crm): State<Arc<Crm>>,
    Path((integration, lead)): Path<(String, i64)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refused(&integration, &headers) {
        return refused;
    }
    if crm.find(|entry| is_own(entry, &integration, "lead") && entry.id == Some(lead)).is_none() {
        return problem(StatusCode::NOT_FOUND, "Not found");
    }
    let notes: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = notes.pointer("/0/params/text").and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() {
        return problem(StatusCode::BAD_REQUEST, "Bad Request");
    }
    let told = Told {
        receiver: RECEIVER,
        integration,
        action: "note",
        parent: Some(lead),
        text: text.to_owned(),
        address: address_in(text),
        ..Told::default()
    };
    kept(&crm, &told, |id| {
        Json(json!({"_embedded": {"notes": [{"id": id, "entity_id": lead}]}})).into_response()
    })
    .await
}

async fn kept(crm: &Crm, told: &Told, answer: impl FnOnce(i64) -> Response) -> Response {
    match crm.keep(told).await {
        Ok(Taken::Kept(id)) => answer(id),
        Ok(Taken::Fault(Fault::TooMany)) => {
            problem(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
        }
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
    }
}
