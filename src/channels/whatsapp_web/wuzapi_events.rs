//! Webhooks of wuzapi: a form with one event each, and the token of the account beside it.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    super::{
        meta::list,
        reading::{Person, id, integer, text, with_media},
        webhook::{Brought, Webhook, WebhookRefused, same},
    },
    whatsapp::{chat, phones_first},
    wuzapi::{Wuzapi, key_of},
};
use crate::domain::dialogue::{Delivery, DeliveryState, Received, TypedByHand};

/// The fields of a message that is no text, and the name of what they hold.
const MEDIA: &[(&str, &str)] = &[
    ("imageMessage", "image"),
    ("videoMessage", "video"),
    ("ptvMessage", "video"),
    ("audioMessage", "audio"),
    ("documentMessage", "document"),
    ("stickerMessage", "sticker"),
    ("contactMessage", "contact"),
    ("contactsArrayMessage", "contact"),
    ("locationMessage", "location"),
    ("liveLocationMessage", "location"),
    ("pollCreationMessage", "poll"),
    ("pollCreationMessageV3", "poll"),
    ("eventMessage", "event"),
];

/// Where a text stands, in messages of all types.
const TEXTS: &[&str] = &[
    "/conversation",
    "/extendedTextMessage/text",
    "/imageMessage/caption",
    "/videoMessage/caption",
    "/documentMessage/caption",
    "/listResponseMessage/title",
    "/templateButtonReplyMessage/selectedDisplayText",
    "/buttonsResponseMessage/Response/SelectedDisplayText",
];

/// The number of the kind of protocol message that replaces an earlier one.
const EDIT: i64 = 14;

impl Wuzapi {
    /// Nothing is signed: the address ends with a secret of the channel, and the form has the account's own token.
    pub(super) fn read_webhook(&self, webhook: &Webhook<'_>) -> Result<Brought, WebhookRefused> {
        let Webhook { headers: _, token, body, at: _ } = *webhook;
        let key = self.webhook_key.as_ref().ok_or(WebhookRefused::NotConfigured)?;
        let presented = token.ok_or(WebhookRefused::SignatureMissing)?;
        if !same(key, presented) {
            return Err(WebhookRefused::SignatureWrong);
        }
        let (mut data, mut account) = (None, None);
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "jsonData" => data = Some(value),
                "token" => account = Some(value),
                _ => {}
            }
        }
        let account = account.ok_or(WebhookRefused::SignatureMissing)?;
        if !same(&self.token, &account) {
            return Err(WebhookRefused::SignatureWrong);
        }
        let data = data.ok_or(WebhookRefused::Unreadable)?;
        let mut event: Value =
            serde_json::from_str(&data).map_err(|_| WebhookRefused::Unreadable)?;
        let received = read_event(&event);
        // Neither the token nor a whole picture is kept.
        if let Some(event) = event.as_object_mut() {
            event.remove("base64");
        }
        Ok(Brought { received, kept: Some(event.to_string().into_bytes()), ..Brought::default() })
    }
}

fn read_event(told: &Value) -> Vec<Received> {
    let Some(event) = told.get("event") else { return Vec::new() };
    match told.get("type").and_then(Value::as_str) {
        Some("Message") => read_message(event).into_iter().collect(),
        Some("ReadReceipt") => read_receipt(event, told.get("state")),
        _ => Vec::new(),
    }
}

/// A person's message, or one from another device of the account: what we send ourselves is not told.
fn read_message(event: &Value) -> Option<Received> {
    let info = event.get("Info")?;
    let from_us = is(info, "IsFromMe");
    let person = person(info, from_us)?;
    let id = id(info.get("ID"))?;
    let text = said(event.get("Message")?)?;
    let what = if from_us {
        let reference = key_of(&id).map(|key| key.to_string());
        let typed_by_hand =
            if reference.is_some() { TypedByHand::UnlessOurs } else { TypedByHand::Yes };
        Delivery::Echo { id, reference, text, typed_by_hand }
    } else {
        Delivery::Message { id, text }
    };
    Some(person.received(time(info.get("Timestamp")), what))
}

/// What became of messages of ours. What another device of ours did with them is no news.
fn read_receipt(event: &Value, state: Option<&Value>) -> Vec<Received> {
    let state = match state.and_then(Value::as_str) {
        Some("Delivered") => DeliveryState::Delivered,
        Some("Read") => DeliveryState::Read,
        _ => return Vec::new(),
    };
    if is(event, "IsFromMe") {
        return Vec::new();
    }
    let Some(person) = person(event, false) else { return Vec::new() };
    let at = time(event.get("Timestamp"));
    let ids = list(event, "MessageIDs").iter().filter_map(|one| id(Some(one)));
    let status = |id: String| {
        let reference = key_of(&id).map(|key| key.to_string());
        let what = Delivery::Status { id, reference, state, reason: String::new() };
        person.clone().received(at, what)
    };
    ids.map(status).collect()
}

fn is(source: &Value, name: &str) -> bool {
    source.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// By the phone, where it is told, and by the hidden id. A group is nobody.
fn person(source: &Value, from_us: bool) -> Option<Person> {
    if is(source, "IsGroup") {
        return None;
    }
    let named = |name: &str| chat(source.get(name)?.as_str()?);
    let other = if from_us { "RecipientAlt" } else { "SenderAlt" };
    let peer = named("Chat")?;
    let told = [Some(peer), named(other)];
    Person::known_as(phones_first(told.into_iter().flatten().collect()))
}

fn time(value: Option<&Value>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value?.as_str()?).ok().map(|at| at.to_utc())
}

/// The words of a message; `None` where nobody said anything.
fn said(message: &Value) -> Option<String> {
    let at = |path: &str| text(message.pointer(path));
    let there = |name: &str| message.get(name).is_some_and(|value| !value.is_null());
    if there("reactionMessage") {
        // An empty one takes it back.
        let emoji = at("/reactionMessage/text");
        return (!emoji.is_empty()).then(|| format!("[reaction {emoji}]"));
    }
    if let Some(protocol) = message.get("protocolMessage").filter(|value| !value.is_null()) {
        // What the person meant to write. What was taken back was read.
        let is_edit = integer(protocol.get("type")) == Some(EDIT);
        return said(protocol.get("editedMessage").filter(|_| is_edit)?);
    }
    let words = TEXTS.iter().map(|path| at(path)).find(|text| !text.is_empty());
    let media: Vec<&str> =
        MEDIA.iter().filter(|(field, _)| there(field)).map(|(_, name)| *name).collect();
    let said = with_media(&words.unwrap_or_default(), &media);
    (!said.trim().is_empty()).then_some(said)
}
