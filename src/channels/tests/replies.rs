//! Whole conversations with the people of the rehearsal, and replies to who is not there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use chrono::{DateTime, Utc};
use tokio::{net::TcpListener, sync::Mutex, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{Driver, Http, WebhookHeaders},
    KINDS, SHORT, TEXT, address, driver, open,
    server::{Behaviour, serve},
};
use crate::{
    domain::{
        address::Address,
        attempt::{Outcome, OutcomeClass},
        dialogue::{Delivery, DeliveryState, Received, ReplyCall},
        kind::ChannelKind,
    },
    rehearsal::{self, Direction, Options, Rehearsal},
};

/// For what comes over a loopback under load.
const PATIENCE: Duration = Duration::from_secs(20);

fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_790_000_000_000).unwrap()
}

/// The rehearsal, a receiver of its webhooks, and the drivers that read them.
struct Stage {
    rehearsal: Rehearsal,
    drivers: BTreeMap<ChannelKind, Arc<Driver>>,
    received: mpsc::UnboundedReceiver<Received>,
    shutdown: CancellationToken,
    cursor: Option<String>,
}

#[derive(Clone)]
struct Receiver {
    drivers: Arc<BTreeMap<String, Arc<Driver>>>,
    /// Webhooks that are refused before one is taken.
    refusals: Arc<Mutex<u32>>,
    received: mpsc::UnboundedSender<Received>,
}

