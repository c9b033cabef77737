//! Webhooks as Meta and WAHA write and sign them.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use nuncio::rehearsal::Rehearsal;
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

use super::{NUMBER, now};

/// One webhook, to be brought as often as a test likes.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) channel: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Hook {
    pub(super) fn with_body(&self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self.clone() }
    }

    pub(super) fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut hook = self.without_header(name);
        hook.headers.push((name, value.to_owned()));
        hook
    }

    pub(super) fn without_header(&self, name: &str) -> Self {
        let mut hook = self.clone();
        hook.headers.retain(|(known, _)| *known != name);
        hook
    }
}

/// Any body, signed as Meta signs it for the channel.
pub(super) fn signed_by_meta(channel: &'static str, body: &[u8]) -> Hook {
    let key = Rehearsal::secret(channel, "appSecret");
    let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()).unwrap().chain_update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    Hook { channel, headers: vec![("x-hub-signature-256", signature)], body: body.to_vec() }
}

/// Any body, signed as WAHA signs it for `gate`.
pub(super) fn signed_by_waha(body: &[u8], at: DateTime<Utc>) -> Hook {
    let key = Rehearsal::secret("gate", "webhookKey");
    let mac = Hmac::<Sha512>::new_from_slice(key.reveal().as_bytes()).unwrap().chain_update(body);
    let headers = vec![
        ("x-webhook-hmac", hex::encode(mac.finalize().into_bytes())),
        ("x-webhook-hmac-algorithm", "sha512".to_owned()),
        ("x-webhook-timestamp", at.timestamp_millis().to_string()),
    ];
    Hook { channel: "gate", headers, body: body.to_vec() }
}

fn digits(peer: &str) -> &str {
    peer.trim_start_matches('+')
}

fn envelope(list: &str, events: &[Value]) -> Value {
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550783881", "phone_number_id": NUMBER },
        list: events,
    });
    json!({
        "object": "whatsapp_business_account",
        "entry": [{ "id": "102290129340398", "changes": [{ "field": "messages", "value": value }] }],
    })
}

/// Messages of people, in one batch: peer, id, text, second.
pub(super) fn batch(channel: &'static str, messages: &[(&str, &str, &str, i64)]) -> Hook {
    let messages: Vec<Value> = messages
        .iter()
        .map(|(peer, id, text, second)| {
            json!({
                "from": digits(peer), "id": id, "timestamp": second.to_string(),
                "type": "text", "text": { "body": text },
            })
        })
        .collect();
    signed_by_meta(channel, envelope("messages", &messages).to_string().as_bytes())
}

/// A message with the names that an event has for its person.
pub(super) fn cloud_event(named: &Value, text: &str, second: i64) -> Hook {
    let mut message = json!({
        "timestamp": second.to_string(), "type": "text", "text": { "body": text },
    });
    message.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
    signed_by_meta("cloud", envelope("messages", &[message]).to_string().as_bytes())
}

pub(super) fn cloud_message(peer: &str, id: &str, text: &str, second: i64) -> Hook {
    batch("cloud", &[(peer, id, text, second)])
}

/// WhatsApp's own word that a person has another number or another id.
pub(super) fn cloud_move(from: &str, system: &Value, second: i64) -> Hook {
    let message = json!({
        "from": from, "id": format!("wamid.moved-{second}"), "timestamp": second.to_string(),
        "type": "system", "system": system,
    });
    signed_by_meta("cloud", envelope("messages", &[message]).to_string().as_bytes())
}

/// Typed in the phone's app.
pub(super) fn cloud_echo(peer: &str, id: &str, text: &str) -> Hook {
    let echo = json!({
        "from": "15550783881", "to": digits(peer), "id": id,
        "timestamp": now().timestamp().to_string(), "type": "text", "text": { "body": text },
    });
    signed_by_meta("cloud", envelope("message_echoes", &[echo]).to_string().as_bytes())
}

pub(super) fn cloud_status(peer: &str, id: &str, state: &str, reference: Option<&str>) -> Hook {
    let mut status = json!({
        "id": id, "status": state, "timestamp": now().timestamp().to_string(),
        "recipient_id": digits(peer),
    });
    if let Some(reference) = reference {
        status["biz_opaque_callback_data"] = json!(reference);
    }
    if state == "failed" {
        status["errors"] = json!([{ "code": 131_026, "title": "Message undeliverable" }]);
    }
    signed_by_meta("cloud", envelope("statuses", &[status]).to_string().as_bytes())
}

fn event(name: &str, payload: &Value, at: DateTime<Utc>) -> Hook {
    let body = json!({
        "id": format!("evt_{name}"), "timestamp": at.timestamp_millis(), "event": name,
        "session": "default", "payload": payload, "engine": "GOWS",
    });
    signed_by_waha(body.to_string().as_bytes(), at)
}

fn gate_payload(peer: &str, id: &str, text: &str, second: i64) -> Value {
    let chat = format!("{}@c.us", digits(peer));
    json!({
        "id": format!("false_{chat}_{id}"), "timestamp": second, "from": chat, "fromMe": false,
        "to": "15550783881@c.us", "body": text, "hasMedia": false, "source": "app",
    })
}

pub(super) fn gate_message(peer: &str, id: &str, text: &str, second: i64) -> Hook {
    event("message", &gate_payload(peer, id, text, second), now())
}

/// A message of a person who is known by a hidden id, with what the engine tells beside it.
pub(super) fn gate_event(hidden: &str, id: &str, text: &str, second: i64, data: &Value) -> Hook {
    let mut payload = gate_payload(hidden, id, text, second);
    payload["id"] = json!(format!("false_{hidden}_{id}"));
    payload["from"] = json!(hidden);
    payload["_data"] = data.clone();
    event("message", &payload, now())
}

/// The same as [`gate_message`], signed at another time.
pub(super) fn gate_message_at(peer: &str, id: &str, text: &str, at: DateTime<Utc>) -> Hook {
    event("message", &gate_payload(peer, id, text, at.timestamp()), at)
}

/// A message of our own account: by hand in the `app`, or through the `api`.
pub(super) fn gate_echo(peer: &str, id: &str, text: &str, source: &str) -> Hook {
    let chat = format!("{}@c.us", digits(peer));
    let payload = json!({
        "id": id, "timestamp": now().timestamp(), "from": "15550783881@c.us", "fromMe": true,
        "to": chat, "body": text, "hasMedia": false, "source": source,
    });
    event("message.any", &payload, now())
}

pub(super) fn gate_ack(peer: &str, id: &str, ack: i32) -> Hook {
    let chat = format!("{}@c.us", digits(peer));
    let payload = json!({
        "id": id, "from": chat, "to": "15550783881@c.us", "fromMe": true, "ack": ack,
    });
    event("message.ack", &payload, now())
}
