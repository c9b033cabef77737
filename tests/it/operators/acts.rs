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
        " * with-operator, by tester\n",
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
    let stopped = desk.writes("1006", "stop", "STOP");
    // The arguments, the exit code, what is said of it, and the state after it.
    let cases = [
        ("take", open, 0, "open → with operator", "with-operator"),
        ("take", open, 0, "is with operator already", "with-operator"),
        (
            "take",
            all["with-operator"],
            0,
            "with operator already, and is yours now",
            "with-operator",
        ),
        ("take", all["with-operator"], 0, "is with operator already", "with-operator"),
        ("give-back", open, 0, "with operator → open", "open"),
        ("give-back", open, 0, "is open already", "open"),
        ("unblock", open, 3, "is open: it is not blocked", "open"),
        ("close", open, 0, "open → closed", "closed"),
        ("give-back", open, 0, "closed → open", "open"),
        ("give-back", all["blocked"], 3, "spending limit is reached", "blocked"),
        ("take", all["blocked"], 0, "blocked → with operator", "with-operator"),
        // Whoever took it could say nothing.
        ("take", stopped, 3, "is closed: the person is not to be written to", "closed"),
        ("take", stopped, 3, "nuncio unsuppress PERSON", "closed"),
        ("close", stopped, 0, "is closed already", "closed"),
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

    fs::write(&file, "Good day!\r\nIt is \u{7}me\r\n").unwrap();
    let refused = program().stdin(&file).run();
    assert_eq!(refused.code, 64, "{refused:?}");
    let told = "character 17 of the text is a control character (U+0007)";
    assert!(refused.stderr.contains(told), "{refused:?}");
    assert_eq!(desk.database.value(waiting), "2");

    let stopped = desk.writes("1001", "z", "STOP");
    let refused = desk.run_with(&["dialogue", "say", &stopped.to_string(), "But why?"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("not to be written to"), "{refused:?}");
}

#[test]
fn a_page_says_everything_once_and_when_a_message_left() {
    let (desk, all) = Desk::with_every_state();
    let succeeded = desk.run(&format!("dialogue show {}", all["succeeded"])).stdout;
    let succeeded = succeeded.replace("\n    ", " ");
    for once in ["because of 1001", "wants a call", "call me"] {
        assert_eq!(succeeded.matches(once).count(), 1, "{once}: {succeeded}");
    }
    // What happened at one moment stands together.
    assert!(succeeded.contains(" * succeeded, by ai\n"), "{succeeded}");
    let blocked =
        desk.run(&format!("dialogue show {}", all["blocked"])).stdout.replace("\n  ", " ");
    assert!(blocked.contains("($0.10 of $0.50 is spent): because of 1003"), "{blocked}");
    desk.database.run("UPDATE dialogues SET spent = 100021");
    let exact = desk.run("dialogues --state blocked").stdout;
    assert!(exact.contains(" $0.100021 "), "{exact}");
    let exact = desk.run(&format!("dialogue show {}", all["open"])).stdout;
    assert!(exact.contains("spent $0.100021 of $0.50, in"), "{exact}");

    // Written while nobody was there to send it.
    let id = all["open"];
    assert_eq!(desk.run_with(&["dialogue", "say", &id.to_string(), "Late"]).code, 0);
    desk.database.run("UPDATE messages SET at = at - interval '5 minutes' WHERE text = 'Late'");
    drop(desk.leave(OutcomeClass::Sent, ""));
    let shown = desk.run(&format!("dialogue show {id}")).stdout;
    assert_eq!(shown.matches("; it left ").count(), 1, "{shown}");
    assert!(shown.contains("operator tester, sent; it left "), "{shown}");
    let json = desk.json(&format!("dialogue show {id}"));
    let last = json["messages"].as_array().unwrap().last().unwrap();
    assert!(last["left_at"].as_str() > last["at"].as_str(), "{last}");
}

#[test]
fn a_success_stays_one_whoever_owns_the_dialogue() {
    let (desk, all) = Desk::with_every_state();
    let id = all["succeeded"];
    desk.writes("1001", "thanks", "Thank you!");
    let human = desk.run("status").stdout.replace("\n    ", " ");
    assert!(human.contains("  1 person wrote after a success: nuncio dialogues"), "{human}");
    assert!(human.contains("! 2 people wait for an operator"), "{human}");
    let first = desk.run(&format!("dialogue show {id}")).stdout.replace("\n  ", " ");
    let wanted = "and the AI says nothing more; the person wrote on ";
    assert!(first.contains(wanted) && first.contains("ago: nuncio dialogue say"), "{first}");

    assert_eq!(desk.run(&format!("dialogue take {id}")).code, 0);
    let listed = desk.json("dialogues");
    assert_eq!((&listed["counts"]["succeeded"], &listed["successes"]), (&json!(0), &json!(1)));
    let human = desk.run("dialogues").stdout;
    let wanted = "5 dialogues: 1 open, 2 with operator, 1 closed, 1 blocked, 1 success in all";
    assert!(human.starts_with(wanted), "{human}");
    assert_eq!(listed["waiting_for_operator"], 3, "now somebody is to answer");
}

#[test]
fn who_gives_a_dialogue_back_knows_what_the_ai_answers_then() {
    let (desk, all) = Desk::with_every_state();
    let id = all["with-operator"];
    let due = || {
        desk.database.value(&format!("SELECT due_at IS NOT NULL FROM dialogues WHERE id = {id}"))
    };
    desk.database.run(&format!(
        "UPDATE dialogues SET waiting_since = now() - interval '3 hours' WHERE id = {id}"
    ));
    let first = desk.run(&format!("dialogue show {id}")).stdout.replace("\n  ", " ");
    assert!(
        first.contains("the AI would answer at once after: nuncio dialogue give-back"),
        "{first}"
    );
    let told = desk.run(&format!("dialogue give-back {id}"));
    assert!(told.stderr.contains("the AI now answers what the person wrote 3h ago"), "{told:?}");
    assert_eq!(due(), "true");
    assert_eq!(desk.run(&format!("dialogue take {id}")).code, 0);
    let told = desk.json(&format!("dialogue give-back {id} --no-answer"));
    assert_eq!(due(), "false");
    let why = format!("Dialogue {id} waits for the person.");
    assert_eq!(
        told,
        json!({
            "format_version": "1.0", "dialogue": id.0, "from": "with-operator", "to": "open",
            "in_flight": null, "why": why,
        })
    );
}

#[test]
fn every_act_is_told_as_one_value_to_programs() {
    let (desk, all) = Desk::with_every_state();
    let (open, blocked) = (all["open"], all["blocked"]);
    for (line, code) in [
        (format!("take {open}"), 0),
        (format!("take {open}"), 0),
        (format!("give-back {blocked}"), 3),
        (format!("unblock {blocked} --add 0.10"), 0),
        (format!("close {open}"), 0),
        (format!("say {open} hello"), 0),
        ("say 4711 hello".to_owned(), 1),
        ("take nonsense".to_owned(), 64),
    ] {
        let ended = desk.run(&format!("dialogue {line} --output json"));
        assert_eq!(ended.code, code, "{line}: {ended:?}");
        let told: Value = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{line}: {error}: {ended:?}"));
        assert_eq!(told["format_version"], "1.0", "{line}");
        assert_eq!(told["error"].is_null(), code == 0, "{line}: {told}");
    }
    let said = desk.json(&format!("dialogue say {open} more"));
    assert!(said["messages"][0].as_str().unwrap().starts_with('m'), "{said}");
}
