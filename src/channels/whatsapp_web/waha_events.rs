//! Webhooks of a WhatsApp gateway in the dialect of WAHA: one event each.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    super::{
        reading::{Person, id, integer, seconds, text, with_media},
        webhook::{Digest, Webhook, WebhookRefused, verify},
    },
    waha::{Waha, message_id},
    whatsapp::{chat, phones_first},
};
use crate::domain::dialogue::{Delivery, DeliveryState, Received, TypedByHand};

/// The tolerance that is customary for signed times. A replay in it is told by its message's id.
const AGE_MAX: Duration = Duration::from_mins(5);

/// Where the engines tell the phone of a person who is known by a hidden id, or the other way round, and in
/// messages of which direction it is theirs: of ours the sender is ourselves.
const OTHER_NAMES: &[(&str, Option<bool>)] = &[
    ("/_data/key/remoteJidAlt", None),
    ("/_data/key/senderPn", Some(false)),
    ("/_data/Info/SenderAlt", Some(false)),
    ("/_data/Info/RecipientAlt", Some(true)),
];

impl Waha {
    pub(super) fn read_webhook(
        &self,
        webhook: &Webhook<'_>,
    ) -> Result<Vec<Received>, WebhookRefused> {
        let Webhook { headers, body, at: now, token: _ } = *webhook;
        let key = self.webhook_key.as_ref().ok_or(WebhookRefused::NotConfigured)?;
        let signature = headers.get("x-webhook-hmac").ok_or(WebhookRefused::SignatureMissing)?;
        let algorithm = headers.get("x-webhook-hmac-algorithm");
        if algorithm.is_some_and(|name| !name.eq_ignore_ascii_case("sha512")) {
            return Err(WebhookRefused::SignatureWrong);
        }
        verify(Digest::Sha512, key, body, signature)?;
        let event: Value = serde_json::from_slice(body).map_err(|_| WebhookRefused::Unreadable)?;
        let header = headers.get("x-webhook-timestamp").map(|text| Value::String(text.to_owned()));
        if !is_recent(event.get("timestamp"), header.as_ref(), now) {
            return Err(WebhookRefused::TooOld);
        }
        if event.get("session").and_then(Value::as_str) != Some(self.session.as_str()) {
            return Ok(Vec::new());
        }
        Ok(read_event(&event).into_iter().collect())
    }
}

/// The header's time is not signed, so it can only make a webhook older: the body's counts as well.
/// One of them has to be there.
fn is_recent(signed: Option<&Value>, header: Option<&Value>, now: DateTime<Utc>) -> bool {
    let times: Vec<_> = [signed, header].into_iter().flatten().collect();
    !times.is_empty()
        && times.into_iter().all(|time| {
            let at = integer(Some(time)).and_then(DateTime::from_timestamp_millis);
            at.is_some_and(|at| (now - at).abs().to_std().is_ok_and(|age| age <= AGE_MAX))
        })
}

fn read_event(event: &Value) -> Option<Received> {
    let payload = event.get("payload")?;
    match event.get("event")?.as_str()? {
        // Both tell of a person's message, with one id; only the second of our own.
        "message" | "message.any" => read_message(payload),
        "message.ack" => read_ack(payload),
        _ => None,
    }
}

fn read_message(payload: &Value) -> Option<Received> {
    let from_us = payload.get("fromMe").and_then(Value::as_bool).unwrap_or_default();
    let id = sound_id(payload)?;
    let person = person(payload, from_us)?;
    let media = media(payload);
    let text = with_media(&text(payload.get("body")), &media);
    if text.is_empty() {
        return None;
    }
    let what = if from_us {
        let typed_by_hand = match payload.get("source").and_then(Value::as_str) {
            Some("app") => TypedByHand::Yes,
            _ => TypedByHand::Untold,
        };
        Delivery::Echo { id, reference: None, text, typed_by_hand }
    } else {
        Delivery::Message { id, text }
    };
    Some(person.received(seconds(payload.get("timestamp")), what))
}

/// How far a message of ours came. What we have read ourselves is no news.
fn read_ack(payload: &Value) -> Option<Received> {
    let id = sound_id(payload)?;
    let from_us = payload.get("fromMe").and_then(Value::as_bool).unwrap_or(true);
    if !from_us || id.starts_with("false_") {
        return None;
    }
    let (state, reason) = match integer(payload.get("ack"))? {
        ..0 => (DeliveryState::Failed, "the WhatsApp gateway reports that the message failed"),
        0 => return None,
        1 => (DeliveryState::Sent, ""),
        2 => (DeliveryState::Delivered, ""),
        _ => (DeliveryState::Read, ""),
    };
    // Engines disagree on who stands in `from` of an ack; the id names the chat.
    let named = id.split('_').nth(1).and_then(chat);
    let person = named.map_or_else(|| person(payload, true), |peer| Person::known_as([peer]))?;
    let what = Delivery::Status { id, reference: None, state, reason: reason.to_owned() };
    Some(person.received(seconds(payload.get("timestamp")), what))
}

fn sound_id(payload: &Value) -> Option<String> {
    id(Some(&Value::String(message_id(payload)?)))
}

/// By the phone, where it is told.
fn person(payload: &Value, from_us: bool) -> Option<Person> {
    let name = payload.get(if from_us { "to" } else { "from" })?.as_str()?;
    let peer = chat(name)?;
    let theirs = |direction: &Option<bool>| direction.is_none_or(|of_us| of_us == from_us);
    let others = OTHER_NAMES.iter().filter(|(_, direction)| theirs(direction));
    let told = others.filter_map(|(path, _)| chat(payload.pointer(path)?.as_str()?));
    Person::known_as(phones_first(std::iter::once(peer).chain(told).collect()))
}

/// What was sent beside the words, by the type of the file where the gateway tells it.
fn media(payload: &Value) -> Vec<&str> {
    let there = |name: &str| payload.get(name).is_some_and(|value| !value.is_null());
    if payload.get("hasMedia").and_then(Value::as_bool) == Some(true) {
        let mime = payload.pointer("/media/mimetype").and_then(Value::as_str).unwrap_or_default();
        return vec![match mime.split('/').next() {
            Some(kind @ ("image" | "video" | "audio")) => kind,
            Some("application" | "text") => "document",
            _ => "media",
        }];
    }
    if there("location") {
        return vec!["location"];
    }
    let cards = payload.get("vCards").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    if cards { vec!["contact"] } else { Vec::new() }
}
