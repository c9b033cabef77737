//! Webhooks of the gateway, as wuzapi writes them: a form with one event each, and nothing signed.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::{
    account,
    journal::{Direction, Entry},
    news::News,
    people::PICTURE,
    pushes::Webhook,
};

/// As the gateway was told; one of its own where it was not.
pub(super) fn message_id(entry: &Entry) -> String {
    let own = || format!("3A{:018X}", entry.message_id.unwrap_or_default());
    entry.attempt.clone().unwrap_or_else(own)
}

/// `None` for what wuzapi tells nobody: it brings what other devices send, and not what it sends itself.
pub(super) fn webhook(entry: &Entry, news: News) -> Option<Webhook> {
    let told = match (news, entry.direction) {
        (News::Message, Direction::FromPerson) => message(entry),
        (News::Delivered, _) => receipt(entry, "Delivered"),
        (News::Read, _) => receipt(entry, "Read"),
        _ => return None,
    };
    let token = account::secret(&entry.channel, "apiKey");
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("jsonData", &told.to_string())
        .append_pair("token", token.reveal())
        .finish();
    let headers = vec![("Content-Type", "application/x-www-form-urlencoded".to_owned())];
    Some(Webhook { headers, body: body.into_bytes() })
}

fn source(entry: &Entry) -> Value {
    let chat = format!("{}@s.whatsapp.net", entry.address.trim_start_matches('+'));
    json!({
        "Chat": chat, "Sender": chat, "IsFromMe": false, "IsGroup": false,
        "AddressingMode": "", "SenderAlt": "", "RecipientAlt": "",
        "Timestamp": DateTime::from_timestamp_millis(entry.at_ms)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Secs, true),
    })
}

fn message(entry: &Entry) -> Value {
    let mut info = source(entry);
    info["ID"] = json!(message_id(entry));
    info["PushName"] = json!("Rehearsal");
    info["Type"] = json!("text");
    let mut told = json!({
        "type": "Message",
        "event": { "Info": info, "Message": { "conversation": entry.text }, "IsEdit": false },
    });
    if entry.text == PICTURE {
        told["event"]["Info"]["Type"] = json!("media");
        told["event"]["Message"] =
            json!({ "imageMessage": { "mimetype": "image/jpeg", "URL": "https://a.example/1" } });
        told["base64"] = json!("/9j/4AAQSkZJRgABAQ==");
        told["mimeType"] = json!("image/jpeg");
        told["fileName"] = json!("picture.jpg");
    }
    told
}

fn receipt(entry: &Entry, state: &str) -> Value {
    let mut event = source(entry);
    event["MessageIDs"] = json!([message_id(entry)]);
    event["Type"] = json!(if state == "Read" { "read" } else { "" });
    json!({ "type": "ReadReceipt", "state": state, "event": event })
}
