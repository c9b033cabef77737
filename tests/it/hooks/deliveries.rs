//! Messages: stored before they are answered, once, whatever is repeated, reordered and delayed.

use futures_util::{StreamExt as _, future::join_all, stream};
use nuncio::domain::dialogue::Author;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngSeed, TestRunner},
};

use super::{
    Stage,
    wire::{Hook, batch, cloud_echo, cloud_message, gate_message, signed_by_meta},
};

/// What every person says, in this order.
const WORDS: [&str; 4] = ["Hello!", "What does it cost?", "And for two?", "I am waiting."];
/// Each of them is delivered so often.
const TIMES: usize = 3;
const PEOPLE: usize = 24;
const FIRST_SECOND: i64 = 1_700_000_000;

fn person(n: usize) -> (&'static str, String) {
    (if n.is_multiple_of(2) { "cloud" } else { "gate" }, format!("+7916100{n:04}"))
}

fn said(n: usize, word: usize) -> Hook {
    let (channel, peer) = person(n);
    let id = format!("wamid.{n}.{word}");
    let second = FIRST_SECOND + i64::try_from(word).unwrap();
    let message = if channel == "cloud" { cloud_message } else { gate_message };
    message(&peer, &id, WORDS[word], second)
}

/// Every order of the repeats is as likely as any other; the seed makes a failure come again.
fn orders() -> Vec<Vec<usize>> {
    let repeats: Vec<usize> = (0..WORDS.len() * TIMES).map(|n| n % WORDS.len()).collect();
    let config = Config { rng_seed: RngSeed::Fixed(4), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let order = Just(repeats).prop_shuffle();
    (0..PEOPLE).map(|_| order.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn repeats_and_their_order_change_nothing_in_a_conversation() {
    let stage = Stage::new();
    let orders = orders();
    let bring_all = || {
        // A few people at a time: more wait for each other's connections longer than a webhook may.
        let people = orders.iter().enumerate().map(async |(n, order)| {
            // Half of the people's deliveries come one by one, and half at the same moment.
            if n % 4 < 2 {
                for word in order {
                    assert_eq!(stage.brings(&said(n, *word)).await, 200);
                }
            } else {
                let all = order.iter().map(|word| said(n, *word));
                let brought = all.map(async |hook| stage.brings(&hook).await);
                assert!(join_all(brought).await.iter().all(|status| *status == 200));
            }
        });
        let bring = stream::iter(people).buffer_unordered(4).collect::<Vec<()>>();
        drop(stage.hosted.runtime.block_on(bring));
    };
    bring_all();
    let turns = stage.lease_all();
    assert_eq!(turns.len(), PEOPLE, "each dialogue is answered once");
    let store = &stage.hosted.store;
    for (n, order) in orders.iter().enumerate() {
        let (channel, peer) = person(n);
        let dialogue = stage.dialogue_with(channel, &peer);
        let turn = turns.iter().find(|turn| turn.dialogue == dialogue).unwrap();
        assert_eq!(turn.turn, i64::try_from(WORDS.len()).unwrap());
        let (context, shown) = stage.hosted.runtime.block_on(async {
            let context = store.read_context(turn).await.unwrap().unwrap();
            (context, store.read_messages(dialogue, 100).await.unwrap())
        });
        let told: Vec<&str> = context.history.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(told, WORDS, "{order:?}");
        let shown: Vec<&str> = shown.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(shown, WORDS, "{order:?}");
        assert!(context.history.iter().all(|one| one.author == Author::Person));
    }
    let kept = format!("SELECT count(*) = {} FROM deliveries", PEOPLE * WORDS.len());
    assert_eq!(stage.value(&kept), "true", "the raw form is kept once");
    // And once more, delayed until an answer is being made.
    let before = stage.everything();
    bring_all();
    assert_eq!(stage.everything(), before);
    assert!(stage.hosted.rehearsal.recent_ai().is_empty());
}

#[test]
fn a_delivery_is_kept_as_it_came_and_without_what_proves_it() {
    let stage = Stage::new();
    let hook = cloud_message("+79161000001", "wamid.1", "Привет", FIRST_SECOND)
        .with_header("user-agent", "facebookexternalua")
        .with_header("authorization", "Bearer of-somebody");
    stage.takes(&hook);
    let body = stage.value("SELECT encode(body, 'hex') FROM deliveries");
    assert_eq!(body, hex::encode(&hook.body));
    let headers = stage.value("SELECT headers FROM deliveries");
    assert_eq!(headers, r#"{"user-agent": "facebookexternalua"}"#);
    assert_eq!(stage.value("SELECT peers FROM deliveries"), "{+79161000001}");
    // A genuine webhook of which nothing is read is kept too: somebody may want to know.
    stage.takes(&signed_by_meta("cloud", br#"{"object": "whatsapp_business_account"}"#));
    assert_eq!(stage.value("SELECT count(*) FROM deliveries"), "2");
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "1");
}

#[test]
fn batches_that_name_the_same_people_in_another_order_do_not_block_each_other() {
    let stage = Stage::new();
    let people: Vec<String> = (0..6).map(|n| format!("+791620000{n:02}")).collect();
    let brought = (0..12_i64).map(|n| {
        let ids: Vec<String> = people.iter().map(|peer| format!("wamid.{n}.{peer}")).collect();
        let mut all: Vec<(&str, &str, &str, i64)> = people
            .iter()
            .zip(&ids)
            .map(|(peer, id)| (peer.as_str(), id.as_str(), "Hello", FIRST_SECOND + n))
            .collect();
        if n % 2 == 0 {
            all.reverse();
        }
        batch("cloud", &all)
    });
    let brought = brought.map(async |hook| stage.brings(&hook).await);
    let answers = stage.hosted.runtime.block_on(join_all(brought));
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "72");
    assert_eq!(stage.value("SELECT string_agg(DISTINCT turn::text, '') FROM dialogues"), "12");
}

#[test]
fn what_a_hand_typed_is_taken_once_from_connections_at_the_same_moment() {
    let stage = Stage::new();
    stage.takes(&cloud_message("+79161000001", "wamid.1", "Hello", FIRST_SECOND));
    let echo = cloud_echo("+79161000001", "wamid.2", "I am Boris, in person.");
    let brought = (0..16).map(async |_| stage.brings(&echo).await);
    let answers = stage.hosted.runtime.block_on(join_all(brought));
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    let typed = "SELECT count(*) FROM messages WHERE author = 'operator'";
    assert_eq!(stage.value(typed), "1");
    assert_eq!(stage.value("SELECT state || ' ' || turn FROM dialogues"), "with-operator 2");
}
