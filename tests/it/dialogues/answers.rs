//! What the AI's answers come to: replies, hand-overs, limits, and the books.

use std::time::Duration;

use futures_util::StreamExt as _;

use nuncio::{
    domain::id::DialogueId,
    store::{DialogueAct, Owed},
};

use super::{PATIENCE, Stage};
use crate::support::wait_until;

/// Nothing is being answered, and nothing waits to be said.
const QUIET: &str =
    "SELECT NOT EXISTS (SELECT FROM dialogues WHERE due_at IS NOT NULL OR held_fence IS NOT NULL)
    AND NOT EXISTS (SELECT FROM messages WHERE state IN ('waiting', 'sending'))";

/// The AI has a fallback.
const WITH_A_SPARE: &str = "  fallback: spare
---
apiVersion: nuncio/v1
kind: Ai
metadata: {name: spare}
spec:
  endpoint: http://127.0.0.1:9/v1
  model: spare-model
  instructions: Sell.
  disclosure: I am a virtual assistant.
  prices: {inputPerMillionTokens: 1, outputPerMillionTokens: 2}
";

impl Stage {
    /// The first AI does not answer, and the spare one is where the first was said to be.
    fn put_spare_in_place(&self) {
        let swapped = std::fs::read_to_string(self.folder.tasks().join("all.yaml")).unwrap();
        let real = self.providers.ai_endpoint();
        let swapped = swapped
            .replace(&real, "HERE")
            .replace("http://127.0.0.1:9/v1", &real)
            .replace("HERE", "http://127.0.0.1:9/v1")
            .replace("  model: spare-model", "  model: gpt-5-mini\n  apiKey: {env: AI_KEY}");
        self.folder.write("all.yaml", &swapped);
    }
}

fn wait_for(stage: &Stage, query: &str, wanted: &str) {
    wait_until(query, PATIENCE, || {
        let value = stage.database.value(query);
        (value == wanted, value)
    });
}

/// What was said to a visitor, in order.
fn said(stage: &Stage, visitor: &str) -> String {
    stage.database.value(&format!(
        "SELECT coalesce(string_agg(m.author || ': ' || m.text, E'\\n' ORDER BY m.id), '') FROM messages m
        JOIN dialogues d ON d.id = m.dialogue_id WHERE d.peer = '{visitor}' AND m.state = 'sent'"
    ))
}

fn state(stage: &Stage, visitor: &str) -> String {
    stage.database.value(&format!(
        "SELECT state || ': ' || coalesce(state_reason, '') FROM dialogues WHERE peer = '{visitor}'"
    ))
}

#[test]
fn a_dialogue_is_answered_and_its_books_are_the_ais() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let watch = stage.watch();
    for (visitor, words) in [
        ("asks", "What does it cost?"),
        ("agrees", "I agree, call me: +7 912 345-67-89"),
        ("wants-a-human", "I want to talk to a human, please"),
        ("refuses", "I am not interested"),
    ] {
        stage.write(visitor, 1, words);
    }
    // A burst is answered once.
    stage.write_burst("bursts", 5, "and what about the price?");
    wait_for(&stage, "SELECT count(*) FROM dialogues WHERE waiting_since IS NOT NULL", "1");
    wait_for(&stage, QUIET, "true");
    let asks = said(&stage, "asks");
    assert!(asks.starts_with("ai: I am a virtual assistant."), "{asks}");
    assert_eq!(state(&stage, "asks"), "open: ");
    assert!(state(&stage, "agrees").starts_with("succeeded"), "{}", state(&stage, "agrees"));
    assert!(state(&stage, "refuses").starts_with("closed"), "{}", state(&stage, "refuses"));
    assert!(state(&stage, "wants-a-human").starts_with("with-operator"));
    assert_eq!(said(&stage, "wants-a-human"), "handover: A colleague will go on.");
    assert_eq!(said(&stage, "bursts").matches("ai: ").count(), 1, "{}", said(&stage, "bursts"));
    // The second answer has no disclosure any more.
    stage.write("asks", 2, "Where are you?");
    wait_for(
        &stage,
        "SELECT count(*) FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
        WHERE d.peer = 'asks' AND m.author = 'ai' AND m.state = 'sent'",
        "2",
    );
    assert_eq!(said(&stage, "asks").matches("virtual assistant").count(), 1);
    wait_for(&stage, QUIET, "true");
    watch.kill();
    let billed: i64 = stage.billed();
    let booked = "SELECT sum(cost) FROM ai_calls";
    assert_eq!(stage.database.value(booked), billed.to_string());
    assert_eq!(stage.database.value("SELECT sum(spent) FROM dialogues"), billed.to_string());
    assert_eq!(stage.database.value("SELECT sum(spent) FROM spending"), billed.to_string());
    let events = "SELECT string_agg(event, ' ' ORDER BY event) FROM dialogue_events
        WHERE event IN ('success', 'contact-obtained')";
    assert_eq!(stage.database.value(events), "contact-obtained success");
}

