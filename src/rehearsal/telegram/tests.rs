//! The fake Bot API refuses what the real one refuses, in its words.

use std::pin::pin;

use serde_json::{Value, json};

use super::super::{
    Rehearsal,
    tests::{request, started},
};
use crate::domain::kind::ChannelKind::{self, TelegramBot, TelegramBusiness};

const PERSON: &str = "telegram:5000000001";

async fn rehearsal() -> Rehearsal {
    started(None, false).await
}

/// The answer to a call with parameters in JSON.
async fn call(rehearsal: &Rehearsal, kind: ChannelKind, method: &str, body: &Value) -> Value {
    let token = Rehearsal::secret("one", "token");
    let line = format!("POST /bot{}/{method}", token.reveal());
    ask(rehearsal, kind, &line, "Content-Type: application/json", &body.to_string()).await
}

async fn ask(
    rehearsal: &Rehearsal,
    kind: ChannelKind,
    line: &str,
    headers: &str,
    body: &str,
) -> Value {
    let answer = request(&rehearsal.endpoint(kind).unwrap(), line, headers, body).await;
    let mut said: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let status: u16 = answer[9..12].parse().unwrap();
    let code = said.get("error_code").and_then(Value::as_u64).unwrap_or(200);
    assert_eq!(u64::from(status), code, "the status is that of the body: {said}");
    said["retry_after_header"] = json!(answer.contains("retry-after: "));
    said
}

fn writes(rehearsal: &Rehearsal, kind: ChannelKind, text: &str) {
    rehearsal.person_writes(kind, "one", PERSON, text);
}

fn connection() -> String {
    Rehearsal::secret("one", "connectionId").reveal().to_owned()
}

#[tokio::test]
async fn a_call_needs_a_known_token_and_a_known_method() {
    let rehearsal = rehearsal().await;
    for (line, expected) in [
        ("POST /bot1:AA/getMe", "Unauthorized: invalid token specified"),
        ("POST /1:AA/getMe", "Not Found"),
        ("POST /botrehearsal_one_token/getMy", "Not Found: method not found"),
    ] {
        let said = ask(&rehearsal, TelegramBot, line, "Accept: */*", "").await;
        assert_eq!(
            (&said["ok"], &said["description"]),
            (&json!(false), &json!(expected)),
            "{line}"
        );
    }
    // By GET as well, in any case of the letters, and with parameters in any form.
    writes(&rehearsal, TelegramBot, "Hi");
    for (line, headers, body) in [
        ("GET /botrehearsal_one_token/GETME", "Accept: */*", ""),
        (
            "GET /botrehearsal_one_token/sendMessage?chat_id=5000000001&text=%D0%94%D0%B0+%26",
            "Accept: */*",
            "",
        ),
        (
            "POST /botrehearsal_one_token/sendMessage",
            "Content-Type: application/x-www-form-urlencoded",
            "chat_id=5000000001&text=%D0%94%D0%B0+%26",
        ),
    ] {
        let said = ask(&rehearsal, TelegramBot, line, headers, body).await;
        assert_eq!(said["ok"], json!(true), "{line}: {said}");
        if line.contains("sendMessage") {
            assert_eq!(said["result"]["text"], json!("Да &"), "{line}");
        }
    }
    let me = call(&rehearsal, TelegramBusiness, "getMe", &json!({})).await;
    assert_eq!(me["result"]["can_connect_to_business"], json!(true));
}

#[tokio::test]
async fn a_message_is_refused_as_telegram_refuses_it() {
    let rehearsal = rehearsal().await;
    let connection = connection();
    for kind in [TelegramBot, TelegramBusiness] {
        writes(&rehearsal, kind, &format!("Hello from {kind}"));
    }
    let long = "😀".repeat(2_049);
    let good = json!({ "chat_id": 5_000_000_001_i64, "text": "Hi" });
    let bot = |changes: Value| (TelegramBot, changes);
    let business = |changes: Value| (TelegramBusiness, changes);
    for ((kind, changes), expected) in [
        (bot(json!({})), ""),
        (bot(json!({ "chat_id": "5000000001" })), ""),
        (bot(json!({ "text": &long[4..] })), ""),
        (bot(json!({ "chat_id": null })), "Bad Request: chat_id is empty"),
        (bot(json!({ "chat_id": "@person_5" })), "Bad Request: chat not found"),
        // Who did not write first.
        (bot(json!({ "chat_id": 5_000_000_002_i64 })), "Bad Request: chat not found"),
        (bot(json!({ "text": " \n" })), "Bad Request: message text is empty"),
        (bot(json!({ "text": null })), "Bad Request: message text is empty"),
        (bot(json!({ "text": long })), "Bad Request: message is too long"),
        (bot(json!({ "parse_mode": "Word" })), "Bad Request: unsupported parse_mode"),
        (
            bot(json!({ "business_connection_id": connection })),
            "Bad Request: business connection not found",
        ),
        (business(json!({ "business_connection_id": connection })), ""),
        (business(json!({})), "Bad Request: chat not found"),
        (
            business(json!({ "business_connection_id": "x" })),
            "Bad Request: business connection not found",
        ),
        (
            business(json!({ "business_connection_id": connection, "chat_id": 7 })),
            "Bad Request: BUSINESS_PEER_USAGE_MISSING",
        ),
    ] {
        let mut message = good.clone();
        message.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let said = call(&rehearsal, kind, "sendMessage", &message).await;
        let description = said["description"].as_str().unwrap_or_default();
        assert_eq!(description, expected, "{kind} {changes:.80}");
    }
    let delivered = rehearsal.recent().iter().filter(|entry| entry.is_delivery()).count();
    assert_eq!(delivered, 4);
}

