//! Webhooks of the Cloud API, as Meta writes and signs them.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    account,
    journal::Entry,
    news::{News, UNDELIVERABLE},
    people::PICTURE,
};

pub(super) fn message_id(entry: &Entry) -> String {
    format!("wamid.{:012}", entry.message_id.unwrap_or_default())
}

/// `None` for what the Cloud API tells nobody.
pub(super) fn body(news: News, entry: &Entry, phone_number_id: &str) -> Option<Vec<u8>> {
    let status = |status: &str| {
        let mut status = json!({
            "id": message_id(entry), "status": status, "timestamp": seconds(entry),
            "recipient_id": digits(entry), "recipient_user_id": user_id(entry),
        });
        if let Some(attached) = &entry.attempt {
            status["biz_opaque_callback_data"] = json!(attached);
        }
        if news == News::Failed {
            let title = "Message undeliverable";
            status["errors"] = json!([{
                "code": UNDELIVERABLE, "title": title, "message": title,
                "error_data": { "details": "Message Undeliverable." },
            }]);
        }
        ("statuses", status)
    };
    let (list, event) = match news {
        News::Message => ("messages", message(entry)),
        News::Echo => return None,
        News::Sent => status("sent"),
        News::Delivered => status("delivered"),
        News::Read => status("read"),
        News::Failed => status("failed"),
    };
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550783881", "phone_number_id": phone_number_id },
        "contacts": [{
            "profile": { "name": "Rehearsal" }, "wa_id": digits(entry), "user_id": user_id(entry),
        }],
        list: [event],
    });
    let body = json!({
        "object": "whatsapp_business_account",
        "entry": [{ "id": "102290129340398", "changes": [{ "field": "messages", "value": value }] }],
    });
    Some(escaped(&body.to_string()).into_bytes())
}

/// The header that proves a body.
pub(super) fn signature(channel: &str, body: &[u8]) -> String {
    let key = account::secret(channel, "appSecret");
    let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes())
        .expect("HMAC takes a key of any length")
        .chain_update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn message(entry: &Entry) -> Value {
    let mut message = json!({
        "from": digits(entry), "from_user_id": user_id(entry), "id": message_id(entry),
        "timestamp": seconds(entry),
    });
    if entry.text == PICTURE {
        message["type"] = json!("image");
        message["image"] = json!({
            "id": "2754859441498128", "mime_type": "image/jpeg",
            "sha256": "gwsFTsUX7CqwzkBUJ0p6kRtYPEnyxW6MiNQ5/Gkdc9s=",
            "url": "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1",
        });
    } else {
        message["type"] = json!("text");
        message["text"] = json!({ "body": entry.text });
    }
    message
}

fn digits(entry: &Entry) -> &str {
    entry.address.trim_start_matches('+')
}

/// The id by which Meta knows a person beside the phone.
fn user_id(entry: &Entry) -> String {
    format!("RU.9{}", digits(entry))
}

fn seconds(entry: &Entry) -> String {
    (entry.at_ms / 1_000).to_string()
}

/// Meta escapes what is not ASCII: a body that is written anew has another signature.
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
