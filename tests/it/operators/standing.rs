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
            "waiting_for_operator": 2, "waiting_for_ai": 1, "spent_today": "0.50", "spent": "0.50",
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
        ("UPDATE dialogues SET failures = 2", "has a person who waits since "),
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
            "has reached its spending limit; go on with: nuncio dialogue unblock",
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
    assert_eq!(listed.stdout.lines().count(), 3, "{listed:?}");
    assert!(listed.stdout.starts_with(&format!("m{}  ", messages[0])), "{listed:?}");
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
