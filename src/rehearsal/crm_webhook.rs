//! The fake receiver of webhooks: verifies signatures as the Standard Webhooks say, and drops repeats.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
    routing::post,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::{
    crm::{Crm, Taken, Told},
    faults::Fault,
    journal::Verdict,
};
use crate::domain::channel::Secret;

/// How old a timestamp may be, by custom.
const TOLERANCE_S: i64 = 300;
/// A key has 24 bytes at least; names are padded.
const KEY_BYTES: usize = 32;

pub(super) fn router() -> Router<Arc<Crm>> {
    Router::new().route("/{integration}", post(receive))
}

fn key(integration: &str) -> Vec<u8> {
    let mut key = format!("rehearsal.{integration}.").into_bytes();
    key.resize(KEY_BYTES, b'.');
    key
}

pub(super) fn secret(integration: &str) -> Secret {
    Secret::new(format!("whsec_{}", BASE64_STANDARD.encode(key(integration))))
}

async fn receive(
    State(crm): State<Arc<Crm>>,
    Path(integration): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = header(&headers, "webhook-id").to_owned();
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text_at = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let told = Told {
        receiver: "webhook",
        integration: integration.clone(),
        action: "report",
        key: id.clone(),
        text: format!("{}: {}", text_at("/type"), text_at("/data/summary")),
        address: text_at("/data/contact/address").to_owned(),
        ..Told::default()
    };
    let refuse =
        |why: &str, status: StatusCode| match crm.note(&told, Verdict::Refused(why.to_owned())) {
            Ok(_) => status.into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    if crm.is_gone(&integration) {
        return refuse("gone", StatusCode::GONE);
    }
    if id.is_empty() || !is_signed(&crm, &integration, &headers, &body) {
        return refuse("wrong signature", StatusCode::UNAUTHORIZED);
    }
    if text_at("/type").is_empty() || text_at("/timestamp").is_empty() {
        return refuse("no event", StatusCode::BAD_REQUEST);
    }
    if crm.find(|entry| entry.receiver == "webhook" && entry.key == id).is_some() {
        return match crm.note(&told, Verdict::RepeatDropped) {
            Ok(_) => StatusCode::NO_CONTENT.into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    match crm.keep(&told).await {
        Ok(Taken::Kept(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Taken::Fault(Fault::TooMany)) => {
            (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "3")]).into_response()
        }
        Ok(Taken::Fault(_)) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_signed(crm: &Crm, integration: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let timestamp = header(headers, "webhook-timestamp");
    let sent_at: i64 = timestamp.parse().unwrap_or(0);
    if (crm.now().timestamp() - sent_at).abs() > TOLERANCE_S {
        return false;
    }
    let signatures = header(headers, "webhook-signature").split(' ');
    signatures.filter_map(|signature| signature.strip_prefix("v1,")).any(|signature| {
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key(integration))
            .expect("an HMAC takes keys of every length");
        mac.update(format!("{}.{timestamp}.", header(headers, "webhook-id")).as_bytes());
        mac.update(body);
        mac.verify_slice(&signature).is_ok()
    })
}
