//! The providers refuse what the real ones refuse, and note what they saw.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
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
    started(None, false).await
}

pub(super) async fn started(journal: Option<PathBuf>, faults: bool) -> Rehearsal {
    let options =
        Options { faults, hang_for: Duration::ZERO, answer_delay: Duration::ZERO, journal, clock };
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
    let text = good.replace("\"template\",", "\"text\",");
    for (line, headers, body, expected) in [
        (send, json.as_str(), good.to_owned(), "\"wamid."),
        (send, "Content-Type: application/json", good.to_owned(), "\"code\":190"),
        (send, &json, good.replace("whatsapp", "sms"), "\"code\":100"),
        (send, &json, good.replace("79123450001", "anna"), "\"code\":131009"),
        (send, &json, good.replace("\"name\":\"a\"", "\"name\":\"A b\""), "\"code\":132001"),
        (send, &json, good.replace("}}}", "},\"components\":[{}]}}"), "\"code\":131008"),
        (send, &json, text, "\"code\":131047"),
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
