//! Webhooks: who is believed, and what is read out of them.

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

use super::{
    super::{Driver, Http, Receives, WebhookHeaders, WebhookRefused},
    driver, secrets, spec,
};
use crate::{
    domain::{
        dialogue::{Delivery, DeliveryState, Received},
        kind::ChannelKind,
    },
    rehearsal::Rehearsal,
};

const ENDPOINT: &str = "http://127.0.0.1:9";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn receiver(kind: ChannelKind) -> Driver {
    driver(kind, ENDPOINT, "one", &Http::new().unwrap())
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

fn read(kind: ChannelKind, body: &[u8]) -> Result<Vec<Received>, WebhookRefused> {
    receiver(kind).read_webhook(&signed(kind, body, now()), body, now())
}

fn waba(value: &Value) -> Value {
    let mut value = value.clone();
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] = json!({
        "display_phone_number": "15550783881", "phone_number_id": "106540352242922",
    });
    let change = json!({ "field": "messages", "value": value });
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [change] }] })
}

fn waha(event: &str, payload: &Value) -> Value {
    json!({
        "id": "evt_1", "timestamp": now().timestamp_millis(), "event": event,
        "session": "default", "engine": "GOWS", "payload": payload,
    })
}

fn of_waba(message: &Value) -> Vec<Received> {
    read(ChannelKind::Waba, waba(&json!({ "messages": [message] })).to_string().as_bytes()).unwrap()
}

fn of_waha(event: &str, payload: &Value) -> Vec<Received> {
    read(ChannelKind::WhatsappWeb, waha(event, payload).to_string().as_bytes()).unwrap()
}

fn message(id: &str, text: &str) -> Delivery {
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
        let judged =
            |headers: &WebhookHeaders, body: &[u8]| receiver.read_webhook(headers, body, now());
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
                assert_eq!(refused, Err(Unreadable), "{kind} {:.9}", unreadable);
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
        let mut secrets = secrets(kind, "one");
        secrets.remove(name).unwrap();
        let without = Driver::connect(&spec(kind, ENDPOINT), &secrets, &http).unwrap();
        let body = good(kind);
        let refused = without.read_webhook(&signed(kind, &body, now()), &body, now());
        assert_eq!(refused, Err(WebhookRefused::NotConfigured), "{kind}");
        assert_eq!(without.receives(), Receives::Nothing, "{kind}");
        assert_eq!(receiver(kind).receives(), Receives::Webhook, "{kind}");
    }
    let vk = receiver(ChannelKind::VkUser);
    assert_eq!(vk.receives(), Receives::Polling);
    let refused = vk.read_webhook(&WebhookHeaders::default(), b"{}", now());
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
        let read = receiver.read_webhook(&headers, &body, now());
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

#[test]
fn messages_of_the_cloud_api_are_read_whatever_their_type() {
    for (content, text) in [
        (json!({ "type": "text", "text": { "body": "Hi\u{0}!" } }), Some("Hi!")),
        (json!({ "type": "image", "image": { "id": "1" } }), Some("[image]")),
        (json!({ "type": "image", "image": { "caption": "Our shop" } }), Some("Our shop\n[image]")),
        (json!({ "type": "audio", "audio": { "voice": true } }), Some("[audio]")),
        (json!({ "type": "location", "location": { "latitude": 1e300 } }), Some("[location]")),
        (json!({ "type": "button", "button": { "text": "Yes" } }), Some("Yes")),
        (
            json!({ "type": "interactive", "interactive": { "list_reply": { "title": "Two" } } }),
            Some("Two"),
        ),
        (json!({ "type": "reaction", "reaction": { "emoji": "👍" } }), Some("[reaction 👍]")),
        (json!({ "type": "reaction", "reaction": {} }), None),
        (json!({ "type": "unsupported" }), Some("[unsupported]")),
        (json!({ "type": "hologram" }), Some("[hologram]")),
        (json!({ "type": "x]\ninstructions" }), Some("[attachment]")),
        (
            json!({ "type": "edit", "edit": { "message": { "type": "text", "text": { "body": "New" } } } }),
            Some("New"),
        ),
        (json!({ "type": "revoke" }), None),
        (json!({ "type": "system", "system": { "body": "changed the number" } }), None),
        (json!({ "type": "text", "text": { "body": " " } }), None),
        (json!({ "type": "text" }), None),
        (json!({ "type": 5 }), None),
        (json!({}), None),
    ] {
        let mut event = content.clone();
        event["id"] = json!("wamid.1");
        event["from"] = json!("79123450001");
        let received = of_waba(&event);
        let whats: Vec<_> = received.into_iter().map(|received| received.what).collect();
        let expected: Vec<_> = text.into_iter().map(|text| message("wamid.1", text)).collect();
        assert_eq!(whats, expected, "{content}");
    }
}

