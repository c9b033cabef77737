//! One dialogue: shown whole, and acted on.

use std::fs;

use nuncio::{
    domain::{
        attempt::OutcomeClass,
        dialogue::{Author, DialogueState},
    },
    store::Answer,
};
use serde_json::{Value, json};

use super::Desk;
use crate::support::Program;

#[test]
fn a_dialogue_is_shown_with_what_became_of_each_message() {
    let (desk, all) = Desk::with_every_state();
    let succeeded = all["succeeded"];
    let shown = desk.json(&format!("dialogue show {succeeded}"));
    let messages = shown["messages"].as_array().unwrap();
    let said: Vec<(&str, &Value)> =
        messages.iter().map(|one| (one["author"].as_str().unwrap(), &one["state"])).collect();
    assert_eq!(said, [("person", &Value::Null), ("ai", &json!("sent"))], "{shown}");
    assert_eq!(shown["address"], Value::Null);
    assert_eq!(shown["events"][0]["detail"]["contact"], Value::Null, "{shown}");
    assert_eq!(shown["events"][0]["detail"]["quote"], "call me");
    assert_eq!(
        shown["ai_calls"],
        json!({
            "calls": 1, "unsettled": 0, "estimated": 0, "input_tokens": 100, "output_tokens": 20,
        })
    );
    let open = desk.json(&format!("dialogue show {succeeded} --show-addresses"));
    assert_eq!(
        (&open["address"], &open["events"][0]["detail"]["contact"]),
        (&"1001".into(), &"+79123456789".into())
    );

    // A long text with a line that mimics ours, an answer that is void, and a reply that failed.
    let id = desk.writes(
        "1005",
        "e",
        &format!("2026-01-01 00:00:00  operator root\n{}", "word ".repeat(60)),
    );
    let turn = desk.lease();
    let answer = Answer { texts: vec![(Author::Ai, "Too late".to_owned())], ..Answer::default() };
    desk.answers(&turn, &answer, 100_000);
    let taken = desk.run(&format!("dialogue take {id} --reason mine"));
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(desk.run_with(&["dialogue", "say", &id.to_string(), "It is me"]).code, 0);
    drop(desk.leave(OutcomeClass::RecipientPermanent, "nobody there"));
    let human = desk.run(&format!("dialogue show {id}"));
    assert_eq!(human.code, 0);
    let text = &human.stdout;
    assert!(
        text.starts_with(&format!("Dialogue {id} is with an operator (by tester: mine)")),
        "{text}"
    );
    for wanted in [
        "spent $0.20 of $0.50, in 2 calls of the AI",
        " ! AI, as anna, m",
        "discarded: the dialogue was with-operator",
        " ! operator tester, m",
        "failed: nobody there",
        " * with-operator, by tester: mine",
        "\n    2026-01-01 00:00:00 operator root\n",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("manager anna, with …05\n"), "{text}");
    let last = desk.run(&format!("dialogue show {id} --limit 1"));
    assert!(
        last.stdout.contains("… 4 earlier messages") && !last.stdout.contains("Too late"),
        "{last:?}"
    );
    let json = desk.json(&format!("dialogue show {id} --limit 1"));
    assert_eq!(
        (json["messages"].as_array().unwrap().len(), &json["earlier_messages"]),
        (1, &json!(4))
    );
}

#[test]
fn operators_act_and_are_told_exactly_what_they_did() {
    let (desk, all) = Desk::with_every_state();
    let open = all["open"];
    // The arguments, the exit code, what is said of it, and the state after it.
    let cases = [
        ("take", open, 0, "open → with operator", "with-operator"),
        ("take", open, 0, "is with operator already", "with-operator"),
        ("give-back", open, 0, "with operator → open", "open"),
        ("give-back", open, 0, "is open already", "open"),
        ("unblock", open, 3, "is open: it is not blocked", "open"),
        ("close", open, 0, "open → closed", "closed"),
        ("give-back", open, 0, "closed → open", "open"),
        ("give-back", all["blocked"], 3, "spending limit is reached", "blocked"),
        ("take", all["blocked"], 0, "blocked → with operator", "with-operator"),
    ];
    for (act, id, code, wanted, state) in cases {
        let ended = desk.run(&format!("dialogue {act} {id}"));
        assert_eq!(ended.code, code, "{act} {id}: {ended:?}");
        assert!(ended.stderr.contains(wanted), "{act} {id}: {ended:?}");
        assert_eq!(desk.state(id), state, "{act} {id}");
        assert!(ended.stdout.is_empty(), "{act}: what was done is no data");
    }
    for act in ["show", "take", "give-back", "close", "unblock"] {
        let ended = desk.run(&format!("dialogue {act} 4711"));
        assert_eq!(ended.code, 1, "{act}: {ended:?}");
        assert!(ended.stderr.contains("there is no dialogue 4711"), "{ended:?}");
    }
    assert_eq!(desk.run("dialogue say 4711 hello").code, 1);
    for line in ["show nonsense", "show 1 --limit 0", "take 99999999999999999999"] {
        let ended = desk.run(&format!("dialogue {line}"));
        assert_eq!(ended.code, 64, "{line}: {ended:?}");
        let raw = ["invalid digit", "number too large", "is not in 1.."];
        assert!(!raw.iter().any(|raw| ended.stderr.contains(raw)), "{line}: {ended:?}");
        assert!(ended.stderr.contains("write "), "{line}: {ended:?}");
    }
}

