//! Whole conversations with the people of the rehearsal, and replies to who is not there.

use std::collections::BTreeSet;

use super::{
    super::Receives,
    TEXT,
    stage::{Stage, is_of},
    subject::{SUBJECTS, Settles, Subject},
};
use crate::{
    domain::{
        attempt::OutcomeClass,
        dialogue::{Delivery, DeliveryState, Received, TypedByHand},
    },
    rehearsal::{Direction, Entry},
};

const QUESTION: &str = "Hello! What does it cost?";

#[tokio::test]
async fn a_person_answers_what_was_delivered_and_is_answered() {
    let mut stage = Stage::lively(0).await;
    for subject in SUBJECTS {
        let name = subject.name;
        if subject.opens() {
            let outcome = subject.say(stage.driver(subject), "0001", 5_000_000_001).await;
            assert_eq!(outcome.class, OutcomeClass::Sent, "{name}: {}", outcome.reason);
        } else {
            let address = subject.address("0001");
            stage.rehearsal.person_writes(subject.kind, name, address.as_str(), QUESTION);
        }
        let (id, text) = stage.said(subject, "0001").await;
        assert_eq!(text, QUESTION, "{name}");
        let driver = stage.driver(subject);
        driver.show_typing(&subject.address("0001"), Some(&id)).await;
        let answer = "Nothing <b>&amp;</b>\n\"at\" all *_`[";
        let outcome = subject.reply(driver, "0001", answer, 77).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{name}: {}", outcome.reason);
        let (_, text) = stage.said(subject, "0001").await;
        assert!(text.contains("+7 912 345-67-89"), "{name}: {text}");

        let with_them = |entry: &Entry| {
            entry.channel == name
                && [subject.address("0001").as_str(), ""].contains(&entry.address.as_str())
        };
        let all: Vec<_> = stage.rehearsal.recent().into_iter().filter(with_them).collect();
        let signs: Vec<_> = all
            .iter()
            .filter(|entry| entry.direction == Direction::Sign)
            .filter_map(|entry| entry.note.as_deref())
            .collect();
        assert_eq!(signs, subject.signs, "{name}");
        let ours: Vec<_> = all.iter().filter(|entry| entry.is_delivery()).collect();
        assert_eq!(ours.len(), 1 + usize::from(subject.opens()), "{name}");
        let last = ours.last().unwrap();
        assert_eq!(last.text, answer, "{name}");
        assert!(ours.iter().all(|entry| entry.note.is_none()), "{name}: {ours:?}");
        assert_eq!(last.attempt, subject.attached(77, "reply-1"), "{name}");
    }
}

#[tokio::test]
async fn our_own_messages_come_back_with_what_settles_a_doubt() {
    let mut stage = Stage::lively(0).await;
    for subject in SUBJECTS.iter().filter(|subject| subject.settles != Settles::Nothing) {
        let name = subject.name;
        stage.meet(subject, name, "0504");
        // Delivered, and the answer never comes.
        let outcome = subject.say(stage.driver(subject), "0504", 5_000_000_001).await;
        assert_eq!(outcome.class, OutcomeClass::InDoubt, "{name}: {}", outcome.reason);
        let peer = subject.address("0504");
        let told = stage
            .until(subject, |received| match &received.what {
                Delivery::Echo { reference, text, typed_by_hand, .. } if is_of(received, &peer) => {
                    assert_ne!(*typed_by_hand, TypedByHand::Yes, "{name}");
                    Some((reference.clone(), text.clone()))
                }
                // Of others, a status may overtake the echo.
                Delivery::Status { reference, state: DeliveryState::Delivered, .. }
                    if is_of(received, &peer)
                        && matches!(subject.settles, Settles::Reference | Settles::KeyInId) =>
                {
                    Some((reference.clone(), String::new()))
                }
                _ => None,
            })
            .await;
        let attached = if subject.opens() { "77" } else { "reply-1" };
        let expected = match subject.settles {
            Settles::Key => (Some("5000000001".to_owned()), TEXT.to_owned()),
            Settles::Reference => (Some(attached.to_owned()), String::new()),
            Settles::KeyInId => (Some("5000000001".to_owned()), String::new()),
            Settles::Text | Settles::Nothing => (None, TEXT.to_owned()),
        };
        assert_eq!(told, expected, "{name}");
    }
}

#[tokio::test]
async fn a_message_that_was_taken_may_fail_later() {
    let mut stage = Stage::lively(0).await;
    for subject in SUBJECTS.iter().filter(|subject| subject.tells_failures) {
        let name = subject.name;
        stage.meet(subject, name, "0908");
        let outcome = subject.say(stage.driver(subject), "0908", 3).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{name}: {}", outcome.reason);
        let reason = stage
            .until(subject, |received| match &received.what {
                Delivery::Status { state: DeliveryState::Failed, reason, .. } => {
                    Some(reason.clone())
                }
                _ => None,
            })
            .await;
        assert!(!reason.is_empty() && !reason.contains("0908"), "{name}: {reason}");
    }
}

#[tokio::test]
async fn what_is_brought_again_and_out_of_order_keeps_its_id() {
    let mut stage = Stage::lively(3).await;
    for subject in SUBJECTS {
        let name = subject.name;
        if stage.driver(subject).receives() != Receives::Webhook {
            continue;
        }
        stage.meet(subject, name, "0907");
        let outcome = subject.say(stage.driver(subject), "0907", 3).await;
        assert_eq!(outcome.class, OutcomeClass::Sent, "{name}: {}", outcome.reason);
        let peer = subject.address("0907");
        let mut said = Vec::new();
        // What they say to our first message, or where they wrote first, to our second.
        let all_said = |received: &Received| {
            if let Delivery::Message { id, text } = &received.what
                && is_of(received, &peer)
                && text != "Hello!"
            {
                said.push((id.clone(), text.clone()));
            }
            (said.len() == 6).then_some(())
        };
        if subject.opens() {
            stage.until(subject, all_said).await;
            assert!(said[0] == said[1] && said[1] == said[2], "{name}: {said:?}");
            assert!(said[0].1.starts_with("Second") && said[5].1.starts_with("First"), "{name}");
            let ids: BTreeSet<_> = said.iter().map(|(id, _)| id).collect();
            assert_eq!(ids.len(), 2, "{name}: {said:?}");
        }
    }
    let refused = stage.rehearsal.recent().into_iter().filter(|entry| {
        entry.direction == Direction::Push && entry.verdict.to_string() == "refused: HTTP 503"
    });
    assert_eq!(refused.count(), 3);
}

#[tokio::test]
async fn a_free_text_before_the_person_wrote_is_outside_the_window() {
    let stage = Stage::quiet(None).await;
    for subject in SUBJECTS.iter().filter(|subject| subject.has_window) {
        let outcome = subject.reply(stage.driver(subject), "0001", "Hello", 1).await;
        let class = OutcomeClass::WindowClosed;
        assert_eq!(outcome.class, class, "{}: {}", subject.name, outcome.reason);
    }
}

#[tokio::test]
async fn vkontakte_is_given_no_key_that_lets_repeats_through() {
    let stage = Stage::quiet(None).await;
    let subject = Subject::of("vk-user");
    let outcome = subject.reply(stage.driver(subject), "0001", "a", 0).await;
    assert_eq!(outcome.class, OutcomeClass::OurMistake);
}
