//! What every driver must do with a provider that behaves as documented.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    super::{Examined, Http, OpeningCall},
    TEXT,
    stage::Stage,
    subject::{Longest, SUBJECTS, Subject},
};
use crate::{
    domain::{
        address::Address,
        attempt::{Message, OutcomeClass},
        id::AttemptId,
    },
    rehearsal::{ADDRESS_FAULTS, Verdict, read_journal},
};

#[tokio::test]
async fn a_message_is_delivered_once_as_it_was_given() {
    let stage = Stage::quiet(None).await;
    for subject in SUBJECTS {
        let Subject { name, kind, .. } = subject;
        stage.meet(subject, name, "0001");
        let outcome = subject.say(stage.driver(subject), "0001", 5_000_000_000).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{name}: {}", outcome.reason);
        assert!(outcome.provider_message_id.is_some_and(|id| !id.is_empty()), "{name}");
        let entry = stage.rehearsal.recent().pop().unwrap();
        assert_eq!(entry.verdict, Verdict::Delivered, "{name}");
        assert_eq!((entry.provider.as_str(), entry.channel.as_str()), (kind.as_str(), *name));
        assert_eq!(entry.address, subject.address("0001").as_str());
        assert!(entry.text.contains(TEXT), "{name}: {}", entry.text);
        assert_eq!(entry.note, None, "{name}");
        assert_eq!(entry.key, kind.facts().drops_repeats.then_some(5_000_000_000), "{name}");
        let attached = if subject.opens() { "77" } else { "reply-1" };
        assert_eq!(entry.attempt, subject.attached(5_000_000_000, attached), "{name}");
    }
    assert_eq!(stage.deliveries(), SUBJECTS.len());
    stage.close().await;
}

#[tokio::test]
async fn who_only_answers_opens_nothing() {
    let stage = Stage::quiet(None).await;
    for subject in SUBJECTS.iter().filter(|subject| !subject.opens()) {
        let (address, message) = (subject.address("0001"), subject.message());
        let call =
            OpeningCall { address: &address, message: &message, key: 1, attempt: AttemptId(1) };
        let outcome = stage.driver(subject).open(&call).await;
        assert_eq!(outcome.class, OutcomeClass::OurMistake, "{}", subject.name);
    }
    assert_eq!(stage.deliveries(), 0);
    stage.close().await;
}

