//! What `status`, the sentence of a dialogue, and `resolve` tell.

use std::time::Duration;

use nuncio::{
    domain::{attempt::OutcomeClass, dialogue::Author},
    store::Answer,
};
use serde_json::json;

use super::Desk;
use crate::support::vk_task;

#[test]
fn status_counts_dialogues_and_tells_of_an_ai_that_rests() {
    let (desk, _) = Desk::with_every_state();
    desk.writes("1005", "b", "Are you there?");
    let task = |desk: &Desk| desk.json("status")["tasks"][0].clone();
    let seen = task(&desk);
    assert_eq!(
        seen["dialogues"],
        json!({
            "open": 1, "with_operator": 1, "succeeded": 1, "closed": 1, "blocked": 1,
            "successes": 1, "waiting_for_operator": 2, "waiting_for_ai": 1, "wrote_after_success": 0,
            "spent_today": "0.50", "spent": "0.50",
        })
    );
    assert_eq!(seen["ai_rest"], json!(null));
    let human = desk.run("status sales-talk").stdout.replace("\n    ", " ");
    for wanted in [
        "5 dialogues: 1 open, 1 with operator, 1 succeeded, 1 closed, 1 blocked; $0.50 spent today, $0.50 in all",
        "! 2 people wait for an operator: nuncio dialogues --waiting",
    ] {
        assert!(human.contains(wanted), "{wanted}: {human}");
    }

    let rests = |class: &str, reason: &str| {
        let after = Some(Duration::from_secs(600));
        desk.runtime.block_on(desk.store.rest_ai("sales", class, reason, after)).unwrap();
    };
    let health = |desk: &Desk| {
        let health = task(desk)["conditions"][1].clone();
        format!("{} {}", health["status"].as_str().unwrap(), health["reason"].as_str().unwrap())
    };
    // A rest that passes by itself is told, and is no illness.
    rests("too-many", "too many calls");
    assert_eq!(task(&desk)["ai_rest"]["class"], "too-many");
    assert_eq!(health(&desk), "Progressing ContactsRemain");
    rests("quota", "the quota is used up");
    assert_eq!(health(&desk), "Degraded AiRests");
    let human = desk.run("status").stdout.replace("\n    ", " ");
    assert!(
        human.contains("! its AI `sales` does not answer: the quota is used up; it is asked again"),
        "{human}"
    );
    assert!(desk.run("status").stdout.lines().all(|line| line.chars().count() <= 80));

    // Of a task that only answers it is the reason why nothing happens.
    let whole = vk_task("answers", "vk", "[1]", "  state: running");
    let (incoming, _) = whole.split_once("  outgoing:").unwrap();
    desk.folder.write("answers.yaml", &incoming.replace("incoming-and-outgoing", "incoming"));
    let applied = desk.run("apply --auto-approve");
    assert_eq!(applied.code, 0, "{applied:?}");
    let first = |desk: &Desk| desk.run("status answers").stdout.replace("\n  ", " ");
    let unwatched = "`answers` answers nobody, because no `nuncio watch` is running.";
    assert!(first(&desk).starts_with(unwatched), "{}", first(&desk));
    desk.database.run(
        "INSERT INTO watches (id, host, pid, folder, alive_until)
        VALUES (gen_random_uuid(), 'here', 1, 'tasks.d', now() + interval '1 hour')",
    );
    let rested =
        "`answers` answers nobody, because its AI `sales` does not answer: the quota is used up";
    assert!(first(&desk).starts_with(rested), "{}", first(&desk));
    desk.runtime.block_on(desk.store.wake_ai("sales")).unwrap();
    let well = "`answers` answers whoever writes, and nobody waits for it.";
    assert!(first(&desk).starts_with(well), "{}", first(&desk));
}

