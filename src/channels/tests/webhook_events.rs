//! What is read out of webhooks, and what is passed over.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    odd::json_of,
    webhooks::{message, read, waba, waha},
};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, DeliveryState, Received, TypedByHand},
    kind::ChannelKind,
};

fn of_waba(message: &Value) -> Vec<Received> {
    read(ChannelKind::Waba, waba(&json!({ "messages": [message] })).to_string().as_bytes()).unwrap()
}

fn of_waha(event: &str, payload: &Value) -> Vec<Received> {
    read(ChannelKind::WhatsappWeb, waha(event, payload).to_string().as_bytes()).unwrap()
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

/// By what the people of these are known, the peer first.
fn all_names(received: &[Received]) -> Vec<&str> {
    let names = received.iter().flat_map(|one| [&one.peer].into_iter().chain(&one.also_known_as));
    names.map(Address::as_str).collect()
}

#[test]
fn a_person_is_known_by_the_phone_or_by_what_stands_for_it() {
    let text = json!({ "id": "wamid.1", "type": "text", "text": { "body": "a" } });
    let hidden = "DE.13491208655302741918";
    let (phone, parent) = ("+79123450001", "DE.ENT.11815799212886844830");
    let contact = json!({ "user_id": hidden, "wa_id": "79123450001" });
    for (fields, contacts, names) in [
        (
            json!({ "from": "79123450001", "from_user_id": hidden, "from_parent_user_id": parent }),
            json!([]),
            &[phone, hidden, parent][..],
        ),
        (json!({ "from_user_id": hidden }), json!([]), &[hidden]),
        (json!({}), json!([{ "user_id": hidden }]), &[hidden]),
        (json!({}), json!([contact]), &[phone, hidden]),
        (json!({ "from": "" }), json!([{ "user_id": hidden }]), &[hidden]),
        // Of several contacts the one that is named alike.
        (json!({ "from": "79123450001" }), json!([{ "wa_id": "1" }, contact]), &[phone, hidden]),
        (json!({ "from_user_id": hidden }), json!([contact, 5, null]), &[phone, hidden]),
        (json!({ "from": "79123450002" }), json!([contact]), &["+79123450002"]),
        // Of two contacts nobody says whose the message is.
        (json!({}), json!([{ "user_id": hidden }, { "user_id": hidden }]), &[]),
        (json!({ "from_user_id": "nonsense" }), json!([]), &[]),
        (json!({ "from": 5 }), json!(null), &[]),
        (json!({ "from": "79123450001", "group_id": "Y2FwaV9ncm91cDo" }), json!([]), &[]),
        (json!({ "from": "5215555123451" }), json!([]), &["+5215555123451", "+525555123451"]),
    ] {
        let mut event = text.clone();
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let body = waba(&json!({ "messages": [event], "contacts": contacts })).to_string();
        let received = read(ChannelKind::Waba, body.as_bytes()).unwrap();
        assert_eq!(all_names(&received), names, "{fields} {contacts}");
    }
}

#[test]
fn who_has_another_number_or_another_id_is_told_with_what_they_had_before() {
    let (old, new) = ("US.13491208655302741918", "US.24817305912873645029");
    let number = json!({
        "type": "user_changed_number", "wa_id": "12195555358", "user_id": new, "previous_user_id": old,
        "body": "User A changed from 16505551234 to 12195555358",
    });
    let id = json!({ "type": "user_changed_user_id", "user_id": new, "previous_user_id": old });
    let with = |system: &Value, changes: Value| {
        let mut system = system.clone();
        system.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        system
    };
    let parents = json!({ "parent_user_id": "US.ENT.2", "previous_parent_user_id": "US.ENT.1" });
    for (system, from, names) in [
        (number.clone(), "16505551234", &["+12195555358", new, "+16505551234", old][..]),
        (
            with(&number, json!({ "type": "customer_changed_number" })),
            "",
            &["+12195555358", new, old],
        ),
        (id.clone(), "", &[new, old]),
        (with(&id, parents), "", &[new, "US.ENT.2", old, "US.ENT.1"]),
        // An older form tells no more than the new one.
        (with(&id, json!({ "previous_user_id": null })), "", &[new]),
        // Who they are now is not told.
        (json!({ "type": "user_changed_user_id", "previous_user_id": old }), "16505551234", &[]),
        (with(&id, json!({ "user_id": 5 })), "", &[]),
        (with(&id, json!({ "type": "customer_identity_changed" })), "16505551234", &[]),
        (json!("changed"), "16505551234", &[]),
    ] {
        let event = json!({
            "id": "wamid.1", "from": from, "timestamp": "1750269342", "type": "system", "system": system,
        });
        let received = of_waba(&event);
        assert!(received.iter().all(|one| one.what == Delivery::Moved && one.at.is_some()));
        assert_eq!(all_names(&received), names, "{event}");
        let mut of_group = event;
        of_group["group_id"] = json!("Y2FwaV9ncm91cDo");
        assert_eq!(of_waba(&of_group), [], "{of_group}");
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
                typed_by_hand: TypedByHand::Yes,
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
    let echo = |typed_by_hand| {
        let what = Delivery::Echo {
            id: "true_79123450001@c.us_A1".to_owned(),
            reference: None,
            text: "Hi".to_owned(),
            typed_by_hand,
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
        ("message.any", ours("api"), echo(TypedByHand::Untold)),
        ("message.any", ours("app"), echo(TypedByHand::Yes)),
        ("message.any", ours("?"), echo(TypedByHand::Untold)),
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
    let told = |data: &Value| all_names(&of_waha("message", &with(data.clone()))).join(" ");
    for (data, names) in [
        (
            json!({ "from": "12345678901@lid", "_data": { "key": { "remoteJidAlt": "79123450001@s.whatsapp.net" } } }),
            "+79123450001 12345678901@lid",
        ),
        (
            json!({ "_data": { "Info": { "SenderAlt": "12345678901@lid" } } }),
            "+79123450001 12345678901@lid",
        ),
        (json!({ "_data": { "Info": { "RecipientAlt": "79999999999@c.us" } } }), "+79123450001"),
        (json!({ "from": "5491123456781@c.us" }), "+5491123456781 +541123456781"),
    ] {
        assert_eq!(told(&data), names, "{data}");
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

/// Any value, of keys and words that the providers use.
fn anything() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "id",
        "from",
        "to",
        "type",
        "text",
        "body",
        "image",
        "caption",
        "edit",
        "message",
        "status",
        "failed",
        "errors",
        "code",
        "contacts",
        "user_id",
        "wa_id",
        "fromMe",
        "ack",
        "hasMedia",
        "media",
        "mimetype",
        "_data",
        "key",
        "Info",
        "SenderAlt",
        "79123450001",
        "1@lid",
        "true_",
        "79123450001@c.us",
        "\u{0}",
        "",
    ];
    json_of(WORDS)
}

proptest! {
    #[test]
    fn no_event_keeps_the_others_of_its_batch_from_being_read(odd in anything()) {
        let sound = json!({
            "id": "wamid.1", "from": "79123450001", "type": "text", "text": { "body": "Hi" },
        });
        let batch = waba(&json!({
            "messages": [odd, sound], "statuses": [odd], "message_echoes": odd, "contacts": odd,
        }));
        let received = read(ChannelKind::Waba, batch.to_string().as_bytes()).unwrap();
        prop_assert!(received.iter().any(|received| received.what == message("wamid.1", "Hi")));
        for event in ["message", "message.any", "message.ack", "session.status"] {
            for received in of_waha(event, &odd) {
                prop_assert!(!received.peer.as_str().is_empty());
            }
        }
    }
}
