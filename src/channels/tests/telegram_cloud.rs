//! An account of Telegram before a data centre: whom it finds, what breaks, and what it hears.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    super::{Driver, Examined, Http, OpeningCall, Polled, Vault},
    SHORT, TEXT,
    stage::Stage,
    subject::Subject,
    vault::MemoryVault,
};
use crate::{
    domain::{
        address::Address,
        attempt::{Message, Outcome, OutcomeClass},
        dialogue::{Delivery, ReplyCall, TypedByHand},
        id::AttemptId,
        kind::ChannelKind,
    },
    rehearsal::{Direction, Entry},
};

const KIND: ChannelKind = ChannelKind::TelegramCloud;

fn subject() -> &'static Subject {
    Subject::of("telegram-cloud")
}

/// A process before the vault: another one before the same is the account after a restart.
fn process(stage: &Stage, channel: &str, vault: &MemoryVault) -> Driver {
    patient_process(stage, channel, vault, SHORT)
}

fn patient_process(
    stage: &Stage,
    channel: &str,
    vault: &MemoryVault,
    deadline: Duration,
) -> Driver {
    let vault: Arc<dyn Vault> = Arc::new(vault.clone());
    let spec = subject().spec(&stage.endpoint(subject()));
    let http = Http::with_deadline(deadline).unwrap();
    Driver::connect_with(&spec, &subject().secrets(channel), &http, &vault).unwrap()
}

async fn open(driver: &Driver, address: &str, key: i64) -> Outcome {
    let address = Address::from_stored(address.to_owned());
    let message = Message::Text(TEXT.to_owned());
    let call = OpeningCall { address: &address, message: &message, key, attempt: AttemptId(1) };
    driver.open(&call).await
}

async fn reply(driver: &Driver, peer: &str, key: i64) -> Outcome {
    let peer = Address::from_stored(peer.to_owned());
    driver.reply(&ReplyCall { peer: &peer, text: TEXT, key, reference: "r" }).await
}

/// So much as comes after a place, one part after the other.
async fn told(driver: &Driver, mut cursor: String, n: usize) -> Vec<Polled> {
    let mut parts = Vec::new();
    let told = async {
        while said(&parts).len() < n {
            let polled = driver.poll(Some(&cursor)).await.unwrap();
            cursor.clone_from(&polled.cursor);
            parts.push(polled);
        }
    };
    tokio::time::timeout(Duration::from_mins(1), told).await.expect("all is told");
    parts
}

fn said(parts: &[Polled]) -> Vec<(String, Delivery)> {
    let received = parts.iter().flat_map(|polled| &polled.received);
    received.map(|received| (received.peer.to_string(), received.what.clone())).collect()
}

#[tokio::test]
async fn people_are_found_by_name_and_number_or_it_is_said_why_not() {
    use OutcomeClass::{OpeningsBlocked, RecipientPermanent, Sent};
    let stage = Stage::quiet(None).await;
    let driver = process(&stage, "sales", &MemoryVault::of("sales"));
    for (key, (address, class, words)) in (1..).zip([
        ("@anna_petrova1", Sent, ""),
        ("+79123450001", Sent, ""),
        // They hide from the light look-up.
        ("+79123450700", Sent, ""),
        ("@nobody0404", RecipientPermanent, "nobody has this name"),
        ("+79123450404", RecipientPermanent, "nobody with this number"),
        ("+79123450711", RecipientPermanent, "Premium"),
        ("+79123450712", RecipientPermanent, "paid"),
        ("telegram:7000001", RecipientPermanent, "never met"),
        ("+79123450730", OpeningsBlocked, "PEER_FLOOD"),
    ]) {
        let outcome = open(&driver, address, key).await;
        assert_eq!(outcome.class, class, "{address}: {}", outcome.reason);
        assert!(outcome.reason.contains(words), "{address}: {}", outcome.reason);
        assert_eq!(outcome.known_as.len(), usize::from(class == Sent), "{address}");
        assert_eq!(outcome.provider_message_id.is_some(), class == Sent, "{address}");
        if let Some(known) = outcome.known_as.first() {
            // Under their number they are answered without another look-up.
            assert_eq!(reply(&driver, known.as_str(), key + 100).await.class, Sent, "{address}");
        }
    }
    let to: Vec<_> = stage.rehearsal.recent().into_iter().filter(Entry::is_delivery).collect();
    let to: Vec<_> = to.iter().map(|entry| entry.address.as_str()).collect();
    assert_eq!(
        to,
        [
            "@anna_petrova1",
            "@anna_petrova1",
            "+79123450001",
            "+79123450001",
            "+79123450700",
            "+79123450700"
        ]
    );
    stage.close().await;
}

