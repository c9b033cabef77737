//! Avito, asked for what arrived: every message once, in its order, and none is lost between two rounds.

use serde_json::{Value, json};

use super::{
    super::Polled,
    script::{Script, script_for},
};
use crate::domain::{attempt::OutcomeClass, dialogue::Delivery};

const TOKEN: &str = r#"{"access_token":"first","expires_in":86400,"token_type":"Bearer"}"#;

async fn script(answers: &[String]) -> Script {
    let all: Vec<&str> = std::iter::once(TOKEN).chain(answers.iter().map(String::as_str)).collect();
    script_for("avito", &all).await
}

fn chats(all: &[(&str, i64, &str)]) -> String {
    let chats: Vec<_> = all.iter().map(|(id, updated, last)| {
        json!({ "id": id, "created": 1, "updated": updated, "last_message": { "id": last, "created": updated } })
    }).collect();
    json!({ "chats": chats }).to_string()
}

/// From the youngest on, as Avito lists them.
fn messages(all: &[(&str, i64)]) -> Value {
    let message = |(id, created): &(&str, i64)| {
        let direction = if id.starts_with('o') { "out" } else { "in" };
        json!({ "id": id, "created": created, "direction": direction, "author_id": 5, "type": "text",
            "content": { "text": id } })
    };
    all.iter().map(message).collect()
}

fn page(all: &[(&str, i64)]) -> String {
    json!({ "messages": messages(all), "meta": { "has_more": false } }).to_string()
}

fn told(polled: &Polled) -> Vec<String> {
    let one = |delivery: &Delivery| match delivery {
        Delivery::Message { text, .. } => text.clone(),
        Delivery::Echo { id, .. } => format!("echo {id}"),
        other => panic!("{other:?}"),
    };
    polled.received.iter().map(|received| one(&received.what)).collect()
}

fn since(polled: &Polled) -> i64 {
    serde_json::from_str::<Value>(&polled.cursor).unwrap()["since"].as_i64().unwrap()
}

#[tokio::test]
async fn the_first_round_finds_out_where_now_is_and_the_next_tells_what_came_after() {
    let answers = [
        chats(&[("a", 1_000, "m1"), ("b", 10, "n1")]),
        // `c` is new, `a` has more, and `b` is as it was.
        chats(&[("c", 1_050, "k1"), ("a", 1_040, "m3"), ("b", 10, "n1")]),
        page(&[("m3", 1_040), ("o2", 1_030), ("m1", 1_000), ("m0", 999)]),
        // Nobody says so, but some have it that the list is bare.
        messages(&[("k1", 1_050)]).to_string(),
        // A chat that comes into the list later than one that is younger.
        chats(&[("c", 1_050, "k1"), ("a", 1_040, "m3"), ("d", 1_045, "l1")]),
        page(&[("l1", 1_045), ("l0", 900)]),
    ];
    let script = script(&answers).await;
    let first = script.poll(None).await.unwrap();
    assert_eq!((told(&first), since(&first)), (Vec::new(), 1_000));
    script.assert_asked(
        1,
        &["GET /messenger/v2/accounts/94235311/chats?chat_types=u2i%2Cu2u&limit=100&offset=0 "],
    );
    let second = script.poll(Some(&first.cursor)).await.unwrap();
    assert_eq!(told(&second), ["echo o2", "m3", "k1"], "the chat that waits longest comes first");
    assert_eq!(since(&second), 1_050);
    script.assert_asked(
        3,
        &["GET /messenger/v3/accounts/94235311/chats/a/messages/?limit=100&offset=0 "],
    );
    let third = script.poll(Some(&second.cursor)).await.unwrap();
    assert_eq!((told(&third), since(&third)), (vec!["l1".to_owned()], 1_050));
    assert_eq!(script.calls(), 1 + answers.len());
}

#[tokio::test]
async fn a_round_that_was_not_stored_is_told_again() {
    let answers: Vec<_> = [0, 0]
        .iter()
        .flat_map(|_| [chats(&[("a", 1_010, "m2")]), page(&[("m2", 1_010), ("m1", 1_000)])])
        .collect();
    let script = script(&answers).await;
    let cursor = json!({ "since": 1_000, "read": { "a": "m1" } }).to_string();
    for _ in 0..2 {
        assert_eq!(told(&script.poll(Some(&cursor)).await.unwrap()), ["m2"]);
    }
}

#[tokio::test]
async fn the_place_stays_until_every_chat_was_read() {
    // While nobody asked, 25 people wrote, and each of them long before the last one did.
    let ids: Vec<String> = (0..25).map(|n| format!("c{n:02}")).collect();
    let mut list: Vec<_> =
        ids.iter().zip(2_000..).map(|(id, at)| (id.as_str(), at, "m2")).collect();
    list.reverse();
    let said = page(&[("m2", 2_000), ("m1", 1_001)]);
    let mut answers = vec![chats(&list)];
    answers.extend(std::iter::repeat_n(said.clone(), 20));
    answers.push(chats(&list));
    answers.extend(std::iter::repeat_n(said, 5));
    let script = script(&answers).await;
    let cursor = json!({ "since": 1_000, "read": {} }).to_string();
    let first = script.poll(Some(&cursor)).await.unwrap();
    assert_eq!((first.received.len(), since(&first)), (40, 1_000));
    let second = script.poll(Some(&first.cursor)).await.unwrap();
    assert_eq!((second.received.len(), since(&second)), (10, 2_024));
    assert_eq!(script.calls(), 1 + answers.len());
    let heard: std::collections::BTreeSet<_> =
        first.received.iter().chain(&second.received).map(|one| one.peer.as_str()).collect();
    assert_eq!(heard.len(), ids.len());
    assert_eq!(told(&second)[..2], ["m1", "m2"]);
}

