//! What the fake providers of Meta share: tokens, paths, errors, and signed webhooks.

use std::fmt::Write as _;

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse as _, Response},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{account, pushes::Webhook};

/// The channel whose token the call carries.
pub(super) fn channel_of(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    account::channel_of(token, "token")
}

/// Such as `v23.0`.
pub(super) fn is_version(text: &str) -> bool {
    let numbers = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    numbers.is_some_and(|(major, minor)| is_digits(major) && is_digits(minor))
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An error as the Graph API writes it.
pub(super) fn error(status: StatusCode, code: i64, subcode: Option<i64>, name: &str) -> Response {
    let mut error = json!({
        "message": format!("(#{code}) {name}"),
        "type": "OAuthException",
        "code": code,
        "is_transient": status.is_server_error(),
        "fbtrace_id": "rehearsal",
    });
    if let Some(subcode) = subcode {
        error["error_subcode"] = json!(subcode);
    }
    (status, Json(json!({ "error": error }))).into_response()
}

/// A webhook with the header that proves it. Meta escapes what is not ASCII: a body that is written anew has
/// another signature.
pub(super) fn signed(channel: &str, body: &Value) -> Webhook {
    let body = escaped(&body.to_string()).into_bytes();
    let key = account::secret(channel, "appSecret");
    let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes())
        .expect("HMAC takes a key of any length")
        .chain_update(&body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    Webhook { headers: vec![("X-Hub-Signature-256", signature)], body }
}

fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() {
            escaped.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("a text takes everything");
            }
        }
    }
    escaped
}
