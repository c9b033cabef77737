//! What a community is told of how we want to hear: its long poll's switch, and its callback server.

use serde_json::{Value, json};

use super::script::{Script, script_for};
use crate::{domain::attempt::OutcomeClass, rehearsal::Rehearsal};

const HOOK: &str = "https://chat.example/hooks/one";
const DONE: &str = r#"{"response":1}"#;
const NOT_ALLOWED: &str = r#"{"error":{"error_code":15,"error_msg":"Access denied"}}"#;

fn events(on: &[&str]) -> Value {
    let all = ["message_new", "message_reply", "message_allow", "message_deny", "photo_new"];
    all.iter().map(|name| ((*name).to_owned(), json!(i32::from(on.contains(name))))).collect()
}

const ALL: [&str; 4] = ["message_new", "message_reply", "message_allow", "message_deny"];

fn settings(is_enabled: bool, on: &[&str]) -> String {
    let settings =
        json!({ "is_enabled": is_enabled, "api_version": "5.199", "events": events(on) });
    json!({ "response": settings }).to_string()
}

#[tokio::test]
async fn a_long_poll_is_switched_on_only_where_it_is_off() {
    use OutcomeClass::{CredentialRefused, NotSent};
    for (answers, calls, refused) in [
        (vec![settings(true, &ALL)], 1, None),
        (vec![settings(false, &ALL), DONE.to_owned()], 2, None),
        (vec![settings(true, &ALL[..2]), DONE.to_owned()], 2, None),
        (vec![r#"{"response":{}}"#.to_owned(), DONE.to_owned()], 2, None),
        // Whether it is on, the poll itself shows.
        (vec![NOT_ALLOWED.to_owned()], 1, None),
        // What is not told of is a loss, and not of what people write.
        (vec![settings(true, &ALL[..1]), NOT_ALLOWED.to_owned()], 2, None),
        (vec![settings(true, &ALL[1..]), NOT_ALLOWED.to_owned()], 2, Some(NotSent)),
        (vec![settings(false, &ALL), NOT_ALLOWED.to_owned()], 2, Some(NotSent)),
        (vec![r#"{"error":{"error_code":5}}"#.to_owned()], 1, Some(CredentialRefused)),
    ] {
        let written: Vec<&str> = answers.iter().map(String::as_str).collect();
        let script = script_for("vk-public", &written).await;
        let arranged = script.arrange(None).await;
        assert_eq!(arranged.err().map(|outcome| outcome.class), refused, "{answers:?}");
        assert_eq!(script.calls(), calls, "{answers:?}");
        script.assert_asked(0, &["groups.getLongPollSettings", "group_id=200500100&"]);
        if calls == 2 {
            let switched = ["enabled=1&", "message_new=1&", "message_reply=1&", "message_deny=1&"];
            script.assert_asked(1, &["groups.setLongPollSettings", "group_id=200500100&"]);
            script.assert_asked(1, &switched);
        }
    }
}

fn servers(url: &str, secret: &str, status: &str) -> String {
    let other = json!({
        "id": 1, "title": "CRM", "creator_id": 5, "url": "https://crm.example", "secret_key": "c",
        "status": "ok",
    });
    let ours = json!({
        "id": 4, "title": "nuncio", "creator_id": 5, "url": url, "secret_key": secret,
        "status": status,
    });
    json!({ "response": { "count": 2, "items": [other, ours] } }).to_string()
}

async fn arranged(answers: &[&str]) -> (Script, Option<String>) {
    let script = script_for("vk-public-pushed", answers).await;
    let reason = script.arrange(Some(HOOK)).await.err().map(|outcome| outcome.reason);
    (script, reason)
}

#[tokio::test]
async fn a_callback_server_that_is_right_is_left_as_it_is() {
    let secret = Rehearsal::secret("one", "secret").reveal().to_owned();
    for (secret, status) in [(secret.as_str(), "ok"), ("", "ok"), (&secret, "wait")] {
        let (servers, settings) = (servers(HOOK, secret, status), settings(true, &ALL));
        let (script, refused) = arranged(&[&servers, &settings]).await;
        assert_eq!((refused, script.calls()), (None, 2), "{status}");
        script.assert_asked(0, &["groups.getCallbackServers", "group_id=200500100&"]);
        script.assert_asked(1, &["groups.getCallbackSettings", "server_id=4&"]);
    }
    let (servers, settings) = (servers(HOOK, &secret, "ok"), settings(true, &ALL[..3]));
    let (script, refused) = arranged(&[&servers, &settings, DONE]).await;
    assert_eq!((refused, script.calls()), (None, 3));
    script.assert_asked(2, &["groups.setCallbackSettings", "server_id=4&", "message_deny=1&"]);
}

#[tokio::test]
async fn a_callback_server_is_entered_where_it_is_missing_or_wrong() {
    let right = Rehearsal::secret("one", "confirmation").reveal().to_owned();
    let code = json!({ "response": { "code": right } }).to_string();
    let secret = Rehearsal::secret("one", "secret").reveal().to_owned();
    let (entered, off) = (r#"{"response":{"server_id":7}}"#, settings(true, &[]));

    let elsewhere = servers("https://elsewhere.example/hooks/one", &secret, "ok");
    let (script, refused) = arranged(&[&elsewhere, &code, entered, &off, DONE]).await;
    assert_eq!((refused, script.calls()), (None, 5));
    script.assert_asked(1, &["groups.getCallbackConfirmationCode", "group_id=200500100&"]);
    let url = "url=https%3A%2F%2Fchat.example%2Fhooks%2Fone&";
    let entry = ["groups.addCallbackServer", url, "title=nuncio&", &format!("secret_key={secret}")];
    script.assert_asked(2, &entry);
    script.assert_asked(4, &["groups.setCallbackSettings", "server_id=7&", "message_new=1&"]);

    let other_secret = servers(HOOK, "another", "ok");
    let (script, refused) = arranged(&[&other_secret, &code, DONE, &off, DONE]).await;
    assert_eq!((refused, script.calls()), (None, 5));
    script.assert_asked(2, &["groups.editCallbackServer", "server_id=4", url]);

    let failed = servers(HOOK, &secret, "failed");
    let (script, refused) = arranged(&[&failed, &code, DONE]).await;
    assert!(refused.unwrap().contains("does it lead here"));
    script.assert_asked(2, &["groups.editCallbackServer", "server_id=4", url]);
}

#[tokio::test]
async fn what_keeps_callbacks_away_is_said() {
    let secret = Rehearsal::secret("one", "secret").reveal().to_owned();
    let none = r#"{"response":{"count":0,"items":[]}}"#;
    let other_code = r#"{"response":{"code":"e56aff12"}}"#;
    let full = r#"{"error":{"error_code":2000}}"#;
    let right = Rehearsal::secret("one", "confirmation").reveal().to_owned();
    let code = json!({ "response": { "code": right } }).to_string();
    for (answers, words) in [
        (&[none, other_code][..], "the credential `confirmation` is not what"),
        (&[none, &code, full], "as many callback servers as it may have"),
    ] {
        let (_, refused) = arranged(answers).await;
        let refused = refused.unwrap();
        assert!(refused.contains(words) && !refused.contains(&secret), "{refused}");
        assert!(!refused.contains("e56aff12"), "{refused}");
    }
    // The address may have been entered by hand.
    for answers in [&[NOT_ALLOWED][..], &[none, NOT_ALLOWED], &[none, &code, NOT_ALLOWED]] {
        let (script, refused) = arranged(answers).await;
        assert_eq!((refused, script.calls()), (None, answers.len()));
    }
    let script = script_for("vk-public-pushed", &[]).await;
    let refused = script.arrange(None).await.unwrap_err();
    assert!(refused.reason.contains("--public-url"), "{}", refused.reason);
}
