//! What every driver must make of a server that is no provider, or no longer one.

use futures_util::future::join_all;
use tokio::net::TcpListener;

use super::{
    super::Http,
    KINDS, SHORT, driver, open,
    server::{Behaviour, serve},
};
use crate::domain::{
    attempt::OutcomeClass::{CredentialRefused, InDoubt, NotSent, OurMistake, RetryAfter, Sent},
    kind::ChannelKind,
};

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
        for kind in KINDS {
            let server = serve(behaviour, false).await;
            let driver = driver(kind, &server.endpoint, "one", &http);
            let outcome = open(&driver, kind, "0001", 3).await;
            assert_eq!(outcome.class, class, "{kind} {behaviour:?}: {}", outcome.reason);
            assert_eq!(server.posts(), 1, "{kind} {behaviour:?}: it was sent again");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_in_time_is_in_doubt() {
    let http = Http::with_deadline(SHORT).unwrap();
    let cases = [Behaviour::Hangs, Behaviour::Drips].into_iter();
    join_all(cases.flat_map(|behaviour| KINDS.map(|kind| (behaviour, kind))).map(
        async |(behaviour, kind)| {
            let server = serve(behaviour, false).await;
            let driver = driver(kind, &server.endpoint, "one", &http);
            let outcome = open(&driver, kind, "0001", 3).await;
            assert_eq!(outcome.class, InDoubt, "{kind} {behaviour:?}: {}", outcome.reason);
            assert_eq!(server.posts(), 1, "{kind} {behaviour:?}: it was sent again");
        },
    ))
    .await;
}

#[tokio::test]
async fn a_kept_connection_that_closes_under_a_request_is_in_doubt_and_not_tried_again() {
    let http = Http::new().unwrap();
    let kind = ChannelKind::VkUser;
    let server = serve(Behaviour::ClosesSecond, false).await;
    let driver = driver(kind, &server.endpoint, "one", &http);
    assert_eq!(open(&driver, kind, "0001", 3).await.class, Sent);
    let outcome = open(&driver, kind, "0002", 4).await;
    assert_eq!(outcome.class, InDoubt, "{}", outcome.reason);
    assert_eq!(server.posts(), 2);
}

#[tokio::test]
async fn a_look_up_that_goes_wrong_sends_nothing() {
    let http = Http::with_deadline(SHORT).unwrap();
    let kind = ChannelKind::WhatsappWeb;
    for behaviour in [
        Behaviour::Closes,
        Behaviour::Hangs,
        Behaviour::Floods,
        answers("200 OK", "<html>"),
        answers("500 Internal Server Error", ""),
    ] {
        let server = serve(behaviour, true).await;
        let outcome = open(&driver(kind, &server.endpoint, "one", &http), kind, "0001", 3).await;
        assert_eq!(outcome.class, NotSent, "{behaviour:?}: {}", outcome.reason);
        assert_eq!(server.posts(), 0, "{behaviour:?}");
    }
}

#[tokio::test]
async fn who_is_not_reached_was_sent_nothing() {
    let http = Http::with_deadline(SHORT).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let not_tls = serve(Behaviour::Hangs, true).await;
    let not_tls = not_tls.endpoint.replace("http:", "https:");
    let endpoints = [format!("http://{address}"), format!("https://{address}"), not_tls];
    join_all(endpoints.iter().flat_map(|endpoint| KINDS.map(|kind| (endpoint, kind))).map(
        async |(endpoint, kind)| {
            let outcome = open(&driver(kind, endpoint, "one", &http), kind, "0001", 3).await;
            assert_eq!(outcome.class, NotSent, "{kind}: {}", outcome.reason);
        },
    ))
    .await;
}

#[tokio::test]
async fn a_wait_that_the_provider_names_is_kept() {
    let http = Http::new().unwrap();
    let named = Behaviour::Answers {
        status: "429 Too Many Requests",
        headers: "Retry-After: 17\r\n",
        body: "",
    };
    for kind in KINDS {
        let server = serve(named, false).await;
        let outcome = open(&driver(kind, &server.endpoint, "one", &http), kind, "0001", 3).await;
        assert_eq!(outcome.after.map(|after| after.as_secs()), Some(17), "{kind}");
    }
}
