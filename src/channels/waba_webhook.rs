//! Webhooks of the WhatsApp Cloud API: messages and statuses, in batches.

use serde::Deserialize;
use serde_json::Value;

use super::{
    reading::{id, integer, phone, seconds, text, with_media},
    waba::{Waba, reason_of},
    webhook::{Digest, WebhookHeaders, WebhookRefused, same, verify},
};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, DeliveryState, Received},
};

/// Meta's challenges are numbers of ten digits. What is answered is shown to whoever asked, so it
/// is nothing but letters and digits.
const CHALLENGE_BYTES_MAX: usize = 256;

/// A country's two letters, a dot and up to 128 letters and digits.
const USER_ID_BYTES_MAX: usize = 160;

#[derive(Deserialize)]
struct Webhook {
    #[serde(default)]
    entry: Vec<Value>,
}

impl Waba {
    pub(super) fn read_webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
    ) -> Result<Vec<Received>, WebhookRefused> {
        let secret = self.app_secret.as_ref().ok_or(WebhookRefused::NotConfigured)?;
        let signature =
            headers.get("x-hub-signature-256").ok_or(WebhookRefused::SignatureMissing)?;
        let digits = signature.strip_prefix("sha256=").ok_or(WebhookRefused::SignatureWrong)?;
        verify(Digest::Sha256, secret, body, digits)?;
        let Webhook { entry } =
            serde_json::from_slice(body).map_err(|_| WebhookRefused::Unreadable)?;
        let changes = entry.iter().flat_map(|entry| list(entry, "changes"));
        // One application may serve many numbers; each is a channel of its own.
        let ours = changes.filter(|change| {
            let number = change.pointer("/value/metadata/phone_number_id");
            id(number).as_deref() == Some(self.phone_number_id.as_str())
        });
        Ok(ours.flat_map(read_change).collect())
    }

    pub(super) fn answer_challenge(&self, query: &[(String, String)]) -> Option<String> {
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let challenge = get("hub.challenge")?;
        let genuine = get("hub.mode")? == "subscribe"
            && same(self.verify_token.as_ref()?, get("hub.verify_token")?);
        let sound = (1..=CHALLENGE_BYTES_MAX).contains(&challenge.len())
            && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (genuine && sound).then(|| challenge.clone())
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn read_change(change: &Value) -> Vec<Received> {
    let Some(value) = change.get("value") else { return Vec::new() };
    let contacts = list(value, "contacts");
    let messages = list(value, "messages").iter().filter_map(|message| {
        let peer = person(message, "from", "from_user_id", contacts)?;
        read_message(message, peer)
    });
    // Typed in the phone's app, where a number is used by both.
    let echoes = list(value, "message_echoes").iter().filter_map(|message| {
        let peer = person(message, "to", "to_user_id", contacts)?;
        read_echo(message, peer)
    });
    let statuses = list(value, "statuses").iter().filter_map(|status| {
        let peer = person(status, "recipient_id", "recipient_user_id", contacts)?;
        read_status(status, peer)
    });
    messages.chain(echoes).chain(statuses).collect()
}

/// By the phone; a person who hides it, by the id that stands for it. A group is nobody.
fn person(event: &Value, by_phone: &str, by_id: &str, contacts: &[Value]) -> Option<Address> {
    if event.get("group_id").is_some_and(|group| !group.is_null()) {
        return None;
    }
    let word =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    // One contact can only be the one of the event; of several nobody knows whose it is.
    let contact = match contacts {
        [contact] => Some(contact),
        _ => None,
    };
    word(event, by_phone).as_deref().and_then(phone).or_else(|| {
        let contact_phone = contact.and_then(|contact| phone(&word(contact, "wa_id")?));
        let user_id = || word(event, by_id).or_else(|| word(contact?, "user_id"));
        contact_phone.or_else(|| user_id().and_then(user))
    })
}

fn user(id: String) -> Option<Address> {
    let sound = id.len() <= USER_ID_BYTES_MAX
        && id.split_once('.').is_some_and(|(country, rest)| country.len() == 2 && !rest.is_empty())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    sound.then(|| Address::from_stored(id))
}

fn read_message(message: &Value, peer: Address) -> Option<Received> {
    let id = id(message.get("id"))?;
    let text = said(message)?;
    let what = Delivery::Message { id, text };
    Some(Received { peer, at: seconds(message.get("timestamp")), what })
}

fn read_echo(message: &Value, peer: Address) -> Option<Received> {
    let id = id(message.get("id"))?;
    let text = said(message)?;
    let what = Delivery::Echo { id, reference: None, text, typed_by_hand: true };
    Some(Received { peer, at: seconds(message.get("timestamp")), what })
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

fn read_status(status: &Value, peer: Address) -> Option<Received> {
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
    Some(Received { peer, at: seconds(status.get("timestamp")), what })
}
