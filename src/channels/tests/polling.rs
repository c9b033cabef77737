//! VK's long poll: every way in which a place in the stream is kept, lost and found again.

use serde_json::{Value, json};

use super::{
    super::{Http, Polled},
    SHORT,
    script::{Script, script_for},
    server::{Behaviour, serve},
    subject::Subject,
};
use crate::domain::{attempt::OutcomeClass, dialogue::Delivery};

async fn script(answers: &[&str]) -> Script {
    script_for("vk-user", answers).await
}

const SERVER: &str = r#"{"response":{"server":"HOST/im","key":"k1","ts":"100","pts":1000}}"#;

fn cursor(endpoint: &str, changes: &Value) -> String {
    let mut cursor =
        json!({ "server": format!("{endpoint}/im"), "key": "k0", "ts": 50, "pts": 500 });
    cursor.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    cursor.to_string()
}

pub(super) fn ids(polled: &Polled) -> Vec<&str> {
    let ids = polled.received.iter().map(|received| match &received.what {
        Delivery::Message { id, .. } | Delivery::Echo { id, .. } | Delivery::Status { id, .. } => {
            id
        }
        Delivery::Barred | Delivery::Moved => panic!("VK tells of no such thing"),
    });
    ids.map(String::as_str).collect()
}

#[tokio::test]
async fn a_round_takes_what_is_new_and_moves_the_cursor() {
    let updates = r#"{"ts":102,"pts":"1002","updates":[
        [4,7,1,12345678,1790000000,"Hi"], [4,8,3,12345678,1790000000,"Ours",{},{},5],
        [4,9,1,2000000001,1790000000,"a chat"], [61,5,1], "nonsense", [4], null,
        [4,10,1,12345679,1790000000,"",{},{"attach1_type":"photo"}]]}"#;
    let script = script(&[SERVER, updates]).await;
    let begun = script.poll(None).await.unwrap();
    assert_eq!(ids(&begun), [""; 0]);
    script
        .assert_asked(0, &["messages.getLongPollServer", "need_pts=1", "lp_version=3", "v=5.199"]);

    let polled = script.poll(Some(&begun.cursor)).await.unwrap();
    script.assert_asked(1, &["GET /im?act=a_check&key=k1&ts=100&wait=25&mode=170&version=3 "]);
    assert_eq!(ids(&polled), ["7", "8", "10"]);
    assert_eq!(polled.raw, updates.as_bytes());
    let cursor: Value = serde_json::from_str(&polled.cursor).unwrap();
    assert_eq!((&cursor["ts"], &cursor["pts"]), (&json!(102), &json!(1002)));
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
    for (failed, server, ts) in
        [(r#"{"failed":1,"ts":90}"#, None, 90), (r#"{"failed":3}"#, Some(SERVER), 100)]
    {
        let mut answers = vec![failed];
        answers.extend(server);
        answers.extend([first.as_str(), &second, r#"{"ts":101,"updates":[]}"#]);
        let script = script(&answers).await;
        let old = cursor(&script.endpoint, &json!({}));
        // A crash after any of these rounds begins at its cursor, and so misses nothing.
        let lost = script.poll(Some(&old)).await.unwrap();
        assert_eq!(ids(&lost), [""; 0]);
        let one = script.poll(Some(&lost.cursor)).await.unwrap();
        let asked = answers.len() - 3;
        script.assert_asked(asked, &["messages.getLongPollHistory", "pts=500&", "lp_version=3"]);
        assert_eq!(ids(&one), ["7"]);
        let two = script.poll(Some(&one.cursor)).await.unwrap();
        script.assert_asked(asked + 1, &["pts=507&"]);
        assert_eq!(ids(&two), ["8"]);
        script.poll(Some(&two.cursor)).await.unwrap();
        script.assert_asked(asked + 2, &["act=a_check", &format!("ts={ts}&")]);
    }
}

#[tokio::test]
async fn a_key_that_ends_or_a_server_that_moves_keeps_the_place() {
    for failed in [r#"{"failed":2}"#, r#"{"failed":"2"}"#, "HTTP 502"] {
        let script = script(&[failed, SERVER]).await;
        let moved =
            cursor(&script.endpoint, &json!({ "server": format!("{}/old", script.endpoint) }));
        let polled = script.poll(Some(&moved)).await.unwrap();
        let new: Value = serde_json::from_str(&polled.cursor).unwrap();
        assert_eq!((&new["key"], &new["ts"], &new["pts"]), (&json!("k1"), &json!(50), &json!(500)));
        assert!(new["server"].as_str().unwrap().ends_with("/im"), "{failed}");
    }
    // Where VK knows no other server, whoever asks again has to wait.
    let script = script(&["HTTP 502", SERVER]).await;
    let outcome = script.poll(Some(&cursor(&script.endpoint, &json!({})))).await.unwrap_err();
    assert_eq!(outcome.class, OutcomeClass::NotSent, "{}", outcome.reason);
}

#[tokio::test]
async fn a_history_that_is_gone_or_never_ends_is_given_up() {
    let endless = r#"{"response":{"messages":{"items":[]},"new_pts":500,"more":true}}"#;
    let gone = r#"{"error":{"error_code":907,"error_msg":"Value of ts or pts is too old"}}"#;
    for answer in [endless, gone, r#"{"response":{}}"#] {
        let script = script(&[answer]).await;
        let missed = cursor(&script.endpoint, &json!({ "missed": { "ts": 50, "pts": 500 } }));
        let polled = script.poll(Some(&missed)).await.unwrap();
        let new: Value = serde_json::from_str(&polled.cursor).unwrap();
        assert_eq!((new.get("missed"), &new["ts"]), (None, &json!(50)), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_asked_for_again_and_a_refusal_has_its_class() {
    use OutcomeClass::{ChannelBlocked, CredentialRefused, NotSent, OurMistake, RetryAfter};
    let deep = format!("{{\"ts\":1,\"updates\":{}", "[".repeat(100_000));
    for (answer, class) in [
        ("<html>", NotSent),
        ("[]", NotSent),
        ("{}", NotSent),
        (r#"{"ts":{},"updates":[]}"#, NotSent),
        (r#"{"ts":1,"updates":5}"#, NotSent),
        (&deep, NotSent),
        (r#"{"failed":4,"min_version":5}"#, OurMistake),
        (r#"{"failed":1e30}"#, OurMistake),
    ] {
        let script = script(&[answer]).await;
        let outcome = script.poll(Some(&cursor(&script.endpoint, &json!({})))).await.unwrap_err();
        assert_eq!(outcome.class, class, "{answer:.40}: {}", outcome.reason);
        assert!(!outcome.reason.contains("127.0.0.1") && !outcome.reason.contains("k0"));
    }
    for (code, class) in
        [(5, CredentialRefused), (14, ChannelBlocked), (6, RetryAfter), (10, NotSent)]
    {
        let error = format!(r#"{{"error":{{"error_code":{code}}}}}"#);
        let script = script(&[&error]).await;
        assert_eq!(script.poll(None).await.unwrap_err().class, class, "{code}");
    }
    // A cursor of another version, or a broken one, begins anew.
    for foreign in ["", "{}", "5", "{\"server\":5}"] {
        let script = script(&[SERVER]).await;
        script.poll(Some(foreign)).await.unwrap();
    }
    // The key is not given to who is not VK.
    let script = script(&[]).await;
    for server in ["ftp://elsewhere.example", "http:// /", "file:///etc/passwd"] {
        let cursor = cursor(&script.endpoint, &json!({ "server": server }));
        assert_eq!(script.poll(Some(&cursor)).await.unwrap_err().class, NotSent, "{server}");
    }
}

#[tokio::test]
async fn a_server_that_is_none_is_asked_again_later() {
    let http = Http::with_deadline(SHORT).unwrap();
    for behaviour in
        [Behaviour::Closes, Behaviour::BreaksOff, Behaviour::Floods, Behaviour::FloodsHead]
    {
        let server = serve(behaviour, &[]).await;
        let vk = Subject::of("vk-user").driver(&server.endpoint, "one", &http);
        for cursor in [None, Some(cursor(&server.endpoint, &json!({})))] {
            let outcome = vk.poll(cursor.as_deref()).await.unwrap_err();
            assert_eq!(outcome.class, OutcomeClass::NotSent, "{behaviour:?}: {}", outcome.reason);
        }
    }
}
