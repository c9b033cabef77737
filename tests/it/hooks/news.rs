//! News of our own messages: statuses only rise, echoes end doubts, and a hand takes a dialogue over.

use std::time::Duration;

use nuncio::{
    domain::dialogue::Author,
    store::{Answer, Committed},
};

use super::{
    Stage, now,
    wire::{cloud_echo, cloud_message, cloud_status, gate_ack, gate_echo, gate_message},
};
use crate::support::Behaviour;

const PEER: &str = "+79161000001";

/// The first call delivers, and its answer never comes.
const WITHHELD: &str = "+79161230504";

fn written_to() -> Stage {
    Stage::with(Behaviour::default(), &format!("[\"{PEER}\"]"))
}

fn in_doubt() -> Stage {
    let behaviour = Behaviour { faults: true, ..Behaviour::default() };
    Stage::with(behaviour, &format!("[\"{WITHHELD}\"]"))
}

const ATTEMPTS: &str = "SELECT string_agg(channel || ' ' || coalesce(outcome, '-') || ' ' || \
    coalesce(delivery, '-'), ', ' ORDER BY channel) FROM attempts";
const COUNTS: &str = "SELECT string_agg(channel || ' ' || n_sent || '/' || n_failed || '/' || \
    n_in_doubt, ', ' ORDER BY channel) FROM task_channels";

#[test]
fn what_is_told_of_a_message_never_goes_back() {
    let stage = Stage::new();
    stage.takes(&cloud_message(PEER, "wamid.0", "Hello", now().timestamp()));
    let dialogue = stage.dialogue_with("cloud", PEER);
    for (n, (states, end)) in [
        ("sent delivered read", "read"),
        ("read delivered sent", "read"),
        ("delivered read sent", "read"),
        ("sent read delivered delivered read sent", "read"),
        ("delivered sent", "delivered"),
        ("delivered failed", "delivered"),
        ("read failed sent", "read"),
        ("sent", "sent"),
        ("failed delivered sent", "failed"),
    ]
    .into_iter()
    .enumerate()
    {
        // By the id, and where the answer with the id was lost, by what we attached.
        let (id, reference) = (format!("wamid.ours.{n}"), (7000 + n).to_string());
        let known =
            if n % 2 == 0 { format!("'sent', '{id}'") } else { "'in-doubt', NULL".to_owned() };
        let columns = format!("state, provider_message_id, key = {known}, {reference}");
        stage.ai_says(dialogue, &format!("Answer {n}"), &columns);
        for state in states.split(' ') {
            stage.takes(&cloud_status(PEER, &id, state, Some(&reference)));
        }
        let seen = format!(
            "SELECT state || ' ' || provider_message_id FROM messages WHERE key = {reference}"
        );
        assert_eq!(stage.value(&seen), format!("{end} {id}"), "{states}");
        let speaks = if end == "failed" { "with-operator" } else { "open" };
        assert_eq!(stage.value("SELECT state FROM dialogues"), speaks, "{states}");
    }
    let why = stage.value("SELECT state_reason FROM dialogues");
    assert!(why.starts_with("a reply was not delivered: ") && !why.contains(&PEER[1..]), "{why}");
}

#[test]
fn an_opening_that_failed_after_it_was_sent_moves_the_counts_once() {
    let stage = written_to();
    let working = stage.hosted.work();
    stage.wait_for(ATTEMPTS, "cloud sent -, gate sent -");
    drop(working);
    let attempt = stage.value("SELECT id FROM attempts WHERE channel = 'cloud'");
    let status = |state| cloud_status(PEER, "wamid.000000000001", state, Some(&attempt));
    for state in ["sent", "failed", "failed", "delivered", "sent"] {
        stage.takes(&status(state));
    }
    assert_eq!(stage.value(COUNTS), "cloud 0/1/0, gate 1/0/0");
    assert_eq!(stage.value(ATTEMPTS), "cloud recipient-permanent failed, gate sent -");
    // Of what has arrived, a failure is not believed; also where a dialogue shows the opening.
    let id = stage.value("SELECT provider_message_id FROM attempts WHERE channel = 'gate'");
    stage.takes(&gate_message(PEER, "AAAA", "Hello", now().timestamp()));
    for ack in [3, 2, 1, -1] {
        stage.takes(&gate_ack(PEER, &id, ack));
    }
    assert_eq!(stage.value(COUNTS), "cloud 0/1/0, gate 1/0/0");
    assert_eq!(stage.value(ATTEMPTS), "cloud recipient-permanent failed, gate sent read");
    let shown = "SELECT state FROM messages WHERE author = 'opening'";
    assert_eq!(stage.value(shown), "read");
}

