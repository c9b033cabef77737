//! Webhooks: who is believed. What is read out of them is in `webhook_events`.

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

use super::{
    super::{Driver, Http, Receives, Webhook, WebhookHeaders, WebhookRefused},
    subject::{SUBJECTS, Subject},
};
use crate::{
    domain::{
        dialogue::{Delivery, Received},
        kind::ChannelKind,
    },
    rehearsal::Rehearsal,
};

const ENDPOINT: &str = "http://127.0.0.1:9";

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// Made once: an HTTPS client loads all certificates of the machine.
fn receiver(kind: ChannelKind) -> &'static Driver {
    static RECEIVERS: LazyLock<Vec<(ChannelKind, Driver)>> = LazyLock::new(|| {
        let http = Http::new().unwrap();
        let made = |subject: &Subject| (subject.kind, subject.driver(ENDPOINT, "one", &http));
        SUBJECTS.iter().map(made).collect()
    });
    &RECEIVERS.iter().find(|(of, _)| *of == kind).unwrap().1
}

/// The headers of a provider that signs the body, at this time.
fn signed(kind: ChannelKind, body: &[u8], at: DateTime<Utc>) -> WebhookHeaders {
    let secret = |name| Rehearsal::secret("one", name);
    let pairs = if kind == ChannelKind::Waba {
        let key = secret("appSecret");
        let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()).unwrap();
        let digits = hex::encode(mac.chain_update(body).finalize().into_bytes());
        vec![("X-Hub-Signature-256", format!("sha256={digits}"))]
    } else {
        let key = secret("webhookKey");
        let mac = Hmac::<Sha512>::new_from_slice(key.reveal().as_bytes()).unwrap();
        vec![
            ("X-Webhook-Hmac", hex::encode(mac.chain_update(body).finalize().into_bytes())),
            ("X-Webhook-Hmac-Algorithm", "sha512".to_owned()),
            ("X-Webhook-Timestamp", at.timestamp_millis().to_string()),
        ]
    };
    pairs.into_iter().collect()
}

fn judge(
    driver: &Driver,
    headers: &WebhookHeaders,
    body: &[u8],
) -> Result<Vec<Received>, WebhookRefused> {
    let webhook = Webhook { headers, token: None, body, at: now() };
    driver.read_webhook(&webhook).map(|brought| brought.received)
}

pub(super) fn read(kind: ChannelKind, body: &[u8]) -> Result<Vec<Received>, WebhookRefused> {
    judge(receiver(kind), &signed(kind, body, now()), body)
}

pub(super) fn waba(value: &Value) -> Value {
    let mut value = value.clone();
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] = json!({
        "display_phone_number": "15550783881", "phone_number_id": "106540352242922",
    });
    let change = json!({ "field": "messages", "value": value });
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [change] }] })
}

pub(super) fn waha(event: &str, payload: &Value) -> Value {
    json!({
        "id": "evt_1", "timestamp": now().timestamp_millis(), "event": event,
        "session": "default", "engine": "GOWS", "payload": payload,
    })
}

pub(super) fn message(id: &str, text: &str) -> Delivery {
    Delivery::Message { id: id.to_owned(), text: text.to_owned() }
}

/// A message in each provider's form, with words that a careless reader would write otherwise.
fn good(kind: ChannelKind) -> Vec<u8> {
    let body = if kind == ChannelKind::Waba {
        waba(&json!({ "messages": [{
            "id": "wamid.1", "from": "79123450001", "timestamp": "1790000000", "type": "text",
            "text": { "body": "Привет" },
        }] }))
    } else {
        waha(
            "message",
            &json!({
                "id": "false_79123450001@c.us_A1", "from": "79123450001@c.us", "to": "1@c.us",
                "fromMe": false, "timestamp": 1_790_000_000, "body": "Привет", "hasMedia": false,
            }),
        )
    };
    // As Meta does: escaped, so that it is not what a serialiser would write again.
    body.to_string().replace("Привет", r"\u041f\u0440\u0438\u0432\u0435\u0442").into_bytes()
}

const SIGNING: [ChannelKind; 2] = [ChannelKind::Waba, ChannelKind::WhatsappWeb];

#[test]
fn only_the_providers_own_bytes_are_believed() {
    use WebhookRefused::{SignatureMissing, SignatureWrong, Unreadable};
    for kind in SIGNING {
        let body = good(kind);
        let received = read(kind, &body).unwrap();
        let id = if kind == ChannelKind::Waba { "wamid.1" } else { "false_79123450001@c.us_A1" };
        assert_eq!(received[0].what, message(id, "Привет"), "{kind}");
        assert_eq!(received[0].peer.as_str(), "+79123450001", "{kind}");
        assert_eq!(received[0].at, Some(now()), "{kind}");

        let receiver = receiver(kind);
        let judged = |headers: &WebhookHeaders, body: &[u8]| judge(receiver, headers, body);
        let rewritten = serde_json::from_slice::<Value>(&body).unwrap().to_string().into_bytes();
        let other = signed(kind, b"something else", now());
        assert_eq!(judged(&signed(kind, &body, now()), &rewritten), Err(SignatureWrong), "{kind}");
        assert_eq!(judged(&other, &body), Err(SignatureWrong), "{kind}");
        assert_eq!(judged(&WebhookHeaders::default(), &body), Err(SignatureMissing), "{kind}");
        let name = if kind == ChannelKind::Waba { "X-Hub-Signature-256" } else { "X-Webhook-Hmac" };
        for nonsense in ["", "sha256=", "sha256=zz", "sha1=00", "00", "\u{fffd}"] {
            let headers = [(name, nonsense)].into_iter().collect();
            assert_eq!(judged(&headers, &body), Err(SignatureWrong), "{kind} {nonsense}");
        }

        let deep = "[".repeat(100_000);
        for unreadable in ["", "<html>", "{", "\"a\u{0}", &deep, "{\"entry\":5}", "[1e999]"] {
            let at = signed(kind, unreadable.as_bytes(), now());
            let refused = judged(&at, unreadable.as_bytes());
            let time_is_missing = kind == ChannelKind::WhatsappWeb && unreadable == "{\"entry\":5}";
            if !time_is_missing {
                assert_eq!(refused, Err(Unreadable), "{kind} {unreadable:.9}");
            }
        }
        for odd in
            ["{}", "[]", "null", "5", "{\"entry\":[]}", "{\"entry\":[{\"changes\":[1]},null]}"]
        {
            let received = judged(&signed(kind, odd.as_bytes(), now()), odd.as_bytes());
            let none = received.is_ok_and(|received| received.is_empty());
            let shape = kind == ChannelKind::Waba && !odd.starts_with('{');
            assert!(none || shape, "{kind} {odd}");
        }
    }
}

