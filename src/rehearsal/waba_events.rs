//! Webhooks of the Cloud API, as Meta writes and signs them.

use serde_json::{Value, json};

use super::{
    journal::Entry,
    meta::signed,
    news::{News, UNDELIVERABLE},
    people::{PICTURE, Person},
    pushes::Webhook,
    world::World,
};

pub(super) const USER_ID_BEGIN: &str = "RU.9";

/// The journal's note of a message of ours that was addressed to the id instead of the phone.
pub(super) const BY_ID: &str = "by id";

pub(super) fn message_id(entry: &Entry) -> String {
    format!("wamid.{:012}", entry.message_id.unwrap_or_default())
}

/// `None` for what the Cloud API tells nobody.
pub(super) fn webhook(world: &World, entry: &Entry, news: News) -> Option<Webhook> {
    let body = body(news, entry, &world.account(&entry.channel)?)?;
    Some(signed(&entry.channel, &body))
}

fn body(news: News, entry: &Entry, phone_number_id: &str) -> Option<Value> {
    let by_id = entry.note.as_deref() == Some(BY_ID);
    // Whoever knew the phone is told it again.
    let tells_phone = tells_phone(entry) || entry.direction.is_to_person() && !by_id;
    let status = |status: &str| {
        let mut status = json!({
            "id": message_id(entry), "status": status, "timestamp": seconds(entry),
            "recipient_user_id": user_id(entry),
        });
        if tells_phone {
            status["recipient_id"] = json!(digits(entry));
        }
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
    let mut contact = json!({ "profile": { "name": "Rehearsal" }, "user_id": user_id(entry) });
    if tells_phone {
        contact["wa_id"] = json!(digits(entry));
    }
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550783881", "phone_number_id": phone_number_id },
        "contacts": [contact],
        list: [event],
    });
    Some(json!({
        "object": "whatsapp_business_account",
        "entry": [{ "id": "102290129340398", "changes": [{ "field": "messages", "value": value }] }],
    }))
}

fn message(entry: &Entry) -> Value {
    let mut message = json!({
        "from_user_id": user_id(entry), "id": message_id(entry), "timestamp": seconds(entry),
    });
    if tells_phone(entry) {
        message["from"] = json!(digits(entry));
    }
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

fn tells_phone(entry: &Entry) -> bool {
    !Person::of_address(&entry.address).hides_phone
}

fn digits(entry: &Entry) -> &str {
    entry.address.trim_start_matches('+')
}

/// The id by which Meta knows a person beside the phone.
pub(super) fn user_id(entry: &Entry) -> String {
    format!("{USER_ID_BEGIN}{}", digits(entry))
}

fn seconds(entry: &Entry) -> String {
    (entry.at_ms / 1_000).to_string()
}
