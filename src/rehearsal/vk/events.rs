//! Messages as VK's long polls, its histories and its callbacks tell them.

use serde_json::{Value, json};

use super::super::{
    journal::{Direction, Entry},
    people::PICTURE,
    stream::Page,
};

const OUTBOX: i64 = 2;
const UNREAD: i64 = 1;

pub(super) const API_VERSION: &str = "5.199";

/// A page of the history.
pub(super) fn history(Page { entries, next, more }: &Page, own_id: i64) -> Value {
    let items: Vec<_> = entries.iter().map(|entry| message(entry, own_id)).collect();
    let mut history = json!({
        "history": entries.iter().map(event).collect::<Vec<_>>(),
        "messages": { "count": items.len(), "items": items },
        "new_pts": next,
    });
    if *more {
        history["more"] = json!(1);
    }
    history
}

fn is_ours(entry: &Entry) -> bool {
    entry.direction == Direction::ToPerson
}

fn words(entry: &Entry) -> (&str, bool) {
    if entry.text == PICTURE { ("", true) } else { (&entry.text, false) }
}

/// An event of a person's account. Texts are HTML, as VK has it.
pub(super) fn event(entry: &Entry) -> Value {
    let (text, picture) = words(entry);
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\n', "<br>");
    let attachments =
        if picture { json!({ "attach1_type": "photo", "attach1": "1_1" }) } else { json!({}) };
    let flags = if is_ours(entry) { OUTBOX | UNREAD } else { UNREAD };
    let peer: i64 = entry.address.parse().unwrap_or_default();
    let (id, seconds) = (entry.message_id.unwrap_or_default(), entry.at_ms / 1_000);
    let more = json!({ "title": " ... " });
    let random_id = entry.key.unwrap_or_default();
    json!([4, id, flags, peer, seconds, text, more, attachments, random_id])
}

/// The name of the event by which a community hears of a message.
pub(super) fn community_event_name(entry: &Entry) -> &'static str {
    if is_ours(entry) { "message_reply" } else { "message_new" }
}

/// An event of a community.
pub(super) fn community_event(entry: &Entry, group_id: &str) -> Value {
    let group_id: i64 = group_id.parse().unwrap_or_default();
    let (name, message) = (community_event_name(entry), message(entry, -group_id));
    let object = if is_ours(entry) {
        message
    } else {
        let client = json!({
            "button_actions": ["text"], "keyboard": true, "inline_keyboard": true, "carousel": false,
            "lang_id": 0,
        });
        json!({ "message": message, "client_info": client })
    };
    json!({
        "type": name, "object": object, "group_id": group_id, "v": API_VERSION,
        "event_id": format!("rehearsal{:031x}", entry.message_id.unwrap_or_default()),
    })
}

fn message(entry: &Entry, own_id: i64) -> Value {
    let (text, picture) = words(entry);
    let peer: i64 = entry.address.parse().unwrap_or_default();
    json!({
        "id": entry.message_id, "conversation_message_id": entry.message_id, "date": entry.at_ms / 1_000,
        "peer_id": peer, "from_id": if is_ours(entry) { own_id } else { peer },
        "out": i32::from(is_ours(entry)), "text": text, "random_id": entry.key.unwrap_or_default(),
        "attachments": if picture { json!([{ "type": "photo", "photo": {} }]) } else { json!([]) },
        "fwd_messages": [], "important": false, "is_hidden": false, "version": 10_000_001,
    })
}
