//! Events of a community, which the Callback API and the Bots Long Poll tell in one form.

use serde_json::Value;

use super::{
    super::reading::id,
    message::{Account, read_message},
};
use crate::domain::dialogue::Received;

/// `{type, group_id, object, event_id, v}`. Events of other communities, and those that are no messages, are
/// passed over.
pub(super) fn read_event(event: &Value, group_id: &str) -> Option<Received> {
    if !is_of(event, group_id) {
        return None;
    }
    let object = event.get("object")?;
    match event.get("type")?.as_str()? {
        // Versions of the API before 5.103 put the message in the place of the object.
        "message_new" => read_message(object.get("message").unwrap_or(object), Account::Community),
        "message_reply" => {
            // Whatever the object says of itself: it is the community's own.
            let mut reply = object.clone();
            reply.as_object_mut()?.insert("out".to_owned(), 1.into());
            read_message(&reply, Account::Community)
        }
        _ => None,
    }
}

pub(super) fn is_of(event: &Value, group_id: &str) -> bool {
    id(event.get("group_id")).as_deref() == Some(group_id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::dialogue::{Delivery, TypedByHand};

    #[test]
    fn messages_and_answers_are_read_and_all_other_events_passed_over() {
        let said = |text: &str| Delivery::Message { id: "7".to_owned(), text: text.to_owned() };
        let echo = |reference: Option<&str>| Delivery::Echo {
            id: "7".to_owned(),
            reference: reference.map(str::to_owned),
            text: "a".to_owned(),
            typed_by_hand: TypedByHand::UnlessOurs,
        };
        let message = json!({
            "id": 7, "conversation_message_id": 3, "date": 1_790_000_000, "peer_id": 12_345_678,
            "from_id": 12_345_678, "out": 0, "text": "a &lt;b\n", "random_id": 0, "attachments": [],
            "important": false, "is_hidden": false, "fwd_messages": [],
        });
        let mut reply = message.clone();
        (reply["text"], reply["from_id"]) = (json!("a"), json!(-1));
        let mut keyed = reply.clone();
        (keyed["random_id"], keyed["out"]) = (json!(-9_000_000_000_i64), json!(1));
        let mut by_hand = reply.clone();
        by_hand["admin_author_id"] = json!(5);
        let mut in_chat = message.clone();
        in_chat["peer_id"] = json!(2_000_000_001);
        let event = |kind: &str, object: &Value| json!({ "type": kind, "group_id": 1, "event_id": "e", "v": "5.199", "object": object });
        let wrapped = json!({ "message": message, "client_info": {} });
        for (event, expected) in [
            (event("message_new", &wrapped), Some(said("a &lt;b"))),
            (event("message_new", &message), Some(said("a &lt;b"))),
            (event("message_new", &json!({ "message": in_chat })), None),
            (event("message_reply", &keyed), Some(echo(Some("-9000000000")))),
            (event("message_reply", &reply), Some(echo(None))),
            (event("message_reply", &by_hand), Some(echo(None))),
            (event("message_reply", &json!([])), None),
            (event("message_read", &message), None),
            (event("message_edit", &message), None),
            (event("message_new", &json!(null)), None),
            (json!({ "type": "message_new", "group_id": 2, "object": wrapped }), None),
            (json!({ "type": "message_new", "object": wrapped }), None),
            (json!({ "type": 5, "group_id": 1, "object": wrapped }), None),
            (json!({}), None),
            (json!([4, 7, 1]), None),
        ] {
            let received = read_event(&event, "1");
            assert_eq!(received.clone().map(|received| received.what), expected, "{event}");
            if let Some(received) = received {
                assert_eq!(received.peer.as_str(), "12345678");
            }
        }
    }
}
