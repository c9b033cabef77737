//! What every driver must do with a provider that behaves as documented.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{Http, OpeningCall},
    KINDS, SHORT, TEXT, address, driver, open,
};
use crate::{
    domain::{
        address::Address,
        attempt::{Message, OutcomeClass},
        id::AttemptId,
        kind::ChannelKind,
    },
    rehearsal::{self, ADDRESS_FAULTS, Options, Rehearsal, Verdict, read_journal},
};

struct Stage {
    rehearsal: Rehearsal,
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_790_000_000_000).unwrap()
}

async fn stage(journal: Option<PathBuf>) -> Stage {
    let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
    let options = Options {
        faults: true,
        hang_for: Duration::from_mins(1),
        answer_delay: Duration::ZERO,
        people: None,
        journal,
        clock,
    };
    let rehearsal = rehearsal::start(options, shutdown.clone(), &tracker).await.unwrap();
    Stage { rehearsal, shutdown, tracker }
}

impl Stage {
    fn endpoint(&self, kind: ChannelKind) -> String {
        self.rehearsal.endpoint(kind).unwrap()
    }

    fn deliveries(&self) -> usize {
        self.rehearsal.recent().iter().filter(|entry| entry.is_delivery()).count()
    }

    async fn close(self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[tokio::test]
async fn an_opening_is_delivered_once_as_it_was_given() {
    let stage = stage(None).await;
    let http = Http::new().unwrap();
    for kind in KINDS {
        let driver = driver(kind, &stage.endpoint(kind), "one", &http);
        let outcome = open(&driver, kind, "0001", 5_000_000_000).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{kind}: {}", outcome.reason);
        assert!(outcome.provider_message_id.is_some_and(|id| !id.is_empty()), "{kind}");

        let entry = stage.rehearsal.recent().pop().unwrap();
        assert_eq!(entry.verdict, Verdict::Delivered, "{kind}");
        assert_eq!((entry.provider.as_str(), entry.channel.as_str()), (kind.as_str(), "one"));
        assert_eq!(entry.address, address(kind, "0001").as_str());
        assert!(entry.text.contains(TEXT), "{kind}: {}", entry.text);
        assert_eq!(entry.note, None, "{kind}");
        assert_eq!(entry.key, kind.facts().drops_repeats.then_some(5_000_000_000), "{kind}");
        let attempt = (kind == ChannelKind::Waba).then(|| "77".to_owned());
        assert_eq!(entry.attempt, attempt, "{kind}");
    }
    assert_eq!(stage.deliveries(), KINDS.len());
    stage.close().await;
}

#[tokio::test]
async fn every_fault_has_its_class_and_passes_as_the_table_says() {
    use OutcomeClass::{InDoubt, NotSent, RecipientPermanent, RetryAfter, Sent};
    let stage = stage(None).await;
    let http = Http::new().unwrap();
    for kind in KINDS {
        let driver = driver(kind, &stage.endpoint(kind), "one", &http);
        for (key, row) in (1_i64..).zip(ADDRESS_FAULTS) {
            let (first, then) = match row.ending {
                "0403" | "0404" | "0410" => (RecipientPermanent, RecipientPermanent),
                "0429" => (RetryAfter, Sent),
                // VK names no error in a 503; to repeat with the same key is safe there.
                "0503" if kind == ChannelKind::VkUser => (InDoubt, Sent),
                "0503" => (NotSent, Sent),
                // It has a test of its own.
                "0504" => continue,
                other => panic!("the ending {other} has no test"),
            };
            for (call, class) in [("first", first), ("second", then)] {
                let outcome = open(&driver, kind, row.ending, key).await;
                let words = &outcome.reason;
                assert_eq!(outcome.class, class, "{kind} {}, {call} call: {words}", row.ending);
                assert_eq!(outcome.after.is_some(), class == RetryAfter, "{kind} {}", row.ending);
                assert_eq!(words.is_empty(), class == Sent, "{kind} {}", row.ending);
                if let Some(after) = outcome.after {
                    assert!(after <= Duration::from_secs(5), "{kind}: a rehearsal is short");
                }
            }
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn an_account_that_the_provider_refuses_stops_the_channel() {
    let stage = stage(None).await;
    let http = Http::new().unwrap();
    for kind in KINDS {
        for (channel, class) in [
            ("sales-banned", OutcomeClass::ChannelBlocked),
            ("sales-expired", OutcomeClass::CredentialRefused),
            ("", OutcomeClass::CredentialRefused),
        ] {
            let driver = driver(kind, &stage.endpoint(kind), channel, &http);
            let outcome = open(&driver, kind, "0001", 1).await;
            assert_eq!(outcome.class, class, "{kind} {channel}: {}", outcome.reason);
        }
    }
    assert_eq!(stage.deliveries(), 0);
    stage.close().await;
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_the_attempt_in_doubt() {
    let stage = stage(None).await;
    let http = Http::with_deadline(SHORT).unwrap();
    join_all(KINDS.map(async |kind| {
        let driver = driver(kind, &stage.endpoint(kind), "one", &http);
        let outcome = open(&driver, kind, "0504", 11).await;
        assert_eq!(outcome.class, OutcomeClass::InDoubt, "{kind}: {}", outcome.reason);
    }))
    .await;
    let entries = stage.rehearsal.recent();
    assert_eq!(entries.len(), KINDS.len());
    assert!(entries.iter().all(|entry| entry.verdict == Verdict::AnswerWithheld));
    stage.close().await;
}

#[tokio::test]
async fn vkontakte_drops_a_repeat_with_the_same_key_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let http = Http::with_deadline(SHORT).unwrap();
    let kind = ChannelKind::VkUser;

    let first = stage(Some(path.clone())).await;
    let before = driver(kind, &first.endpoint(kind), "one", &http);
    let sent = open(&before, kind, "0001", 12).await;
    assert_eq!(open(&before, kind, "0001", 12).await, sent);
    assert_eq!(open(&before, kind, "0504", 13).await.class, OutcomeClass::InDoubt);
    first.close().await;

    let second = stage(Some(path.clone())).await;
    let after = driver(kind, &second.endpoint(kind), "one", &http);
    assert_eq!(open(&after, kind, "0001", 12).await, sent);
    let settled = open(&after, kind, "0504", 13).await;
    assert_eq!(settled.class, OutcomeClass::Sent, "{}", settled.reason);
    assert_ne!(settled.provider_message_id, sent.provider_message_id);
    second.close().await;

    let verdicts: Vec<_> =
        read_journal(&path).unwrap().iter().map(|entry| entry.verdict.to_string()).collect();
    assert_eq!(
        verdicts,
        [
            "delivered",
            "repeat dropped",
            "delivered, answer withheld",
            "repeat dropped",
            "repeat dropped",
        ]
    );
}

#[tokio::test]
async fn a_message_that_the_kind_cannot_send_is_refused_without_a_call() {
    let stage = stage(None).await;
    let http = Http::new().unwrap();
    let template = |variables: &[&str]| Message::Template {
        name: "spring_offer".to_owned(),
        language: "ru".to_owned(),
        variables: variables.iter().map(|text| (*text).to_owned()).collect(),
    };
    let text = |length| Message::Text("я".repeat(length));
    for (kind, message) in [
        (ChannelKind::VkUser, text(9_001)),
        (ChannelKind::VkUser, text(0)),
        (ChannelKind::VkUser, Message::Text(" \n".to_owned())),
        (ChannelKind::VkUser, template(&["a"])),
        (ChannelKind::WhatsappWeb, text(65_537)),
        (ChannelKind::WhatsappWeb, text(0)),
        (ChannelKind::WhatsappWeb, template(&[])),
        (ChannelKind::Waba, text(5)),
        (ChannelKind::Waba, template(&["a", ""])),
        (ChannelKind::Waba, template(&[&"я".repeat(4_097)])),
    ] {
        let driver = driver(kind, &stage.endpoint(kind), "one", &http);
        let address = address(kind, "0001");
        let call =
            OpeningCall { address: &address, message: &message, key: 1, attempt: AttemptId(1) };
        assert_eq!(driver.open(&call).await.class, OutcomeClass::MessagePermanent, "{kind}");
    }
    assert_eq!(stage.rehearsal.recent(), []);

    let vk = driver(ChannelKind::VkUser, &stage.endpoint(ChannelKind::VkUser), "one", &http);
    let longest = text(9_000);
    let community = Address::from_stored("-123".to_owned());
    let call =
        OpeningCall { address: &community, message: &longest, key: -4, attempt: AttemptId(1) };
    assert_eq!(vk.open(&call).await.class, OutcomeClass::Sent);
    assert_eq!(stage.rehearsal.recent()[0].address, "-123");
    // VK does not drop repeats of the key 0.
    let call = OpeningCall { key: 0, ..call };
    assert_eq!(vk.open(&call).await.class, OutcomeClass::OurMistake);

    let waba = driver(ChannelKind::Waba, &stage.endpoint(ChannelKind::Waba), "one", &http);
    let address = address(ChannelKind::Waba, "0001");
    let bare = template(&[]);
    let call = OpeningCall { address: &address, message: &bare, key: 1, attempt: AttemptId(1) };
    assert_eq!(waba.open(&call).await.class, OutcomeClass::Sent);
    stage.close().await;
}