#[test]
fn a_doubt_about_an_opening_ends_with_what_the_provider_tells_later() {
    let stage = in_doubt();
    let working = stage.hosted.work();
    stage.wait_for(ATTEMPTS, "cloud in-doubt -, gate in-doubt -");
    drop(working);
    assert_eq!(stage.value(COUNTS), "cloud 0/0/1, gate 0/0/1");
    // The person answers meanwhile: the dialogue shows the opening, with its doubt.
    stage.takes(&gate_message(WITHHELD, "AAAA", "Yes?", now().timestamp()));
    let shown = "SELECT state FROM messages WHERE author = 'opening'";
    assert_eq!(stage.value(shown), "in-doubt");
    // Other words are of somebody else who uses the gateway.
    stage.takes(&gate_echo(WITHHELD, "true_x_1", "Something else", "api"));
    assert_eq!(stage.value(ATTEMPTS), "cloud in-doubt -, gate in-doubt -");
    let said = stage.heard()[WITHHELD].iter().find(|text| text.contains("Hello!")).unwrap().clone();
    let chat = WITHHELD.trim_start_matches('+');
    let id = format!("true_{chat}@c.us_0001");
    for _ in 0..3 {
        stage.takes(&gate_echo(WITHHELD, &id, &said, "api"));
    }
    let attempt = stage.value("SELECT id FROM attempts WHERE channel = 'cloud'");
    stage.takes(&cloud_status(WITHHELD, "wamid.1", "delivered", Some(&attempt)));
    stage.takes(&gate_ack(WITHHELD, &id, 3));
    assert_eq!(stage.value(ATTEMPTS), "cloud sent delivered, gate sent read");
    assert_eq!(stage.value(COUNTS), "cloud 1/0/0, gate 1/0/0");
    assert_eq!(stage.value(shown), "read");
    assert_eq!(stage.value("SELECT state FROM dialogues"), "open");
}

#[test]
fn news_that_overtake_the_answer_of_the_call_count_with_it() {
    // Long enough for all that is told meanwhile, also on a busy machine.
    let call_deadline = Duration::from_secs(8);
    let behaviour = Behaviour { faults: true, call_deadline, ..Behaviour::default() };
    let stage = Stage::with(behaviour, &format!("[\"{WITHHELD}\"]"));
    let working = stage.hosted.work();
    stage.wait_for(ATTEMPTS, "cloud - -, gate - -");
    stage.wait_for_calls(WITHHELD, 2);
    let said = stage.heard()[WITHHELD].iter().find(|text| text.contains("Hello!")).unwrap().clone();
    let attempt = stage.value("SELECT id FROM attempts WHERE channel = 'cloud'");
    stage.takes(&gate_echo(WITHHELD, "true_79161230504@c.us_0001", &said, "api"));
    stage.takes(&cloud_status(WITHHELD, "wamid.1", "failed", Some(&attempt)));
    assert_eq!(stage.value(ATTEMPTS), "cloud - failed, gate - sent", "the calls are under way");
    stage.wait_for(ATTEMPTS, "cloud recipient-permanent failed, gate sent sent");
    stage.wait_for(COUNTS, "cloud 0/1/0, gate 1/0/0");
    drop(working);
    assert_eq!(stage.sent().len(), 2);
}

#[test]
fn a_doubt_about_a_reply_ends_with_its_echo_and_not_with_what_a_hand_typed() {
    let stage = Stage::new();
    stage.takes(&gate_message(PEER, "AAAA", "Hello", now().timestamp()));
    let dialogue = stage.dialogue_with("gate", PEER);
    let states = "SELECT string_agg(state, ' ' ORDER BY id) FROM messages WHERE author <> 'person'";
    stage.ai_says(dialogue, "Good day!", "state, key = 'in-doubt', 11");
    stage.takes(&gate_echo(PEER, "true_x_1", "Good day! ", "api"));
    assert_eq!(stage.value(states), "sent");
    stage.takes(&gate_ack(PEER, "true_x_1", 2));
    assert_eq!(stage.value(states), "delivered");
    // Whatever the words are: a hand is no echo of ours.
    stage.ai_says(dialogue, "How are you?", "state, key = 'in-doubt', 12");
    stage.takes(&gate_echo(PEER, "true_x_2", "How are you?", "app"));
    assert_eq!(stage.value(states), "delivered in-doubt sent");
    assert_eq!(
        stage.value("SELECT state || ': ' || state_by FROM dialogues"),
        "with-operator: the app"
    );
}

#[test]
fn a_hand_takes_the_dialogue_over_and_the_answer_in_the_making_is_discarded() {
    let stage = Stage::new();
    let second = now().timestamp();
    stage.takes(&gate_message(PEER, "AAAA", "Hello", second));
    stage.takes(&cloud_message(PEER, "wamid.1", "Hello", second));
    let turns = stage.lease_all();
    assert_eq!(turns.len(), 2);
    let waiting = stage.dialogue_with("cloud", PEER);
    stage.ai_says(
        waiting,
        "Just a moment",
        "state, ready_at = 'waiting', now() + interval '1 hour'",
    );
    stage.takes(&gate_echo(PEER, "true_x_1", "It is me, Boris", "app"));
    stage.takes(&cloud_echo(PEER, "wamid.2", "It is me, Boris"));
    let answer = Answer { texts: vec![(Author::Ai, "I am Anna".to_owned())], ..Answer::default() };
    for turn in &turns {
        let committed =
            stage.hosted.runtime.block_on(stage.hosted.store.commit_answer(turn, &answer));
        assert_eq!(committed.unwrap(), Committed::Void);
    }
    let said = "SELECT string_agg(author || ' ' || state, ', ' ORDER BY id) FROM messages WHERE author <> 'person'";
    assert_eq!(stage.value(said), "ai discarded, operator sent, operator sent");
    let stand = "SELECT string_agg(state || ' ' || (due_at IS NULL) || ' ' || (held_fence IS NULL), ', ') FROM dialogues";
    assert_eq!(stage.value(stand), "with-operator true true, with-operator true true");
    // And the AI is silent from now on, whatever the person writes.
    stage.takes(&gate_message(PEER, "AAAB", "Who is Boris?", second + 1));
    let due = "SELECT count(*) FROM dialogues WHERE due_at IS NOT NULL";
    assert_eq!(stage.value(due), "0");
}
