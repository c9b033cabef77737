//! No whole completion: what it means, and that nobody asks twice.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::net::TcpListener;

use super::{
    super::{Ai, AiFailure, AiHttp, Unconnectable},
    KEY, SHORT, complete, connect,
    server::{Behaviour, answers, serve},
    spec,
};
use crate::domain::channel::Secret;

fn word(failure: &AiFailure) -> &'static str {
    match failure {
        AiFailure::Waits { .. } => "waits",
        AiFailure::Quota { .. } => "quota",
        AiFailure::CredentialRefused { .. } => "credential",
        AiFailure::OurMistake { .. } => "mistake",
        AiFailure::TooLong { .. } => "too long",
        AiFailure::Unavailable { .. } => "unavailable",
        AiFailure::Unanswered { .. } => "unanswered",
    }
}

#[tokio::test]
async fn what_may_have_been_made_is_unanswered_and_asked_for_once() {
    let http = AiHttp::new().unwrap();
    let page = |status| Behaviour::Answers {
        status,
        headers: "Content-Type: text/html; charset=utf-8\r\n".to_owned(),
        body: "<html>".to_owned(),
    };
    let redirect = |status| Behaviour::Answers {
        status,
        headers: "Location: http://127.0.0.1:9/elsewhere\r\n".to_owned(),
        body: String::new(),
    };
    for (behaviour, expected) in [
        (Behaviour::Closes, "unanswered"),
        (Behaviour::BreaksOff, "unanswered"),
        (Behaviour::Floods, "unanswered"),
        (answers(200, &""), "unanswered"),
        (answers(204, &""), "unanswered"),
        (answers(200, &"{\"choices\":["), "unanswered"),
        (answers(200, &"[]"), "unanswered"),
        (answers(200, &"null"), "unanswered"),
        (answers(200, &"data: {\"choices\":[]}\n\ndata: [DONE]\n"), "unanswered"),
        (answers(200, &"[".repeat(100_000)), "unanswered"),
        (answers(200, &json!({})), "unanswered"),
        (answers(200, &json!({ "choices": [] })), "unanswered"),
        (answers(200, &json!({ "choices": {} })), "unanswered"),
        (answers(200, &json!({ "choices": [7] })), "unanswered"),
        (answers(200, &json!({ "choices": [{ "text": "older" }] })), "unanswered"),
        (answers(200, &json!({ "error": { "code": 429, "message": WORDS } })), "waits"),
        (answers(200, &json!({ "error": { "code": 502, "message": WORDS } })), "unanswered"),
        (page(200), "mistake"),
        (page(404), "mistake"),
        (page(502), "unanswered"),
        (redirect(301), "mistake"),
        (redirect(307), "mistake"),
        (answers(400, &json!({ "error": { "message": WORDS } })), "mistake"),
        (
            answers(401, &json!({ "error": { "message": KEY, "code": "invalid_api_key" } })),
            "credential",
        ),
        (answers(429, &""), "waits"),
        (answers(429, &json!({ "error": { "type": "insufficient_quota" } })), "quota"),
        (answers(500, &"oops"), "unanswered"),
        (answers(503, &""), "unavailable"),
    ] {
        let server = serve(std::slice::from_ref(&behaviour)).await;
        let failure = complete(&connect(&server.endpoint, &http)).await.unwrap_err();
        assert_eq!(word(&failure), expected, "{behaviour:.200?}: {failure}");
        assert_eq!(failure.may_have_cost(), expected == "unanswered");
        assert_eq!(server.requests().len(), 1, "{behaviour:.200?}: it was asked again");
    }
}

const WORDS: &str = super::WORDS;

#[tokio::test]
async fn an_answer_that_is_not_whole_in_time_is_unanswered() {
    let http = AiHttp::with_deadline(SHORT).unwrap();
    join_all([Behaviour::Hangs, Behaviour::Drips].map(async |behaviour| {
        let server = serve(std::slice::from_ref(&behaviour)).await;
        let failure = complete(&connect(&server.endpoint, &http)).await.unwrap_err();
        assert_eq!(word(&failure), "unanswered", "{behaviour:?}: {failure}");
        assert_eq!(server.requests().len(), 1, "{behaviour:?}: it was asked again");
    }))
    .await;
}

#[tokio::test]
async fn who_is_not_reached_has_used_nothing() {
    let http = AiHttp::with_deadline(SHORT).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let not_tls = serve(&[Behaviour::Hangs]).await;
    let not_tls = not_tls.endpoint.replace("http:", "https:");
    for endpoint in [format!("http://{address}"), format!("https://{address}"), not_tls] {
        let failure = complete(&connect(&endpoint, &http)).await.unwrap_err();
        assert_eq!(word(&failure), "unavailable", "{failure}");
    }
}

#[tokio::test]
async fn a_wait_that_the_server_names_is_kept_within_bounds() {
    let http = AiHttp::new().unwrap();
    for (headers, seconds) in [
        ("Retry-After: 17\r\n", Some(17.0)),
        ("Retry-After: 17\r\nRetry-After-Ms: 1500\r\n", Some(1.5)),
        ("Retry-After: 0\r\n", Some(1.0)),
        ("Retry-After: -5\r\n", Some(1.0)),
        ("Retry-After: NaN\r\n", Some(1.0)),
        ("Retry-After: 1e300\r\n", Some(86_400.0)),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", None),
        ("", None),
    ] {
        let headers = headers.to_owned();
        let busy =
            Behaviour::Answers { status: 429, headers: headers.clone(), body: String::new() };
        let server = serve(&[busy]).await;
        let failure = complete(&connect(&server.endpoint, &http)).await.unwrap_err();
        let AiFailure::Waits { after, .. } = failure else { panic!("{headers}: {failure}") };
        assert_eq!(after, seconds.map(Duration::from_secs_f64), "{headers}");
    }
}

#[test]
fn an_ai_that_cannot_be_asked_says_why() {
    let http = AiHttp::new().unwrap();
    let good = spec("http://127.0.0.1:9/v1");
    for bad in ["", "nonsense", "ftp://a.example", "http://u:p@a.example", "http://a.example/?q"] {
        let error = Ai::connect(&spec(bad), None, &http).unwrap_err();
        assert!(matches!(error, Unconnectable::BadEndpoint(_)), "{bad}");
    }
    for unusable in ["", " \n", "two\nlines", "gar\u{7f}bage", "ключ"] {
        let key = Secret::new(unusable.to_owned());
        assert_eq!(Ai::connect(&good, Some(&key), &http).unwrap_err(), Unconnectable::UnusableKey);
    }
    for temperature in ["", "warm", "NaN", "inf"] {
        let mut spec = good.clone();
        spec.temperature = Some(temperature.to_owned());
        assert_eq!(
            Ai::connect(&spec, None, &http).unwrap_err(),
            Unconnectable::BadTemperature,
            "{temperature}"
        );
    }
    Ai::connect(&good, None, &http).unwrap();
}
