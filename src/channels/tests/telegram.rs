//! The drivers of Telegram's bots before the rehearsal, and before a Bot API that answers what a test wants.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    super::{Driver, Examined, Http, Polled, Receives, Unconnectable},
    subject::Subject,
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::Secret,
    dialogue::ReplyCall,
    fields::FieldValue,
    kind::ChannelKind::{self, TelegramBot, TelegramBusiness},
};

pub(super) const KINDS: [ChannelKind; 2] = [TelegramBot, TelegramBusiness];
const HOOK: &str = "https://nuncio.example/hooks/one";
pub(super) const SECRET: &str = "rehearsal_one_webhookSecret";
pub(super) const CONNECTION: &str = "rehearsal_one_connectionId";
pub(super) const PERSON: i64 = 7_000_000_001;

/// A driver that asks for its updates.
fn polling(kind: ChannelKind, endpoint: &str) -> Driver {
    Subject::of(kind.as_str()).driver(endpoint, "one", &Http::new().unwrap())
}

/// A driver that has them brought.
pub(super) fn pushed(kind: ChannelKind, endpoint: &str) -> Driver {
    let subject = Subject::of(&format!("{kind}-pushed"));
    subject.driver(endpoint, "one", &Http::new().unwrap())
}

/// A Bot API that gives these answers in their order, and keeps what it was asked.
struct Script {
    endpoint: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    _task: AbortOnDropHandle<()>,
}

type Play = (Arc<Mutex<VecDeque<Value>>>, Arc<Mutex<Vec<(String, Value)>>>);

async fn script(answers: &[Value]) -> Script {
    async fn answer(
        State((answers, asked)): State<Play>,
        uri: Uri,
        Json(parameters): Json<Value>,
    ) -> Response {
        let method = uri.path().rsplit('/').next().unwrap().to_owned();
        asked.lock().unwrap().push((method, parameters));
        let answer = answers.lock().unwrap().pop_front().expect("nothing more is asked");
        let code = answer.get("error_code").and_then(Value::as_u64).unwrap_or(200);
        let status = StatusCode::from_u16(u16::try_from(code).unwrap()).unwrap();
        (status, Json(answer)).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answers: VecDeque<Value> = answers.iter().cloned().collect();
    let router = Router::new()
        .fallback(answer)
        .with_state((Arc::new(Mutex::new(answers)), Arc::clone(&asked)));
    let task =
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
    Script { endpoint, asked, _task: AbortOnDropHandle::new(task) }
}

impl Script {
    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().drain(..).collect()
    }

    fn methods(&self) -> Vec<String> {
        self.asked().into_iter().map(|(method, _)| method).collect()
    }
}

fn gives(result: Value) -> Value {
    let mut answer = json!({ "ok": true });
    answer["result"] = result;
    answer
}

fn refuses(code: u16, description: &str) -> Value {
    json!({ "ok": false, "error_code": code, "description": description })
}

pub(super) fn peer() -> Address {
    Address::from_stored(format!("telegram:{PERSON}"))
}

async fn reply(driver: &Driver, peer: &Address) -> Outcome {
    driver.reply(&ReplyCall { peer, text: "Hi", key: 3, reference: "r" }).await
}

#[tokio::test]
async fn only_an_answer_with_the_number_of_the_message_is_one() {
    for (answer, class, id) in [
        (gives(json!({ "message_id": 7 })), OutcomeClass::Sent, Some("7000000001:7")),
        // It gets its number later.
        (gives(json!({ "message_id": 0 })), OutcomeClass::Sent, None),
        (gives(json!({})), OutcomeClass::InDoubt, None),
        (gives(json!({ "message_id": "7" })), OutcomeClass::InDoubt, None),
        (gives(json!(true)), OutcomeClass::InDoubt, None),
    ] {
        let script = script(std::slice::from_ref(&answer)).await;
        let outcome = reply(&polling(TelegramBusiness, &script.endpoint), &peer()).await;
        assert_eq!(outcome.class, class, "{answer}: {}", outcome.reason);
        assert_eq!(outcome.provider_message_id.as_deref(), id, "{answer}");
        let expected = json!({
            "chat_id": PERSON, "business_connection_id": CONNECTION, "text": "Hi",
            "link_preview_options": { "is_disabled": true },
        });
        assert_eq!(script.asked(), [("sendMessage".to_owned(), expected)]);
    }
    // Nobody else can be named.
    let script = script(&[]).await;
    for stranger in ["@anna", "+79123450001", "telegram:anna", "avito:7"] {
        let stranger = Address::from_stored(stranger.to_owned());
        let outcome = reply(&polling(TelegramBot, &script.endpoint), &stranger).await;
        assert_eq!(outcome.class, OutcomeClass::RecipientPermanent);
    }
    assert_eq!(script.asked(), []);
}

