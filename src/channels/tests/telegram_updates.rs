//! What bots of Telegram read out of updates, and whose they believe.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{Driver, Http, Webhook, WebhookHeaders, WebhookRefused},
    odd::json_of,
    stage::clock,
    subject::Subject,
    telegram::{CONNECTION, KINDS, PERSON, SECRET, peer, pushed},
};
use crate::domain::{
    address::Address,
    dialogue::{Delivery, Received, TypedByHand},
    kind::ChannelKind::{TelegramBot, TelegramBusiness},
};

/// What a webhook with this secret and body is taken for.
fn judge(
    driver: &Driver,
    secret: Option<&str>,
    body: &[u8],
) -> Result<Vec<Received>, WebhookRefused> {
    let headers: WebhookHeaders =
        secret.map(|secret| ("X-Telegram-Bot-Api-Secret-Token", secret)).into_iter().collect();
    let webhook = Webhook { headers: &headers, token: None, body, at: clock() };
    driver.read_webhook(&webhook).map(|brought| brought.received)
}

fn read(driver: &Driver, update: &Value) -> Vec<Received> {
    judge(driver, Some(SECRET), update.to_string().as_bytes()).unwrap()
}

fn message(changes: &Value) -> Value {
    let mut message = json!({
        "message_id": 7, "date": 1_790_000_000, "text": "Hi",
        "from": { "id": PERSON, "is_bot": false, "first_name": "Anna" },
        "chat": { "id": PERSON, "type": "private", "first_name": "Anna" },
    });
    message.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    message
}

#[test]
fn only_who_knows_the_secret_is_believed() {
    use WebhookRefused::{NotConfigured, SignatureMissing, SignatureWrong, Unreadable};
    let body = json!({ "update_id": 1, "message": message(&json!({})) }).to_string().into_bytes();
    for kind in KINDS {
        let bot = pushed(kind, "http://127.0.0.1:9");
        assert_eq!(judge(&bot, None, &body), Err(SignatureMissing), "{kind}");
        for wrong in ["", "rehearsal_one_webhookSecre", "rehearsal_one_webhookSecret1", "\u{fffd}"]
        {
            assert_eq!(judge(&bot, Some(wrong), &body), Err(SignatureWrong), "{kind} {wrong}");
        }
        let right = Some(SECRET);
        let deep = "[".repeat(100_000);
        for unreadable in ["", "{", "<html>", &deep] {
            assert_eq!(judge(&bot, right, unreadable.as_bytes()), Err(Unreadable), "{kind}");
        }
        for odd in ["{}", "[]", "null", "5", r#"{"update_id":1}"#, r#"{"message":5}"#] {
            assert_eq!(judge(&bot, right, odd.as_bytes()), Ok(Vec::new()), "{kind} {odd}");
        }
        let subject = Subject::of(kind.as_str());
        let mut secrets = subject.secrets("one");
        secrets.remove("webhookSecret");
        let spec = subject.spec("http://127.0.0.1:9");
        let without = Driver::connect(&spec, &secrets, &Http::new().unwrap()).unwrap();
        assert_eq!(judge(&without, right, &body), Err(NotConfigured), "{kind}");
    }
}

fn wrote(id: &str, text: &str) -> Delivery {
    Delivery::Message { id: format!("{PERSON}:{id}"), text: text.to_owned() }
}

fn standing(status: &str, chat: &str) -> Value {
    message(&json!({
        "text": null, "chat": { "id": PERSON, "type": chat },
        "old_chat_member": { "status": "member" }, "new_chat_member": { "status": status },
    }))
}

