//! Webhooks of Instagram, as Meta writes and signs them.

use serde_json::{Value, json};

use super::{
    journal::{Direction, Entry},
    meta::signed,
    news::News,
    people::PICTURE,
    pushes::Webhook,
    world::World,
};

pub(super) fn message_id(entry: &Entry) -> String {
    format!("aWdfZAG1faXRlbToxOk{:012}", entry.message_id.unwrap_or_default())
}

/// `None` for what Instagram tells nobody: it brings the words, and of ours who has seen them.
pub(super) fn webhook(world: &World, entry: &Entry, news: News) -> Option<Webhook> {
    let account = world.account(&entry.channel)?;
    let person = entry.address.strip_prefix("instagram:")?;
    let (from, to) = match (news, entry.direction) {
        (News::Echo, _) => (account.as_str(), person),
        (News::Message | News::Read, _) => (person, account.as_str()),
        (News::Sent | News::Delivered | News::Failed, _) => return None,
    };
    let mut event = json!({
        "sender": { "id": from }, "recipient": { "id": to }, "timestamp": entry.at_ms,
    });
    match news {
        News::Read => event["read"] = json!({ "mid": message_id(entry) }),
        _ => event["message"] = message(entry),
    }
    let body = json!({
        "object": "instagram",
        "entry": [{ "time": world.now().timestamp_millis(), "id": account, "messaging": [event] }],
    });
    Some(signed(&entry.channel, &body))
}

fn message(entry: &Entry) -> Value {
    let mut message = json!({ "mid": message_id(entry) });
    if entry.direction == Direction::ToPerson {
        message["is_echo"] = json!(true);
    }
    if entry.text == PICTURE {
        let url = "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=1";
        message["attachments"] = json!([{ "type": "image", "payload": { "url": url } }]);
    } else {
        message["text"] = json!(entry.text);
    }
    message
}
