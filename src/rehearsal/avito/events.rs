//! Messages as the fake Avito tells them, in its chats and by its webhooks.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::{
    super::{
        journal::{Direction, Entry},
        news::News,
        people::PICTURE,
        pushes::Webhook,
        world::World,
    },
    api::account_id,
};
use crate::domain::kind::ChannelKind;

/// Nobody documents how it is made.
const SIGNATURE: &str = "5f0c6a8e1b7d4293a5c0e8f16b2d7c94831a6f5e0d9c2b7a4e8f1063c5d2b9a7";

/// The ad that everybody asks about.
pub(super) const ITEM: i64 = 1_768_287_444;

pub(super) fn message_id(entry: &Entry) -> String {
    format!("{:032x}", entry.message_id.unwrap_or_default())
}

pub(super) fn chat_id(entry: &Entry) -> Option<&str> {
    entry.address.strip_prefix(ChannelKind::Avito.as_str())?.strip_prefix(':')
}

pub(super) fn is_ours(entry: &Entry) -> bool {
    entry.direction == Direction::ToPerson
}

/// The number of who has this chat's last digits.
pub(super) fn person(address: &str) -> i64 {
    let digits: String = address.chars().rev().take_while(char::is_ascii_digit).collect();
    70_000_000 + digits.chars().rev().collect::<String>().parse::<i64>().unwrap_or_default()
}

/// Its type and content.
pub(super) fn content(entry: &Entry) -> (&'static str, Value) {
    if entry.text == PICTURE {
        let sizes = json!({ "140x105": "https://img.k.avito.ru/chat/140x105/1.jpg" });
        return ("image", json!({ "image": { "sizes": sizes } }));
    }
    ("text", json!({ "text": entry.text }))
}

/// `None` for what Avito tells nobody: it brings the words of both sides, and not what became of them.
pub(in crate::rehearsal) fn webhook(world: &World, entry: &Entry, news: News) -> Option<Webhook> {
    if !matches!(news, News::Message | News::Echo) {
        return None;
    }
    let user: i64 = account_id(world, &entry.channel).parse().ok()?;
    let (kind, content) = content(entry);
    let published = DateTime::from_timestamp_millis(entry.at_ms)?;
    let value = json!({
        "id": message_id(entry), "chat_id": chat_id(entry)?, "user_id": user,
        "author_id": if is_ours(entry) { user } else { person(&entry.address) },
        "created": entry.at_ms / 1_000, "published_at": published.to_rfc3339_opts(SecondsFormat::Secs, true),
        "type": kind, "chat_type": "u2i", "item_id": ITEM, "read": null, "content": content,
    });
    let body = json!({
        "id": format!("rehearsal-{}-{}", news.name(), message_id(entry)), "version": "v3.0.0",
        "timestamp": world.now().timestamp(), "payload": { "type": "message", "value": value },
    });
    let headers = vec![("x-avito-messenger-signature", SIGNATURE.to_owned())];
    Some(Webhook { headers, body: body.to_string().into_bytes() })
}
