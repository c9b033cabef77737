//! Events of the long poll of a person's account, as what was received.

use serde_json::Value;

use super::{
    super::reading::{id, integer, text},
    message::{ATTACHMENTS_MAX, Account, Message},
};
use crate::domain::dialogue::Received;

/// The code of the event that tells of a new message; its fields stand in this order.
const NEW_MESSAGE: i64 = 4;

/// The bit of `flags` that marks a message of our own.
const OUTBOX: i64 = 2;

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
    message.received(Account::Person)
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
    use crate::domain::dialogue::{Delivery, TypedByHand};

    fn message(id: &str, text: &str) -> Delivery {
        Delivery::Message { id: id.to_owned(), text: text.to_owned() }
    }

    fn echo(id: &str, reference: Option<&str>, text: &str) -> Delivery {
        let typed_by_hand = reference.map_or(TypedByHand::Untold, |_| TypedByHand::UnlessOurs);
        let reference = reference.map(str::to_owned);
        Delivery::Echo { id: id.to_owned(), reference, text: text.to_owned(), typed_by_hand }
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
}
