//! Webhooks of Instagram: what people write, press and react with, what they have seen, and our own messages.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    super::{
        meta::list,
        reading::{id, integer, text, with_media},
        webhook::{Brought, Webhook, WebhookRefused},
    },
    account::Instagram,
};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, DeliveryState, Received, TypedByHand},
    kind::MessengerType,
};

/// What else than pictures, films, voices and files is sent beside a text, as a reader would call it.
const ATTACHMENTS: &[(&str, &str)] = &[
    ("share", "post"),
    ("ig_post", "post"),
    ("reel", "reel"),
    ("ig_reel", "reel"),
    ("story_mention", "story mention"),
    ("ig_story", "story"),
    ("like_heart", "heart"),
    ("animated_image", "gif"),
    ("fallback", "attachment"),
];

/// More than a person can attach to one message.
const ATTACHMENTS_MAX: usize = 20;

impl Instagram {
    pub(in super::super) fn read_webhook(
        &self,
        webhook: &Webhook<'_>,
    ) -> Result<Brought, WebhookRefused> {
        let batch = self.application.open(webhook)?;
        Ok(batch.read(
            |entry| {
                (id(entry.get("id")).as_deref() == Some(&self.account_id)).then(|| entry.clone())
            },
            // What another application has in hand stands in a list of its own, and is left to that.
            |entry| {
                let events = list(entry, "messaging").iter();
                events.filter_map(|event| read_event(event, &self.account_id)).collect()
            },
        ))
    }
}

fn read_event(event: &Value, account_id: &str) -> Option<Received> {
    let side = |name: &str| id(event.pointer(&format!("/{name}/id")));
    let (sender, recipient) = (side("sender")?, side("recipient")?);
    let is_echo = event.pointer("/message/is_echo").and_then(Value::as_bool) == Some(true);
    let from_us = sender == account_id || is_echo;
    let person = if from_us { recipient } else { sender };
    // Accounts can write to themselves.
    if person == account_id {
        return None;
    }
    let peer = Address::of_id(MessengerType::Instagram, &person)?;
    let at = integer(event.get("timestamp")).and_then(DateTime::from_timestamp_millis);
    let what = if let Some(message) = event.get("message") {
        read_message(message, from_us)?
    } else if from_us {
        return None;
    } else {
        read_act(event, at)?
    };
    Some(Received::of(peer, at, what))
}

/// What was read stays read: a message that its author took back is passed over.
fn read_message(message: &Value, from_us: bool) -> Option<Delivery> {
    let is = |name: &str| message.get(name).and_then(Value::as_bool).unwrap_or_default();
    if is("is_deleted") || is("is_self") {
        return None;
    }
    let id = id(message.get("mid"))?;
    let text = with_media(&text(message.get("text")), &attached(message, is("is_unsupported")));
    if text.is_empty() {
        return None;
    }
    Some(if from_us {
        let typed_by_hand = TypedByHand::UnlessOurs;
        Delivery::Echo { id, reference: None, text, typed_by_hand }
    } else {
        Delivery::Message { id, text }
    })
}

fn attached(message: &Value, is_unsupported: bool) -> Vec<&str> {
    let mut names = Vec::new();
    for attachment in list(message, "attachments").iter().take(ATTACHMENTS_MAX) {
        let Some(kind) = attachment.get("type").and_then(Value::as_str) else { continue };
        let known = ATTACHMENTS.iter().find(|(theirs, _)| *theirs == kind);
        let name = known.map_or(kind, |(_, name)| name);
        // A shared post is told twice, as what it was called before as well.
        if name != "post" || !names.contains(&name) {
            names.push(name);
        }
    }
    if message.pointer("/reply_to/story").is_some_and(|story| !story.is_null()) {
        names.push("reply to a story");
    }
    if is_unsupported && names.is_empty() {
        names.push("unsupported");
    }
    names
}

/// What a person does beside writing.
fn read_act(event: &Value, at: Option<DateTime<Utc>>) -> Option<Delivery> {
    if let Some(reaction) = event.get("reaction") {
        return read_reaction(reaction, at?);
    }
    if let Some(postback) = event.get("postback") {
        let (id, text) = (id(postback.get("mid"))?, text(postback.get("title")));
        return (!text.trim().is_empty()).then_some(Delivery::Message { id, text });
    }
    if let Some(edit) = event.get("message_edit") {
        return read_edit(edit);
    }
    let seen = id(event.pointer("/read/mid"))?;
    let state = DeliveryState::Read;
    Some(Delivery::Status { id: seen, reference: None, state, reason: String::new() })
}

/// A reaction has no id of its own: the message's and the time make one.
fn read_reaction(reaction: &Value, at: DateTime<Utc>) -> Option<Delivery> {
    let word = |name: &str| text(reaction.get(name));
    if word("action") != "react" {
        return None;
    }
    let shown = [word("emoji"), word("reaction")].into_iter().find(|word| !word.is_empty())?;
    let mid = id(reaction.get("mid"))?;
    let id = format!("reaction {} {mid}", at.timestamp_millis());
    Some(Delivery::Message { id, text: format!("[reaction {shown}]") })
}

/// What the person meant to write. An edit without a number is none.
fn read_edit(edit: &Value) -> Option<Delivery> {
    let number = integer(edit.get("num_edit")).filter(|number| *number > 0)?;
    let text = text(edit.get("text"));
    let mid = id(edit.get("mid"))?;
    (!text.trim().is_empty())
        .then(|| Delivery::Message { id: format!("edit {number} {mid}"), text })
}
