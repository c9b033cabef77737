//! A message of VKontakte as what was received, whoever tells of it.

use serde_json::Value;

use super::super::reading::{id, integer, seconds, text, with_media};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, Received, TypedByHand},
    kind::MessengerType,
};

/// More attachments than VK allows to a message.
pub(super) const ATTACHMENTS_MAX: usize = 10;

/// Whose messages they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    Person,
    Community,
}

pub(super) struct Message<'a> {
    pub(super) id: String,
    pub(super) from_us: bool,
    pub(super) peer: i64,
    pub(super) at: Option<&'a Value>,
    pub(super) text: String,
    pub(super) media: Vec<&'a str>,
    pub(super) random_id: Option<&'a Value>,
}

/// A message as the API's objects show it, in a history and in the events of a community.
pub(super) fn read_message(message: &Value, account: Account) -> Option<Received> {
    let there = |name: &str| match message.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::Array(all)) => !all.is_empty(),
        Some(_) => true,
    };
    let attachments = message.get("attachments").and_then(Value::as_array).into_iter().flatten();
    let attached = attachments.filter_map(|attachment| attachment.get("type")?.as_str());
    let beside = [("geo", "location"), ("fwd_messages", "forwarded message")];
    let beside = beside.into_iter().filter(|(name, _)| there(name)).map(|(_, words)| words);
    let peer = integer(message.get("peer_id"))?;
    Message {
        id: message_id(message, peer)?,
        from_us: integer(message.get("out")).unwrap_or_default() != 0,
        peer,
        at: message.get("date"),
        text: text(message.get("text")),
        media: attached.take(ATTACHMENTS_MAX).chain(beside).collect(),
        random_id: message.get("random_id"),
    }
    .received(account)
}

/// Where the id is 0, VK knows the message by its number in the conversation alone.
fn message_id(message: &Value, peer: i64) -> Option<String> {
    match integer(message.get("id")) {
        Some(0) => {
            let number = integer(message.get("conversation_message_id")).filter(|n| *n != 0)?;
            Some(format!("{peer}_{number}"))
        }
        _ => id(message.get("id")),
    }
}

impl Message<'_> {
    /// `None` for a group chat, which is no dialogue, and for a message that says nothing.
    pub(super) fn received(self, account: Account) -> Option<Received> {
        let Self { id, from_us, peer, at, text, media, random_id } = self;
        let peer = Address::parse(&peer.to_string(), MessengerType::Vkontakte).ok()?;
        let text = with_media(&text, &media);
        if text.is_empty() {
            return None;
        }
        let what = if from_us {
            let key = integer(random_id).filter(|key| *key != 0);
            // The messenger's own apps send a key as well; every key of ours is known before it leaves.
            // For a community, its administrators write without one.
            let typed_by_hand = match (key, account) {
                (None, Account::Person) => TypedByHand::Untold,
                _ => TypedByHand::UnlessOurs,
            };
            let reference = key.map(|key| key.to_string());
            Delivery::Echo { id, reference, text, typed_by_hand }
        } else {
            Delivery::Message { id, text }
        };
        Some(Received::of(peer, seconds(at), what))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(id: &str, text: &str) -> Delivery {
        Delivery::Message { id: id.to_owned(), text: text.to_owned() }
    }

    fn echo(reference: Option<&str>, typed_by_hand: TypedByHand) -> Delivery {
        let (id, reference, text) = ("7".to_owned(), reference.map(str::to_owned), "a".to_owned());
        Delivery::Echo { id, reference, text, typed_by_hand }
    }

    #[test]
    fn a_message_is_read_with_whatever_is_beside_its_words() {
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
                json!({"id": 7, "peer_id": 5, "text": "", "geo": {"type": "point"}}),
                Some(message("7", "[location]")),
            ),
            (
                json!({"id": 7, "peer_id": 5, "text": "", "geo": null, "fwd_messages": [{}, {}]}),
                Some(message("7", "[forwarded message]")),
            ),
            (
                json!({"id": 0, "conversation_message_id": 31, "peer_id": 5, "text": "a"}),
                Some(message("5_31", "a")),
            ),
            (json!({"id": 7, "peer_id": 5, "text": "", "fwd_messages": []}), None),
            (json!({"id": 0, "peer_id": 5, "text": "a"}), None),
            (json!({"id": 7, "peer_id": 2_000_000_003, "out": 0, "text": "a"}), None),
            (json!({"id": 7, "text": "a"}), None),
            (json!(null), None),
        ] {
            let received = read_message(&item, Account::Person);
            assert_eq!(received.map(|received| received.what), expected, "{item}");
        }
    }

    #[test]
    fn a_message_of_our_own_account_is_known_by_its_key() {
        use Account::{Community, Person};
        use TypedByHand::{UnlessOurs, Untold};
        for (account, random_id, expected) in [
            (Person, json!(12), echo(Some("12"), UnlessOurs)),
            (Person, json!(0), echo(None, Untold)),
            (Community, json!("12"), echo(Some("12"), UnlessOurs)),
            (Community, json!(0), echo(None, UnlessOurs)),
            (Community, json!(null), echo(None, UnlessOurs)),
        ] {
            let item =
                json!({"id": 7, "peer_id": 5, "out": 1, "random_id": random_id, "text": "a"});
            let received = read_message(&item, account);
            assert_eq!(received.map(|received| received.what), Some(expected), "{item}");
        }
    }
}