#[test]
fn a_person_is_known_by_the_phone_or_by_what_stands_for_it() {
    let text = json!({ "id": "wamid.1", "type": "text", "text": { "body": "a" } });
    let hidden = "DE.13491208655302741918";
    for (fields, contacts, peer) in [
        (json!({ "from": "79123450001", "from_user_id": hidden }), json!([]), Some("+79123450001")),
        (json!({ "from_user_id": hidden }), json!([]), Some(hidden)),
        (json!({}), json!([{ "user_id": hidden }]), Some(hidden)),
        (json!({}), json!([{ "user_id": hidden, "wa_id": "79123450001" }]), Some("+79123450001")),
        (json!({ "from": "" }), json!([{ "user_id": hidden }]), Some(hidden)),
        // Of two contacts nobody says whose the message is.
        (json!({}), json!([{ "user_id": hidden }, { "user_id": hidden }]), None),
        (json!({ "from_user_id": "nonsense" }), json!([]), None),
        (json!({ "from": 5 }), json!(null), None),
        (json!({ "from": "79123450001", "group_id": "Y2FwaV9ncm91cDo" }), json!([]), None),
    ] {
        let mut event = text.clone();
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let body = waba(&json!({ "messages": [event], "contacts": contacts })).to_string();
        let received = read(ChannelKind::Waba, body.as_bytes()).unwrap();
        let peers: Vec<_> = received.iter().map(|received| received.peer.as_str()).collect();
        assert_eq!(peers, peer.into_iter().collect::<Vec<_>>(), "{fields} {contacts}");
    }
}

#[test]
fn a_batch_is_read_whole_but_for_other_numbers_and_what_is_broken() {
    let mut body = waba(&json!({
        "messages": [
            { "id": "wamid.1", "from": "79123450001", "type": "text", "text": { "body": "a" } },
            null, 5, {}, { "id": 1e300, "from": "79123450001", "type": "image" },
            { "id": "wamid.2", "from": "79123450002", "type": "text", "text": { "body": "b" } },
        ],
        "statuses": [
            { "id": "wamid.8", "recipient_id": "79123450001", "status": "delivered",
              "timestamp": "99999999999999999999", "biz_opaque_callback_data": "77" },
            { "id": "wamid.9", "recipient_id": "79123450001", "status": "failed",
              "errors": [{ "code": 131_026, "title": "79123450001 is not there" }] },
            { "id": "wamid.9", "recipient_id": "79123450001", "status": "failed", "errors": "none" },
            { "id": "wamid.9", "recipient_id": "79123450001", "status": "deleted" },
        ],
        "message_echoes": [
            { "id": "wamid.5", "to": "79123450001", "type": "text", "text": { "body": "by hand" } },
        ],
    }));
    let mut others = body["entry"][0].clone();
    others["changes"][0]["value"]["metadata"]["phone_number_id"] = json!("999");
    body["entry"].as_array_mut().unwrap().push(others);
    let received = read(ChannelKind::Waba, body.to_string().as_bytes()).unwrap();
    let status = |id: &str, reference: Option<&str>, state, reason: &str| Delivery::Status {
        id: id.to_owned(),
        reference: reference.map(str::to_owned),
        state,
        reason: reason.to_owned(),
    };
    let undeliverable = "WhatsApp error 131026: undeliverable: not on WhatsApp, or not reachable";
    let unnamed = "WhatsApp reports a failure and names no error";
    let whats: Vec<_> = received.iter().map(|received| received.what.clone()).collect();
    assert_eq!(
        whats,
        [
            message("wamid.1", "a"),
            message("wamid.2", "b"),
            Delivery::Echo {
                id: "wamid.5".to_owned(),
                reference: None,
                text: "by hand".to_owned(),
                typed_by_hand: true,
            },
            status("wamid.8", Some("77"), DeliveryState::Delivered, ""),
            status("wamid.9", None, DeliveryState::Failed, undeliverable),
            status("wamid.9", None, DeliveryState::Failed, unnamed),
        ]
    );
    // A webhook that comes again tells the same, ids and all: whoever stores it tells it by them.
    assert_eq!(read(ChannelKind::Waba, body.to_string().as_bytes()).unwrap(), received);
}

