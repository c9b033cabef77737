//! The fake Avito refuses what a real one refuses.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    domain::kind::ChannelKind,
    rehearsal::{
        Rehearsal,
        tests::{body_of, rehearsal_with, request},
    },
};

const USER: &str = "94235311";
const CHAT: &str = "u2i-rehearsal-0909";

async fn call(rehearsal: &Rehearsal, line: &str, headers: &str, body: &str) -> (String, Value) {
    let endpoint = rehearsal.endpoint(ChannelKind::Avito).unwrap();
    let answer = request(&endpoint, line, headers, body).await;
    let status = answer.split(' ').nth(1).unwrap().to_owned();
    (status, body_of(&answer))
}

async fn token(rehearsal: &Rehearsal) -> String {
    let (id, secret) =
        ["clientId", "clientSecret"].map(|name| Rehearsal::secret("one", name)).into();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        id.reveal(),
        secret.reveal()
    );
    let of_form = "Content-Type: application/x-www-form-urlencoded";
    let (status, answer) = call(rehearsal, "POST /token", of_form, &form).await;
    assert_eq!(status, "200", "{answer}");
    let token = answer["access_token"].as_str().unwrap();
    format!("Authorization: Bearer {token}\r\nContent-Type: application/json")
}

#[tokio::test]
async fn a_token_is_given_to_who_has_both_halves_and_ends() {
    let rehearsal = rehearsal_with(true, None, None).await;
    let secret = |channel: &str, name: &str| Rehearsal::secret(channel, name).reveal().to_owned();
    let (id, right, other) =
        (secret("one", "clientId"), secret("one", "clientSecret"), secret("two", "clientSecret"));
    for (form, status) in [
        (format!("grant_type=client_credentials&client_id={id}&client_secret={right}"), "200"),
        (format!("grant_type=client_credentials&client_id={id}&client_secret={other}"), "400"),
        (format!("grant_type=client_credentials&client_id={id}"), "400"),
        (format!("client_id={id}&client_secret={right}"), "400"),
        (String::new(), "400"),
    ] {
        let headers = "Content-Type: application/x-www-form-urlencoded";
        assert_eq!(call(&rehearsal, "POST /token", headers, &form).await.0, status, "{form}");
    }
    let (first, second) = (token(&rehearsal).await, token(&rehearsal).await);
    let line = "GET /core/v1/accounts/self";
    for _ in 0..50 {
        assert_eq!(call(&rehearsal, line, &first, "").await.0, "200");
    }
    let (status, ended) = call(&rehearsal, line, &first, "").await;
    assert_eq!((status.as_str(), &ended["error"]["code"]), ("401", &json!(401)));
    assert_eq!(call(&rehearsal, line, &second, "").await.0, "200", "each has its own life");
    for nobody in
        ["Accept: */*", "Authorization: Bearer x", "Authorization: Bearer rehearsal_one_access-999"]
    {
        assert_eq!(call(&rehearsal, line, nobody, "").await.0, "401", "{nobody}");
    }
}