#[tokio::test]
async fn signs_are_shown_to_who_is_there() {
    let rehearsal = rehearsal().await;
    writes(&rehearsal, TelegramBusiness, "Hi");
    let chat = json!({
        "business_connection_id": connection(), "chat_id": 5_000_000_001_i64, "message_id": 1,
        "action": "typing",
    });
    for (method, field, wrong) in [
        ("sendChatAction", "action", json!("dancing")),
        ("sendChatAction", "chat_id", json!(7)),
        ("readBusinessMessage", "message_id", json!(0)),
        ("readBusinessMessage", "business_connection_id", json!("x")),
    ] {
        let said = call(&rehearsal, TelegramBusiness, method, &chat).await;
        assert_eq!(said["result"], json!(true), "{method}");
        let mut other = chat.clone();
        other[field] = wrong;
        let said = call(&rehearsal, TelegramBusiness, method, &other).await;
        assert_eq!(said["error_code"], json!(400), "{method} {field}");
    }
}

#[tokio::test]
async fn updates_are_forgotten_when_the_next_are_asked_for() {
    let rehearsal = rehearsal().await;
    for text in ["one", "two", "three"] {
        writes(&rehearsal, TelegramBot, text);
    }
    let texts = async |parameters: Value| {
        let said = call(&rehearsal, TelegramBot, "getUpdates", &parameters).await;
        let updates = said["result"].as_array().unwrap().clone();
        let of = |update: &Value| update["message"]["text"].as_str().unwrap().to_owned();
        (updates.iter().map(of).collect::<Vec<_>>(), updates)
    };
    let (all, updates) = texts(json!({})).await;
    assert_eq!(all, ["one", "two", "three"]);
    let id = |n: usize| updates[n]["update_id"].as_i64().unwrap();
    assert_eq!(texts(json!({ "limit": 2 })).await.0, ["one", "two"]);
    // What is far ahead of everything is a place in another stream.
    assert_eq!(texts(json!({ "offset": id(2) + 1_000_000 })).await.0, ["one", "two", "three"]);
    assert_eq!(texts(json!({ "offset": id(1) })).await.0, ["two", "three"]);
    assert_eq!(texts(json!({ "offset": id(0) })).await.0, ["two", "three"]);
    assert_eq!(texts(json!({ "allowed_updates": ["edited_message"] })).await.0, [""; 0]);
    // Which kinds are wanted is remembered.
    assert_eq!(texts(json!({})).await.0, [""; 0]);
    assert_eq!(texts(json!({ "allowed_updates": [], "offset": -1 })).await.0, ["three"]);
    assert_eq!(texts(json!({ "offset": id(2) + 1 })).await.0, [""; 0]);
}

#[tokio::test]
async fn two_who_ask_for_the_same_updates_are_told_of_each_other() {
    let rehearsal = rehearsal().await;
    let wait = json!({ "timeout": 50 });
    // Asked again and again, until one of the questions came while the first one waited.
    let mut first = pin!(call(&rehearsal, TelegramBot, "getUpdates", &wait));
    let first = loop {
        let none = json!({});
        tokio::select! {
            told = &mut first => break told,
            second = call(&rehearsal, TelegramBot, "getUpdates", &none) => {
                assert_eq!(second["result"], json!([]));
            }
        }
    };
    assert_eq!(first["error_code"], json!(409));
    assert!(first["description"].as_str().unwrap().contains("other getUpdates"), "{first}");

    let url = json!({ "url": "http://127.0.0.1:9/hooks/one", "secret_token": "s" });
    let waiting = call(&rehearsal, TelegramBot, "getUpdates", &wait);
    let (waiting, set) = tokio::join!(waiting, call(&rehearsal, TelegramBot, "setWebhook", &url));
    assert_eq!(set["result"], json!(true));
    assert_eq!(waiting["error_code"], json!(409));
    let refused = call(&rehearsal, TelegramBot, "getUpdates", &json!({})).await;
    assert!(refused["description"].as_str().unwrap().contains("webhook is active"), "{refused}");
    let info = call(&rehearsal, TelegramBot, "getWebhookInfo", &json!({})).await;
    assert_eq!(info["result"]["url"], url["url"]);
    call(&rehearsal, TelegramBot, "deleteWebhook", &json!({})).await;
    let again = call(&rehearsal, TelegramBot, "getUpdates", &json!({})).await;
    assert_eq!(again["ok"], json!(true));
}

#[tokio::test]
async fn an_address_for_webhooks_is_looked_at() {
    let rehearsal = rehearsal().await;
    for (url, secret, expected) in [
        ("https://a.example/hooks/one", "s-_S0", ""),
        ("https://a.example:8443/hooks/one", "", ""),
        ("http://a.example/", "", "bad webhook: An HTTPS URL"),
        ("https://a.example:9000/", "", "bad webhook: Webhook can be set up only on ports"),
        ("https://", "", "invalid webhook URL"),
        ("https://a.example/", "with.dot", "unallowed characters"),
        ("https://a.example/", &"s".repeat(257), "too long"),
    ] {
        let body = json!({ "url": url, "secret_token": secret });
        let said = call(&rehearsal, TelegramBot, "setWebhook", &body).await;
        let description = said["description"].as_str().unwrap_or_default();
        assert_eq!(said["ok"], json!(expected.is_empty()), "{url} {said}");
        assert!(description.contains(expected), "{url}: {description}");
    }
}