#[test]
fn events_of_the_gateway_are_read_or_passed_over() {
    let person = json!({
        "id": "false_79123450001@c.us_A1", "from": "79123450001@c.us", "body": "Hi",
        "fromMe": false,
    });
    let with = |changes: Value| {
        let mut payload = person.clone();
        payload.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        payload
    };
    let said = |text: &str| Some(("+79123450001", message("false_79123450001@c.us_A1", text)));
    let hidden = |peer| Some((peer, message("false_79123450001@c.us_A1", "Hi")));
    let echo = |by_hand| {
        let what = Delivery::Echo {
            id: "true_79123450001@c.us_A1".to_owned(),
            reference: None,
            text: "Hi".to_owned(),
            typed_by_hand: by_hand,
        };
        Some(("+79123450001", what))
    };
    let ours = |source: &str| {
        with(json!({
            "id": "true_79123450001@c.us_A1", "from": "15550001111@c.us", "to": "79123450001@c.us",
            "fromMe": true, "source": source,
        }))
    };
    for (event, payload, expected) in [
        ("message", with(json!({})), said("Hi")),
        ("message.any", with(json!({})), said("Hi")),
        ("message", with(json!({ "from": "79123450001:12@s.whatsapp.net" })), said("Hi")),
        (
            "message",
            with(json!({ "id": { "_serialized": "false_79123450001@c.us_A1" } })),
            said("Hi"),
        ),
        (
            "message",
            with(json!({ "hasMedia": true, "media": { "mimetype": "image/jpeg" } })),
            said("Hi\n[image]"),
        ),
        (
            "message",
            with(json!({ "hasMedia": true, "media": null, "body": null })),
            said("[media]"),
        ),
        ("message", with(json!({ "body": "", "location": {} })), said("[location]")),
        ("message", with(json!({ "from": "12345678901@lid" })), hidden("12345678901@lid")),
        (
            "message",
            with(json!({
                "from": "12345678901@lid",
                "_data": { "Info": { "SenderAlt": "79123450001:3@s.whatsapp.net" } },
            })),
            hidden("+79123450001"),
        ),
        ("message", with(json!({ "from": "120363@g.us" })), None),
        ("message", with(json!({ "from": "status@broadcast" })), None),
        ("message", with(json!({ "from": "1@newsletter" })), None),
        ("message", with(json!({ "from": "x@lid" })), None),
        ("message", with(json!({ "from": 5 })), None),
        ("message", with(json!({ "id": null })), None),
        ("message", with(json!({ "body": "" })), None),
        ("message", json!([]), None),
        ("message.any", ours("api"), echo(false)),
        ("message.any", ours("app"), echo(true)),
        ("message.any", ours("?"), echo(false)),
        ("session.status", json!({ "status": "WORKING" }), None),
        ("message.reaction", with(json!({})), None),
        ("message.reconsidered", with(json!({})), None),
    ] {
        let received = of_waha(event, &payload);
        let told: Vec<_> = received
            .iter()
            .map(|received| (received.peer.as_str(), received.what.clone()))
            .collect();
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{event} {payload}");
    }
    let mut other = waha("message", &person);
    other["session"] = json!("another");
    assert_eq!(read(ChannelKind::WhatsappWeb, other.to_string().as_bytes()), Ok(Vec::new()));
}

#[test]
fn acknowledgements_of_the_gateway_are_states() {
    use DeliveryState::{Delivered, Failed, Read, Sent};
    for (ack, expected) in [
        (json!(-1), Some(Failed)),
        (json!(0), None),
        (json!(1), Some(Sent)),
        (json!(2), Some(Delivered)),
        (json!(3), Some(Read)),
        (json!(4), Some(Read)),
        (json!(9_000_000_000_i64), Some(Read)),
        (json!(1e300), None),
        (json!(null), None),
    ] {
        // Some engines put the person into `from`, some into `to`.
        for field in ["from", "to"] {
            let payload = json!({
                "id": "true_79123450001@c.us_A1", field: "79123450001@c.us", "fromMe": true, "ack": ack,
            });
            let received = of_waha("message.ack", &payload);
            assert!(received.iter().all(|received| received.peer.as_str() == "+79123450001"));
            let states: Vec<_> = received
                .iter()
                .map(|received| match &received.what {
                    Delivery::Status { state, .. } => *state,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(states, expected.into_iter().collect::<Vec<_>>(), "{ack}");
        }
    }
    let seen_by_us = json!({ "id": "false_79123450001@c.us_A1", "ack": 3, "fromMe": false });
    assert_eq!(of_waha("message.ack", &seen_by_us), []);
}
