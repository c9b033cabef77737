//! wuzapi: who is believed, and what is read out of its events.

use serde_json::{Value, json};

use super::{
    super::{Brought, Driver, Http, Receives, Webhook, WebhookHeaders, WebhookRefused},
    stage::{Stage, clock},
    subject::Subject,
};
use crate::{
    domain::{
        attempt::OutcomeClass,
        dialogue::{Delivery, DeliveryState, TypedByHand},
    },
    rehearsal::Rehearsal,
};

fn receiver() -> Driver {
    Subject::of("wuzapi").driver("http://127.0.0.1:9", "one", &Http::new().unwrap())
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields).finish().into_bytes()
}

fn judge(driver: &Driver, key: Option<&str>, body: &[u8]) -> Result<Brought, WebhookRefused> {
    let headers = WebhookHeaders::default();
    driver.read_webhook(&Webhook { headers: &headers, token: key, body, at: clock() })
}

fn secret(name: &str) -> String {
    Rehearsal::secret("one", name).reveal().to_owned()
}

fn read(told: &Value) -> Brought {
    let body = form(&[("jsonData", &told.to_string()), ("token", &secret("apiKey"))]);
    judge(&receiver(), Some(&secret("webhookKey")), &body).unwrap()
}

#[test]
fn only_who_knows_both_secrets_is_believed() {
    use WebhookRefused::{NotConfigured, SignatureMissing, SignatureWrong, Unreadable};
    let (receiver, key, token) = (receiver(), secret("webhookKey"), secret("apiKey"));
    assert_eq!(receiver.receives(), Receives::Webhook);
    let good = form(&[("jsonData", "{}"), ("token", &token)]);
    assert!(judge(&receiver, Some(&key), &good).unwrap().received.is_empty());
    for (key, body, refused) in [
        (None, good.clone(), SignatureMissing),
        (Some("x"), good.clone(), SignatureWrong),
        (Some(token.as_str()), good.clone(), SignatureWrong),
        (Some(&key), form(&[("jsonData", "{}")]), SignatureMissing),
        (Some(&key), form(&[("jsonData", "{}"), ("token", "x")]), SignatureWrong),
        // Of another account of the same gateway.
        (
            Some(&key),
            form(&[("jsonData", "{}"), ("token", Rehearsal::secret("two", "apiKey").reveal())]),
            SignatureWrong,
        ),
        (Some(&key), form(&[("token", &token)]), Unreadable),
        (Some(&key), form(&[("jsonData", "{"), ("token", &token)]), Unreadable),
        (Some(&key), b"{\"jsonData\":{}}".to_vec(), SignatureMissing),
    ] {
        assert_eq!(
            judge(&receiver, key, &body),
            Err(refused),
            "{}",
            String::from_utf8_lossy(&body)
        );
    }
    let wuzapi = Subject::of("wuzapi");
    let mut secrets = wuzapi.secrets("one");
    secrets.remove("webhookKey").unwrap();
    let spec = wuzapi.spec("http://127.0.0.1:9");
    let bare = Driver::connect(&spec, &secrets, &Http::new().unwrap()).unwrap();
    assert_eq!(bare.receives(), Receives::Nothing);
    assert_eq!(judge(&bare, Some(&key), &good), Err(NotConfigured));
}

fn told(info: &Value, message: &Value) -> Value {
    let mut whole = json!({
        "Chat": "79123450001@s.whatsapp.net", "Sender": "79123450001:12@s.whatsapp.net",
        "IsFromMe": false, "IsGroup": false, "ID": "3A01", "Timestamp": "2026-09-21T14:13:20Z",
    });
    whole.as_object_mut().unwrap().extend(info.as_object().unwrap().clone());
    json!({ "type": "Message", "event": { "Info": whole, "Message": message } })
}

#[test]
fn messages_are_read_whatever_their_type() {
    for (message, text) in [
        (json!({ "conversation": "Привет" }), Some("Привет")),
        (
            json!({ "extendedTextMessage": { "text": "See https://a.example" } }),
            Some("See https://a.example"),
        ),
        (json!({ "imageMessage": { "caption": "Our shop" } }), Some("Our shop\n[image]")),
        (json!({ "imageMessage": {} }), Some("[image]")),
        (json!({ "audioMessage": { "PTT": true } }), Some("[audio]")),
        (json!({ "locationMessage": { "degreesLatitude": 1e300 } }), Some("[location]")),
        (json!({ "contactMessage": { "vcard": "BEGIN" } }), Some("[contact]")),
        (json!({ "listResponseMessage": { "title": "Two" } }), Some("Two")),
        (
            json!({ "buttonsResponseMessage": { "Response": { "SelectedDisplayText": "Yes" } } }),
            Some("Yes"),
        ),
        (json!({ "reactionMessage": { "text": "👍" } }), Some("[reaction 👍]")),
        (json!({ "reactionMessage": { "text": "" } }), None),
        (
            json!({ "protocolMessage": { "type": 14, "editedMessage": { "conversation": "New" } } }),
            Some("New"),
        ),
        // Taken back: it was read.
        (json!({ "protocolMessage": { "type": 0, "key": {} } }), None),
        (json!({ "senderKeyDistributionMessage": {} }), None),
        (json!({ "conversation": null }), None),
        (json!({}), None),
        (json!(5), None),
    ] {
        let brought = read(&told(&json!({}), &message));
        let whats: Vec<_> = brought.received.iter().map(|received| received.what.clone()).collect();
        let expected =
            text.map(|text| Delivery::Message { id: "3A01".to_owned(), text: text.to_owned() });
        assert_eq!(whats, expected.into_iter().collect::<Vec<_>>(), "{message}");
        for received in brought.received {
            assert_eq!(received.peer.as_str(), "+79123450001");
            assert_eq!(received.at.map(|at| at.timestamp()), Some(1_790_000_000));
        }
    }
}