/// They asked under the only name by which the account knew them.
#[tokio::test]
async fn who_asked_to_be_left_alone_is_not_written_to_under_another_address() {
    let stage = Stage::quiet(None).await;
    let vault = MemoryVault::of("sales");
    let hidden = Address::from_stored("telegram:79123450001".to_owned());
    vault.leave_alone(hidden.clone());
    let driver = process(&stage, "sales", &vault);
    let outcome = open(&driver, "+79123450001", 1).await;
    assert_eq!(outcome.class, OutcomeClass::RecipientPermanent, "{}", outcome.reason);
    assert!(outcome.reason.contains("not to be written to"), "{}", outcome.reason);
    assert_eq!(outcome.known_as, [hidden]);
    assert!(!stage.rehearsal.recent().iter().any(Entry::is_delivery));
    stage.close().await;
}

#[tokio::test]
async fn who_wrote_is_answered_though_strangers_are_too_many() {
    let mut stage = Stage::quiet(None).await;
    // Not even they may be answered before.
    let outcome = reply(stage.driver(subject()), "+79123450730", 9).await;
    assert_eq!(outcome.class, OutcomeClass::ChannelBlocked, "{}", outcome.reason);
    stage.rehearsal.person_writes(KIND, "telegram-cloud", "+79123450730", "Hello!");
    stage.said(subject(), "0730").await;
    let driver = stage.driver(subject());
    assert_eq!(reply(driver, "telegram:79123450730", 1).await.class, OutcomeClass::Sent);
    stage.close().await;
}

#[tokio::test]
async fn a_hash_that_is_good_no_more_is_looked_up_again_once() {
    let stage = Stage::quiet(None).await;
    let vault = MemoryVault::of("sales");
    let driver = process(&stage, "sales", &vault);
    assert_eq!(open(&driver, "@anna_petrova1", 1).await.class, OutcomeClass::Sent);
    vault.spoil();
    let known = reply(&driver, "@anna_petrova1", 2).await;
    assert_eq!(known.class, OutcomeClass::Sent, "{}", known.reason);
    vault.spoil();
    let by_number = open(&driver, "@anna_petrova1", 3).await;
    assert_eq!(by_number.class, OutcomeClass::Sent, "{}", by_number.reason);
    vault.spoil();
    // Nobody is looked up by a bare number.
    let unknown = reply(&driver, by_number.known_as[0].as_str(), 4).await;
    assert_eq!(unknown.class, OutcomeClass::RecipientPermanent, "{}", unknown.reason);
    assert_eq!(stage.deliveries(), 3);
    stage.close().await;
}

#[tokio::test]
async fn a_connection_that_breaks_in_place_of_the_answer_leaves_a_doubt_that_a_repeat_ends() {
    let stage = Stage::quiet(None).await;
    let vault = MemoryVault::of("sales");
    let driver = process(&stage, "sales", &vault);
    let broken = open(&driver, "+79123450720", 5).await;
    assert_eq!(broken.class, OutcomeClass::InDoubt, "{}", broken.reason);
    // By the same process, and by the next after a crash.
    for driver in [driver, process(&stage, "sales", &vault)] {
        let repeated = open(&driver, "+79123450720", 5).await;
        assert_eq!(repeated.class, OutcomeClass::Sent, "{}", repeated.reason);
        assert_eq!(repeated.provider_message_id, None, "Telegram does not say under which number");
    }
    assert_eq!(stage.deliveries(), 1);
    stage.close().await;
}

#[tokio::test]
async fn who_is_not_reached_or_is_no_data_centre_was_sent_nothing() {
    let http = Http::with_deadline(SHORT).unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (refuses, hangs) = (closed.local_addr().unwrap(), hanging.local_addr().unwrap());
    drop(closed);
    for address in [refuses, hangs] {
        let driver = subject().driver(&format!("tcp://{address}"), "one", &http);
        let outcome = open(&driver, "+79123450001", 1).await;
        assert_eq!(outcome.class, OutcomeClass::NotSent, "{address}: {}", outcome.reason);
        let examined = driver.examine().await;
        assert!(matches!(examined, Examined::Unknown(_)), "{address}: {examined:?}");
        assert!(driver.poll(None).await.is_err());
    }
}

// The connection runs beside the call: what is handed over leaves at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_time_is_over_before_it_begins_does_not_leave() {
    let stage = Stage::quiet(None).await;
    let vault = MemoryVault::of("sales");
    let known = open(&process(&stage, "sales", &vault), "@anna_petrova1", 1).await.known_as;
    let driver = patient_process(&stage, "sales", &vault, Duration::ZERO);
    for key in 2..12 {
        let outcome = reply(&driver, known[0].as_str(), key).await;
        assert!(outcome.reason.contains("in time"), "{outcome:?}");
    }
    // Whatever was handed over has arrived before this.
    assert_eq!(
        open(&process(&stage, "sales", &vault), "@anna_petrova1", 1).await.class,
        OutcomeClass::Sent
    );
    let arrived = stage.rehearsal.recent().into_iter().filter(Entry::is_delivery);
    assert_eq!(arrived.count(), 1);
}