#[test]
fn a_dialogue_says_in_its_first_line_why_nothing_happens() {
    let desk = Desk::new();
    let id = desk.writes("1001", "a", "Hello");
    let first = || {
        let shown = desk.run(&format!("dialogue show {id}")).stdout;
        let sentence = shown.split("\n\n").next().unwrap().replace("\n  ", " ");
        sentence.strip_prefix(&format!("Dialogue {id} ")).unwrap().to_owned()
    };
    // What is done, and the sentence that it leads to.
    let steps: [(&str, &str); 12] = [
        ("UPDATE dialogues SET due_at = now() + interval '1 minute'", "is answered in "),
        ("UPDATE dialogues SET failures = 2", "has a person who waits for "),
        (
            "INSERT INTO ai_rests (ai, failures, not_before, class, reason)
                VALUES ('sales', 1, now() + interval '1 minute', 'quota', 'the quota is used up')",
            "; the quota is used up; it is asked again in ",
        ),
        (
            "UPDATE lanes SET blocked_class = 'channel-blocked', blocked_reason = 'banned'",
            "is blocked: banned; once it is mended: nuncio unblock vk.",
        ),
        (
            "UPDATE lanes SET blocked_class = NULL, blocked_reason = NULL, owner = NULL",
            "no `nuncio watch` is running",
        ),
        (
            "UPDATE tasks SET phase = 'stopped', phase_by = 'anna'",
            "its task is paused by anna: nuncio start sales-talk.",
        ),
        ("UPDATE tasks SET phase = 'completed'", "its task is completed by anna."),
        ("UPDATE dialogues SET due_at = NULL, waiting_since = NULL", "waits for the person."),
        (
            "UPDATE dialogues SET reminder_at = now() + interval '1 minute'",
            "waits for the person, who is reminded in ",
        ),
        (
            "UPDATE dialogues SET reminder_at = NULL, state = 'blocked'",
            "is blocked at its spending limit ($0.00 of $0.50 is spent); its task `sales-talk` is completed.",
        ),
        (
            "UPDATE dialogues SET state = 'closed', state_by = 'ai', state_reason = 'bye'",
            "is closed (by ai: bye), and the AI says nothing more.",
        ),
        (
            "INSERT INTO suppressions (list, address, task) VALUES ('stop', '1001', '')",
            "the person is not to be written to.",
        ),
    ];
    for (step, wanted) in steps {
        desk.database.run(step);
        let seen = first();
        let wanted = wanted.trim_start_matches("; ");
        assert!(seen.contains(wanted), "{step}: {seen:?}, and not {wanted:?}");
    }
}

#[test]
fn a_reply_in_doubt_is_resolved_by_its_own_number() {
    let desk = Desk::new();
    let mut messages = Vec::new();
    for peer in ["1001", "1002", "1003"] {
        desk.writes(peer, peer, "Hello");
        let answer =
            Answer { texts: vec![(Author::Ai, "Good day".to_owned())], ..Answer::default() };
        desk.answers(&desk.lease(), &answer, 1);
        let left = desk.leave(OutcomeClass::Sent, "");
        messages.extend(left);
    }
    desk.database
        .run("UPDATE messages SET state = 'in-doubt', reason = 'no answer' WHERE author = 'ai'");
    let listed = desk.run("resolve");
    assert!(listed.stdout.lines().all(|line| line.chars().count() <= 80), "{listed:?}");
    assert_eq!(listed.stdout.matches("    no answer\n").count(), 3, "{listed:?}");
    assert!(listed.stdout.starts_with(&format!("m{} ", messages[0])), "{listed:?}");
    assert_eq!(desk.json("resolve")["replies"][0]["id"], format!("m{}", messages[0]));
    assert!(listed.stdout.contains("…01") && !listed.stdout.contains("1001"), "{listed:?}");
    assert!(desk.run("resolve --show-addresses").stdout.contains("1001"));
    assert_eq!(desk.json("db status")["contents"]["in_doubt"], 3);

    // The number of an attempt is none of a reply.
    assert_eq!(desk.run(&format!("resolve {} drop", messages[0])).code, 3);
    for (message, word) in messages.iter().zip(["sent", "retry", "drop"]) {
        let told = desk.run(&format!("resolve m{message} {word}"));
        assert_eq!(told.code, 0, "{told:?}");
        assert_eq!(desk.run(&format!("resolve m{message} sent")).code, 3, "{word} is final");
    }
    let told = desk.run(&format!("dialogue show {}", 2));
    assert!(told.stdout.contains(&format!("m{} is sent again", messages[1])), "{told:?}");
    assert_eq!(desk.run("resolve x1 sent").code, 64);
    let states = "SELECT string_agg(state, ' ' ORDER BY id) FROM messages WHERE author = 'ai'";
    assert_eq!(desk.database.value(states), "sent waiting failed");
    // It leaves again, with the same key.
    let key =
        |message| desk.database.value(&format!("SELECT key FROM messages WHERE id = {message}"));
    let before = key(messages[1]);
    assert_eq!(desk.leave(OutcomeClass::Sent, ""), [messages[1]]);
    assert_eq!(key(messages[1]), before);
    assert!(desk.run("resolve").stdout.is_empty());
}