#[test]
fn what_must_not_be_sent_goes_to_an_operator() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let watch = stage.watch();
    for fault in ["ai-empty", "ai-cut-off", "ai-refusal", "ai-filtered", "ai-question-filtered"] {
        stage.write(fault, 1, &format!("Tell me about {fault}"));
    }
    wait_for(&stage, "SELECT count(*) FROM dialogues WHERE state = 'with-operator'", "5");
    wait_for(&stage, QUIET, "true");
    watch.kill();
    let said = stage.database.value(
        "SELECT string_agg(DISTINCT author || ': ' || text, ' ') FROM messages WHERE author <> 'person'",
    );
    assert_eq!(said, "handover: A colleague will go on.");
}

#[test]
fn a_failing_ai_loses_no_dialogue() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let watch = stage.watch();
    for fault in ["ai-429", "ai-500", "ai-503", "ai-withheld", "ai-garbage"] {
        stage.write(fault, 1, &format!("Tell me about {fault}"));
    }
    wait_for(
        &stage,
        "SELECT count(DISTINCT dialogue_id) FROM messages WHERE author = 'ai' AND state = 'sent'",
        "5",
    );
    wait_for(&stage, QUIET, "true");
    wait_for(&stage, "SELECT count(*) FROM ai_rests", "0");
    watch.kill();
    // What may have been billed without an answer stays spent.
    let booked: i64 = stage.database.value("SELECT sum(spent) FROM dialogues").parse().unwrap();
    assert!(booked >= stage.billed(), "{booked} is booked, {} was billed", stage.billed());
}

#[test]
fn a_limit_blocks_its_dialogue_and_only_an_act_unblocks_it() {
    let stage = Stage::new(Duration::ZERO, "0.006", "");
    let watch = stage.watch();
    let mut number = 0;
    wait_until("the limit is reached", PATIENCE, || {
        let state = state_or_nothing(&stage, "talks");
        if state != "blocked" && stage.database.value(QUIET) == "true" {
            number += 1;
            stage.write("talks", number, "And what else? Please tell me more about it.");
        }
        (state == "blocked", state)
    });
    wait_for(&stage, QUIET, "true");
    assert!(said(&stage, "talks").ends_with("handover: A colleague will go on."));
    stage.write("talks", 900, "Are you still there?");
    wait_for(&stage, QUIET, "true");
    let silent = said(&stage, "talks");
    assert!(silent.ends_with("handover: A colleague will go on."), "{silent}");
    let limit = "SELECT spent <= 6000 FROM dialogues";
    assert_eq!(stage.database.value(limit), "true");
    assert!(stage.billed() <= 6_000, "{}", stage.billed());
    let unblocked = stage.program(&["dialogue", "unblock", "1", "--add", "0.02"]).run();
    assert_eq!(unblocked.code, 0, "{unblocked:?}");
    wait_until("the AI goes on", PATIENCE, || {
        let said = said(&stage, "talks");
        (!said.ends_with("handover: A colleague will go on."), said)
    });
    watch.kill();
}

fn state_or_nothing(stage: &Stage, visitor: &str) -> String {
    stage.database.value(&format!(
        "SELECT coalesce((SELECT state FROM dialogues WHERE peer = '{visitor}'), '')"
    ))
}

