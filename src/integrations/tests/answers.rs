//! Every answer of a receiver has its outcome, and no outcome shows a secret or a person.

use IntegrationKind::{Amocrm, Bitrix24, TelegramNotification, Webhook};

use tokio::net::TcpSocket;

use super::*;

/// An outcome in one word, with the seconds that it names.
fn word(outcome: &ReportOutcome) -> (&'static str, u64) {
    match outcome {
        ReportOutcome::Done { .. } => ("done", 0),
        ReportOutcome::Retry { after, .. } => ("retry", after.map_or(0, |after| after.as_secs())),
        ReportOutcome::Throttled { after, .. } => ("throttled", after.as_secs()),
        ReportOutcome::Gone { .. } => ("gone", 0),
        ReportOutcome::Refused { .. } => ("refused", 0),
    }
}

fn assert_shows_nothing(outcome: &ReportOutcome) {
    let shown = format!("{outcome:?}");
    for secret in [SECRET, "+7912", "ivan@", "wants it", "leaked"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn every_answer_has_its_outcome() {
    let bitrix =
        |code: &str| format!(r#"{{"error":"{code}","error_description":"leaked {SECRET}"}}"#);
    let telegram = |code: u16, description: &str| {
        format!(r#"{{"ok":false,"error_code":{code},"description":"{description}"}}"#)
    };
    let reset =
        r#"{"error":"OPERATION_TIME_LIMIT","time":{"operating_reset_at":1700000200}}"#.to_owned();
    let objection = r#"{"title":"Bad Request","status":400,"detail":"leaked","validation-errors":
        [{"request_id":"0","errors":[{"code":"InvalidType","path":"custom_fields_values.0","detail":"leaked +7912"}]}]}"#
        .to_owned();
    for (kind, status, body, expected) in [
        (Webhook, 200, "no JSON".to_owned(), ("done", 0)),
        (Webhook, 204, String::new(), ("done", 0)),
        (Webhook, 301, String::new(), ("retry", 0)),
        (Webhook, 303, String::new(), ("retry", 0)),
        (Webhook, 400, "leaked".to_owned(), ("retry", 0)),
        (Webhook, 401, String::new(), ("retry", 0)),
        (Webhook, 404, String::new(), ("retry", 0)),
        (Webhook, 410, "leaked".to_owned(), ("gone", 0)),
        (Webhook, 429, String::new(), ("throttled", 60)),
        (Webhook, 500, "leaked".to_owned(), ("retry", 0)),
        (Webhook, 502, String::new(), ("throttled", 60)),
        (Webhook, 503, String::new(), ("retry", 0)),
        (Webhook, 504, String::new(), ("throttled", 60)),
        (Bitrix24, 503, bitrix("QUERY_LIMIT_EXCEEDED"), ("throttled", 5)),
        (Bitrix24, 429, bitrix("OPERATION_TIME_LIMIT"), ("throttled", 600)),
        (Bitrix24, 429, reset, ("throttled", 100)),
        (Bitrix24, 503, bitrix("OVERLOAD_LIMIT"), ("throttled", 3600)),
        (Bitrix24, 401, bitrix("NO_AUTH_FOUND"), ("retry", 0)),
        (Bitrix24, 401, bitrix("expired_token"), ("retry", 0)),
        (Bitrix24, 403, bitrix("insufficient_scope"), ("retry", 0)),
        (Bitrix24, 403, bitrix("INVALID_CREDENTIALS"), ("retry", 0)),
        (Bitrix24, 403, bitrix("ACCESS_DENIED"), ("retry", 0)),
        (Bitrix24, 403, bitrix(""), ("retry", 0)),
        (Bitrix24, 400, bitrix("ERROR_CORE"), ("refused", 0)),
        (Bitrix24, 500, bitrix("INTERNAL_SERVER_ERROR"), ("retry", 120)),
        (Bitrix24, 500, bitrix("ERROR_UNEXPECTED_ANSWER"), ("retry", 120)),
        (Bitrix24, 500, bitrix("PORTAL_DELETED"), ("gone", 0)),
        (Bitrix24, 200, "<html>leaked</html>".to_owned(), ("retry", 120)),
        (Bitrix24, 200, r#"{"result":{}}"#.to_owned(), ("retry", 120)),
        (Bitrix24, 200, r#"{"result":null}"#.to_owned(), ("retry", 120)),
        (Bitrix24, 302, String::new(), ("retry", 0)),
        (Bitrix24, 502, String::new(), ("retry", 120)),
        (Amocrm, 400, objection, ("refused", 0)),
        (Amocrm, 401, String::new(), ("retry", 0)),
        (Amocrm, 402, String::new(), ("retry", 0)),
        (Amocrm, 403, String::new(), ("throttled", 3600)),
        (Amocrm, 404, String::new(), ("retry", 120)),
        (Amocrm, 422, String::new(), ("refused", 0)),
        (Amocrm, 429, String::new(), ("throttled", 5)),
        (Amocrm, 500, String::new(), ("retry", 120)),
        (Amocrm, 200, "{}".to_owned(), ("retry", 120)),
        (TelegramNotification, 200, r#"{"ok":true,"result":{}}"#.to_owned(), ("done", 0)),
        (TelegramNotification, 200, "{}".to_owned(), ("retry", 120)),
        (TelegramNotification, 401, telegram(401, "Unauthorized"), ("retry", 0)),
        (TelegramNotification, 403, telegram(403, "bot was kicked"), ("retry", 0)),
        (TelegramNotification, 400, telegram(400, "Bad Request: chat not found"), ("retry", 0)),
        (TelegramNotification, 400, telegram(400, "can't parse leaked"), ("refused", 0)),
        (TelegramNotification, 500, telegram(500, "Internal"), ("retry", 120)),
        (TelegramNotification, 502, "<html>".to_owned(), ("retry", 120)),
    ] {
        let receiver = Receiver::always(answer(status, &body)).await;
        let outcome = tell(&receiver.reporter(kind), 1, None).await;
        assert_eq!(word(&outcome), expected, "{kind} HTTP {status} {body}: {outcome:?}");
        assert_shows_nothing(&outcome);
    }
}

#[tokio::test]
async fn a_receivers_own_figure_is_obeyed_within_bounds() {
    let throttled = |seconds| ("throttled", seconds);
    for (kind, status, header, body, expected) in [
        (Webhook, 429, "17", "", throttled(17)),
        (Webhook, 502, "17", "", throttled(17)),
        (Webhook, 429, "0", "", throttled(1)),
        (Webhook, 429, "999999999", "", throttled(86_400)),
        // An hour after the call's own time.
        (Webhook, 429, "Tue, 14 Nov 2023 23:15:00 GMT", "", throttled(3600)),
        (Webhook, 429, "Tue, 14 Nov 2000 23:15:00 GMT", "", throttled(60)),
        (Webhook, 429, "soon", "", throttled(60)),
        (Webhook, 503, "30", "", throttled(30)),
        (Amocrm, 429, "9", "", throttled(9)),
        (
            TelegramNotification,
            429,
            "1",
            r#"{"ok":false,"error_code":429,"parameters":{"retry_after":33}}"#,
            throttled(33),
        ),
    ] {
        let (status, _, body) = answer(status, body);
        let headers = vec![("retry-after", header.to_owned())];
        let receiver = Receiver::always((status, headers, body)).await;
        let outcome = tell(&receiver.reporter(kind), 1, None).await;
        assert_eq!(word(&outcome), expected, "{kind} {header}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::always(answer(200, "{}")).await;
    for kind in IntegrationKind::ALL {
        let location = vec![("location", elsewhere.url.clone())];
        let receiver = Receiver::always((StatusCode::TEMPORARY_REDIRECT, location, String::new()));
        let outcome = tell(&receiver.await.reporter(*kind), 1, None).await;
        assert_eq!(word(&outcome).0, "retry", "{outcome:?}");
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn silence_and_floods_are_failures() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for kind in IntegrationKind::ALL {
        // The port is taken, and nobody listens there.
        let taken = TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let nowhere = taken.local_addr().unwrap();
        for url in [silent.clone(), format!("http://{nowhere}")] {
            let outcome = tell(&reporter_within(DEADLINE, *kind, &url), 1, None).await;
            assert_eq!(word(&outcome).0, "retry", "{outcome:?}");
            assert_shows_nothing(&outcome);
        }
    }
    // Of a webhook only the status counts; of the others no more is read than an answer may have.
    let flood = Receiver::always(answer(200, &"x".repeat(9 * 1024 * 1024))).await;
    assert_eq!(word(&tell(&flood.reporter(Webhook), 1, None).await), ("done", 0));
    let outcome = tell(&flood.reporter(Bitrix24), 1, None).await;
    assert_eq!(word(&outcome), ("retry", 120), "{outcome:?}");
}

#[test]
fn what_cannot_be_connected_says_why_without_a_value() {
    let http = Http::with_deadline(DEADLINE).unwrap();
    for (kind, url, credentials, expected) in [
        (Webhook, Some("https://x.test"), vec![], "the credential `secret` is missing"),
        (Webhook, None, vec![], "the credential `url` is missing"),
        (Webhook, Some(SECRET), vec![("secret", "whsec_x")], "`url` is no URL"),
        (Webhook, Some("file:///x"), vec![("secret", "x")], "`url` is neither"),
        (Webhook, Some("https://x.test"), vec![("secret", SECRET)], "no signing secret"),
        (Bitrix24, Some("ftp://x.test"), vec![], "`url` is neither"),
        (Amocrm, Some("https://x.test"), vec![], "the credential `token` is missing"),
        (Amocrm, Some("https://x.test"), vec![("token", "two words")], "`token` is empty or has"),
        (TelegramNotification, None, vec![("token", "1:a")], "the setting `chatId` is missing"),
    ] {
        let spec = IntegrationSpec {
            kind,
            url: None,
            credentials: Vec::new(),
            chat_id: None,
            events: DialogueEvent::ALL.iter().copied().collect(),
        };
        let all = credentials.into_iter().chain(url.map(|url| ("url", url)));
        let secrets: BTreeMap<String, Secret> =
            all.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).collect();
        let problem = Reporter::connect(&spec, &secrets, None, &http).unwrap_err().to_string();
        assert!(problem.contains(expected), "{kind}: {problem}");
        assert!(!problem.contains(SECRET), "{problem}");
    }
}