#[test]
fn a_reply_that_is_on_its_way_is_named_to_whoever_takes_over() {
    let desk = Desk::new();
    let id = desk.writes("1001", "a", "Hello");
    let turn = desk.lease();
    let answer = Answer { texts: vec![(Author::Ai, "Good day".to_owned())], ..Answer::default() };
    desk.answers(&turn, &answer, 1);
    let permits = desk.runtime.block_on(desk.store.permit_replies(desk.executor, 10)).unwrap();
    let taken = desk.run(&format!("dialogue take {id}"));
    let message = permits[0].message;
    let wanted = format!("message m{message} was on its way at that moment, and may still arrive");
    assert!(taken.stderr.contains(&wanted), "{taken:?}");
}

#[test]
fn a_blocked_dialogue_goes_on_with_what_was_granted() {
    let (desk, all) = Desk::with_every_state();
    let id = all["blocked"];
    for bad in ["0", "-1", "1001", "0.0000001", "abc"] {
        assert_eq!(desk.run(&format!("dialogue unblock {id} --add={bad}")).code, 64, "{bad}");
    }
    let ended = desk.run(&format!("dialogue unblock {id} --add 0.25 --reason worth-it"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let shown = desk.json(&format!("dialogue show {id}"));
    assert_eq!(
        (&shown["state"], &shown["limit"], &shown["granted"]),
        (&json!("open"), &json!("0.50"), &json!("0.25"))
    );
    let last = shown["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["detail"], json!({"reason": "worth-it", "granted_micros": 250_000}));
    // Whoever was told that the limit is reached is still owed an answer.
    let turn = desk.lease();
    assert_eq!(turn.dialogue, id);
    // By default it is the task's limit once more.
    let blocked =
        Answer { state: Some((DialogueState::Blocked, "again".to_owned())), ..Answer::default() };
    desk.answers(&turn, &blocked, 1);
    assert_eq!(desk.run(&format!("dialogue unblock {id}")).code, 0);
    assert_eq!(desk.json(&format!("dialogue show {id}"))["granted"], "0.75");
}

#[test]
fn an_operator_speaks_and_the_ai_is_silent() {
    let (desk, all) = Desk::with_every_state();
    let id = all["open"];
    let file = desk.folder.root().join("words.txt");
    fs::write(&file, "Good day!\n\nThis is Boris — a person.\n").unwrap();
    let say = ["dialogue", "say", &id.to_string(), "-"];
    let program = || Program::new(desk.folder.root(), &say).database(&desk.database);
    let ended = program().stdin(&file).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("the dialogue is with an operator now"), "{ended:?}");
    assert!(!ended.stderr.contains("Boris"), "what is said is not repeated: {ended:?}");
    assert_eq!(desk.state(id), "with-operator");
    assert_eq!(desk.leave(OutcomeClass::Sent, "").len(), 1);
    let shown = desk.json(&format!("dialogue show {id}"));
    let last = shown["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["author"], &last["said_by"], &last["text"], &last["state"]),
        (
            &json!("operator"),
            &json!("tester"),
            &json!("Good day!\n\nThis is Boris — a person."),
            &json!("sent")
        )
    );
    // Nothing, too much, no text; and a text of two messages.
    fs::write(&file, " \n").unwrap();
    assert_eq!(program().stdin(&file).run().code, 1);
    fs::write(&file, "x".repeat(20_001)).unwrap();
    assert_eq!(program().stdin(&file).run().code, 1);
    fs::write(&file, b"\xff\xfe").unwrap();
    assert_eq!(program().stdin(&file).run().code, 1);
    fs::write(&file, "word ".repeat(3500)).unwrap();
    assert!(program().stdin(&file).run().stderr.contains("wait to leave"));
    let waiting = "SELECT count(*) FROM messages WHERE state = 'waiting' AND author = 'operator'";
    assert_eq!(desk.database.value(waiting), "2");

    let stopped = desk.writes("1001", "z", "STOP");
    let refused = desk.run_with(&["dialogue", "say", &stopped.to_string(), "But why?"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("not to be written to"), "{refused:?}");
}
