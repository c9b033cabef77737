//! What a receiver is asked, and what it is not asked twice.

use IntegrationKind::{Amocrm, Bitrix24, TelegramNotification, Webhook};
use serde_json::json;

use super::*;

fn done(remote_id: &str) -> ReportOutcome {
    ReportOutcome::Done { remote_id: Some(remote_id.to_owned()) }
}

/// The last part of each path that was asked.
fn methods(receiver: &Receiver) -> Vec<String> {
    let last = |asked: &Asked| {
        let path = asked.path.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    receiver.asked().iter().map(last).collect()
}

#[tokio::test]
async fn a_webhook_is_signed_and_dated_by_the_try() {
    let receiver = Receiver::always(answer(204, "")).await;
    tell(&receiver.reporter(Webhook), 1, None).await;
    let asked = receiver.asked().remove(0);
    assert_eq!(asked.headers["webhook-id"], report().id.to_string());
    assert_eq!(asked.headers["webhook-timestamp"], "1700000100");
    assert!(asked.headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    let body = asked.json();
    assert_eq!(body["type"], "dialogue.contact_obtained");
    assert_eq!(body["timestamp"], "2023-11-14T22:13:20.000Z");
    assert_eq!(body["data"]["contact"]["email"], "ivan@example.test");
}

/// A portal with what it holds already.
async fn portal(mode: i64, items: Value, comments: Value) -> Receiver {
    Receiver::start(move |asked| {
        let result = match asked.path.rsplit('/').next().unwrap() {
            "crm.settings.mode.get" => json!(mode),
            "crm.item.list" => json!({ "items": items }),
            "crm.item.add" => json!({"item": {"id": 42}}),
            "crm.timeline.comment.list" => comments.clone(),
            "crm.timeline.comment.add" => json!(1),
            other => panic!("{other}"),
        };
        answer(200, &json!({ "result": result }).to_string())
    })
    .await
}

const MODE: &str = "crm.settings.mode.get";
const LIST: &str = "crm.item.list";
const ADD: &str = "crm.item.add";
const COMMENTS: &str = "crm.timeline.comment.list";
const COMMENT: &str = "crm.timeline.comment.add";

#[tokio::test]
async fn bitrix24_is_searched_before_it_is_written_to() {
    let mark = format!("text nuncio report {}", report().id);
    let with = |comments: &str| json!([{"id": 9, "comments": comments}]);
    let told = json!([{"ID": "3", "COMMENT": mark}]);
    let nothing = json!([]);
    for (mode, items, comments, remote, expected, asked) in [
        (1, nothing.clone(), nothing.clone(), None, "lead:42", vec![MODE, LIST, ADD]),
        (2, nothing.clone(), nothing.clone(), None, "deal:42", vec![MODE, LIST, LIST, ADD, ADD]),
        // An earlier try has added it.
        (1, with(&mark), nothing.clone(), None, "lead:9", vec![MODE, LIST]),
        // An earlier report of the dialogue has, and nobody heard of it.
        (1, with("x"), nothing.clone(), None, "lead:9", vec![MODE, LIST, COMMENTS, COMMENT]),
        (1, with("x"), told.clone(), None, "lead:9", vec![MODE, LIST, COMMENTS]),
        (1, nothing.clone(), nothing.clone(), Some("lead:5"), "lead:5", vec![COMMENTS, COMMENT]),
        (1, nothing.clone(), nothing.clone(), Some("deal:5"), "deal:5", vec![COMMENTS, COMMENT]),
        (1, nothing.clone(), told.clone(), Some("lead:5"), "lead:5", vec![COMMENTS]),
        (1, nothing.clone(), nothing, Some("other"), "lead:42", vec![MODE, LIST, ADD]),
    ] {
        let portal = portal(mode, items, comments).await;
        let outcome = tell(&portal.reporter(Bitrix24), 2, remote).await;
        assert_eq!(
            (outcome, methods(&portal)),
            (done(expected), asked.iter().map(ToString::to_string).collect())
        );
    }
}

#[tokio::test]
async fn a_lead_of_bitrix24_has_its_origin_and_its_person() {
    let portal = portal(1, json!([]), json!([])).await;
    tell(&portal.reporter(Bitrix24), 1, None).await;
    let asked = portal.asked();
    let origin = report().origin.to_string();
    let filter = json!({"originatorId": "nuncio", "originId": origin});
    assert_eq!(asked[1].json()["filter"], filter);
    let lead = asked[2].json();
    assert_eq!(lead["entityTypeId"], 1);
    assert_eq!(lead["fields"]["originId"], origin);
    assert_eq!(lead["fields"]["fm"][0]["value"], "+79123456789");
    assert_eq!(lead["fields"]["fm"][1]["value"], "ivan@example.test");
    assert!(lead["fields"]["comments"].as_str().unwrap().contains("Anna: Hello!"));
}

/// An account with what it holds already.
async fn account(leads: Value, notes: Value) -> Receiver {
    Receiver::start(move |asked| {
        let page = |name: &str, all: &Value| match all.as_array().map(Vec::is_empty) {
            Some(true) => answer(204, ""),
            _ => answer(200, &json!({"_embedded": {name: all}}).to_string()),
        };
        let path = asked.path.split('?').next().unwrap();
        match (path, asked.body.is_empty()) {
            ("/api/v4/leads", true) => page("leads", &leads),
            ("/api/v4/leads/complex", false) => answer(200, r#"[{"id":42,"merged":false}]"#),
            ("/api/v4/leads/404/notes", _) => answer(404, "{}"),
            (path, true) if path.ends_with("/notes") => page("notes", &notes),
            (path, false) if path.ends_with("/notes") => answer(200, r#"{"_embedded":{}}"#),
            other => panic!("{other:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn amocrm_is_searched_before_it_is_written_to() {
    let lead = json!([{"id": 8, "name": "0123456789ab is elsewhere"}, {"id": 9, "name": "Ivan [0123456789ab]"}]);
    let told = json!([{"id": 1, "params": {"text": format!("nuncio report {}", report().id)}}]);
    let nothing = json!([]);
    let (find, add, note) = ("leads", "complex", "notes");
    for (leads, notes, remote, expected, asked) in [
        (nothing.clone(), nothing.clone(), None, "42", vec![find, add, note]),
        (lead.clone(), nothing.clone(), None, "9", vec![find, note, note]),
        (lead, told.clone(), None, "9", vec![find, note]),
        (nothing.clone(), nothing.clone(), Some("5"), "5", vec![note, note]),
        (nothing.clone(), told, Some("5"), "5", vec![note]),
        // Somebody has deleted it.
        (nothing.clone(), nothing, Some("404"), "42", vec![note, find, add, note]),
    ] {
        let account = account(leads, notes).await;
        let outcome = tell(&account.reporter(Amocrm), 2, remote).await;
        assert_eq!(
            (outcome, methods(&account)),
            (done(expected), asked.iter().map(ToString::to_string).collect())
        );
        let token = format!("Bearer {SECRET}");
        assert!(account.asked().iter().all(|asked| asked.headers["authorization"] == token));
    }
}

#[tokio::test]
async fn a_chat_that_moved_is_followed_and_a_repeat_says_so() {
    let receiver = Receiver::start(|asked| match asked.json()["chat_id"].as_i64() {
        Some(-100_500) => answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-100777}}"#,
        ),
        _ => answer(200, r#"{"ok":true,"result":{"message_id":1}}"#),
    })
    .await;
    let outcome = tell(&receiver.reporter(TelegramNotification), 2, None).await;
    assert_eq!(outcome, ReportOutcome::Done { remote_id: None });
    let asked = receiver.asked();
    assert_eq!(asked[1].json()["chat_id"], -100_777);
    assert!(asked[1].json()["text"].as_str().unwrap().starts_with("(This may be a repeat.)"));
    assert_eq!(asked[0].path, format!("/bot{SECRET}/sendMessage"));
}