#[tokio::test]
async fn long_lists_are_read_page_by_page() {
    let names: Vec<String> = (0..150).map(|n| format!("m{n:03}")).collect();
    let said: Vec<_> =
        names.iter().rev().zip((1_001..=1_150).rev()).map(|(id, at)| (id.as_str(), at)).collect();
    let ids: Vec<String> = (0..101).map(|n| format!("c{n:03}")).collect();
    let list: Vec<_> = ids.iter().map(|id| (id.as_str(), 1_150, "x")).collect();
    let mut last = list[100..].to_vec();
    last.push(("old", 5, "x"));
    let mut answers =
        vec![chats(&list[..100]), chats(&last), page(&said[..100]), page(&said[100..])];
    // The other nineteen of this round have nothing new that is young enough.
    answers.extend(std::iter::repeat_n(page(&[("x", 5)]), 19));
    let script = script(&answers).await;
    let cursor = json!({ "since": 1_000, "read": {} }).to_string();
    let polled = script.poll(Some(&cursor)).await.unwrap();
    assert_eq!(told(&polled), names);
    script.assert_asked(2, &["&offset=100 "]);
    script.assert_asked(4, &["/chats/c000/messages/?limit=100&offset=100 "]);
}

#[tokio::test]
async fn what_is_no_answer_is_asked_for_again_and_a_refusal_has_its_class() {
    use OutcomeClass::{ChannelBlocked, CredentialRefused, NotSent, OurMistake, RetryAfter};
    let error =
        |status: u16| format!(r#"HTTP {status} {{"error":{{"code":{status},"message":"a"}}}}"#);
    for (answers, class) in [
        (vec!["<html>".to_owned()], NotSent),
        (vec![r#"{"chats":5}"#.to_owned()], NotSent),
        (vec![error(500)], NotSent),
        (vec![error(503)], NotSent),
        (vec![error(429)], RetryAfter),
        (vec![error(402)], ChannelBlocked),
        (vec![error(403)], CredentialRefused),
        (vec![error(404)], OurMistake),
        (vec![error(400)], OurMistake),
        (vec![chats(&[("a", 1_010, "m1")]), "<html>".to_owned()], NotSent),
        (vec![chats(&[("a", 1_010, "m1")]), error(402)], ChannelBlocked),
    ] {
        let cursor = json!({ "since": 1_000, "read": {} }).to_string();
        let outcome = script(&answers).await.poll(Some(&cursor)).await.unwrap_err();
        assert_eq!(outcome.class, class, "{answers:?}: {}", outcome.reason);
    }
    // A cursor of another version, or a broken one, begins anew.
    for foreign in ["", "{}", "5", r#"{"since":"x"}"#] {
        let script = script(&[chats(&[("a", 70, "m1")])]).await;
        assert_eq!(since(&script.poll(Some(foreign)).await.unwrap()), 70, "{foreign}");
    }
}

#[tokio::test]
async fn a_chat_that_is_closed_meanwhile_holds_nobody_up() {
    for refused in [403, 404] {
        let refused = format!(r#"HTTP {refused} {{"error":{{"code":{refused},"message":"a"}}}}"#);
        let script = script(&[
            chats(&[("b", 1_011, "n1"), ("a", 1_010, "m1")]),
            refused,
            page(&[("n1", 1_011)]),
        ])
        .await;
        let cursor = json!({ "since": 1_000, "read": {} }).to_string();
        let polled = script.poll(Some(&cursor)).await.unwrap();
        assert_eq!((told(&polled), since(&polled)), (vec!["n1".to_owned()], 1_011));
    }
}

/// A new chat may be in the list a moment before it can be read.
#[tokio::test]
async fn a_chat_that_was_refused_is_asked_for_again_a_few_times() {
    let list = || chats(&[("a", 1_010, "m1")]);
    let refused = || r#"HTTP 404 {"error":{"code":404,"message":"a"}}"#.to_owned();
    let read = script(&[list(), refused(), list(), page(&[("m1", 1_010)])]).await;
    let mut cursor = json!({ "since": 1_000, "read": {} }).to_string();
    for expected in [&[][..], &["m1".to_owned()]] {
        let polled = read.poll(Some(&cursor)).await.unwrap();
        assert_eq!(told(&polled), expected);
        cursor = polled.cursor;
    }
    let answers: Vec<String> = (0..5).flat_map(|_| [list(), refused()]).collect();
    let given_up = script(&answers).await;
    cursor = json!({ "since": 1_000, "read": {} }).to_string();
    for _ in 0..5 {
        cursor = given_up.poll(Some(&cursor)).await.unwrap().cursor;
    }
    let read = &serde_json::from_str::<serde_json::Value>(&cursor).unwrap()["read"];
    assert_eq!(read["a"], "m1", "nobody asks for it any more");
    assert!(!cursor.contains("\"a\":5"), "{cursor}");
}

#[tokio::test]
async fn a_chat_at_which_the_service_fails_keeps_nobody_else_waiting() {
    let list = || chats(&[("b", 1_011, "n1"), ("a", 1_010, "m1")]);
    let failed = || r#"HTTP 500 {"error":{"code":500,"message":"a"}}"#.to_owned();
    let script = script(&[list(), failed(), page(&[("n1", 1_011)]), list(), failed()]).await;
    let cursor = json!({ "since": 1_000, "read": {} }).to_string();
    let polled = script.poll(Some(&cursor)).await.unwrap();
    assert_eq!((told(&polled), since(&polled)), (vec!["n1".to_owned()], 1_000));
    // Of the rest nothing is known.
    script.poll(Some(&polled.cursor)).await.unwrap_err();
}