#[tokio::test]
async fn a_business_is_examined_with_what_its_owner_allows() {
    let me = gives(json!({ "id": 1, "is_bot": true, "first_name": "B" }));
    let connection = |enabled: bool, rights: Value| {
        gives(json!({ "id": "c", "is_enabled": enabled, "rights": rights }))
    };
    for (answers, refused) in [
        (vec![me.clone(), connection(true, json!({ "can_reply": true }))], None),
        (vec![me.clone(), connection(false, json!({ "can_reply": true }))], Some("switched off")),
        (vec![me.clone(), connection(true, json!({}))], Some("the right to reply")),
        (
            vec![me.clone(), refuses(400, "Bad Request: business connection not found")],
            Some("no such business connection"),
        ),
        (vec![gives(json!({ "id": 1, "is_bot": false, "first_name": "P" }))], Some("no bot's")),
        (vec![refuses(401, "Unauthorized")], Some("the token is refused")),
    ] {
        let script = script(&answers).await;
        let driver = polling(TelegramBusiness, &script.endpoint);
        match (driver.examine().await, refused) {
            (Examined::InOrder, None) => {}
            (Examined::Refused(why), Some(words)) if why.contains(words) => {}
            (other, _) => panic!("{refused:?}: {other:?}"),
        }
        assert_eq!(script.asked().len(), answers.len());
    }
    // What keeps it from speaking is told to whoever listens for it, too.
    let script = script(&[connection(false, json!({ "can_reply": true }))]).await;
    let outcome = polling(TelegramBusiness, &script.endpoint).arrange(None).await.unwrap_err();
    assert_eq!(outcome.class, OutcomeClass::ChannelBlocked, "{}", outcome.reason);
    assert_eq!(script.methods(), ["getBusinessConnection"]);
}

#[tokio::test]
async fn a_place_among_the_updates_is_kept_whatever_their_numbers_are() {
    let update = |id: Value| json!({ "update_id": id, "message": { "message_id": 1 } });
    for (cursor, updates, asked, next) in [
        (None, json!([]), 0, "0"),
        (Some("71"), json!([]), 71, "71"),
        (Some("71"), json!([update(json!(71)), update(json!(72))]), 71, "73"),
        // After a week of silence they begin anew, and may be lower.
        (Some("71"), json!([update(json!(5)), update(json!(6))]), 71, "7"),
        // What cannot be read is passed over.
        (Some("71"), json!([update(json!(71)), null, 5, {}, update(json!("x"))]), 71, "72"),
        (Some("71"), json!([update(json!(i64::MAX))]), 71, "71"),
        (Some("nonsense"), json!([]), 0, "0"),
    ] {
        let script = script(&[gives(updates.clone())]).await;
        let bot = polling(TelegramBot, &script.endpoint);
        let Polled { cursor: moved, raw, received } = bot.poll(cursor).await.unwrap();
        assert_eq!((moved.as_str(), received.len()), (next, 0), "{cursor:?} {updates}");
        assert_eq!(serde_json::from_slice::<Value>(&raw).unwrap()["result"], updates);
        let (method, parameters) = script.asked().remove(0);
        assert_eq!((method.as_str(), &parameters["offset"]), ("getUpdates", &json!(asked)));
        assert_eq!(parameters["timeout"], json!(if cursor.is_some() { 25 } else { 0 }));
        assert!(parameters["allowed_updates"].as_array().unwrap().contains(&json!("message")));
    }
    for (answer, class) in [
        (gives(json!({})), OutcomeClass::NotSent),
        (refuses(502, "Bad Gateway"), OutcomeClass::NotSent),
        (refuses(409, "Conflict: terminated by other getUpdates request"), OutcomeClass::NotSent),
    ] {
        let script = script(std::slice::from_ref(&answer)).await;
        let bot = polling(TelegramBot, &script.endpoint);
        assert_eq!(bot.poll(Some("71")).await.unwrap_err().class, class, "{answer}");
    }
}