#[tokio::test]
async fn who_gave_the_account_up_ends_the_connection_and_has_no_other() {
    let stage = Stage::quiet(None).await;
    let vault = MemoryVault::of("sales");
    let driver = Arc::new(process(&stage, "sales", &vault));
    assert_eq!(open(&driver, "@anna_petrova1", 1).await.class, OutcomeClass::Sent);
    let mut place = driver.poll(None).await.unwrap().cursor;
    let listener = Arc::clone(&driver);
    let mut listening = TaskTracker::new().spawn(async move {
        loop {
            match listener.poll(Some(&place)).await {
                // The echo of what was sent, or nothing.
                Ok(polled) if !listener.is_given_up() => place = polled.cursor,
                ended => return ended,
            }
        }
    });
    let waits = tokio::time::timeout(Duration::from_millis(300), &mut listening).await;
    assert!(waits.is_err() && !driver.is_given_up());
    driver.give_up();
    assert!(driver.is_given_up());
    // It would listen for half a minute.
    let heard = tokio::time::timeout(Duration::from_secs(10), listening).await;
    drop(heard.expect("the connection is still there"));
    let outcome = open(&driver, "@anna_petrova1", 2).await;
    assert_eq!(outcome.class, OutcomeClass::NotSent, "{}", outcome.reason);
    assert!(outcome.reason.contains("given up"), "{}", outcome.reason);
    // Who has the lane next has a driver of their own.
    let next = process(&stage, "sales", &vault);
    assert_eq!(open(&next, "@anna_petrova1", 2).await.class, OutcomeClass::Sent);
}

#[tokio::test]
async fn whoever_takes_an_account_over_waits_for_the_other_to_let_go() {
    let stage = Stage::quiet(None).await;
    let driver = process(&stage, "sales", &MemoryVault::of("sales"));
    driver.hold_off(Instant::now() + Duration::from_secs(60));
    let outcome = open(&driver, "@anna_petrova1", 1).await;
    assert_eq!(outcome.class, OutcomeClass::NotSent, "{}", outcome.reason);
    assert!(outcome.after.is_some_and(|after| after > Duration::from_secs(50)), "{outcome:?}");
    assert!(matches!(driver.examine().await, Examined::Unknown(_)));
    let polled = tokio::time::timeout(Duration::from_millis(200), driver.poll(None)).await;
    assert!(polled.is_err(), "it waits: {polled:?}");
    assert_eq!(stage.rehearsal.recent().len(), 0);
    let driver = process(&stage, "sales", &MemoryVault::of("sales"));
    driver.hold_off(Instant::now());
    assert_eq!(open(&driver, "@anna_petrova1", 1).await.class, OutcomeClass::Sent);
}

#[tokio::test]
async fn a_session_that_was_ended_stops_the_channel_until_somebody_signs_in() {
    let stage = Stage::quiet(None).await;
    let driver = process(&stage, "sales", &MemoryVault::of("sales"));
    let begun = driver.poll(None).await.unwrap();
    assert_eq!(open(&driver, "+79123450001", 1).await.class, OutcomeClass::Sent);
    stage.rehearsal.end_telegram_session("sales");
    let refused = open(&driver, "+79123450002", 2).await;
    assert_eq!(refused.class, OutcomeClass::CredentialRefused, "{}", refused.reason);
    assert!(refused.reason.contains("nuncio channel login"), "{}", refused.reason);
    let deaf = driver.poll(Some(&begun.cursor)).await.unwrap_err();
    assert_eq!(deaf.class, OutcomeClass::CredentialRefused, "{}", deaf.reason);
    assert!(matches!(driver.examine().await, Examined::Refused(_)));

    let sign_in = driver.sign_in().await.unwrap().unwrap();
    sign_in.enter_code("11111").await.unwrap();
    assert_eq!(open(&driver, "+79123450002", 2).await.class, OutcomeClass::Sent);
    assert_eq!(driver.examine().await, Examined::InOrder);
    stage.close().await;
}

