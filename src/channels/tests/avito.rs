//! Avito: its tokens, whose fault a refusal is, and its webhooks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    super::{Driver, Examined, Http, Receives, Webhook, WebhookHeaders, WebhookRefused},
    TEXT,
    script::script_for,
    stage::clock,
    subject::Subject,
};
use crate::{
    domain::{
        address::Address,
        attempt::{Outcome, OutcomeClass},
        dialogue::{Delivery, Received, ReplyCall},
    },
    rehearsal::Rehearsal,
};

const TOKEN: &str = r#"{"access_token":"first","expires_in":86400,"token_type":"Bearer"}"#;
const NEXT_TOKEN: &str = r#"{"access_token":"second","expires_in":86400,"token_type":"Bearer"}"#;
const SENT: &str =
    r#"{"id":"bdcc5bac2d00345f1cc66fa657813958","created":1563202313,"direction":"out"}"#;
const CHATS: &str = r#"{"chats":[]}"#;
const OK: &str = r#"{"ok":true}"#;
const FORBIDDEN: &str = r#"HTTP 403 {"error":{"code":403,"message":"Forbidden"}}"#;
const NOT_FOUND: &str = r#"HTTP 404 {"error":{"code":404,"message":"Not found"}}"#;
const UNPAID: &str = r#"HTTP 402 {"error":{"code":402,"message":"Payment required"}}"#;
const ENDED: &str = r#"HTTP 401 {"error":{"code":401,"message":"Unauthorized"}}"#;

fn chat() -> Address {
    Subject::of("avito").address("0001")
}

