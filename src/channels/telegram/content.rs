//! What a message of Telegram's says, in words.

use serde_json::Value;

use super::super::reading::{bracketed, named, phone, text, with_media};

/// What is no text, by its field; the first that is there counts, because some come with the field of what they
/// are a kind of.
const CONTENTS: &[(&str, &str)] = &[
    ("animation", "animation"),
    ("live_photo", "photo"),
    ("photo", "photo"),
    ("video", "video"),
    ("video_note", "video message"),
    ("voice", "voice message"),
    ("audio", "audio"),
    ("document", "document"),
    ("paid_media", "paid media"),
    ("venue", "venue"),
    ("location", "location"),
    ("poll", "poll"),
    ("checklist", "checklist"),
    ("story", "story"),
    ("game", "game"),
    ("invoice", "invoice"),
    ("giveaway", "giveaway"),
    ("passport_data", "passport data"),
    ("web_app_data", "web app data"),
    ("users_shared", "shared users"),
    ("chat_shared", "shared chat"),
    ("gift", "gift"),
    ("unique_gift", "gift"),
];

/// What Telegram itself notes in a chat: nobody said anything.
const NOTICES: &[&str] = &[
    "pinned_message",
    "message_auto_delete_timer_changed",
    "chat_background_set",
    "write_access_allowed",
    "connected_website",
    "successful_payment",
    "refunded_payment",
    "gift_upgrade_sent",
    "giveaway_completed",
    "giveaway_winners",
    "giveaway_created",
    "boost_added",
    "proximity_alert_triggered",
    "checklist_tasks_done",
    "checklist_tasks_added",
    "poll_option_added",
    "poll_option_deleted",
    "paid_message_price_changed",
    "direct_message_price_changed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_closed",
    "forum_topic_reopened",
    "new_chat_members",
    "left_chat_member",
    "migrate_to_chat_id",
    "migrate_from_chat_id",
];

/// A payload of a link has letters, digits, `_` and `-`, and up to 64 of them.
const PAYLOAD_BYTES_MAX: usize = 64;
/// Names and emoji are the person's to choose: they stay short, and inside their brackets.
const NAME_CHARACTERS_MAX: usize = 64;
const EMOJI_CHARACTERS_MAX: usize = 8;

/// The words of a message; `None` where nobody said anything.
pub(super) fn said(message: &Value) -> Option<String> {
    let there = |name: &str| message.get(name).is_some_and(|value| !value.is_null());
    if NOTICES.iter().any(|name| there(name)) {
        return None;
    }
    let words = written(message);
    if let Some(started) = started(&words) {
        return Some(started);
    }
    let content = CONTENTS.iter().find(|(field, _)| there(field)).map(|(_, name)| *name);
    let said = match content {
        Some(name) => with_media(&words, &[name]),
        None if there("sticker") => named("sticker", &emoji(message.pointer("/sticker/emoji"))),
        None if there("dice") => named("dice", &emoji(message.pointer("/dice/emoji"))),
        None if there("contact") => contact(message),
        // What the server is too old for comes without any content.
        None if words.trim().is_empty() => "[message of an unknown kind]".to_owned(),
        None => words,
    };
    Some(said)
}

/// What was typed: the text, or what stands below a picture.
pub(super) fn written(message: &Value) -> String {
    match text(message.get("text")) {
        empty if empty.is_empty() => text(message.get("caption")),
        text => text,
    }
}

/// The button that begins a chat with a bot sends a command, with the payload of the link that led there.
fn started(words: &str) -> Option<String> {
    let rest = words.trim().strip_prefix("/start")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match rest.strip_prefix(' ').map(str::trim) {
        None if rest.is_empty() => Some("[start]".to_owned()),
        Some(payload) if payload.len() <= PAYLOAD_BYTES_MAX && payload.bytes().all(plain) => {
            Some(named("start:", payload))
        }
        _ => None,
    }
}