fn webhook_info(url: &str, changes: &Value) -> Value {
    let mut info = json!({
        "url": url, "has_custom_certificate": false, "pending_update_count": 0,
        "allowed_updates": ["my_chat_member", "edited_message", "message"],
    });
    info.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    gives(info)
}

#[tokio::test]
async fn whoever_asks_takes_away_nothing_but_our_own_webhook() {
    let yes = gives(json!(true));
    for (url, hook, expected, ends_well) in [
        ("", None, &["getWebhookInfo"][..], true),
        ("", Some(HOOK), &["getWebhookInfo"], true),
        (HOOK, Some(HOOK), &["getWebhookInfo", "deleteWebhook"], true),
        ("https://other.example/secret", Some(HOOK), &["getWebhookInfo"], false),
        ("https://other.example/secret", None, &["getWebhookInfo"], false),
        (HOOK, None, &["getWebhookInfo"], false),
    ] {
        let script = script(&[webhook_info(url, &json!({})), yes.clone()]).await;
        let bot = polling(TelegramBot, &script.endpoint);
        let arranged = bot.arrange(hook).await;
        assert_eq!(script.methods(), expected, "{url} {hook:?}");
        match arranged {
            Ok(()) => assert!(ends_well, "{url}"),
            Err(outcome) => {
                assert_eq!(outcome.class, OutcomeClass::OurMistake, "{url}");
                assert!(outcome.reason.contains("409") && !ends_well, "{}", outcome.reason);
                assert!(!outcome.reason.contains("secret"), "{}", outcome.reason);
            }
        }
    }
}