#[tokio::test]
async fn only_a_chat_that_somebody_opened_with_this_account_is_answered() {
    let rehearsal = rehearsal_with(false, Some(Duration::ZERO), None).await;
    let token = token(&rehearsal).await;
    let send = |user: &str, chat: &str| {
        format!("POST /messenger/v1/accounts/{user}/chats/{chat}/messages")
    };
    let message = |text: &str| json!({ "type": "text", "message": { "text": text } }).to_string();
    let (good, long) = (message("a"), message(&"я".repeat(1_001)));
    assert_eq!(call(&rehearsal, &send(USER, CHAT), &token, &good).await.0, "403");
    let address = format!("avito:{CHAT}");
    rehearsal.person_writes(ChannelKind::Avito, "one", &address, "Hello");
    for (line, body, status, field) in [
        (send(USER, CHAT), long.as_str(), "400", "message"),
        (send(USER, CHAT), &message(""), "400", "message"),
        (send(USER, CHAT), r#"{"message":{"text":"a"}}"#, "400", "type"),
        (send(USER, CHAT), "{", "400", "type"),
        (send("5", CHAT), &good, "403", ""),
        (send("me", CHAT), &good, "400", "user_id"),
        (send(USER, "u2i-other"), &good, "403", ""),
        (send(USER, CHAT), &message(&"я".repeat(1_000)), "200", ""),
    ] {
        let (got, answer) = call(&rehearsal, &line, &token, body).await;
        assert_eq!(got, status, "{line} {body:.40}: {answer}");
        let fields = &answer["error"]["fields"];
        assert!(field.is_empty() || !fields[field].is_null(), "{line} {body:.40}: {answer}");
    }
}

#[tokio::test]
async fn chats_are_shown_by_pages_the_youngest_first() {
    let rehearsal = rehearsal_with(false, None, None).await;
    let token = token(&rehearsal).await;
    for (chat, text) in [("a1", "one"), ("b2", "two"), ("a1", "[picture]")] {
        rehearsal.person_writes(ChannelKind::Avito, "one", &format!("avito:{chat}"), text);
    }
    let chats = format!("GET /messenger/v2/accounts/{USER}/chats");
    for (query, ids) in [
        ("", json!(["a1", "b2"])),
        ("?limit=1", json!(["a1"])),
        ("?limit=1&offset=1", json!(["b2"])),
        ("?chat_types=u2u", json!([])),
        ("?chat_types=u2i,u2u&unread_only=true", json!(["a1", "b2"])),
    ] {
        let (_, answer) = call(&rehearsal, &format!("{chats}{query}"), &token, "").await;
        let found: Vec<_> =
            answer["chats"].as_array().unwrap().iter().map(|chat| &chat["id"]).collect();
        assert_eq!(json!(found), ids, "{query}: {answer}");
    }
    for query in ["?limit=0", "?limit=101", "?offset=1001", "?limit=x"] {
        assert_eq!(
            call(&rehearsal, &format!("{chats}{query}"), &token, "").await.0,
            "400",
            "{query}"
        );
    }
    let messages = format!("GET /messenger/v3/accounts/{USER}/chats/a1/messages/");
    let (_, answer) = call(&rehearsal, &messages, &token, "").await;
    let kinds: Vec<_> =
        answer["messages"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(json!(kinds), json!(["image", "text"]), "{answer}");
    let read = format!("POST /messenger/v1/accounts/{USER}/chats/a1/read");
    assert_eq!(call(&rehearsal, &read, &token, "").await.1, json!({ "ok": true }));
    let (_, answer) = call(&rehearsal, &format!("{chats}?unread_only=true"), &token, "").await;
    assert_eq!(answer["chats"].as_array().unwrap().len(), 1, "{answer}");
}

#[tokio::test]
async fn an_address_for_webhooks_is_kept_until_it_is_taken_back() {
    let rehearsal = rehearsal_with(false, None, None).await;
    let token = token(&rehearsal).await;
    let all = async || {
        let (_, answer) = call(&rehearsal, "POST /messenger/v1/subscriptions", &token, "").await;
        answer["subscriptions"].as_array().unwrap().len()
    };
    let url = json!({ "url": "https://chat.example/hooks/one/secret" }).to_string();
    for (line, body, status, n) in [
        ("POST /messenger/v3/webhook", url.as_str(), "200", 1),
        ("POST /messenger/v3/webhook", &url, "200", 1),
        ("POST /messenger/v3/webhook", r#"{"url":"ftp://a.example"}"#, "400", 1),
        ("POST /messenger/v3/webhook", "{}", "400", 1),
        ("POST /messenger/v1/webhook/unsubscribe", r#"{"url":"https://other.example"}"#, "200", 1),
        ("POST /messenger/v1/webhook/unsubscribe", &url, "200", 0),
    ] {
        assert_eq!(call(&rehearsal, line, &token, body).await.0, status, "{line} {body}");
        assert_eq!(all().await, n, "{line} {body}");
    }
}