#[tokio::test]
async fn every_fault_has_its_class_and_passes_as_the_table_says() {
    use OutcomeClass::{RecipientPermanent, RetryAfter, Sent};
    let stage = Stage::quiet(None).await;
    for subject in SUBJECTS {
        let name = subject.name;
        for (key, row) in (1_i64..).zip(ADDRESS_FAULTS) {
            let (first, then) = match row.ending {
                "0403" | "0404" | "0410" => (RecipientPermanent, RecipientPermanent),
                "0429" => (RetryAfter, Sent),
                "0503" => (subject.unavailable, Sent),
                // It has a test of its own.
                "0504" => continue,
                other => panic!("the ending {other} has no test"),
            };
            stage.meet(subject, name, row.ending);
            for (call, class) in [("first", first), ("second", then)] {
                let outcome = subject.say(stage.driver(subject), row.ending, key).await;
                let words = &outcome.reason;
                assert_eq!(outcome.class, class, "{name} {}, {call} call: {words}", row.ending);
                assert_eq!(outcome.after.is_some(), class == RetryAfter, "{name} {}", row.ending);
                assert_eq!(words.is_empty(), class == Sent, "{name} {}", row.ending);
                if let Some(after) = outcome.after {
                    assert!(after <= Duration::from_secs(5), "{name}: a rehearsal is short");
                }
            }
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn an_account_that_the_provider_refuses_stops_the_channel() {
    let stage = Stage::quiet(None).await;
    let http = Http::new().unwrap();
    for subject in SUBJECTS {
        for (channel, class) in [
            ("sales-banned", OutcomeClass::ChannelBlocked),
            ("sales-expired", OutcomeClass::CredentialRefused),
            ("", OutcomeClass::CredentialRefused),
        ] {
            let name = subject.name;
            let driver = subject.driver(&stage.endpoint(subject), channel, &http);
            stage.meet(subject, channel, "0001");
            let outcome = subject.say(&driver, "0001", 1).await;
            assert_eq!(outcome.class, class, "{name} {channel}: {}", outcome.reason);
            let examined = driver.examine().await;
            assert!(matches!(examined, Examined::Refused(_)), "{name} {channel}: {examined:?}");
        }
        let examined = stage.driver(subject).examine().await;
        assert_eq!(examined, Examined::InOrder, "{}", subject.name);
    }
    assert_eq!(stage.deliveries(), 0);
    stage.close().await;
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_the_attempt_in_doubt() {
    let stage = Stage::quiet(None).await;
    join_all(SUBJECTS.iter().map(async |subject| {
        stage.meet(subject, subject.name, "0504");
        let outcome = subject.say(stage.driver(subject), "0504", 11).await;
        assert_eq!(outcome.class, OutcomeClass::InDoubt, "{}: {}", subject.name, outcome.reason);
    }))
    .await;
    let entries = stage.rehearsal.recent();
    let ours: Vec<_> = entries.iter().filter(|entry| entry.is_delivery()).collect();
    assert_eq!(ours.len(), SUBJECTS.len());
    assert!(ours.iter().all(|entry| entry.verdict == Verdict::AnswerWithheld));
    stage.close().await;
}

#[tokio::test]
async fn who_drops_repeats_does_so_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let dropping = || SUBJECTS.iter().filter(|subject| subject.kind.facts().drops_repeats);
    let first = Stage::quiet(Some(path.clone())).await;
    let mut sent = Vec::new();
    for subject in dropping() {
        let driver = first.driver(subject);
        first.meet(subject, subject.name, "0001");
        first.meet(subject, subject.name, "0504");
        let outcome = subject.say(driver, "0001", 12).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{}: {}", subject.name, outcome.reason);
        let again = subject.say(driver, "0001", 12).await;
        assert_eq!(again.class, OutcomeClass::Sent, "{}: {}", subject.name, again.reason);
        assert_eq!(subject.say(driver, "0504", 13).await.class, OutcomeClass::InDoubt);
        sent.push(outcome);
    }
    first.close().await;

    let second = Stage::quiet(Some(path.clone())).await;
    for (subject, sent) in dropping().zip(sent) {
        let driver = second.driver(subject);
        let repeated = subject.say(driver, "0001", 12).await;
        assert_eq!(repeated.class, OutcomeClass::Sent, "{}: {}", subject.name, repeated.reason);
        let settled = subject.say(driver, "0504", 13).await;
        assert_eq!(settled.class, OutcomeClass::Sent, "{}: {}", subject.name, settled.reason);
        // A provider may say that it knows the key, and not which message it was.
        let ids = [&repeated, &settled].map(|outcome| outcome.provider_message_id.as_ref());
        assert!(ids[0].is_none_or(|id| Some(id) == sent.provider_message_id.as_ref()));
        assert!(ids[1].is_none_or(|id| Some(id) != sent.provider_message_id.as_ref()));
    }
    second.close().await;

    for subject in dropping() {
        let ours = read_journal(&path).unwrap().into_iter();
        let ours = ours.filter(|entry| entry.channel == subject.name && entry.key.is_some());
        assert_eq!(
            ours.map(|entry| entry.verdict.to_string()).collect::<Vec<_>>(),
            [
                "delivered",
                "repeat dropped",
                "delivered, answer withheld",
                "repeat dropped",
                "repeat dropped",
            ],
            "{}",
            subject.name
        );
    }
}

#[tokio::test]
async fn a_message_that_the_kind_cannot_send_is_refused_without_a_call() {
    let stage = Stage::quiet(None).await;
    let template = |variables: &[&str]| Message::Template {
        name: "spring_offer".to_owned(),
        language: "ru".to_owned(),
        variables: variables.iter().map(|text| (*text).to_owned()).collect(),
    };
    for subject in SUBJECTS.iter().filter(|subject| subject.opens()) {
        let messages = match subject.message() {
            Message::Text(_) => {
                let long = Message::Text("я".repeat(subject.longest.units() + 1));
                let blank = ["", " \n"].map(|text| Message::Text(text.to_owned()));
                [vec![long, template(&["a"])], blank.to_vec()].concat()
            }
            Message::Template { .. } => {
                let long = "я".repeat(subject.longest.units() + 1);
                vec![Message::Text("Hello".to_owned()), template(&["a", ""]), template(&[&long])]
            }
        };
        let address = subject.address("0001");
        for message in messages {
            let call =
                OpeningCall { address: &address, message: &message, key: 1, attempt: AttemptId(1) };
            let class = stage.driver(subject).open(&call).await.class;
            assert_eq!(class, OutcomeClass::MessagePermanent, "{}", subject.name);
        }
    }
    assert_eq!(stage.deliveries(), 0);
    let (vk, waba) = (Subject::of("vk-user"), Subject::of("waba"));
    let longest = Message::Text("я".repeat(vk.longest.units()));
    let community = Address::from_stored("-123".to_owned());
    let call =
        OpeningCall { address: &community, message: &longest, key: -4, attempt: AttemptId(1) };
    assert_eq!(stage.driver(vk).open(&call).await.class, OutcomeClass::Sent);
    assert_eq!(stage.rehearsal.recent().pop().unwrap().address, "-123");
    // VK does not drop repeats of the key 0.
    let call = OpeningCall { key: 0, ..call };
    assert_eq!(stage.driver(vk).open(&call).await.class, OutcomeClass::OurMistake);
    let (address, bare) = (waba.address("0001"), template(&[]));
    let call = OpeningCall { address: &address, message: &bare, key: 1, attempt: AttemptId(1) };
    assert_eq!(stage.driver(waba).open(&call).await.class, OutcomeClass::Sent);
    stage.close().await;
}

#[tokio::test]
async fn a_reply_of_the_greatest_length_arrives_and_a_longer_one_comes_in_parts() {
    let stage = Stage::quiet(None).await;
    for subject in SUBJECTS {
        let Subject { name, longest, .. } = subject;
        let driver = stage.driver(subject);
        // A window has to be open for whoever has one.
        let address = subject.address("0001");
        stage.rehearsal.person_writes(subject.kind, name, address.as_str(), "Hello!");
        let before = stage.deliveries();
        for text in ["", " \n", &fill(*longest, longest.units() + 1)] {
            let outcome = subject.reply(driver, "0001", text, 1).await;
            assert_eq!(outcome.class, OutcomeClass::MessagePermanent, "{name}");
        }
        assert_eq!(stage.deliveries(), before, "{name}");
        let outcome = subject.reply(driver, "0001", &fill(*longest, longest.units()), 2).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{name}: {}", outcome.reason);
        for word in ["слово ", "👩‍👩‍👧 ", "e\u{301}"] {
            let long = word.repeat(longest.units());
            let parts = driver.split(&long);
            assert!(parts.len() > 1, "{name}");
            assert!(parts.iter().all(|part| longest.length(part) <= longest.units()), "{name}");
            // No grapheme was cut.
            assert!(parts.iter().all(|part| part.ends_with(word.trim_end())), "{name} {word}");
        }
    }
    stage.close().await;
}

/// A text of so many units.
fn fill(longest: Longest, units: usize) -> String {
    let unit = longest.length("я");
    format!("{}{}", "я".repeat(units / unit), "a".repeat(units % unit))
}