async fn reply(driver: &Driver, key: i64) -> Outcome {
    driver.reply(&ReplyCall { peer: &chat(), text: TEXT, key, reference: "r" }).await
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed_once_and_never_in_a_loop() {
    use OutcomeClass::{CredentialRefused, RetryAfter, Sent};
    for (answers, classes) in [
        (&[TOKEN, SENT, SENT][..], &[Sent, Sent][..]),
        (&[TOKEN, SENT, ENDED, NEXT_TOKEN, SENT], &[Sent, Sent]),
        (&[TOKEN, SENT, ENDED, NEXT_TOKEN, ENDED], &[Sent, CredentialRefused]),
        // What was fetched for this call and is refused, another would be too.
        (&[TOKEN, ENDED], &[CredentialRefused]),
        (
            &[TOKEN, SENT, ENDED, r#"HTTP 400 {"error":"invalid_client"}"#],
            &[Sent, CredentialRefused],
        ),
        (&[TOKEN, SENT, ENDED, "HTTP 429"], &[Sent, RetryAfter]),
    ] {
        let script = script_for("avito", answers).await;
        for (key, class) in (1..).zip(classes) {
            let outcome = reply(&script.driver, key).await;
            assert_eq!(outcome.class, *class, "{answers:?}, message {key}: {}", outcome.reason);
        }
        assert_eq!(script.calls(), answers.len(), "{answers:?}");
    }
    let script = script_for("avito", &[TOKEN, SENT, ENDED, NEXT_TOKEN, SENT]).await;
    reply(&script.driver, 1).await;
    reply(&script.driver, 2).await;
    let body = "grant_type=client_credentials&client_id=rehearsal_one_clientId&client_secret=rehearsal_one";
    script.assert_asked(0, &["POST /token ", "application/x-www-form-urlencoded", body]);
    let path = "POST /messenger/v1/accounts/94235311/chats/u2i-rehearsal-0001/messages ";
    for (number, bearer) in [(1, "Bearer first"), (2, "Bearer first"), (4, "Bearer second")] {
        script.assert_asked(number, &[path, bearer, r#"{"message":{"text":"#, r#""type":"text""#]);
    }
}

/// A provider of which only the token with the newest number is good.
#[derive(Default)]
struct Renewing {
    number: AtomicUsize,
    fetched: AtomicUsize,
    refused: AtomicUsize,
}

async fn token(State(of): State<Arc<Renewing>>) -> Json<Value> {
    of.fetched.fetch_add(1, Ordering::Relaxed);
    let token = format!("t{}", of.number.load(Ordering::Relaxed));
    Json(json!({ "access_token": token, "expires_in": 86_400, "token_type": "Bearer" }))
}

async fn take(State(of): State<Arc<Renewing>>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let good = format!("Bearer t{}", of.number.load(Ordering::Relaxed));
    if headers["authorization"] == *good {
        return (StatusCode::OK, Json(json!({ "id": "m1" })));
    }
    of.refused.fetch_add(1, Ordering::Relaxed);
    (StatusCode::UNAUTHORIZED, Json(json!({ "error": { "code": 401, "message": "a" } })))
}

#[tokio::test]
async fn calls_at_the_same_time_renew_a_token_once() {
    let provider = Arc::new(Renewing::default());
    let router = Router::new()
        .route("/token", post(token))
        .route("/messenger/v1/accounts/{user}/chats/{chat}/messages", post(take))
        .with_state(Arc::clone(&provider));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served =
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
    let _served = AbortOnDropHandle::new(served);
    let driver = Subject::of("avito").driver(&endpoint, "one", &Http::new().unwrap());
    for fetched in 1..4 {
        let all = join_all((0..8).map(|key| reply(&driver, key))).await;
        for outcome in all {
            assert_eq!(outcome.class, OutcomeClass::Sent, "{}", outcome.reason);
        }
        assert_eq!(provider.fetched.load(Ordering::Relaxed), fetched);
        provider.number.fetch_add(1, Ordering::Relaxed);
    }
    assert!(provider.refused.load(Ordering::Relaxed) >= 2, "tokens ended in the middle");
}

#[tokio::test]
async fn a_refused_chat_is_the_accounts_fault_where_all_its_chats_are() {
    use OutcomeClass::{
        ChannelBlocked, CredentialRefused, NotSent, OurMistake, RecipientPermanent,
    };
    for (of_message, of_chats, class) in [
        (FORBIDDEN, CHATS, RecipientPermanent),
        (NOT_FOUND, CHATS, RecipientPermanent),
        (FORBIDDEN, FORBIDDEN, CredentialRefused),
        (NOT_FOUND, NOT_FOUND, OurMistake),
        (FORBIDDEN, UNPAID, ChannelBlocked),
        (FORBIDDEN, "HTTP 502 <html>", NotSent),
        (FORBIDDEN, "<html>", NotSent),
    ] {
        let script = script_for("avito", &[TOKEN, of_message, of_chats]).await;
        let outcome = reply(&script.driver, 1).await;
        assert_eq!(outcome.class, class, "{of_message}, {of_chats}: {}", outcome.reason);
        script.assert_asked(2, &["GET /messenger/v2/accounts/94235311/chats?limit=1 "]);
    }
    let script = script_for("avito", &[]).await;
    let nobody = Address::from_stored("instagram:1".to_owned());
    let call = ReplyCall { peer: &nobody, text: TEXT, key: 1, reference: "r" };
    assert_eq!(script.driver.reply(&call).await.class, RecipientPermanent);
    assert_eq!(script.calls(), 0, "there is no such chat to be asked for");
}

#[tokio::test]
async fn the_account_is_looked_at_by_the_name_that_the_manifest_gives_it() {
    let named = |words: &str| Examined::Refused(words.to_owned());
    let other = "Avito: the client is of another account than `userId`";
    for (answers, expected) in [
        (&[TOKEN, CHATS, r#"{"id":94235311}"#][..], Examined::InOrder),
        (&[TOKEN, CHATS, r#"{"id":5}"#], named(other)),
        // Who may not be asked who they are may still answer.
        (&[TOKEN, CHATS, FORBIDDEN], Examined::InOrder),
        (&[TOKEN, NOT_FOUND], named("Avito error 404: no such account; is `userId` right?")),
        (
            &[TOKEN, UNPAID],
            named("Avito error 402: the messenger is not part of the account's tariff"),
        ),
        (
            &[r#"HTTP 401 {"error":"invalid_client"}"#],
            named("Avito: the client's id or secret is refused"),
        ),
    ] {
        let script = script_for("avito", answers).await;
        assert_eq!(script.driver.examine().await, expected, "{answers:?}");
        assert_eq!(script.calls(), answers.len(), "{answers:?}");
    }
}

const HOOK: &str = "https://chat.example/hooks/one";
const OURS: &str = "https://chat.example/hooks/one/rehearsal_one_webhookSecret";

#[tokio::test]
async fn avito_is_told_where_webhooks_go_and_forgets_an_old_secret() {
    let list = |urls: &[&str]| {
        let all: Vec<_> = urls.iter().map(|url| json!({ "url": url, "version": "3" })).collect();
        json!({ "subscriptions": all }).to_string()
    };
    let (none, ours, both) = (
        list(&["https://crm.example/avito"]),
        list(&["https://crm.example/avito", OURS]),
        list(&["https://chat.example/hooks/one/old", OURS]),
    );
    let old = list(&["https://chat.example/hooks/one/old"]);
    let (subscribe, unsubscribe) =
        ("POST /messenger/v3/webhook ", "POST /messenger/v1/webhook/unsubscribe ");
    let of_ours = format!(r#"{{"url":"{OURS}"}}"#);
    let of_old = r#"{"url":"https://chat.example/hooks/one/old"}"#;
    for (answers, asked) in [
        (&[TOKEN, CHATS, &none, OK][..], &[(subscribe, of_ours.as_str())][..]),
        (&[TOKEN, CHATS, &ours], &[]),
        (&[TOKEN, CHATS, &both, OK], &[(unsubscribe, of_old)]),
        (&[TOKEN, CHATS, &old, OK, OK], &[(subscribe, &of_ours), (unsubscribe, of_old)]),
    ] {
        let script = script_for("avito-pushed", answers).await;
        script.arrange(Some(HOOK)).await.unwrap();
        assert_eq!(script.calls(), answers.len(), "{answers:?}");
        script.assert_asked(2, &["POST /messenger/v1/subscriptions "]);
        for (number, (line, body)) in (3..).zip(asked) {
            script.assert_asked(number, &[line, body]);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_arranged_says_why() {
    use OutcomeClass::{ChannelBlocked, CredentialRefused, NotSent, OurMistake};
    let refused =
        r#"HTTP 400 {"error":{"code":400,"message":"Validation error","fields":{"url":"a"}}}"#;
    for (hook, answers, class) in [
        (None, &[][..], NotSent),
        (Some(HOOK), &[TOKEN, UNPAID], ChannelBlocked),
        (Some(HOOK), &[TOKEN, CHATS, FORBIDDEN], CredentialRefused),
        (Some(HOOK), &[TOKEN, CHATS, r#"{"subscriptions":[]}"#, refused], OurMistake),
        (Some(HOOK), &[TOKEN, CHATS, "HTTP 500"], NotSent),
    ] {
        let script = script_for("avito-pushed", answers).await;
        let outcome = script.arrange(hook).await.unwrap_err();
        assert_eq!(outcome.class, class, "{answers:?}: {}", outcome.reason);
        assert!(!outcome.reason.contains("rehearsal"), "{}", outcome.reason);
        assert_eq!(script.calls(), answers.len(), "{answers:?}");
    }
    // Whoever asks for messages arranges nothing.
    let script = script_for("avito", &[]).await;
    script.arrange(Some(HOOK)).await.unwrap();
    assert_eq!(script.calls(), 0);
}

#[test]
fn only_who_knows_the_secret_address_is_believed() {
    use WebhookRefused::{NotConfigured, SignatureMissing, SignatureWrong, Unreadable};
    let subject = Subject::of("avito-pushed");
    let http = Http::new().unwrap();
    let driver = subject.driver("http://127.0.0.1:9", "one", &http);
    let event = json!({ "id": "e", "version": "v3.0.0", "timestamp": 1, "payload": {
        "type": "message", "value": {
            "id": "m1", "chat_id": "u2i-rehearsal-0001", "user_id": 94_235_311, "author_id": 5,
            "created": 1_790_000_000, "type": "text", "chat_type": "u2i", "content": { "text": "Привет" },
        },
    } });
    let event = event.to_string();
    let right = Rehearsal::secret("one", "webhookSecret").reveal().to_owned();
    let read = |driver: &Driver, token: Option<&str>, body: &str| {
        let signature = "5f0c6a8e1b7d4293a5c0e8f16b2d7c94831a6f5e0d9c2b7a4e8f1063c5d2b9a7";
        let headers: WebhookHeaders =
            [("x-avito-messenger-signature", signature)].into_iter().collect();
        let webhook = Webhook { headers: &headers, token, body: body.as_bytes(), at: clock() };
        driver.read_webhook(&webhook).map(|brought| brought.received)
    };
    let what = Delivery::Message { id: "m1".to_owned(), text: "Привет".to_owned() };
    let said = Received::of(chat(), Some(clock()), what);
    assert_eq!(read(&driver, Some(&right), &event), Ok(vec![said]));
    // As Avito has an address tried.
    assert_eq!(read(&driver, Some(&right), "{}"), Ok(Vec::new()));
    for (token, body, refused) in [
        (None, event.as_str(), SignatureMissing),
        (Some(""), &event, SignatureWrong),
        (Some("wrong"), &event, SignatureWrong),
        (Some(&right[1..]), &event, SignatureWrong),
        (Some("wrong"), "{", SignatureWrong),
        (Some(&right), "{", Unreadable),
        (Some(&right), "", Unreadable),
        (Some(&right), &"[".repeat(100_000), Unreadable),
    ] {
        assert_eq!(read(&driver, token, body), Err(refused), "{token:?} {body:.9}");
    }
    let mut secrets = subject.secrets("one");
    secrets.remove("webhookSecret").unwrap();
    let without = Driver::connect(&subject.spec("http://127.0.0.1:9"), &secrets, &http).unwrap();
    assert_eq!(without.receives(), Receives::Nothing);
    assert_eq!(read(&without, Some(&right), &event), Err(NotConfigured));
}