#[test]
fn fifty_messages_at_once_over_processes_that_are_killed_stay_within_the_limit() {
    let stage = Stage::new(Duration::from_millis(150), "0.05", "");
    let mut watches: Vec<_> = (0..3).map(|_| Some(stage.watch())).collect();
    let mut number = 0;
    // Any numbers would do; these kill each process at some time, and often the one that answers.
    for round in [0_usize, 2, 1, 1, 0, 2, 0, 1, 2, 0] {
        let burst: Vec<usize> = (number..number + 50).collect();
        number += 50;
        // Before the burst, in which it may begin on a busy machine.
        let answers = stage.database.value("SELECT count(*) FROM ai_calls");
        stage.runtime.block_on(async {
            let writing = burst.iter().map(|number| {
                super::write(&stage.store, "one", *number, "And what else? Tell me more.")
            });
            // As many as there are connections: who waits for one for long is told that the database is away.
            futures_util::stream::iter(writing).buffer_unordered(6).collect::<Vec<()>>().await;
        });
        wait_until("an answer is begun", PATIENCE, || {
            let now = stage.database.value("SELECT count(*) FROM ai_calls");
            let state = state_or_nothing(&stage, "one");
            // Of what came all at once the AI says more than it may in one answer.
            if state == "with-operator" {
                let back = DialogueAct::GiveBack(Owed::Answered);
                let store = &stage.store;
                stage
                    .runtime
                    .block_on(store.act_on_dialogue(DialogueId(1), back, "anna", None))
                    .unwrap();
            }
            (state == "blocked" || now != answers, format!("{now} {state}"))
        });
        watches[round].take().unwrap().kill();
        watches[round] = Some(stage.watch());
    }
    wait_until("nothing hangs", PATIENCE, || {
        let quiet = stage.database.value(QUIET);
        (quiet == "true", stage.database.value("SELECT row_to_json(d)::text FROM dialogues d"))
    });
    for watch in watches.into_iter().flatten() {
        watch.kill();
    }
    assert!(stage.billed() <= 50_000, "{} was billed", stage.billed());
    assert!(stage.billed() > 0);
    let booked: i64 = stage.database.value("SELECT sum(spent) FROM dialogues").parse().unwrap();
    assert!((stage.billed()..=50_000).contains(&booked), "{booked} of {}", stage.billed());
    assert_eq!(
        stage.database.value("SELECT count(*) FROM messages WHERE author = 'person'"),
        "500"
    );
    // No answer was said twice.
    let twice =
        "SELECT count(*) FROM (SELECT turn FROM messages WHERE author = 'ai' AND state = 'sent'
        GROUP BY turn HAVING count(*) > 1) t";
    assert_eq!(stage.database.value(twice), "0");
}

#[test]
fn an_answer_outlives_the_connections_and_the_books_hold() {
    let stage = Stage::new(Duration::from_millis(1500), "1", "");
    let watch = stage.watch();
    stage.write("one", 1, "What does it cost?");
    wait_for(&stage, "SELECT count(*) > 0 FROM ai_calls", "true");
    // The executor's session goes too: its lease is lost while the AI still thinks.
    stage.database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    wait_for(&stage, "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'", "1");
    wait_for(&stage, QUIET, "true");
    wait_for(&stage, "SELECT count(*) FROM ai_calls WHERE settled_at IS NULL", "0");
    watch.kill();
    assert_eq!(
        stage.database.value("SELECT sum(spent) FROM dialogues"),
        stage.billed().to_string()
    );
    assert_eq!(said(&stage, "one").matches("ai: ").count(), 1, "{}", said(&stage, "one"));
}

#[test]
fn the_ai_is_not_paid_for_again_and_again_while_the_disk_of_the_database_is_full() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    stage.database.run(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100';
        END $$;
        CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON ai_rests FOR EACH ROW EXECUTE FUNCTION full_disk()",
    );
    let watch = stage.watch();
    stage.write("one", 1, "Tell me about ai-quota");
    wait_for(&stage, "SELECT count(*) FROM ai_calls", "1");
    // Meanwhile another dialogue is answered from its first word on.
    stage.write("two", 1, "What does it cost?");
    wait_for(&stage, "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'", "1");
    let paid = "SELECT count(*) FROM ai_calls c JOIN dialogues d ON d.id = c.dialogue_id WHERE d.peer = 'one'";
    assert_eq!(stage.database.value(paid), "1");
    stage.database.run("DROP TRIGGER full_disk ON ai_rests");
    wait_for(&stage, "SELECT string_agg(ai || ' ' || class, ' ') FROM ai_rests", "sales quota");
    watch.kill();
}

#[test]
fn a_fallback_answers_while_the_ai_rests() {
    let stage = Stage::new(Duration::ZERO, "1", WITH_A_SPARE);
    stage.put_spare_in_place();
    assert_eq!(stage.program(&["apply", "--auto-approve"]).run().code, 0);
    let watch = stage.watch();
    stage.write("one", 1, "What does it cost?");
    wait_for(&stage, "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'", "1");
    wait_for(&stage, "SELECT string_agg(ai, ' ') FROM ai_rests", "sales");
    watch.kill();
    let asked = "SELECT string_agg(DISTINCT ai, ' ') FROM ai_calls WHERE cost > 0";
    assert_eq!(stage.database.value(asked), "spare");
}