#[test]
fn a_person_is_known_by_all_that_is_told_of_them() {
    let hi = json!({ "conversation": "Hi" });
    for (info, people) in [
        (json!({ "Chat": "12345678901@lid" }), &["12345678901@lid"][..]),
        (
            json!({ "Chat": "12345678901@lid", "SenderAlt": "79123450001:3@s.whatsapp.net" }),
            &["+79123450001", "12345678901@lid"],
        ),
        (json!({ "SenderAlt": "12345678901@lid" }), &["+79123450001", "12345678901@lid"]),
        (json!({ "Chat": "120363@g.us", "IsGroup": true }), &[]),
        (json!({ "Chat": "status@broadcast" }), &[]),
        (json!({ "Chat": 5 }), &[]),
        (json!({ "ID": null }), &[]),
    ] {
        let known: Vec<_> = read(&told(&info, &hi))
            .received
            .iter()
            .flat_map(|one| std::iter::once(&one.peer).chain(&one.also_known_as))
            .map(ToString::to_string)
            .collect();
        assert_eq!(known, people, "{info}");
    }
}

#[test]
fn what_another_device_of_the_account_sends_was_typed_by_hand() {
    let ours = |id: &str| {
        let info = json!({ "IsFromMe": true, "ID": id, "Sender": "15550001111:2@s.whatsapp.net" });
        let brought = read(&told(&info, &json!({ "conversation": "Anna here" })));
        brought
            .received
            .into_iter()
            .map(|received| (received.peer.to_string(), received.what))
            .next()
    };
    let echo = |id: &str, reference: Option<&str>, typed_by_hand| {
        let what = Delivery::Echo {
            id: id.to_owned(),
            reference: reference.map(str::to_owned),
            text: "Anna here".to_owned(),
            typed_by_hand,
        };
        Some(("+79123450001".to_owned(), what))
    };
    assert_eq!(ours("3A02"), echo("3A02", None, TypedByHand::Yes));
    // By its id it may be one of this program's.
    let id = "3EB0000000012A05F200";
    assert_eq!(ours(id), echo(id, Some("5000000000"), TypedByHand::UnlessOurs));
}

#[test]
fn receipts_tell_what_became_of_our_messages() {
    let receipt = |state: &str, more: &Value| {
        let mut event = json!({
            "Chat": "79123450001@s.whatsapp.net", "Sender": "79123450001@s.whatsapp.net",
            "IsFromMe": false, "IsGroup": false, "Timestamp": "2026-09-21T14:13:20Z",
            "MessageIDs": ["3EB0000000012A05F200", "3A09", null],
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&json!({ "type": "ReadReceipt", "state": state, "event": event })).received
    };
    let status = |id: &str, reference: Option<&str>, state| Delivery::Status {
        id: id.to_owned(),
        reference: reference.map(str::to_owned),
        state,
        reason: String::new(),
    };
    for (name, state) in [("Delivered", DeliveryState::Delivered), ("Read", DeliveryState::Read)] {
        let whats: Vec<_> =
            receipt(name, &json!({})).into_iter().map(|received| received.what).collect();
        let ours = status("3EB0000000012A05F200", Some("5000000000"), state);
        assert_eq!(whats, [ours, status("3A09", None, state)]);
    }
    for (state, more) in [
        ("ReadSelf", json!({})),
        ("", json!({})),
        // Another device of ours got it.
        ("Delivered", json!({ "IsFromMe": true })),
        ("Read", json!({ "Chat": "120363@g.us", "IsGroup": true })),
        ("Read", json!({ "MessageIDs": null })),
    ] {
        assert_eq!(receipt(state, &more), [], "{state} {more}");
    }
}

#[test]
fn neither_the_token_nor_a_whole_picture_is_kept() {
    let mut picture = told(&json!({}), &json!({ "imageMessage": { "caption": "Look" } }));
    picture["base64"] = json!("/9j/4AAQSkZJRgABAQ==");
    let kept = String::from_utf8(read(&picture).kept.unwrap()).unwrap();
    assert!(kept.contains("Look"), "{kept}");
    assert!(!kept.contains("/9j/") && !kept.contains(&secret("apiKey")), "{kept}");
    for odd in [json!([]), json!(null), json!({ "type": "HistorySync", "event": {} })] {
        assert_eq!(read(&odd).received, [], "{odd}");
    }
}

#[tokio::test]
async fn the_gateway_is_told_where_webhooks_go_unless_it_knows() {
    let stage = Stage::quiet(None).await;
    let wuzapi = Subject::of("wuzapi");
    let http = Http::new().unwrap();
    let driver = wuzapi.driver(&stage.endpoint(wuzapi), "fresh", &http);
    let refused = driver.arrange(None).await.unwrap_err();
    assert_eq!(refused.class, OutcomeClass::NotSent, "it sends all the same");
    assert!(refused.reason.contains("--public-url"), "{}", refused.reason);
    driver.arrange(Some("https://chat.example/hooks/fresh")).await.unwrap();
    // It knows now, and by another way to the same place as well.
    driver.arrange(None).await.unwrap();
    driver.arrange(Some("http://10.0.0.7/hooks/fresh")).await.unwrap();
    let expired = wuzapi.driver(&stage.endpoint(wuzapi), "sales-expired", &http);
    let refused = expired.arrange(Some("https://chat.example/hooks/x")).await.unwrap_err();
    assert_eq!(refused.class, OutcomeClass::CredentialRefused);
    stage.close().await;
}
