//! Webhooks of the gateway, as WAHA writes and signs them.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha512;

use super::{
    account,
    journal::{Direction, Entry},
    news::News,
    people::PICTURE,
    pushes::Webhook,
    world::World,
};

const OUR_CHAT: &str = "15550783881@c.us";

pub(super) fn message_id(entry: &Entry) -> String {
    let from_us = entry.direction == Direction::ToPerson;
    format!("{from_us}_{}_{:016X}", chat(entry), entry.message_id.unwrap_or_default())
}

pub(super) fn webhook(world: &World, entry: &Entry, news: News) -> Option<Webhook> {
    let now = world.now();
    let body = body(news, entry, &world.account(&entry.channel)?, now);
    let request = format!("{}-{}", news.name(), entry.message_id.unwrap_or_default());
    let headers = vec![
        ("X-Webhook-Hmac", signature(&entry.channel, &body)),
        ("X-Webhook-Hmac-Algorithm", "sha512".to_owned()),
        ("X-Webhook-Timestamp", now.timestamp_millis().to_string()),
        ("X-Webhook-Request-Id", request),
    ];
    Some(Webhook { headers, body })
}

fn body(news: News, entry: &Entry, session: &str, now: DateTime<Utc>) -> Vec<u8> {
    let from_us = entry.direction == Direction::ToPerson;
    let (chat, id) = (chat(entry), message_id(entry));
    let ack = |ack: i32, name: &str| {
        let payload = json!({
            "id": id, "from": chat, "to": OUR_CHAT, "participant": null, "fromMe": true,
            "ack": ack, "ackName": name,
        });
        ("message.ack", payload)
    };
    let (event, payload) = match news {
        News::Message | News::Echo => {
            let (from, to) = if from_us { (OUR_CHAT, &*chat) } else { (&*chat, OUR_CHAT) };
            let mut payload = json!({
                "id": id, "timestamp": entry.at_ms / 1_000, "from": from, "fromMe": from_us,
                "to": to, "body": entry.text, "hasMedia": false, "source": "app",
            });
            if from_us {
                payload["source"] = json!("api");
            }
            if entry.text == PICTURE {
                payload["body"] = json!("");
                payload["hasMedia"] = json!(true);
                payload["media"] = json!({ "url": null, "mimetype": "image/jpeg" });
            }
            (if from_us { "message.any" } else { "message" }, payload)
        }
        News::Failed => ack(-1, "ERROR"),
        News::Sent => ack(1, "SERVER"),
        News::Delivered => ack(2, "DEVICE"),
        News::Read => ack(3, "READ"),
    };
    let body = json!({
        "id": format!("evt_{}_{}", news.name(), entry.message_id.unwrap_or_default()),
        "timestamp": now.timestamp_millis(),
        "event": event,
        "session": session,
        "me": { "id": OUR_CHAT, "pushName": "Rehearsal" },
        "payload": payload,
        "engine": "GOWS",
        "environment": { "version": "2026.6.1", "engine": "GOWS", "tier": "CORE" },
    });
    body.to_string().into_bytes()
}

/// The header that proves a body.
fn signature(channel: &str, body: &[u8]) -> String {
    let key = account::secret(channel, "webhookKey");
    let mac = Hmac::<Sha512>::new_from_slice(key.reveal().as_bytes())
        .expect("HMAC takes a key of any length")
        .chain_update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn chat(entry: &Entry) -> String {
    format!("{}@c.us", entry.address.trim_start_matches('+'))
}