#[test]
fn a_retry_that_would_be_thrown_away_is_refused() {
    let desk = Desk::new();
    let id = desk.writes("1001", "a", "Hello");
    let answer = Answer { texts: vec![(Author::Ai, "Good day".to_owned())], ..Answer::default() };
    desk.answers(&desk.lease(), &answer, 1);
    let message = desk.leave(OutcomeClass::Sent, "")[0];
    desk.database.run("UPDATE messages SET state = 'in-doubt' WHERE author = 'ai'");
    // What is done, and what stands against a retry then.
    let cases = [
        ("UPDATE dialogues SET state = 'with-operator'", "an operator has taken over"),
        ("UPDATE dialogues SET state = 'open', turn = turn + 1", "something newer was said"),
        (
            "INSERT INTO suppressions (list, address, task) VALUES ('stop', '1001', '')",
            "the person is not to be written to",
        ),
    ];
    for (step, why) in cases {
        desk.database.run(step);
        let refused = desk.run(&format!("resolve m{message} retry"));
        assert_eq!(refused.code, 3, "{step}: {refused:?}");
        let wanted = format!("reply m{message} would not leave: {why}");
        assert!(refused.stderr.contains(&wanted), "{step}: {refused:?}");
        assert!(refused.stderr.contains("else `drop`"), "{refused:?}");
        let state = "SELECT state FROM messages WHERE author = 'ai'";
        assert_eq!(desk.database.value(state), "in-doubt", "{step}");
    }
    let told = desk.json(&format!("resolve m{message} drop"));
    assert_eq!((&told["resolved"], &told["as"]), (&json!(format!("m{message}")), &json!("drop")));
    let events = desk.json(&format!("dialogue show {id}"))["events"].clone();
    assert_eq!(events[0]["detail"], json!({"message": message.0, "as": "drop"}));
}

#[test]
fn a_doubt_whose_repeat_is_held_up_is_an_operators_as_well() {
    let desk = Desk::new();
    // An opening whose repeat the provider would drop, and a reply of the same kind.
    desk.database.run(
        "INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key, fence,
            granted_at, finished_at, outcome, reason)
        SELECT 7, 7, 1, t.id, t.name, 'vk', c.position, c.address, 42, 1, now(), now(), 'in-doubt', 'no answer'
        FROM tasks t JOIN contacts c ON c.task_id = t.id;
        INSERT INTO retries (opening, task_id, position, address, key, tries, channel, ready_at, in_doubt)
        SELECT opening, task_id, position, address, key, 1, channel, now(), true FROM attempts",
    );
    desk.writes("1001", "a", "Hello");
    let answer = Answer { texts: vec![(Author::Ai, "Good day".to_owned())], ..Answer::default() };
    desk.answers(&desk.lease(), &answer, 1);
    let message = desk.leave(OutcomeClass::InDoubt, "no answer")[0];
    assert!(desk.run("resolve").stdout.is_empty(), "the provider ends them");

    desk.database.run(
        "UPDATE tasks SET phase = 'stopped';
        UPDATE lanes SET blocked_class = 'channel-blocked', blocked_reason = 'banned'",
    );
    let listed = desk.run("resolve").stdout;
    assert!(listed.contains("waits: task `sales-talk` is stopped; nuncio start"), "{listed}");
    let listed = desk.json("resolve");
    assert_eq!(
        (&listed["attempts"][0]["id"], &listed["replies"][0]["id"]),
        (&json!(7), &json!(format!("m{message}"))),
    );
    let blocked = "waits: channel `vk` is blocked: banned; once it is mended: nuncio unblock vk";
    assert_eq!(listed["replies"][0]["waits"], blocked);

    for doubt in ["7".to_owned(), format!("m{message}")] {
        let refused = desk.run(&format!("resolve {doubt} retry"));
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.stderr.contains("is sent again by itself"), "{refused:?}");
        assert_eq!(desk.run(&format!("resolve {doubt} sent")).code, 0);
        assert_eq!(desk.run(&format!("resolve {doubt} drop")).code, 3, "it is final");
    }
    assert_eq!(desk.database.value("SELECT count(*) FROM retries"), "0");
    assert_eq!(desk.database.value("SELECT outcome FROM attempts"), "sent");
    assert_eq!(desk.database.value("SELECT n_sent || ' ' || n_in_doubt FROM task_channels"), "1 0");
    assert_eq!(desk.database.value("SELECT state FROM messages WHERE author = 'ai'"), "sent");
}

#[test]
fn a_takeover_does_not_say_of_a_doubt_that_it_was_thrown_away() {
    let desk = Desk::new();
    let id = desk.writes("1001", "a", "Hello");
    let answer = Answer { texts: vec![(Author::Ai, "Good day".to_owned())], ..Answer::default() };
    desk.answers(&desk.lease(), &answer, 1);
    let message = desk.leave(OutcomeClass::InDoubt, "no answer")[0];
    let state = "SELECT state FROM messages WHERE author = 'ai'";
    assert_eq!(desk.database.value(state), "waiting");
    assert_eq!(desk.run(&format!("dialogue take {id}")).code, 0);
    assert_eq!(desk.database.value(state), "in-doubt", "it may have arrived");
    assert_eq!(desk.json("resolve")["replies"][0]["id"], format!("m{message}"));
}