#[tokio::test]
async fn a_webhook_is_set_where_it_is_not_as_it_should_be() {
    let yes = gives(json!(true));
    let script_of = script;
    let script = script(&[
        webhook_info("", &json!({ "allowed_updates": [] })),
        yes.clone(),
        webhook_info(HOOK, &json!({})),
        webhook_info(HOOK, &json!({ "allowed_updates": ["message"] })),
        yes.clone(),
        webhook_info(
            HOOK,
            &json!({ "last_error_message": "Wrong response from the webhook: 401 Unauthorized" }),
        ),
        yes.clone(),
        webhook_info("https://other.example/", &json!({})),
        webhook_info("", &json!({})),
        refuses(400, "Bad Request: bad webhook: HTTPS url must be provided for webhook"),
    ])
    .await;
    let bot = pushed(TelegramBot, &script.endpoint);
    assert_eq!(bot.receives(), Receives::Webhook);
    bot.arrange(Some(HOOK)).await.unwrap();
    let asked = script.asked();
    assert_eq!(asked[1].0, "setWebhook");
    let expected = json!({
        "url": HOOK, "secret_token": SECRET,
        "allowed_updates": ["message", "edited_message", "my_chat_member"],
    });
    assert_eq!(asked[1].1, expected);

    // All is well: nothing is changed.
    bot.arrange(Some(HOOK)).await.unwrap();
    assert_eq!(script.methods(), ["getWebhookInfo"]);
    for _ in ["other kinds of updates", "another secret"] {
        bot.arrange(Some(HOOK)).await.unwrap();
        assert_eq!(script.methods(), ["getWebhookInfo", "setWebhook"]);
    }
    let foreign = bot.arrange(Some(HOOK)).await.unwrap_err();
    assert!(foreign.reason.contains("other.example"), "{}", foreign.reason);
    assert_eq!(script.methods(), ["getWebhookInfo"]);
    let refused = bot.arrange(Some(HOOK)).await.unwrap_err();
    assert!(refused.reason.contains("https://"), "{}", refused.reason);

    // A driver that was made anew may have another secret than Telegram; a certificate cannot be given again.
    for (changes, expected) in [
        (json!({}), &["getWebhookInfo", "setWebhook"][..]),
        (json!({ "has_custom_certificate": true }), &["getWebhookInfo"]),
    ] {
        let again = script_of(&[webhook_info(HOOK, &changes), yes.clone()]).await;
        pushed(TelegramBot, &again.endpoint).arrange(Some(HOOK)).await.unwrap();
        assert_eq!(again.methods(), expected, "{changes}");
    }
    // It fails to bring them: told for as long as something waits, and only of what is new.
    let failing = |date: i64, waiting: i64, words: &str| {
        webhook_info(
            HOOK,
            &json!({
                "pending_update_count": waiting, "last_error_date": date, "last_error_message": words,
            }),
        )
    };
    let old = "Connection timed out";
    let failures = script_of(&[
        failing(5, 3, old),
        yes.clone(),
        failing(5, 3, old),
        failing(6, 3, "Wrong response from the webhook: 502 Bad Gateway"),
        failing(7, 3, "SSL error {error:0A000086:SSL routines::certificate verify failed}"),
        failing(7, 0, old),
        failing(7, 1, old),
    ])
    .await;
    let bot = pushed(TelegramBot, &failures.endpoint);
    for expected in [None, None, Some("HTTP 502"), Some("certificate"), None, None] {
        let arranged = bot.arrange(Some(HOOK)).await;
        let reason = arranged.err().map(|outcome| outcome.reason);
        match (&reason, expected) {
            (None, None) => {}
            (Some(reason), Some(words)) if reason.contains(words) => {}
            _ => panic!("{expected:?}: {reason:?}"),
        }
    }
    let nowhere = script_of(&[webhook_info("", &json!({}))]).await;
    let outcome = pushed(TelegramBot, &nowhere.endpoint).arrange(None).await.unwrap_err();
    assert!(outcome.reason.contains("--public-url"), "{}", outcome.reason);
}

#[test]
fn a_webhook_needs_a_secret_that_telegram_takes() {
    let http = Http::new().unwrap();
    for kind in KINDS {
        let connect = |receive: &str, secret: Option<&str>| {
            let subject = Subject::of(kind.as_str());
            let mut spec = subject.spec("http://127.0.0.1:9");
            spec.settings.insert("receive".to_owned(), FieldValue::Text(receive.to_owned()));
            let mut secrets = subject.secrets("one");
            secrets.remove("webhookSecret");
            let named =
                secret.map(|text| ("webhookSecret".to_owned(), Secret::new(text.to_owned())));
            secrets.extend(named);
            Driver::connect(&spec, &secrets, &http).map(|driver| driver.receives())
        };
        let unusable = Err(Unconnectable::UnusableCredential("webhookSecret"));
        assert_eq!(connect("polling", None), Ok(Receives::Polling), "{kind}");
        assert_eq!(connect("webhook", Some("s-_S0\n")), Ok(Receives::Webhook), "{kind}");
        let missing = Err(Unconnectable::MissingCredential("webhookSecret"));
        assert_eq!(connect("webhook", None), missing, "{kind}");
        for wrong in ["with.dot", "два", &"s".repeat(257)] {
            assert_eq!(connect("webhook", Some(wrong)), unusable, "{kind} {wrong}");
        }
    }
    let business = Subject::of("telegram-business");
    let mut without = business.secrets("one");
    without.remove("connectionId");
    let made = Driver::connect(&business.spec("http://127.0.0.1:9"), &without, &http);
    assert_eq!(made.unwrap_err(), Unconnectable::MissingCredential("connectionId"));
}