#[test]
fn a_bot_reads_private_chats_with_people() {
    let bot = pushed(TelegramBot, "http://127.0.0.1:9");
    let edited = json!({ "edit_date": 1_790_000_060, "text": "Hi!" });
    for (update, expected) in [
        (json!({ "message": message(&json!({})) }), Some(wrote("7", "Hi"))),
        (json!({ "message": message(&json!({ "from": null })) }), Some(wrote("7", "Hi"))),
        (
            json!({ "message": message(&json!({ "text": "/start spring" })) }),
            Some(wrote("7", "[start: spring]")),
        ),
        (
            json!({ "message": message(&json!({ "text": null, "photo": [], "caption": "This" })) }),
            Some(wrote("7", "This\n[photo]")),
        ),
        (
            json!({ "edited_message": message(&edited) }),
            Some(wrote("7:1790000060", "Hi!\n[edited]")),
        ),
        // A place that moves is told of every few seconds.
        (
            json!({ "edited_message": message(&json!({ "edit_date": 5, "text": null, "location": {} })) }),
            None,
        ),
        (json!({ "edited_message": message(&json!({})) }), None),
        (json!({ "message": message(&json!({ "chat": { "id": -5, "type": "group" } })) }), None),
        (
            json!({ "message": message(&json!({ "chat": { "id": -5, "type": "supergroup" } })) }),
            None,
        ),
        (json!({ "message": message(&json!({ "chat": { "id": 5, "type": "channel" } })) }), None),
        (json!({ "message": message(&json!({ "chat": { "id": 0, "type": "private" } })) }), None),
        (
            json!({ "message": message(&json!({ "chat": { "id": 1e30, "type": "private" } })) }),
            None,
        ),
        // Telegram itself, which sends login codes.
        (
            json!({ "message": message(&json!({ "chat": { "id": 777_000, "type": "private" } })) }),
            None,
        ),
        (json!({ "message": message(&json!({ "from": { "id": PERSON, "is_bot": true } })) }), None),
        (json!({ "message": message(&json!({ "message_id": 0 })) }), None),
        (json!({ "message": message(&json!({ "text": null, "pinned_message": {} })) }), None),
        (json!({ "message": message(&json!({ "text": null, "migrate_to_chat_id": -100 })) }), None),
        (json!({ "channel_post": message(&json!({})) }), None),
        (json!({ "my_chat_member": standing("kicked", "private") }), Some(Delivery::Barred)),
        // They wrote, or will write, by themselves.
        (json!({ "my_chat_member": standing("member", "private") }), None),
        (json!({ "my_chat_member": standing("kicked", "group") }), None),
        (json!({ "my_chat_member": message(&json!({})) }), None),
        (json!({ "business_message": message(&json!({})) }), None),
        (json!({ "callback_query": { "id": "1" } }), None),
    ] {
        let received = read(&bot, &update);
        let what = received.first().map(|received| received.what.clone());
        assert_eq!(what, expected, "{update}");
        assert!(received.iter().all(|received| received.peer == peer()), "{update}");
    }
}

#[test]
fn a_person_is_one_with_their_name_and_their_own_card() {
    let bot = pushed(TelegramBot, "http://127.0.0.1:9");
    let card = |user_id: i64| json!({ "phone_number": "79123450001", "first_name": "A", "user_id": user_id });
    let chat = |name: Value| json!({ "id": PERSON, "type": "private", "username": name });
    for (changes, aliases) in [
        (json!({}), &[][..]),
        (json!({ "chat": chat(json!("Anna_P")) }), &["@anna_p"]),
        (json!({ "chat": chat(json!("a b")) }), &[]),
        (json!({ "text": null, "contact": card(PERSON) }), &["+79123450001"]),
        (json!({ "text": null, "contact": card(5) }), &[]),
    ] {
        let received = read(&bot, &json!({ "message": message(&changes) }));
        let known: Vec<_> = received[0].also_known_as.iter().map(Address::as_str).collect();
        assert_eq!((&received[0].peer, known.as_slice()), (&peer(), aliases), "{changes}");
    }
}

