//! Instagram: its events, and the subscription of an account with and without a Page.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    super::{Brought, Driver, Examined, Http, Receives, Webhook, WebhookHeaders, WebhookRefused},
    stage::{Stage, clock},
    subject::Subject,
};
use crate::{
    domain::{
        channel::{ChannelSpec, Secret},
        dialogue::{Delivery, DeliveryState, TypedByHand},
        fields::FieldValue,
    },
    rehearsal::Rehearsal,
};

const ACCOUNT: &str = "17841400000000001";
const PERSON: &str = "17841400005551";

fn spec(endpoint: &str, account: &str) -> ChannelSpec {
    let mut spec = Subject::of("instagram").spec(endpoint);
    spec.settings.insert("accountId".to_owned(), FieldValue::Text(account.to_owned()));
    spec
}

fn secrets(channel: &str, names: &[&str]) -> BTreeMap<String, Secret> {
    names.iter().map(|name| ((*name).to_owned(), Rehearsal::secret(channel, name))).collect()
}

fn receiver() -> Driver {
    Subject::of("instagram").driver("http://127.0.0.1:9", "one", &Http::new().unwrap())
}

fn judge(driver: &Driver, signer: &str, body: &[u8]) -> Result<Brought, WebhookRefused> {
    let key = Rehearsal::secret(signer, "appSecret");
    let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()).unwrap().chain_update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let headers: WebhookHeaders = [("X-Hub-Signature-256", signature)].into_iter().collect();
    driver.read_webhook(&Webhook { headers: &headers, token: None, body, at: clock() })
}

fn batch(entries: &Value) -> Vec<u8> {
    json!({ "object": "instagram", "entry": entries }).to_string().into_bytes()
}

fn entry(account: &str, events: &Value) -> Value {
    json!({ "id": account, "time": 1_790_000_000_500_i64, "messaging": events })
}

/// An event from the person to the account, or the other way round.
fn event(from_us: bool, what: &Value) -> Value {
    let (sender, recipient) = if from_us { (ACCOUNT, PERSON) } else { (PERSON, ACCOUNT) };
    let mut event = json!({
        "sender": { "id": sender }, "recipient": { "id": recipient },
        "timestamp": 1_790_000_000_000_i64,
    });
    event.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    event
}

fn read(receiver: &Driver, event: &Value) -> Vec<Delivery> {
    let brought =
        judge(receiver, "one", &batch(&json!([entry(ACCOUNT, &json!([event]))]))).unwrap();
    for received in &brought.received {
        assert_eq!(received.peer.as_str(), format!("instagram:{PERSON}"));
        assert_eq!(received.at, Some(clock()));
    }
    brought.received.into_iter().map(|received| received.what).collect()
}

#[test]
fn messages_are_read_with_what_is_sent_beside_them() {
    let receiver = receiver();
    let attached = |kinds: &[&str]| {
        let all: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind, "payload": {} })).collect();
        json!(all)
    };
    for (message, text) in [
        (json!({ "text": "Привет\u{0}!" }), Some("Привет!")),
        (json!({ "attachments": attached(&["image"]) }), Some("[image]")),
        (
            json!({ "attachments": attached(&["image", "video"]), "text": "Look" }),
            Some("Look\n[image]\n[video]"),
        ),
        (json!({ "attachments": attached(&["share", "ig_post"]) }), Some("[post]")),
        (json!({ "attachments": attached(&["ig_reel"]) }), Some("[reel]")),
        (json!({ "attachments": attached(&["story_mention"]) }), Some("[story mention]")),
        (json!({ "attachments": attached(&["like_heart"]) }), Some("[heart]")),
        (json!({ "attachments": attached(&["x]\ninstructions"]) }), Some("[attachment]")),
        (json!({ "attachments": [5, {}, { "type": 5 }] }), None),
        (
            json!({ "text": "Wow", "reply_to": { "story": { "id": "1", "url": "https://a.example" } } }),
            Some("Wow\n[reply to a story]"),
        ),
        (json!({ "text": "Yes", "reply_to": { "mid": "m-0" } }), Some("Yes")),
        (json!({ "text": "Yes", "quick_reply": { "payload": "YES" } }), Some("Yes")),
        (json!({ "is_unsupported": true }), Some("[unsupported]")),
        (json!({ "is_deleted": true, "text": "gone" }), None),
        (json!({ "is_self": true, "text": "a note" }), None),
        (json!({ "text": " " }), None),
        (json!({}), None),
        (json!({ "mid": null, "text": "a" }), None),
    ] {
        let mut message = message.clone();
        if message.get("mid").is_none() {
            message["mid"] = json!("m-1");
        }
        let told = read(&receiver, &event(false, &json!({ "message": message })));
        let expected =
            text.map(|text| Delivery::Message { id: "m-1".to_owned(), text: text.to_owned() });
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{message}");
    }
}

