//! Webhooks of the WhatsApp Cloud API: messages and statuses, in batches.

use serde_json::{Value, json};

use super::{
    meta::list,
    reading::{Person, id, integer, phone, seconds, text, with_media},
    waba::{Waba, reason_of},
    webhook::{Brought, Webhook, WebhookRefused},
};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, DeliveryState, Received, TypedByHand},
};

/// By what a person is called whose number is another now, and with it their id; or of whom only the id may be
/// told. The older name of the first is still about.
const MOVES: &[&str] = &["user_changed_number", "customer_changed_number", "user_changed_user_id"];

impl Waba {
    pub(super) fn read_webhook(&self, webhook: &Webhook<'_>) -> Result<Brought, WebhookRefused> {
        let batch = self.application.open(webhook)?;
        Ok(batch.read(
            |entry| self.part(entry),
            |entry| list(entry, "changes").iter().flat_map(read_change).collect(),
        ))
    }

    /// What of an entry is for this number: a business account has many.
    fn part(&self, entry: &Value) -> Option<Value> {
        let is_ours = |change: &&Value| {
            let number = change.pointer("/value/metadata/phone_number_id");
            id(number).as_deref() == Some(self.phone_number_id.as_str())
        };
        let ours: Vec<&Value> = list(entry, "changes").iter().filter(is_ours).collect();
        if ours.is_empty() {
            return None;
        }
        let mut part = entry.clone();
        part["changes"] = json!(ours);
        Some(part)
    }
}

fn read_change(change: &Value) -> Vec<Received> {
    let Some(value) = change.get("value") else { return Vec::new() };
    let contacts = list(value, "contacts");
    let messages = list(value, "messages").iter().filter_map(|message| {
        if message.get("type").and_then(Value::as_str) == Some("system") {
            return read_move(message);
        }
        read_message(message, person(message, "from", "from_user_id", contacts)?)
    });
    // Typed in the phone's app, where a number is used by both.
    let echoes = list(value, "message_echoes")
        .iter()
        .filter_map(|message| read_echo(message, person(message, "to", "to_user_id", contacts)?));
    let statuses = list(value, "statuses").iter().filter_map(|status| {
        read_status(status, person(status, "recipient_id", "recipient_user_id", contacts)?)
    });
    messages.chain(echoes).chain(statuses).collect()
}

/// By the phone; a person who hides it, by the id that stands for it. A group is nobody.
fn person(event: &Value, by_phone: &str, by_id: &str, contacts: &[Value]) -> Option<Person> {
    if is_of_group(event) {
        return None;
    }
    // Beside the id in the scope of the business there may be one in that of its parent.
    let parent = by_id.replace("user_id", "parent_user_id");
    let mut phones = Vec::from_iter(phone_of(event, by_phone));
    let mut users: Vec<_> =
        [by_id, &parent].iter().filter_map(|name| user_of(event, name)).collect();
    let contact = match contacts {
        // One contact can only be the one of an event that names nobody; of several nobody knows whose it is.
        [only] if phones.is_empty() && users.is_empty() => Some(only),
        _ => contacts.iter().find(|contact| {
            let named = [phone_of(contact, "wa_id"), user_of(contact, "user_id")];
            named.iter().flatten().any(|one| phones.contains(one) || users.contains(one))
        }),
    };
    if let Some(contact) = contact {
        phones.extend(phone_of(contact, "wa_id"));
        users
            .extend(["user_id", "parent_user_id"].iter().filter_map(|name| user_of(contact, name)));
    }
    Person::known_as(phones.into_iter().chain(users))
}

fn is_of_group(event: &Value) -> bool {
    event.get("group_id").is_some_and(|group| !group.is_null())
}

fn phone_of(value: &Value, name: &str) -> Option<Address> {
    value.get(name)?.as_str().and_then(phone)
}

fn user_of(value: &Value, name: &str) -> Option<Address> {
    value.get(name)?.as_str().and_then(Address::of_business_scope)
}

/// Told by WhatsApp itself: the new number, where it may be known, and the new id, beside what they were before.
fn read_move(message: &Value) -> Option<Received> {
    let system = message.get("system")?;
    let kind = system.get("type").and_then(Value::as_str)?;
    if is_of_group(message) || !MOVES.contains(&kind) {
        return None;
    }
    let ids =
        |value, names: [&str; 2]| names.map(|name| user_of(value, name)).into_iter().flatten();
    let mut now = phone_of(system, "wa_id")
        .into_iter()
        .chain(ids(system, ["user_id", "parent_user_id"]))
        .peekable();
    now.peek()?;
    let before = phone_of(message, "from")
        .into_iter()
        .chain(ids(message, ["from_user_id", "from_parent_user_id"]))
        .chain(ids(system, ["previous_user_id", "previous_parent_user_id"]));
    let person = Person::known_as(now.chain(before))?;
    Some(person.received(seconds(message.get("timestamp")), Delivery::Moved))
}

fn read_message(message: &Value, person: Person) -> Option<Received> {
    let id = id(message.get("id"))?;
    let text = said(message)?;
    let what = Delivery::Message { id, text };
    Some(person.received(seconds(message.get("timestamp")), what))
}

fn read_echo(message: &Value, person: Person) -> Option<Received> {
    let id = id(message.get("id"))?;
    let text = said(message)?;
    let typed_by_hand = TypedByHand::Yes;
    let what = Delivery::Echo { id, reference: None, text, typed_by_hand };
    Some(person.received(seconds(message.get("timestamp")), what))
}

/// The words of a message; `None` where nobody said anything.
fn said(message: &Value) -> Option<String> {
    let at = |path: &str| text(message.pointer(path));
    let kind = message.get("type").and_then(Value::as_str)?;
    let said = match kind {
        "text" => at("/text/body"),
        "button" => at("/button/text"),
        "interactive" => ["button_reply", "list_reply"]
            .map(|reply| at(&format!("/interactive/{reply}/title")))
            .concat(),
        "image" | "video" | "document" | "audio" | "sticker" => {
            with_media(&at(&format!("/{kind}/caption")), &[kind])
        }
        "reaction" => match at("/reaction/emoji") {
            // Taken back.
            emoji if emoji.is_empty() => String::new(),
            emoji => format!("[reaction {emoji}]"),
        },
        // What the person meant to write.
        "edit" => return said(message.pointer("/edit/message")?),
        "revoke" | "system" | "request_welcome" => String::new(),
        other => with_media("", &[other]),
    };
    (!said.trim().is_empty()).then_some(said)
}

fn read_status(status: &Value, person: Person) -> Option<Received> {
    let state = match status.get("status")?.as_str()? {
        "sent" => DeliveryState::Sent,
        "delivered" => DeliveryState::Delivered,
        "read" | "played" => DeliveryState::Read,
        "failed" => DeliveryState::Failed,
        _ => return None,
    };
    // The error's own words may repeat the number.
    let code = list(status, "errors").first().and_then(|error| integer(error.get("code")));
    let reason = match (state, code) {
        (DeliveryState::Failed, Some(code)) => reason_of(code),
        (DeliveryState::Failed, None) => "WhatsApp reports a failure and names no error".to_owned(),
        _ => String::new(),
    };
    let what = Delivery::Status {
        id: id(status.get("id"))?,
        reference: id(status.get("biz_opaque_callback_data")),
        state,
        reason,
    };
    Some(person.received(seconds(status.get("timestamp")), what))
}
