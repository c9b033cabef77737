//! The long poll of a community: its place in the stream, and what is done when that is lost.

use serde_json::{Value, json};

use super::{
    polling::ids,
    script::{Script, script_for},
};
use crate::domain::attempt::OutcomeClass;

async fn script(answers: &[&str]) -> Script {
    script_for("vk-public", answers).await
}

/// The history's place, which is asked for before the stream's.
const HISTORY: &str = r#"{"response":{"server":"elsewhere","key":"k","ts":1,"pts":1000}}"#;
const SERVER: &str = r#"{"response":{"server":"HOST/wh200500100","key":"k1","ts":"100"}}"#;
const NOT_ALLOWED: &str = r#"{"error":{"error_code":15,"error_msg":"Access denied"}}"#;

fn cursor(script: &Script, changes: &Value) -> String {
    let server = format!("{}/wh200500100", script.endpoint);
    let mut cursor = json!({ "server": server, "key": "k0", "ts": 50, "pts": 500 });
    cursor.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    cursor.to_string()
}

fn read(cursor: &str) -> Value {
    serde_json::from_str(cursor).unwrap()
}

#[tokio::test]
async fn a_round_takes_what_is_new_and_moves_the_cursor() {
    let updates = r#"{"ts":"103","updates":[
        {"type":"message_new","group_id":200500100,"event_id":"a","v":"5.199","object":{"message":
            {"id":7,"peer_id":12345678,"from_id":12345678,"date":1790000000,"text":"Hi"}}},
        {"type":"message_reply","group_id":200500100,"event_id":"b","v":"5.199","object":
            {"id":8,"peer_id":12345678,"from_id":-200500100,"out":1,"random_id":5,"text":"Ours"}},
        {"type":"message_new","group_id":1,"object":{"message":{"id":9,"peer_id":5,"text":"theirs"}}},
        {"type":"message_new","group_id":200500100,"object":{"message":
            {"id":0,"peer_id":2000000001,"conversation_message_id":1,"text":"a chat"}}},
        {"type":"message_read","group_id":200500100,"object":{}}, "nonsense", null]}"#;
    let script = script(&[HISTORY, SERVER, updates]).await;
    let begun = script.poll(None).await.unwrap();
    assert_eq!(ids(&begun), [""; 0]);
    script.assert_asked(0, &["/method/messages.getLongPollServer ", "need_pts=1&", "v=5.199"]);
    script.assert_asked(1, &["/method/groups.getLongPollServer ", "group_id=200500100&v=5.199"]);

    let polled = script.poll(Some(&begun.cursor)).await.unwrap();
    script.assert_asked(2, &["GET /wh200500100?act=a_check&key=k1&ts=100&wait=25 HTTP"]);
    assert_eq!(ids(&polled), ["7", "8"]);
    assert_eq!(polled.raw, updates.as_bytes());
    let cursor = read(&polled.cursor);
    assert_eq!((&cursor["ts"], &cursor["pts"]), (&json!(103), &json!(1000)));
}

#[tokio::test]
async fn a_lost_place_is_caught_up_with_by_the_history() {
    let page = |id: u32, more: &str| {
        format!(
            r#"{{"response":{{"history":[],"messages":{{"count":1,"items":[
            {{"id":{id},"peer_id":12345678,"out":0,"date":1790000000,"text":"missed"}}, 5]}},
            "new_pts":{}{more}}}}}"#,
            500 + id
        )
    };
    let (first, second) = (page(7, ",\"more\":1"), page(8, ""));
    for (failed, begun, ts) in [
        (r#"{"failed":1,"ts":"90"}"#, &[][..], "90"),
        (r#"{"failed":3}"#, &[HISTORY, SERVER][..], "100"),
    ] {
        let after = [first.as_str(), &second, r#"{"ts":"101","updates":[]}"#];
        let answers = [&[failed], begun, &after].concat();
        let script = script(&answers).await;
        let lost = script.poll(Some(&cursor(&script, &json!({})))).await.unwrap();
        assert_eq!(ids(&lost), [""; 0]);
        let asked = 1 + begun.len();
        // A crash after any of these rounds begins at its cursor, and so misses nothing.
        let one = script.poll(Some(&lost.cursor)).await.unwrap();
        script.assert_asked(asked, &["messages.getLongPollHistory", "pts=500&", "lp_version=3"]);
        assert_eq!(ids(&one), ["7"]);
        let two = script.poll(Some(&one.cursor)).await.unwrap();
        script.assert_asked(asked + 1, &["pts=507&"]);
        assert_eq!(ids(&two), ["8"]);
        let three = script.poll(Some(&two.cursor)).await.unwrap();
        script.assert_asked(asked + 2, &["act=a_check", &format!("ts={ts}&")]);
        assert_eq!(read(&three.cursor)["pts"], json!(508), "{failed}");
    }
}

#[tokio::test]
async fn a_new_key_brings_a_new_place_of_the_history_which_counts_after_the_next_check() {
    let checked = r#"{"ts":"51","updates":[]}"#;
    let script = script(&[r#"{"failed":2}"#, HISTORY, SERVER, checked]).await;
    let renewed = script.poll(Some(&cursor(&script, &json!({})))).await.unwrap();
    let place = read(&renewed.cursor);
    assert_eq!(
        (&place["key"], &place["ts"], &place["pts"]),
        (&json!("k1"), &json!(50), &json!(500))
    );
    let polled = script.poll(Some(&renewed.cursor)).await.unwrap();
    let place = read(&polled.cursor);
    assert_eq!((&place["ts"], &place["pts"]), (&json!(51), &json!(1000)));
    assert_eq!(place.get("next_pts"), None);
}

#[tokio::test]
async fn without_a_right_to_the_history_the_stream_goes_on_where_it_can() {
    let script = script(&[NOT_ALLOWED, SERVER, r#"{"failed":1,"ts":120}"#]).await;
    let begun = script.poll(None).await.unwrap();
    assert_eq!(read(&begun.cursor)["pts"], Value::Null);
    let lost = script.poll(Some(&begun.cursor)).await.unwrap();
    let place = read(&lost.cursor);
    assert_eq!((&place["ts"], place.get("missed")), (&json!(120), None));
}

#[tokio::test]
async fn what_is_no_answer_is_asked_for_again_and_a_refusal_has_its_class() {
    use OutcomeClass::{CredentialRefused, NotSent, OurMistake};
    for (answer, class) in [
        ("<html>", NotSent),
        ("{}", NotSent),
        (r#"{"ts":"soon","updates":[]}"#, NotSent),
        (r#"{"failed":4}"#, OurMistake),
    ] {
        let script = script(&[answer]).await;
        let outcome = script.poll(Some(&cursor(&script, &json!({})))).await.unwrap_err();
        assert_eq!(outcome.class, class, "{answer}: {}", outcome.reason);
    }
    for (code, class) in
        [(5, CredentialRefused), (27, CredentialRefused), (100, NotSent), (3, OurMistake)]
    {
        let error = format!(r#"{{"error":{{"error_code":{code}}}}}"#);
        let script = script(&[HISTORY, &error]).await;
        assert_eq!(script.poll(None).await.unwrap_err().class, class, "{code}");
    }
}
