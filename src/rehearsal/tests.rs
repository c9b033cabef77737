//! The providers refuse what the real ones refuse, and note what they saw.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Options, Rehearsal, start};
use crate::domain::kind::ChannelKind;

fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_790_000_000_000).unwrap()
}

async fn rehearsal() -> Rehearsal {
    rehearsal_with(false, None, None).await
}

pub(super) async fn started(journal: Option<PathBuf>, faults: bool) -> Rehearsal {
    rehearsal_with(faults, None, journal.as_deref()).await
}

pub(super) async fn rehearsal_with(
    faults: bool,
    people: Option<Duration>,
    journal: Option<&Path>,
) -> Rehearsal {
    let options = Options {
        faults,
        hang_for: Duration::ZERO,
        answer_delay: Duration::ZERO,
        people,
        journal: journal.map(Path::to_owned),
        clock,
    };
    start(options, CancellationToken::new(), &TaskTracker::new()).await.unwrap()
}

/// One request as bytes: the room of the rehearsal has no HTTP client.
async fn call(
    rehearsal: &Rehearsal,
    kind: ChannelKind,
    line: &str,
    headers: &str,
    body: &str,
) -> String {
    request(&rehearsal.endpoint(kind).unwrap(), line, headers, body).await
}

pub(super) async fn request(endpoint: &str, line: &str, headers: &str, body: &str) -> String {
    let (host, base) = endpoint.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let (method, path) = line.split_once(' ').unwrap();
    let mut socket = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "{method} /{base}{path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

fn bearer(kind: &str) -> String {
    let token = Rehearsal::secret("one", "token");
    format!("Authorization: Bearer {}\r\nContent-Type: {kind}", token.reveal())
}

#[tokio::test]
async fn vkontakte_reads_forms_only_and_answers_errors_with_200() {
    let rehearsal = rehearsal().await;
    let send = "POST /method/messages.send";
    let json = bearer("application/json");
    let form = bearer("application/x-www-form-urlencoded");
    let nobody = "Content-Type: application/x-www-form-urlencoded";
    for (line, headers, body, expected) in [
        (
            send,
            json.as_str(),
            r#"{"v":"5.199","peer_id":1,"random_id":1,"message":"a"}"#,
            "_code\":8",
        ),
        (send, nobody, "v=5.199&peer_id=1&random_id=1&message=a", "_code\":5"),
        (send, &form, "peer_id=1&random_id=1&message=a", "_code\":8"),
        (send, &form, "v=5.199&peer_id=0&random_id=1&message=a", "_code\":100"),
        (send, &form, "v=5.199&peer_id=1&message=a", "_code\":100"),
        (send, &form, "v=5.199&peer_id=1&random_id=1&message=", "_code\":100"),
        ("POST /method/messages.Send", &form, "v=5.199", "_code\":3"),
        (send, &form, "v=5.199&peer_id=-1&random_id=1&message=a", "{\"response\":1}"),
        (send, &form, "v=5.199&peer_id=-1&random_id=1&message=b", "{\"response\":1}"),
        // The key 0 switches the dropping of repeats off.
        (send, &form, "v=5.199&peer_id=-1&random_id=0&message=c", "{\"response\":2}"),
        (send, &form, "v=5.199&peer_id=-1&random_id=0&message=c", "{\"response\":3}"),
    ] {
        let answer = call(&rehearsal, ChannelKind::VkUser, line, headers, body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{body}: {answer}");
        assert!(answer.contains(expected), "{body}: {answer}");
    }
}

#[tokio::test]
async fn waba_is_strict_about_the_body() {
    let rehearsal = rehearsal().await;
    let send = "POST /v23.0/1065/messages";
    let json = bearer("application/json");
    let good = r#"{"messaging_product":"whatsapp","to":"79123450001","type":"template","template":{"name":"a","language":{"code":"ru"}}}"#;
    let text = good.replace("\"template\",", "\"text\",\"text\":{\"body\":\"a\"},");
    let silent = good.replace("\"template\",", "\"text\",\"text\":{\"body\":\"\"},");
    let read = r#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.1"}"#;
    for (line, headers, body, expected) in [
        (send, json.as_str(), good.to_owned(), "\"wamid."),
        (send, "Content-Type: application/json", good.to_owned(), "\"code\":190"),
        (send, &json, good.replace("whatsapp", "sms"), "\"code\":100"),
        (send, &json, good.replace("79123450001", "anna"), "\"code\":131009"),
        (send, &json, good.replace("\"name\":\"a\"", "\"name\":\"A b\""), "\"code\":132001"),
        (send, &json, good.replace("}}}", "},\"components\":[{}]}}"), "\"code\":131008"),
        (send, &json, text, "\"code\":131047"),
        (send, &json, silent, "\"code\":131009"),
        (send, &json, read.to_owned(), "\"success\":true"),
        (send, &json, read.replace("wamid.1", ""), "\"code\":131009"),
        (send, "Content-Type: application/json", read.to_owned(), "\"code\":190"),
        (send, &json, "nonsense".to_owned(), "\"code\":100"),
        ("POST /v23/1065/messages", &json, good.to_owned(), "\"code\":100"),
    ] {
        let answer = call(&rehearsal, ChannelKind::Waba, line, headers, &body).await;
        assert!(answer.contains(expected), "{body}: {answer}");
    }
    let verdicts: Vec<_> =
        rehearsal.recent().iter().map(|entry| entry.verdict.to_string()).collect();
    assert_eq!(verdicts[..2], ["delivered", "refused: error 190"]);
}

#[tokio::test]
async fn the_gateway_delivers_without_a_look_up_but_notes_it() {
    let rehearsal = rehearsal().await;
    let key = Rehearsal::secret("one", "apiKey");
    let headers = format!("X-Api-Key: {}\r\nContent-Type: application/json", key.reveal());
    let kind = ChannelKind::WhatsappWeb;
    let look = "GET /api/contacts/check-exists?phone=79123450001&session=default";
    let send = "POST /api/sendText";
    let body = r#"{"session":"default","chatId":"79123450001@c.us","text":"a"}"#;
    for (line, headers, body, status) in [
        (send, "Content-Type: application/json", body, "401"),
        (send, headers.as_str(), "{}", "400"),
        (send, &headers, body, "201"),
        (look, &headers, "", "200"),
        (send, &headers, body, "201"),
    ] {
        let answer = call(&rehearsal, kind, line, headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    }
    let notes: Vec<_> = rehearsal
        .recent()
        .into_iter()
        .filter(super::Entry::is_delivery)
        .map(|entry| entry.note)
        .collect();
    assert_eq!(notes, [Some("sent without check-exists before it".to_owned()), None]);
}

/// VK's answer to a call in its form.
async fn vk(rehearsal: &Rehearsal, method: &str, body: &str) -> Value {
    let line = format!("POST /method/{method}");
    let headers = bearer("application/x-www-form-urlencoded");
    let body = format!("v=5.199&{body}");
    body_of(&call(rehearsal, ChannelKind::VkUser, &line, &headers, &body).await)
}

async fn check(rehearsal: &Rehearsal, query: &str) -> Value {
    let line = format!("GET /longpoll/one?act=a_check&wait=0&{query}");
    body_of(&call(rehearsal, ChannelKind::VkUser, &line, "Accept: */*", "").await)
}

pub(super) fn body_of(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn the_long_poll_tells_what_was_said_and_where_a_place_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let rehearsal = rehearsal_with(false, Some(Duration::ZERO), Some(&journal)).await;
    let server = vk(&rehearsal, "messages.getLongPollServer", "need_pts=1").await;
    assert_eq!(
        (&server["response"]["ts"], &server["response"]["key"]),
        (&json!(0), &json!("key.0"))
    );
    vk(&rehearsal, "messages.send", "peer_id=12340001&random_id=9&message=a%3Cb").await;
    // Whoever waits gets the answer as soon as it is given.
    let mut place = 0;
    let mut told = Vec::new();
    while told.len() < 2 {
        let line = format!("GET /longpoll/one?act=a_check&wait=25&version=3&key=key.0&ts={place}");
        let news = body_of(&call(&rehearsal, ChannelKind::VkUser, &line, "Accept: */*", "").await);
        told.extend(news["updates"].as_array().unwrap().clone());
        place = news["ts"].as_i64().unwrap();
    }
    assert_eq!(
        told[0],
        json!([4, 1, 3, 12_340_001, 1_790_000_000, "a&lt;b", {"title": " ... "}, {}, 9])
    );
    assert_eq!(told[1][5], json!("Hello! What does it cost?"));

    for (query, answer) in [
        ("version=3&key=key.0&ts=2", json!({ "ts": 2, "pts": 2, "updates": [] })),
        ("version=2&key=key.0&ts=2", json!({ "failed": 4, "min_version": 3, "max_version": 3 })),
        ("version=3&key=other&ts=2", json!({ "failed": 2 })),
        ("version=3&key=key.0&ts=3", json!({ "failed": 3 })),
        ("version=3&key=key.0&ts=x", json!({ "failed": 3 })),
    ] {
        assert_eq!(check(&rehearsal, query).await, answer, "{query}");
    }
    let history = vk(&rehearsal, "messages.getLongPollHistory", "pts=1").await;
    assert_eq!(history["response"]["messages"]["items"][0]["text"], told[1][5]);
    assert_eq!(history["response"]["new_pts"], json!(2));

    // The stream is told again from the journal, by another rehearsal at another address.
    drop(rehearsal);
    let again = rehearsal_with(false, Some(Duration::ZERO), Some(&journal)).await;
    let news = check(&again, "version=3&key=key.0&ts=0").await;
    assert_eq!(news["updates"], Value::Array(told));
    for _ in 0..260 {
        vk(&again, "messages.send", "peer_id=12340001&random_id=0&message=a").await;
    }
    let late = check(&again, "version=3&key=key.0&ts=0").await;
    assert_eq!(late["failed"], json!(1));
    let page = vk(&again, "messages.getLongPollHistory", "pts=0").await;
    assert_eq!(page["response"]["more"], json!(1));
    assert_eq!(page["response"]["new_pts"], json!(200));
}

#[tokio::test]
async fn nobody_answers_where_there_are_no_people() {
    let rehearsal = rehearsal().await;
    vk(&rehearsal, "messages.send", "peer_id=12340001&random_id=9&message=a").await;
    assert_eq!(rehearsal.recent().len(), 1);
    assert_eq!(check(&rehearsal, "version=3&key=key.0&ts=1").await["updates"], json!([]));
}

#[tokio::test]
async fn a_key_of_the_long_poll_ends_after_some_checks() {
    let rehearsal = rehearsal_with(true, None, None).await;
    let query = "version=3&key=key.0&ts=0";
    for _ in 0..50 {
        assert_eq!(check(&rehearsal, query).await["updates"], json!([]));
    }
    assert_eq!(check(&rehearsal, query).await, json!({ "failed": 2 }));
    let server = vk(&rehearsal, "messages.getLongPollServer", "").await;
    assert_eq!(server["response"]["key"], json!("key.1"));
    assert_eq!(check(&rehearsal, "version=3&key=key.1&ts=0").await["updates"], json!([]));
}