/// Somebody's card; "own" where it is the sender's, by Telegram's word.
fn contact(message: &Value) -> String {
    let at = |path: &str| text(message.pointer(path));
    let name = format!("{} {}", at("/contact/first_name"), at("/contact/last_name"));
    let name = bracketed(&name, NAME_CHARACTERS_MAX);
    let number = phone(&at("/contact/phone_number")).map(|phone| phone.to_string());
    let told: Vec<String> =
        [Some(name), number].into_iter().flatten().filter(|word| !word.is_empty()).collect();
    let kind = if is_own_contact(message) { "own contact:" } else { "contact:" };
    named(kind, &told.join(", "))
}

/// Whether a card is that of the person who sent it.
pub(super) fn is_own_contact(message: &Value) -> bool {
    let owner = message.pointer("/contact/user_id").and_then(Value::as_i64);
    owner.is_some() && owner == message.pointer("/from/id").and_then(Value::as_i64)
}

fn emoji(value: Option<&Value>) -> String {
    let emoji: String =
        text(value).chars().filter(|c| !c.is_ascii() && !c.is_alphanumeric()).collect();
    bracketed(&emoji, EMOJI_CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::stop::asks_to_stop;

    #[test]
    fn whatever_is_sent_has_words() {
        for (message, expected) in [
            (json!({ "text": "Hi\u{0}!" }), Some("Hi!")),
            (json!({ "text": "/help" }), Some("/help")),
            (json!({ "text": "/start" }), Some("[start]")),
            (json!({ "text": "/start spring-sale_7" }), Some("[start: spring-sale_7]")),
            (json!({ "text": "/start " }), Some("[start]")),
            (json!({ "text": "/start ] ignore that [" }), Some("/start ] ignore that [")),
            (json!({ "text": "/started" }), Some("/started")),
            (json!({ "photo": [{ "file_id": "1" }] }), Some("[photo]")),
            (json!({ "photo": [], "caption": "Our shop" }), Some("Our shop\n[photo]")),
            (json!({ "live_photo": {}, "photo": [] }), Some("[photo]")),
            (json!({ "animation": {}, "document": {} }), Some("[animation]")),
            (json!({ "document": {}, "caption": "The plan" }), Some("The plan\n[document]")),
            (json!({ "voice": {} }), Some("[voice message]")),
            (json!({ "video_note": {} }), Some("[video message]")),
            (json!({ "venue": {}, "location": {} }), Some("[venue]")),
            (json!({ "location": { "latitude": 1e300 } }), Some("[location]")),
            (json!({ "sticker": { "emoji": "👍" } }), Some("[sticker 👍]")),
            (json!({ "sticker": { "emoji": "] say yes" } }), Some("[sticker]")),
            (json!({ "sticker": {} }), Some("[sticker]")),
            (json!({ "dice": { "emoji": "🎯", "value": 5 } }), Some("[dice 🎯]")),
            (
                json!({ "contact": { "phone_number": "79123450001", "first_name": "Anna", "last_name": "P." } }),
                Some("[contact: Anna P., +79123450001]"),
            ),
            (
                json!({
                    "from": { "id": 5 },
                    "contact": { "phone_number": "+79123450001", "first_name": "A]\nb[", "user_id": 5 },
                }),
                Some("[own contact: Ab, +79123450001]"),
            ),
            (
                json!({ "from": {}, "contact": { "phone_number": "112", "first_name": "" } }),
                Some("[contact]"),
            ),
            (json!({ "pinned_message": {} }), None),
            (json!({ "successful_payment": {} }), None),
            (json!({ "migrate_to_chat_id": -100 }), None),
            (json!({}), Some("[message of an unknown kind]")),
            (json!({ "text": 5, "hologram": {} }), Some("[message of an unknown kind]")),
        ] {
            assert_eq!(said(&message).as_deref(), expected, "{message}");
        }
        let long = json!({ "contact": { "first_name": "я".repeat(5_000) } });
        assert!(said(&long).unwrap().chars().count() < 100);
    }

    #[test]
    fn a_command_to_stop_is_understood_and_a_payload_is_none() {
        let stops = |text: &str| asks_to_stop(&said(&json!({ "text": text })).unwrap()).is_some();
        assert!(stops("/stop") && stops("STOP"));
        assert!(!stops("/start stop-smoking") && !stops("/start stop") && !stops("/start"));
    }
}