#[tokio::test]
async fn what_was_written_while_nobody_listened_is_caught_up_with_part_by_part() {
    let stage = Stage::quiet(None).await;
    let vault = MemoryVault::of("sales");
    let begun = process(&stage, "sales", &vault).poll(None).await.unwrap();
    assert!(begun.received.is_empty() && begun.raw.is_empty());
    let writes = |ending: &str, text: &str| {
        stage.rehearsal.person_writes(KIND, "sales", &format!("+7912345{ending}"), text);
    };
    for number in 0..25 {
        writes(if number % 2 == 0 { "0001" } else { "0002" }, &format!("number {number}"));
    }
    // After a restart, from the place that was kept.
    let driver = process(&stage, "sales", &vault);
    let parts = told(&driver, begun.cursor.clone(), 25).await;
    assert!(parts.len() > 2, "in {} parts", parts.len());
    let heard = said(&parts);
    assert_eq!(heard.len(), 25);
    for (number, (peer, what)) in heard.iter().enumerate() {
        let ending = 1 + number % 2;
        assert_eq!(*peer, format!("telegram:7912345000{ending}"));
        let Delivery::Message { text, .. } = what else { panic!("{what:?}") };
        assert_eq!(*text, format!("number {number}"));
    }
    assert!(parts[0].received[0].also_known_as.iter().any(|one| one.as_str() == "+79123450001"));
    // Kept is what was said, and nothing of the people who came with it.
    let kept = String::from_utf8_lossy(&parts[0].raw);
    assert!(kept.contains("number 0") && !kept.contains("79123450001"), "{kept}");
    // Asked again from the same place, after a crash before it was kept, it is the same.
    assert_eq!(said(&told(&driver, begun.cursor, 25).await), heard);
    // Whom the account has heard of, it answers.
    let answered = reply(&driver, "telegram:79123450001", 7).await;
    assert_eq!(answered.class, OutcomeClass::Sent, "{}", answered.reason);
    stage.close().await;
}

#[tokio::test]
async fn a_message_wakes_whoever_listens() {
    let stage = Stage::quiet(None).await;
    let driver = process(&stage, "sales", &MemoryVault::of("sales"));
    let begun = driver.poll(None).await.unwrap();
    // Nothing is new, so the round waits. It is far from its end when somebody writes.
    let (polled, ()) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(15), driver.poll(Some(&begun.cursor))),
        async {
            tokio::task::yield_now().await;
            stage.rehearsal.person_writes(KIND, "sales", "+79123450001", "Hello!");
        }
    );
    assert_eq!(polled.expect("it was woken").unwrap().received.len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn our_own_messages_come_back_with_their_key_and_those_of_a_hand_without() {
    let stage = Stage::quiet(None).await;
    let vault = MemoryVault::of("sales");
    let driver = process(&stage, "sales", &vault);
    let begun = driver.poll(None).await.unwrap();
    assert_eq!(open(&driver, "+79123450001", -9_000_000_000).await.class, OutcomeClass::Sent);
    stage.rehearsal.owner_writes(KIND, "sales", "+79123450001", "I am Anna myself");
    // Told by this process, and by another that never sent it.
    for driver in [driver, process(&stage, "sales", &vault)] {
        let echoes = said(&told(&driver, begun.cursor.clone(), 2).await);
        let references: Vec<_> = echoes
            .iter()
            .map(|(peer, what)| {
                assert_eq!(peer, "telegram:79123450001");
                let Delivery::Echo { reference, text, typed_by_hand, .. } = what else {
                    panic!("{what:?}")
                };
                assert_eq!(*typed_by_hand, TypedByHand::UnlessOurs);
                (text.as_str(), reference.as_deref())
            })
            .collect();
        assert_eq!(references, [(TEXT, Some("-9000000000")), ("I am Anna myself", None)]);
    }
    stage.close().await;
}

#[tokio::test]
async fn a_place_of_another_account_or_none_begins_anew() {
    let stage = Stage::quiet(None).await;
    stage.rehearsal.person_writes(KIND, "sales", "+79123450001", "before");
    let driver = process(&stage, "sales", &MemoryVault::of("sales"));
    for cursor in [None, Some("17:1:0:0"), Some("nonsense")] {
        let begun = driver.poll(cursor).await.unwrap();
        assert!(begun.received.is_empty(), "{cursor:?}");
        assert!(begun.cursor.contains(":2:0:"), "{cursor:?}: {}", begun.cursor);
    }
    stage.close().await;
}

#[tokio::test]
async fn a_picture_and_signs_are_told_by_their_names() {
    let stage = Stage::quiet(None).await;
    let driver = process(&stage, "sales", &MemoryVault::of("sales"));
    let begun = driver.poll(None).await.unwrap();
    stage.rehearsal.person_writes(KIND, "sales", "+79123450001", "[picture]");
    let heard = said(&told(&driver, begun.cursor, 1).await);
    let Delivery::Message { id, text } = &heard[0].1 else { panic!("{heard:?}") };
    assert_eq!(text, "[photo]");
    let peer = Address::from_stored("telegram:79123450001".to_owned());
    driver.show_typing(&peer, Some(id)).await;
    let signs = stage.rehearsal.recent().into_iter();
    let signs = signs.filter(|entry| entry.direction == Direction::Sign);
    assert_eq!(signs.filter_map(|entry| entry.note).collect::<Vec<_>>(), ["read", "typing"]);
    stage.close().await;
}