#[test]
fn a_fallback_that_rested_is_asked_again() {
    let stage = Stage::new(Duration::ZERO, "1", WITH_A_SPARE);
    stage.put_spare_in_place();
    assert_eq!(stage.program(&["apply", "--auto-approve"]).run().code, 0);
    // It failed once, a while ago; the first one is not asked for a long time.
    stage.database.run(
        "INSERT INTO ai_rests (ai, failures, not_before, class, reason) VALUES
            ('sales', 9, now() + interval '1 h', 'unavailable', ''),
            ('spare', 1, now() - interval '1 s', 'unavailable', '')",
    );
    let watch = stage.watch();
    stage.write("one", 1, "What does it cost?");
    wait_for(&stage, "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'", "1");
    wait_for(&stage, "SELECT string_agg(ai, ' ') FROM ai_rests", "sales");
    watch.kill();
}

#[test]
fn a_silent_person_is_reminded_until_they_write() {
    let reminders = "  reminders:\n    - {after: 1h, text: Are you there?}\n    - {after: 3h, text: Still there?}\n";
    let stage = Stage::new(Duration::ZERO, "1", reminders);
    let watch = stage.watch();
    stage.write("one", 1, "What does it cost?");
    let reminded = "SELECT count(*) FROM messages WHERE author = 'reminder' AND state = 'sent'";
    wait_for(&stage, "SELECT count(*) FROM dialogues WHERE reminder_at IS NOT NULL", "1");
    for count in ["1", "2"] {
        let soon = "SELECT reminder_at - now() BETWEEN interval '59 min' AND interval '2 h' FROM dialogues";
        assert_eq!(stage.database.value(soon), "true");
        stage.database.run("UPDATE dialogues SET reminder_at = now()");
        wait_for(&stage, reminded, count);
    }
    let next = "SELECT coalesce(reminder_at::text, 'none') FROM dialogues";
    assert_eq!(stage.database.value(next), "none");
    // Whoever has written is not reminded of it.
    stage.write("one", 2, "Where are you?");
    wait_for(&stage, "SELECT count(*) FROM dialogues WHERE reminder_at IS NOT NULL", "1");
    stage.write("one", 3, "I agree");
    wait_for(&stage, "SELECT state FROM dialogues", "succeeded");
    assert_eq!(stage.database.value(next), "none");
    watch.kill();
    assert_eq!(stage.database.value(reminded), "2");
}

#[test]
fn a_paused_task_answers_nobody_until_it_goes_on() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let path = stage.folder.tasks().join("all.yaml");
    let manifests = std::fs::read_to_string(path).unwrap();
    let watch = stage.watch();
    stage.write("one", 1, "What does it cost?");
    wait_for(&stage, "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'", "1");
    stage.folder.write("all.yaml", &manifests.replace("state: running", "state: paused"));
    wait_for(&stage, "SELECT phase FROM tasks", "stopped");
    stage.write("one", 2, "Are you there?");
    wait_for(&stage, "SELECT count(*) FROM dialogues WHERE due_at < now() - interval '1 s'", "1");
    stage.folder.write("all.yaml", &manifests);
    wait_for(&stage, "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'", "2");
    watch.kill();
}

#[test]
fn a_long_dialogue_is_summarised_and_goes_on() {
    let stage = Stage::new(Duration::ZERO, "5", "");
    let watch = stage.watch();
    let long = "I have read all of it and have another question. ".repeat(300);
    for number in 1..=4 {
        stage.write("one", number, &format!("{long} What does it cost?"));
        let answered = "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'";
        wait_for(&stage, answered, &number.to_string());
    }
    watch.kill();
    let kept = "SELECT summary IS NOT NULL AND summary_until < (SELECT max(id) FROM messages)
        AND length(summary) < 5000 FROM dialogues";
    assert_eq!(stage.database.value(kept), "true");
    // What was summarised is not paid for again and again.
    let dearest = "SELECT max(input_tokens) < 60000 FROM ai_calls";
    assert_eq!(stage.database.value(dearest), "true");
}

#[test]
fn a_dialogue_whose_manager_left_is_gone_on_with_by_another() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let watch = stage.watch();
    stage.write("one", 1, "What does it cost?");
    let answered = "SELECT count(*) FROM messages WHERE author = 'ai' AND state = 'sent'";
    wait_for(&stage, answered, "1");
    let path = stage.folder.tasks().join("all.yaml");
    let manifests = std::fs::read_to_string(path).unwrap();
    let others = manifests
        .replace("metadata: {name: anna}", "metadata: {name: boris}")
        .replace("managers: [anna]", "managers: [boris]");
    stage.folder.write("all.yaml", &others);
    let left = "SELECT string_agg(name, ' ') FROM resources WHERE kind = 'Manager'";
    wait_for(&stage, left, "boris");
    stage.write("one", 2, "Where are you?");
    wait_for(&stage, answered, "2");
    watch.kill();
    assert_eq!(stage.database.value("SELECT count(*) FROM ai_rests"), "0");
}
