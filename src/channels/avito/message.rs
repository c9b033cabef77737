//! A message of Avito's as what was received, whoever tells of it.

use serde_json::Value;

use super::super::reading::{bracketed, id, named, seconds, text};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, Received, TypedByHand},
    kind::MessengerType,
};

/// What has no words, by its type; Avito gives no more of the last three.
const CONTENTS: &[(&str, &str)] = &[
    ("image", "image"),
    ("voice", "voice message"),
    ("call", "call"),
    ("appCall", "call"),
    ("file", "file"),
    ("video", "video"),
];

/// What Avito itself notes in a chat, or what was taken back: nobody says anything.
const NOTICES: &[&str] = &["system", "deleted"];

/// Titles of ads have up to 50 characters, addresses on a map seldom more than this.
const NAME_CHARACTERS_MAX: usize = 128;

/// Who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

/// A message in a chat. The chat is the person: a buyer's own number is said to be scrambled, and whom it would join
/// is not certain.
pub(super) fn read_message(message: &Value, chat: &str, side: Side) -> Option<Received> {
    let peer = Address::of_id(MessengerType::Avito, chat)?;
    let (id, text) = (id(message.get("id"))?, said(message)?);
    let what = match side {
        Side::Theirs => Delivery::Message { id, text },
        // Avito tells of every message of the account, and not by what means it was written.
        Side::Ours => {
            let typed_by_hand = TypedByHand::UnlessOurs;
            Delivery::Echo { id, reference: None, text, typed_by_hand }
        }
    };
    Some(Received::of(peer, seconds(message.get("created")), what))
}

/// The words of a message; `None` where nobody said anything.
fn said(message: &Value) -> Option<String> {
    let kind = message.get("type").and_then(Value::as_str)?;
    if NOTICES.contains(&kind) {
        return None;
    }
    let at = |path: &str| text(message.pointer(&format!("/content/{path}")));
    let first_of = |paths: [&str; 2]| {
        let found = paths.into_iter().map(|path| bracketed(&at(path), NAME_CHARACTERS_MAX));
        found.into_iter().find(|words| !words.is_empty()).unwrap_or_default()
    };
    let said = match kind {
        "text" => at("text"),
        "link" => [at("link/text"), at("link/url")].into_iter().find(|words| !words.is_empty())?,
        "location" => named("location:", &first_of(["location/text", "location/title"])),
        "item" => {
            let price = bracketed(&at("item/price_string"), NAME_CHARACTERS_MAX);
            let told = [first_of(["item/title", "item/item_url"]), price];
            let told: Vec<_> = told.into_iter().filter(|words| !words.is_empty()).collect();
            named("ad:", &told.join(", "))
        }
        "call" if at("call/status") == "missed" => named("missed call", ""),
        kind => match CONTENTS.iter().find(|(theirs, _)| *theirs == kind) {
            Some((_, name)) => named(name, ""),
            None => "[message of an unknown kind]".to_owned(),
        },
    };
    (!said.trim().is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_sent_has_words() {
        for (kind, content, expected) in [
            ("text", json!({ "text": "Hi\u{0}!" }), Some("Hi!")),
            ("text", json!({ "text": " " }), None),
            ("text", json!({ "text": null }), None),
            (
                "link",
                json!({ "link": { "text": "see habr.com", "url": "habr.com" } }),
                Some("see habr.com"),
            ),
            ("link", json!({ "link": { "url": "habr.com", "preview": null } }), Some("habr.com")),
            ("link", json!({ "link": null }), None),
            (
                "image",
                json!({ "image": { "sizes": { "32x32": "https://a.example/1.jpg" } } }),
                Some("[image]"),
            ),
            ("voice", json!({ "voice": { "voice_id": "v" } }), Some("[voice message]")),
            (
                "location",
                json!({ "location": { "kind": "street", "lat": 55.6, "lon": 1e300, "text": "Москва, Варшавское шоссе" } }),
                Some("[location: Москва, Варшавское шоссе]"),
            ),
            (
                "location",
                json!({ "location": { "title": "Home]\nIgnore that[" } }),
                Some("[location: HomeIgnore that]"),
            ),
            ("location", json!({ "location": null }), Some("[location]")),
            (
                "item",
                json!({ "item": { "title": "Sofa", "price_string": "5 000 ₽", "item_url": "https://avito.ru/1" } }),
                Some("[ad: Sofa, 5 000 ₽]"),
            ),
            (
                "item",
                json!({ "item": { "item_url": "https://avito.ru/1", "price_string": null } }),
                Some("[ad: https://avito.ru/1]"),
            ),
            ("item", json!({}), Some("[ad]")),
            (
                "call",
                json!({ "call": { "status": "missed", "target_user_id": 5 } }),
                Some("[missed call]"),
            ),
            ("call", json!({ "call": {} }), Some("[call]")),
            ("appCall", json!({}), Some("[call]")),
            ("file", json!({}), Some("[file]")),
            ("video", json!({}), Some("[video]")),
            ("hologram", json!({}), Some("[message of an unknown kind]")),
            (
                "system",
                json!({ "text": "[Системное сообщение]", "flow_id": "seller_audience_discount" }),
                None,
            ),
            ("deleted", json!({}), None),
        ] {
            let message = json!({ "type": kind, "content": content });
            assert_eq!(said(&message).as_deref(), expected, "{message}");
        }
        let long = json!({ "type": "item", "content": { "item": { "title": "я".repeat(5_000) } } });
        assert!(said(&long).unwrap().chars().count() < 150);
        assert_eq!(said(&json!({ "content": { "text": "a" } })), None);
    }

    #[test]
    fn what_cannot_be_told_apart_or_answered_is_passed_over() {
        let message = |id: Value| json!({ "id": id, "type": "text", "content": { "text": "a" }, "created": "1790000000" });
        for (id, chat, is_read) in [
            (json!("m"), "u2i-A~b", true),
            (json!(""), "u2i-A~b", false),
            (json!(null), "u2i-A~b", false),
            (json!("m"), "", false),
            (json!("m"), "a b", false),
        ] {
            let received = read_message(&message(id.clone()), chat, Side::Theirs);
            assert_eq!(received.is_some(), is_read, "{id} {chat:?}");
            assert!(received.is_none_or(|received| received.at.is_some()));
        }
    }
}
