//! What every driver must make of a server that is no provider, or no longer one.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use tokio::net::TcpListener;

use super::{
    super::Http,
    SHORT, TEXT,
    server::{Behaviour, serve, serve_wrong_certificate},
    subject::{SUBJECTS, Subject},
};
use crate::domain::attempt::OutcomeClass::{
    CredentialRefused, InDoubt, NotSent, OurMistake, RetryAfter, Sent,
};

/// The subjects whose drivers speak HTTP, each with what is answered before its message.
fn speakers() -> impl Iterator<Item = (&'static Subject, &'static [(&'static str, &'static str)])> {
    SUBJECTS.iter().filter_map(|subject| Some((subject, subject.before?)))
}

const fn answers(status: &'static str, body: &'static str) -> Behaviour {
    Behaviour::Answers { status, headers: "", body }
}

const REDIRECTS: Behaviour = Behaviour::Answers {
    status: "307 Temporary Redirect",
    headers: "Location: http://127.0.0.1:9/elsewhere\r\n",
    body: "",
};

#[tokio::test]
async fn a_request_that_may_have_left_is_in_doubt_unless_it_was_refused() {
    let http = Http::new().unwrap();
    for (behaviour, class) in [
        (Behaviour::Closes, InDoubt),
        (Behaviour::BreaksOff, InDoubt),
        (Behaviour::Floods, InDoubt),
        (Behaviour::FloodsHead, InDoubt),
        (answers("200 OK", ""), InDoubt),
        (answers("200 OK", "<html>"), InDoubt),
        (answers("200 OK", "[]"), InDoubt),
        (answers("200 OK", r#"{"response":"#), InDoubt),
        (answers("500 Internal Server Error", "oops"), InDoubt),
        (answers("503 Service Unavailable", ""), InDoubt),
        (answers("404 Not Found", "<html>"), OurMistake),
        (answers("401 Unauthorized", ""), CredentialRefused),
        (answers("429 Too Many Requests", ""), RetryAfter),
        (REDIRECTS, OurMistake),
    ] {
        for (subject, before) in speakers() {
            let name = subject.name;
            let server = serve(behaviour, before).await;
            let driver = subject.driver(&server.endpoint, "one", &http);
            let mut said = vec![subject.reply(&driver, "0001", TEXT, 3).await];
            if subject.opens() {
                said.push(subject.say(&driver, "0001", 3).await);
            }
            assert_eq!(server.posts(), said.len(), "{name} {behaviour:?}: it was sent again");
            for outcome in said {
                assert_eq!(outcome.class, class, "{name} {behaviour:?}: {}", outcome.reason);
            }
            // Nobody waits for a sign, whatever becomes of it.
            driver.show_typing(&subject.address("0001"), Some("wamid.1")).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_in_time_is_in_doubt() {
    let http = Http::with_deadline(SHORT).unwrap();
    let cases = [Behaviour::Hangs, Behaviour::Drips].into_iter();
    let all = cases.flat_map(|behaviour| speakers().map(move |speaker| (behaviour, speaker)));
    join_all(all.map(async |(behaviour, (subject, before))| {
        let name = subject.name;
        let server = serve(behaviour, before).await;
        let driver = subject.driver(&server.endpoint, "one", &http);
        let outcome = subject.say(&driver, "0001", 3).await;
        assert_eq!(outcome.class, InDoubt, "{name} {behaviour:?}: {}", outcome.reason);
        assert_eq!(server.posts(), 1, "{name} {behaviour:?}: it was sent again");
    }))
    .await;
}

#[tokio::test]
async fn a_kept_connection_that_closes_under_a_request_is_in_doubt_and_not_tried_again() {
    let http = Http::new().unwrap();
    let subject = Subject::of("vk-user");
    let server = serve(Behaviour::ClosesSecond, &[]).await;
    let driver = subject.driver(&server.endpoint, "one", &http);
    assert_eq!(subject.say(&driver, "0001", 3).await.class, Sent);
    let outcome = subject.say(&driver, "0002", 4).await;
    assert_eq!(outcome.class, InDoubt, "{}", outcome.reason);
    assert_eq!(server.posts(), 2);
}

#[tokio::test]
async fn a_call_before_the_message_that_goes_wrong_sends_nothing() {
    let http = Http::with_deadline(SHORT).unwrap();
    for behaviour in [
        Behaviour::Closes,
        Behaviour::Hangs,
        Behaviour::Floods,
        answers("200 OK", "<html>"),
        answers("500 Internal Server Error", ""),
    ] {
        for (subject, _) in speakers().filter(|(_, before)| !before.is_empty()) {
            let server = serve(behaviour, &[]).await;
            let driver = subject.driver(&server.endpoint, "one", &http);
            let outcome = subject.say(&driver, "0001", 3).await;
            let name = subject.name;
            assert_eq!(outcome.class, NotSent, "{name} {behaviour:?}: {}", outcome.reason);
        }
    }
}

#[tokio::test]
async fn who_is_not_reached_was_sent_nothing() {
    let http = Http::with_deadline(SHORT).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let not_tls = serve(Behaviour::Hangs, &[]).await;
    let not_tls = not_tls.endpoint.replace("http:", "https:");
    let wrong = serve_wrong_certificate().await;
    let endpoints =
        [format!("http://{address}"), format!("https://{address}"), not_tls, wrong.endpoint];
    let all = endpoints.iter().flat_map(|endpoint| speakers().map(move |(one, _)| (endpoint, one)));
    join_all(all.map(async |(endpoint, subject)| {
        let driver = subject.driver(endpoint, "one", &http);
        let outcome = subject.say(&driver, "0001", 3).await;
        assert_eq!(outcome.class, NotSent, "{}: {}", subject.name, outcome.reason);
    }))
    .await;
    assert!(wrong.greeted.load(Ordering::Relaxed) > 0, "the certificate was looked at");
}

#[tokio::test]
async fn a_wait_that_the_provider_names_is_kept() {
    let http = Http::new().unwrap();
    let named = Behaviour::Answers {
        status: "429 Too Many Requests",
        headers: "Retry-After: 17\r\n",
        body: "",
    };
    for (subject, before) in speakers() {
        let server = serve(named, before).await;
        let outcome = subject.say(&subject.driver(&server.endpoint, "one", &http), "0001", 3).await;
        assert_eq!(outcome.after.map(|after| after.as_secs()), Some(17), "{}", subject.name);
    }
}