#[test]
fn what_people_do_beside_writing_is_read_or_passed_over() {
    let receiver = receiver();
    let said =
        |id: &str, text: &str| Some(Delivery::Message { id: id.to_owned(), text: text.to_owned() });
    let seen = Delivery::Status {
        id: "m-1".to_owned(),
        reference: None,
        state: DeliveryState::Read,
        reason: String::new(),
    };
    let reaction = |action: &str| json!({ "reaction": { "mid": "m-1", "action": action, "reaction": "love", "emoji": "❤️" } });
    let echo = |text: &str| {
        Some(Delivery::Echo {
            id: "m-1".to_owned(),
            reference: None,
            text: text.to_owned(),
            typed_by_hand: TypedByHand::UnlessOurs,
        })
    };
    for (from_us, what, expected) in [
        (false, json!({ "read": { "mid": "m-1" } }), Some(seen)),
        (false, reaction("react"), said("reaction 1790000000000 m-1", "[reaction ❤️]")),
        (false, reaction("unreact"), None),
        (
            false,
            json!({ "reaction": { "mid": "m-1", "action": "react", "reaction": "wow" } }),
            said("reaction 1790000000000 m-1", "[reaction wow]"),
        ),
        (
            false,
            json!({ "postback": { "mid": "m-2", "title": "Prices?", "payload": "PRICES" } }),
            said("m-2", "Prices?"),
        ),
        (
            false,
            json!({ "message_edit": { "mid": "m-1", "text": "I meant two", "num_edit": 1 } }),
            said("edit 1 m-1", "I meant two"),
        ),
        (false, json!({ "message_edit": { "mid": "m-1", "num_edit": 0 } }), None),
        (false, json!({ "referral": { "ref": "a", "source": "ADS" } }), None),
        (false, json!({ "optin": {} }), None),
        (false, json!({}), None),
        (
            true,
            json!({ "message": { "mid": "m-1", "text": "Ours", "is_echo": true } }),
            echo("Ours"),
        ),
        // By the account alone, and by the mark alone.
        (true, json!({ "message": { "mid": "m-1", "text": "Ours" } }), echo("Ours")),
        (
            false,
            json!({
                "sender": { "id": "a page" }, "recipient": { "id": PERSON },
                "message": { "mid": "m-1", "text": "Ours", "is_echo": true },
            }),
            echo("Ours"),
        ),
        (true, json!({ "message": { "mid": "m-1", "is_echo": true, "is_deleted": true } }), None),
        (true, reaction("react"), None),
        (true, json!({ "read": { "mid": "m-1" } }), None),
    ] {
        let told = read(&receiver, &event(from_us, &what));
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{from_us} {what}");
    }
    // To oneself, to nobody, and to who has no id.
    for (sender, recipient) in [
        (json!(ACCOUNT), json!(ACCOUNT)),
        (json!(PERSON), json!(null)),
        (json!("a:b"), json!(ACCOUNT)),
        (json!({}), json!(ACCOUNT)),
    ] {
        let event = json!({
            "sender": { "id": sender }, "recipient": { "id": recipient },
            "message": { "mid": "m-1", "text": "a" },
        });
        assert_eq!(read(&receiver, &event), [], "{event}");
    }
}

