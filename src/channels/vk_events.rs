//! Events of VK's long poll, and messages of its history, as what was received.

use serde_json::Value;

use super::reading::{id, integer, seconds, text, with_media};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, Received},
    kind::MessengerType,
};

/// The code of the event that tells of a new message; its fields stand in this order.
const NEW_MESSAGE: i64 = 4;

/// The bit of `flags` that marks a message of our own.
const OUTBOX: i64 = 2;

/// More attachments than VK allows to a message.
const ATTACHMENTS_MAX: usize = 10;

/// `[4, id, flags, peer, time, text, more, attachments, random_id]`. Everything else is passed over.
pub(super) fn read_event(event: &Value) -> Option<Received> {
    let fields = event.as_array()?;
    if integer(fields.first())? != NEW_MESSAGE {
        return None;
    }
    let attachments = fields.get(7);
    let message = Message {
        id: id(fields.get(1))?,
        from_us: integer(fields.get(2))? & OUTBOX != 0,
        peer: integer(fields.get(3))?,
        at: fields.get(4),
        text: unescape(&text(fields.get(5))),
        media: (1..=ATTACHMENTS_MAX).filter_map(|n| event_attachment(attachments?, n)).collect(),
        random_id: fields.get(8),
    };
    message.received()
}

/// A message as `messages.getLongPollHistory` shows it.
pub(super) fn read_message(message: &Value) -> Option<Received> {
    let attachments = message.get("attachments").and_then(Value::as_array);
    Message {
        id: id(message.get("id"))?,
        from_us: integer(message.get("out")).unwrap_or_default() != 0,
        peer: integer(message.get("peer_id"))?,
        at: message.get("date"),
        text: text(message.get("text")),
        media: attachments
            .into_iter()
            .flatten()
            .take(ATTACHMENTS_MAX)
            .filter_map(|attachment| attachment.get("type")?.as_str())
            .collect(),
        random_id: message.get("random_id"),
    }
    .received()
}

struct Message<'a> {
    id: String,
    from_us: bool,
    peer: i64,
    at: Option<&'a Value>,
    text: String,
    media: Vec<&'a str>,
    random_id: Option<&'a Value>,
}

impl Message<'_> {
    /// `None` for a group chat, which is no dialogue, and for a message that says nothing.
    fn received(self) -> Option<Received> {
        let Self { id, from_us, peer, at, text, media, random_id } = self;
        let peer = Address::parse(&peer.to_string(), MessengerType::Vkontakte).ok()?;
        let text = with_media(&text, &media);
        if text.is_empty() {
            return None;
        }
        let what = if from_us {
            let key = integer(random_id).filter(|key| *key != 0);
            // The messenger's own apps send a key as well, so it does not tell whose hand it was.
            let reference = key.map(|key| key.to_string());
            Delivery::Echo { id, reference, text, typed_by_hand: false }
        } else {
            Delivery::Message { id, text }
        };
        Some(Received { peer, at: seconds(at), what })
    }
}

fn event_attachment(attachments: &Value, number: usize) -> Option<&str> {
    attachments.get(format!("attach{number}_type"))?.as_str()
}

/// Events, unlike the history, have their texts as HTML. `&amp;` comes last: it may hide another.
fn unescape(text: &str) -> String {
    if !text.contains(['&', '<']) {
        return text.to_owned();
    }
    text.replace("<br>", "\n")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn message(id: &str, text: &str) -> Delivery {
        Delivery::Message { id: id.to_owned(), text: text.to_owned() }
    }

    fn echo(id: &str, reference: Option<&str>, text: &str) -> Delivery {
        let reference = reference.map(str::to_owned);
        Delivery::Echo { id: id.to_owned(), reference, text: text.to_owned(), typed_by_hand: false }
    }

    #[test]
    fn new_messages_are_read_and_all_other_events_passed_over() {
        let at = 1_790_000_000;
        for (event, expected) in [
            (json!([4, 7, 1, 12_345_678, at, "Hi"]), Some(message("7", "Hi"))),
            (json!([4, 7, 49, 12_345_678, at, "Hi", {}, {}, 0]), Some(message("7", "Hi"))),
            (
                json!([4, 7, 1, 12_345_678, at, "a &lt;b&gt;<br>&amp;lt; \u{0}", {"title": " ... "}, {}, 5]),
                Some(message("7", "a <b>\n&lt;")),
            ),
            (
                json!([4, 7, 1, 12_345_678, at, "", {}, {"attach1_type": "photo", "attach1": "1_2", "attach2_type": "sticker"}]),
                Some(message("7", "[photo]\n[sticker]")),
            ),
            (
                json!([4, 7, 3, 12_345_678, at, "Ours", {}, {}, -9_000_000_000_i64]),
                Some(echo("7", Some("-9000000000"), "Ours")),
            ),
            (json!([4, 7, 3, 12_345_678, at, "Ours", {}, {}, 0]), Some(echo("7", None, "Ours"))),
            (json!([4, 7, 1, 12_345_678, "soon", "Hi"]), Some(message("7", "Hi"))),
            (json!([4, 7, 1, 12_345_678, at, ""]), None),
            (json!([4, 7, 1, 2_000_000_001, at, "in a chat", {"from": "5"}]), None),
            (json!([4, 7, 1, 0, at, "nobody"]), None),
            (json!([4, 7, 1, 1e30, at, "huge"]), None),
            (json!([4, 1e30, 1, 12_345_678, at, "huge"]), None),
            (json!([4, 7]), None),
            (json!([4]), None),
            (json!([]), None),
            (json!({}), None),
            (json!([61, 12_345_678, 1]), None),
            (json!([10_004, 7, 1, 0, 12_345_678]), None),
        ] {
            let received = read_event(&event);
            assert_eq!(received.clone().map(|received| received.what), expected, "{event}");
            if let Some(received) = received {
                assert_eq!(received.peer.as_str(), "12345678");
                let known = event[4].is_number().then_some(at);
                assert_eq!(received.at, known.and_then(|at| DateTime::from_timestamp(at, 0)));
            }
        }
    }

    #[test]
    fn the_history_tells_the_same() {
        for (item, expected) in [
            (
                json!({"id": 7, "peer_id": 5, "out": 0, "text": "a &lt;"}),
                Some(message("7", "a &lt;")),
            ),
            (
                json!({"id": 7, "peer_id": -5, "out": 0, "text": "a", "attachments": [{"type": "photo"}, 1]}),
                Some(message("7", "a\n[photo]")),
            ),
            (
                json!({"id": 7, "peer_id": 5, "out": 1, "random_id": 12, "text": "a"}),
                Some(echo("7", Some("12"), "a")),
            ),
            (json!({"id": 7, "peer_id": 2_000_000_003, "out": 0, "text": "a"}), None),
            (json!({"id": 7, "text": "a"}), None),
            (json!(null), None),
        ] {
            assert_eq!(read_message(&item).map(|received| received.what), expected, "{item}");
        }
    }
}