async fn take(
    State(receiver): State<Receiver>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut refusals = receiver.refusals.lock().await;
    if *refusals > 0 {
        *refusals -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers: WebhookHeaders =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    match receiver.drivers[&channel].read_webhook(&headers, &body, clock()) {
        Ok(all) => {
            for received in all {
                drop(receiver.received.send(received));
            }
            StatusCode::OK
        }
        Err(_) => StatusCode::FORBIDDEN,
    }
}

impl Stage {
    async fn set(refusals: u32) -> Self {
        let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
        let options = Options {
            faults: true,
            hang_for: Duration::from_mins(1),
            answer_delay: Duration::ZERO,
            people: Some(Duration::ZERO),
            journal: None,
            clock,
        };
        let rehearsal = rehearsal::start(options, shutdown.clone(), &tracker).await.unwrap();
        let http = Http::with_deadline(SHORT).unwrap();
        let made = |kind: ChannelKind| {
            Arc::new(driver(kind, &rehearsal.endpoint(kind).unwrap(), kind.as_str(), &http))
        };
        let drivers: BTreeMap<_, _> = KINDS.into_iter().map(|kind| (kind, made(kind))).collect();
        let (sender, received) = mpsc::unbounded_channel();
        let by_name = drivers.iter().map(|(kind, driver)| (kind.to_string(), Arc::clone(driver)));
        let receiver = Receiver {
            drivers: Arc::new(by_name.collect()),
            refusals: Arc::new(Mutex::new(refusals)),
            received: sender,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        rehearsal.push_webhooks_to(format!("http://{}", listener.local_addr().unwrap()));
        let router = Router::new().route("/hooks/{channel}", post(take)).with_state(receiver);
        let end = shutdown.clone();
        tracker.spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(end.cancelled_owned())
                .await
                .unwrap();
        });
        let mut stage = Self { rehearsal, drivers, received, shutdown, cursor: None };
        stage.cursor = Some(stage.drivers[&ChannelKind::VkUser].poll(None).await.unwrap().cursor);
        stage
    }

    async fn open(&self, kind: ChannelKind, ending: &str) -> Outcome {
        open(&self.drivers[&kind], kind, ending, 5_000_000_001).await
    }

    async fn reply(&self, kind: ChannelKind, ending: &str, text: &str, key: i64) -> Outcome {
        let peer = address(kind, ending);
        let call = ReplyCall { peer: &peer, text, key, reference: "reply-1" };
        self.drivers[&kind].reply(&call).await
    }

    /// The next that this channel delivers and that `wanted` finds.
    async fn until<T>(
        &mut self,
        kind: ChannelKind,
        mut wanted: impl FnMut(&Received) -> Option<T>,
    ) -> T {
        let next = async {
            loop {
                if kind == ChannelKind::VkUser {
                    let cursor = self.cursor.clone();
                    let polled = self.drivers[&kind].poll(cursor.as_deref()).await.unwrap();
                    self.cursor = Some(polled.cursor);
                    if let Some(found) = polled.received.iter().find_map(&mut wanted) {
                        return found;
                    }
                } else if let Some(found) = wanted(&self.received.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .unwrap_or_else(|_| panic!("{kind}: nothing came"))
    }

    async fn said(&mut self, kind: ChannelKind, ending: &str) -> (String, String) {
        let peer = address(kind, ending);
        self.until(kind, |received| match &received.what {
            Delivery::Message { id, text } if received.peer == peer => {
                Some((id.clone(), text.clone()))
            }
            _ => None,
        })
        .await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test]
async fn a_person_answers_what_was_delivered_and_is_answered() {
    let mut stage = Stage::set(0).await;
    for kind in KINDS {
        assert_eq!(stage.open(kind, "0001").await.class, OutcomeClass::Sent, "{kind}");
        let (id, text) = stage.said(kind, "0001").await;
        assert_eq!(text, "Hello! What does it cost?", "{kind}");

        let peer = address(kind, "0001");
        stage.drivers[&kind].show_typing(&peer, Some(&id)).await;
        let outcome = stage.reply(kind, "0001", "Nothing <b>&amp;</b>\n\"at\" all", 77).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{kind}: {}", outcome.reason);
        let (_, text) = stage.said(kind, "0001").await;
        assert!(text.contains("+7 912 345-67-89"), "{kind}: {text}");

        let all = stage.rehearsal.recent();
        let of_kind: Vec<_> = all.iter().filter(|entry| entry.provider == kind.as_str()).collect();
        let signs: Vec<_> = of_kind
            .iter()
            .filter(|entry| entry.direction == Direction::Sign)
            .filter_map(|entry| entry.note.as_deref())
            .collect();
        let expected: &[_] = match kind {
            ChannelKind::Waba => &["read, typing"],
            ChannelKind::VkUser => &["read", "typing"],
            _ => &["read", "typing", "typing ended"],
        };
        assert_eq!(signs, expected, "{kind}");
        let ours: Vec<_> = of_kind.iter().filter(|entry| entry.is_delivery()).collect();
        assert_eq!(ours.len(), 2, "{kind}");
        assert_eq!(ours[1].text, "Nothing <b>&amp;</b>\n\"at\" all", "{kind}");
        assert!(ours.iter().all(|entry| entry.note.is_none()), "{kind}: {ours:?}");
        let attached = (kind == ChannelKind::Waba).then(|| "reply-1".to_owned());
        assert_eq!(ours[1].attempt, attached, "{kind}");
    }
}

#[tokio::test]
async fn our_own_messages_come_back_with_what_settles_a_doubt() {
    let mut stage = Stage::set(0).await;
    for kind in KINDS {
        // Delivered, and the answer never comes.
        let outcome = stage.open(kind, "0504").await;
        assert_eq!(outcome.class, OutcomeClass::InDoubt, "{kind}");
        let peer = address(kind, "0504");
        let told = stage
            .until(kind, |received| match &received.what {
                Delivery::Echo { reference, text, typed_by_hand, .. } if received.peer == peer => {
                    assert!(!typed_by_hand, "{kind}");
                    Some((reference.clone(), text.clone()))
                }
                Delivery::Status { reference, state: DeliveryState::Delivered, .. }
                    if received.peer == peer =>
                {
                    Some((reference.clone(), String::new()))
                }
                _ => None,
            })
            .await;
        let expected = match kind {
            ChannelKind::VkUser => (Some("5000000001".to_owned()), TEXT.to_owned()),
            ChannelKind::Waba => (Some("77".to_owned()), String::new()),
            _ => (None, TEXT.to_owned()),
        };
        assert_eq!(told, expected, "{kind}");
    }
}

#[tokio::test]
async fn a_message_that_was_taken_may_fail_later() {
    let mut stage = Stage::set(0).await;
    for kind in [ChannelKind::Waba, ChannelKind::WhatsappWeb] {
        assert_eq!(stage.open(kind, "0908").await.class, OutcomeClass::Sent, "{kind}");
        let reason = stage
            .until(kind, |received| match &received.what {
                Delivery::Status { state: DeliveryState::Failed, reason, .. } => {
                    Some(reason.clone())
                }
                _ => None,
            })
            .await;
        assert!(!reason.is_empty() && !reason.contains("0908"), "{kind}: {reason}");
    }
}

#[tokio::test]
async fn webhooks_are_brought_again_until_they_are_taken_and_some_too_often() {
    let mut stage = Stage::set(3).await;
    for kind in [ChannelKind::Waba, ChannelKind::WhatsappWeb] {
        assert_eq!(stage.open(kind, "0907").await.class, OutcomeClass::Sent, "{kind}");
        let mut said = Vec::new();
        let peer = address(kind, "0907");
        stage
            .until(kind, |received| {
                if let Delivery::Message { id, text } = &received.what
                    && received.peer == peer
                {
                    said.push((id.clone(), text.clone()));
                }
                (said.len() == 6).then_some(())
            })
            .await;
        assert!(said[0] == said[1] && said[1] == said[2], "{kind}: {said:?}");
        assert!(said[0].1.starts_with("Second") && said[5].1.starts_with("First"), "{kind}");
        assert_ne!(said[0].0, said[5].0, "{kind}");
    }
    let refused = stage.rehearsal.recent().into_iter().filter(|entry| {
        entry.direction == Direction::Push && entry.verdict.to_string() == "refused: HTTP 503"
    });
    assert_eq!(refused.count(), 3);
}

#[tokio::test]
async fn a_free_text_before_the_person_wrote_is_outside_the_window() {
    let stage = Stage::set(0).await;
    let outcome = stage.reply(ChannelKind::Waba, "0001", "Hello", 1).await;
    assert_eq!(outcome.class, OutcomeClass::WindowClosed, "{}", outcome.reason);
}

#[tokio::test]
async fn a_reply_that_cannot_be_said_is_refused_without_a_call() {
    let stage = Stage::set(0).await;
    for (kind, limit) in [
        (ChannelKind::VkUser, 9_000),
        (ChannelKind::Waba, 4_096),
        (ChannelKind::WhatsappWeb, 65_536),
    ] {
        for text in ["", " \n", &"я".repeat(limit + 1)] {
            let outcome = stage.reply(kind, "0001", text, 1).await;
            assert_eq!(outcome.class, OutcomeClass::MessagePermanent, "{kind}");
        }
        let long = "слово ".repeat(limit / 2);
        let parts = stage.drivers[&kind].split(&long);
        assert!(parts.len() > 1, "{kind}");
        assert!(parts.iter().all(|part| part.chars().count() <= limit), "{kind}");
    }
    assert_eq!(
        stage.reply(ChannelKind::VkUser, "0001", "a", 0).await.class,
        OutcomeClass::OurMistake
    );
    assert_eq!(stage.rehearsal.recent(), []);
}

#[tokio::test]
async fn a_reply_is_posted_once_and_in_doubt_unless_it_was_refused() {
    use OutcomeClass::{CredentialRefused, InDoubt, RetryAfter};
    let answers = |status, body| Behaviour::Answers { status, headers: "", body };
    let http = Http::with_deadline(SHORT).unwrap();
    for (behaviour, class) in [
        (Behaviour::Closes, InDoubt),
        (Behaviour::BreaksOff, InDoubt),
        (Behaviour::Hangs, InDoubt),
        (answers("200 OK", "<html>"), InDoubt),
        (answers("500 Internal Server Error", ""), InDoubt),
        (answers("401 Unauthorized", ""), CredentialRefused),
        (answers("429 Too Many Requests", ""), RetryAfter),
    ] {
        for kind in KINDS {
            let server = serve(behaviour, true).await;
            let driver = driver(kind, &server.endpoint, "one", &http);
            let peer = address(kind, "0001");
            let call = ReplyCall { peer: &peer, text: TEXT, key: 3, reference: "r" };
            let outcome = driver.reply(&call).await;
            assert_eq!(outcome.class, class, "{kind} {behaviour:?}: {}", outcome.reason);
            for secret in [peer.as_str(), TEXT, "rehearsal.", "127.0.0.1"] {
                assert!(!outcome.reason.contains(secret), "{kind}: {}", outcome.reason);
            }
            // The gateway is told before that the typing is over.
            let signs = usize::from(kind == ChannelKind::WhatsappWeb);
            assert!(server.posts() <= 1 + signs, "{kind} {behaviour:?}: it was sent again");
            // Nobody waits for a sign, whatever becomes of it.
            driver.show_typing(&Address::from_stored("5".to_owned()), Some("wamid.1")).await;
        }
    }
}