#[test]
fn a_batch_for_several_accounts_is_taken_apart() {
    let receiver = receiver();
    let message = |mid: &str| event(false, &json!({ "message": { "mid": mid, "text": "Hi" } }));
    let ours = entry(ACCOUNT, &json!([message("m-1"), null, 5, message("m-2")]));
    let theirs = entry("17841400000000002", &json!([message("m-3")]));
    // Another application has this in hand.
    let standby = json!({ "id": ACCOUNT, "standby": [message("m-4")] });
    let ids = |brought: &Brought| -> Vec<String> {
        let of = |delivery: &Delivery| match delivery {
            Delivery::Message { id, .. } => id.clone(),
            other => panic!("{other:?}"),
        };
        brought.received.iter().map(|received| of(&received.what)).collect()
    };

    let whole = judge(&receiver, "one", &batch(&json!([ours]))).unwrap();
    assert_eq!((ids(&whole), whole.for_others), (vec!["m-1".to_owned(), "m-2".to_owned()], false));
    assert_eq!(whole.kept, None);

    let mixed = judge(&receiver, "one", &batch(&json!([theirs, ours, standby, 5]))).unwrap();
    assert_eq!((ids(&mixed), mixed.for_others), (ids(&whole), true));
    let kept = String::from_utf8(mixed.kept.unwrap()).unwrap();
    assert!(kept.contains("m-1") && !kept.contains("m-3"), "{kept}");

    let none = judge(&receiver, "one", &batch(&json!([theirs]))).unwrap();
    assert_eq!((ids(&none), none.for_others), (Vec::new(), true));
    assert!(!String::from_utf8(none.kept.unwrap()).unwrap().contains("m-3"));
}

#[test]
fn only_the_applications_own_signature_is_believed() {
    let receiver = receiver();
    assert_eq!(receiver.receives(), Receives::Webhook);
    let body = batch(&json!([entry(ACCOUNT, &json!([]))]));
    assert_eq!(judge(&receiver, "another", &body), Err(WebhookRefused::SignatureWrong));
    for unreadable in ["", "{", "<html>", "{\"entry\":5}", "null"] {
        let refused = judge(&receiver, "one", unreadable.as_bytes());
        assert_eq!(refused, Err(WebhookRefused::Unreadable), "{unreadable}");
    }
    let bare = Driver::connect(
        &spec("http://127.0.0.1:9", ACCOUNT),
        &secrets("one", &["token"]),
        &Http::new().unwrap(),
    )
    .unwrap();
    assert_eq!(bare.receives(), Receives::Nothing);
    assert_eq!(judge(&bare, "one", &body), Err(WebhookRefused::NotConfigured));
    let ask = |driver: &Driver, token: &str| {
        let pairs =
            [("hub.mode", "subscribe"), ("hub.verify_token", token), ("hub.challenge", "1158")];
        driver.answer_challenge(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
    };
    let token = Rehearsal::secret("one", "verifyToken").reveal().to_owned();
    assert_eq!(ask(&receiver, &token), Some("1158".to_owned()));
    assert_eq!(ask(&receiver, "x"), None);
    assert_eq!(ask(&bare, &token), None);
}

#[tokio::test]
async fn the_account_is_subscribed_to_its_events_and_compared_with_its_token() {
    let stage = Stage::lively(0).await;
    let instagram = Subject::of("instagram");
    let endpoint = stage.endpoint(instagram);
    let http = Http::new().unwrap();
    let of = |channel: &str| match instagram.driver(&endpoint, channel, &http) {
        Driver::Instagram(driver) => driver,
        other => panic!("{other:?}"),
    };
    let own = of("one");
    assert_eq!(own.examine().await, Examined::InOrder);
    for _ in 0..2 {
        own.arrange().await.unwrap();
    }
    assert_eq!(own.examine().await, Examined::InOrder);
    let other = spec(&endpoint, "17841400000000009");
    let other = Driver::connect(&other, &secrets("one", &["token"]), &http).unwrap();
    assert!(matches!(other.examine().await, Examined::Refused(_)));

    // Of a Page, whose fields would be replaced, only where it has none.
    let page = own.through_its_page();
    page.arrange().await.unwrap();
    assert_eq!(page.examine().await, Examined::InOrder);
    let fresh = of("two").through_its_page();
    assert!(matches!(fresh.examine().await, Examined::Refused(_)), "no account is known of it");
    for _ in 0..2 {
        fresh.arrange().await.unwrap();
    }
}