#[test]
fn a_business_tells_the_person_from_the_hand_and_from_itself() {
    let bot = pushed(TelegramBusiness, "http://127.0.0.1:9");
    let owner = json!({ "id": 4_000_000_002_i64, "is_bot": false, "first_name": "Owner" });
    let ours = json!({ "id": 4_000_000_001_i64, "is_bot": true, "first_name": "Bot" });
    let said = |changes: Value| {
        let mut message = message(&json!({ "business_connection_id": CONNECTION }));
        message.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        message
    };
    let echo = |typed_by_hand| {
        Some(Delivery::Echo {
            id: format!("{PERSON}:7"),
            reference: None,
            text: "Hi".to_owned(),
            typed_by_hand,
        })
    };
    let edit = |changes: Value| {
        let mut message = said(changes);
        message["edit_date"] = json!(1_790_000_060);
        json!({ "edited_business_message": message })
    };
    for (update, expected) in [
        (json!({ "business_message": said(json!({})) }), Some(wrote("7", "Hi"))),
        (json!({ "business_message": said(json!({ "from": owner })) }), echo(TypedByHand::Yes)),
        (
            json!({ "business_message": said(json!({ "from": owner, "is_from_offline": true })) }),
            echo(TypedByHand::Untold),
        ),
        (
            json!({ "business_message": said(json!({ "from": owner, "sender_business_bot": ours })) }),
            echo(TypedByHand::Untold),
        ),
        // Another account of the same bot's.
        (json!({ "business_message": said(json!({ "business_connection_id": "other" })) }), None),
        (json!({ "business_message": said(json!({ "business_connection_id": null })) }), None),
        (
            json!({ "business_message": said(json!({ "chat": { "id": -5, "type": "group" } })) }),
            None,
        ),
        (
            json!({ "business_message": said(json!({
                "chat": { "id": 777_000, "type": "private" }, "from": { "id": 777_000 },
            })) }),
            None,
        ),
        (edit(json!({ "text": "Hi!" })), Some(wrote("7:1790000060", "Hi!\n[edited]"))),
        (edit(json!({ "from": owner })), None),
        (edit(json!({ "from": owner, "sender_business_bot": ours })), None),
        // Whoever writes to the bot itself is in no chat of the business.
        (json!({ "message": message(&json!({})) }), None),
        (json!({ "deleted_business_messages": { "message_ids": [7] } }), None),
        (json!({ "business_connection": { "id": CONNECTION, "is_enabled": false } }), None),
        (json!({ "business_connection": 5 }), None),
    ] {
        let received = read(&bot, &update);
        let what = received.first().map(|received| received.what.clone());
        assert_eq!(what, expected, "{update}");
        assert!(received.iter().all(|received| received.peer == peer()), "{update}");
    }
}

/// Any value, of keys and words that Telegram uses.
fn anything() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "message",
        "edited_message",
        "my_chat_member",
        "new_chat_member",
        "status",
        "kicked",
        "business_message",
        "edited_business_message",
        "business_connection",
        "business_connection_id",
        CONNECTION,
        "sender_business_bot",
        "is_from_offline",
        "message_id",
        "edit_date",
        "date",
        "from",
        "chat",
        "id",
        "type",
        "private",
        "text",
        "caption",
        "/start x",
        "photo",
        "sticker",
        "emoji",
        "dice",
        "contact",
        "phone_number",
        "first_name",
        "user_id",
        "location",
        "is_bot",
        "\u{0}",
        "",
    ];
    json_of(WORDS)
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_passed_over(odd in anything(), part in anything()) {
        static BOTS: LazyLock<[Driver; 2]> =
            LazyLock::new(|| KINDS.map(|kind| pushed(kind, "http://127.0.0.1:9")));
        let mut message = message(&json!({ "business_connection_id": CONNECTION }));
        if let Some(changes) = odd.as_object() {
            message.as_object_mut().unwrap().extend(changes.clone());
        }
        for name in [
            "message", "edited_message", "my_chat_member", "business_message",
            "edited_business_message",
        ] {
            for bot in BOTS.iter() {
                for message in [&message, &odd] {
                    for received in read(bot, &json!({ name: message, "business_connection": part })) {
                        prop_assert!(received.peer.as_str().starts_with("telegram:"));
                    }
                    for received in read(bot, &json!({ name: message })) {
                        if let Delivery::Message { id, text } | Delivery::Echo { id, text, .. } =
                            received.what
                        {
                            prop_assert!(id.contains(':') && !text.contains('\0'));
                            prop_assert!(!text.trim().is_empty());
                        }
                    }
                }
            }
        }
    }
}