#[test]
fn a_channel_without_its_secret_believes_nobody() {
    let http = Http::new().unwrap();
    for (kind, name) in [(ChannelKind::Waba, "appSecret"), (ChannelKind::WhatsappWeb, "webhookKey")]
    {
        let subject = Subject::of(kind.as_str());
        let mut secrets = subject.secrets("one");
        secrets.remove(name).unwrap();
        let without = Driver::connect(&subject.spec(ENDPOINT), &secrets, &http).unwrap();
        let body = good(kind);
        let refused = judge(&without, &signed(kind, &body, now()), &body);
        assert_eq!(refused, Err(WebhookRefused::NotConfigured), "{kind}");
        assert_eq!(without.receives(), Receives::Nothing, "{kind}");
        assert_eq!(receiver(kind).receives(), Receives::Webhook, "{kind}");
    }
    let vk = receiver(ChannelKind::VkUser);
    assert_eq!(vk.receives(), Receives::Polling);
    let refused = judge(vk, &WebhookHeaders::default(), b"{}");
    assert_eq!(refused, Err(WebhookRefused::NotConfigured));
}

#[test]
fn a_replay_of_the_gateway_is_refused_after_five_minutes() {
    let kind = ChannelKind::WhatsappWeb;
    let receiver = receiver(kind);
    let body_at = |at: Option<DateTime<Utc>>| {
        let mut body = waha("session.status", &json!({ "status": "WORKING" }));
        body["timestamp"] = at.map_or(Value::Null, |at| json!(at.timestamp_millis()));
        if at.is_none() {
            body.as_object_mut().unwrap().remove("timestamp");
        }
        body.to_string().into_bytes()
    };
    let ago = |seconds| now() - TimeDelta::seconds(seconds);
    for (signed_at, header_at, fine) in [
        (Some(ago(0)), Some(ago(0)), true),
        (Some(ago(300)), Some(ago(299)), true),
        (Some(ago(-300)), Some(ago(0)), true),
        (None, Some(ago(10)), true),
        (Some(ago(10)), None, true),
        (Some(ago(301)), Some(ago(301)), false),
        // The header is not signed, so a fresh one makes nothing younger.
        (Some(ago(301)), Some(ago(0)), false),
        (Some(ago(0)), Some(ago(301)), false),
        (Some(ago(-301)), Some(ago(0)), false),
        (None, Some(ago(301)), false),
        (None, None, false),
    ] {
        let body = body_at(signed_at);
        let mut headers = signed(kind, &body, header_at.unwrap_or_default());
        if header_at.is_none() {
            headers = without_time(kind, &body);
        }
        let read = judge(receiver, &headers, &body);
        let expected = if fine { Ok(Vec::new()) } else { Err(WebhookRefused::TooOld) };
        assert_eq!(read, expected, "{signed_at:?} {header_at:?}");
    }
}

fn without_time(kind: ChannelKind, body: &[u8]) -> WebhookHeaders {
    let all = signed(kind, body, now());
    [("X-Webhook-Hmac", all.get("x-webhook-hmac").unwrap())].into_iter().collect()
}

#[test]
fn the_challenge_is_answered_to_who_knows_the_token() {
    let token = Rehearsal::secret("one", "verifyToken").reveal().to_owned();
    let waba = receiver(ChannelKind::Waba);
    let ask = |mode: &str, token: &str, challenge: &str| {
        let pairs = [("hub.mode", mode), ("hub.verify_token", token), ("hub.challenge", challenge)];
        let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        waba.answer_challenge(&query)
    };
    assert_eq!(ask("subscribe", &token, "1158201444"), Some("1158201444".to_owned()));
    for (mode, token, challenge) in [
        ("subscribe", "", "1"),
        ("subscribe", "wrong", "1"),
        ("unsubscribe", &token, "1"),
        ("subscribe", &token, ""),
        ("subscribe", &token, "<script>"),
        ("subscribe", &token, &"1".repeat(257)),
    ] {
        assert_eq!(ask(mode, token, challenge), None, "{mode} {challenge:.9}");
    }
    assert_eq!(waba.answer_challenge(&[]), None);
    assert_eq!(receiver(ChannelKind::WhatsappWeb).answer_challenge(&[]), None);
}
