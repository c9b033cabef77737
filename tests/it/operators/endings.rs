//! What becomes of dialogues whose task is recreated or deleted.

use nuncio::{
    domain::dialogue::Author,
    store::{Answer, Committed},
};
use serde_json::{Value, json};

use super::Desk;
use crate::support::{channel, vk_task};

fn consequences(plan: &Value) -> &Value {
    let parts = ["changes", "rejections"].map(|part| plan[part].as_array().unwrap());
    let mut parts = parts.into_iter().flatten().map(|one| &one["consequences"]);
    parts.find(|consequences| !consequences.is_null()).unwrap()
}

#[test]
fn a_recreate_plan_counts_the_dialogues_that_it_closes_and_who_is_tried_again() {
    let (desk, all) = Desk::with_every_state();
    desk.writes("1005", "again", "Are you there?");
    // Its opening failed for ever: nobody waits, and nobody was written to.
    desk.database.run("UPDATE audiences SET cursor_position = last_position, waiting = 0");
    let said =
        desk.run_with(&["dialogue", "say", &all["with-operator"].to_string(), "I call you."]);
    assert_eq!(said.code, 0, "{said:?}");

    desk.folder.write("two.yaml", &channel("vk-two", "vk-user", "token: {env: VK_TOKEN}", ""));
    let task = vk_task("sales-talk", "vk, vk-two", "[900]", "  state: running");
    desk.folder.write("task.yaml", &task);
    let counted = json!({
        "remaining": 0, "written": 0, "passed_over": 1, "dialogues": 3, "unanswered": 2,
    });
    let refused = desk.run("plan --output json");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert_eq!(consequences(&serde_json::from_str(&refused.stdout).unwrap()), &counted);
    assert_eq!(consequences(&desk.json("plan --recreate sales-talk")), &counted);
    let human = desk.run("plan --recreate sales-talk").stdout;
    for wanted in [
        "      0 contacts not reached yet\n",
        "      1 contact passed over (failed or suppressed): a new incarnation tries again\n",
        "      3 dialogues are closed; in 2 of them somebody waits for an answer\n",
    ] {
        assert!(human.contains(wanted), "{wanted}{human}");
    }

    let applied = desk.run("apply --recreate sales-talk --auto-approve");
    assert_eq!(applied.code, 0, "{applied:?}");
    let states = "SELECT string_agg(state || ' ' || state_by, ', ' ORDER BY peer) FROM dialogues";
    let ended = "succeeded ai, closed ai, closed tester, closed tester, closed tester";
    assert_eq!(desk.database.value(states), ended);
    let shown = desk.run(&format!("dialogue show {}", all["open"])).stdout;
    assert!(shown.contains("is closed (by tester: its task was deleted)"), "{shown}");
    // What an operator has said is on its way.
    let waiting = "SELECT string_agg(author, ', ') FROM messages WHERE state = 'waiting'";
    assert_eq!(desk.database.value(waiting), "operator");
    assert_eq!(desk.json("status")["tasks"][0]["dialogues"]["waiting_for_operator"], 0);

    // An operator may say more in it, and the AI does not.
    let ended = all["open"];
    assert_eq!(desk.run_with(&["dialogue", "say", &ended.to_string(), "Good bye."]).code, 0);
    let shown = desk.run(&format!("dialogue show {ended}")).stdout.replace("\n  ", " ");
    desk.database
        .run("UPDATE messages SET state = 'sent', ready_at = NULL WHERE state = 'waiting'");
    let after = desk.run(&format!("dialogue show {ended}")).stdout.replace("\n  ", " ");
    assert!(!shown.contains("give-back"), "{shown}");
    let told = "and its task `sales-talk` is deleted: the AI answers for it no more.";
    assert!(after.contains(told), "{after}");
    let given = desk.run(&format!("dialogue give-back {ended}"));
    assert_eq!(given.code, 3, "{given:?}");
    assert!(given.stderr.contains("its task is deleted"), "{given:?}");

    // Whoever writes then talks to the new incarnation.
    let anew = desk.writes("1005", "anew", "Hello?");
    assert_ne!(anew, all["open"]);
    assert_eq!(desk.state(anew), "open");
}

#[test]
fn an_answer_in_the_making_is_void_when_its_task_is_deleted() {
    let desk = Desk::new();
    let dialogue = desk.writes("1001", "a", "Hello");
    let turn = desk.lease();
    desk.folder.remove("task.yaml");
    let deleted = desk.run("apply --stop-first --auto-approve");
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(desk.state(dialogue), "closed");
    let answer = Answer { texts: vec![(Author::Ai, "Too late".to_owned())], ..Answer::default() };
    let committed = desk.runtime.block_on(desk.store.commit_answer(&turn, &answer)).unwrap();
    assert_eq!(committed, Committed::Void);
    assert_eq!(desk.database.value("SELECT count(*) FROM messages WHERE author = 'ai'"), "0");
}

#[test]
fn whoever_deletes_a_task_is_told_how_many_dialogues_end() {
    let desk = Desk::new();
    for peer in ["1001", "1002"] {
        desk.writes(peer, peer, "Hello");
    }
    desk.folder.write("task.yaml", &vk_task("sales-talk", "vk", "[900]", ""));
    assert_eq!(desk.run("apply --auto-approve").code, 0);
    assert_eq!(desk.run("stop sales-talk").code, 0);
    let stopped = desk.run("stop sales-talk");
    assert!(!stopped.stderr.contains("hint"), "its manifest is there: {stopped:?}");
    desk.folder.remove("task.yaml");
    let deleted = desk.run("delete sales-talk");
    assert_eq!(deleted.code, 0, "{deleted:?}");
    let told = "task `sales-talk` is deleted, and 2 dialogues of it are closed; who it has written to stays";
    assert!(deleted.stderr.contains(told), "{deleted:?}");

    // Created again, it writes to nobody twice, and the plan says so.
    desk.database.run(
        "INSERT INTO ledger (task, address, opening, channel, written_at)
        VALUES ('sales-talk', '900', 1, 'vk', now())",
    );
    desk.folder.write("task.yaml", &vk_task("sales-talk", "vk", "[900, 901]", "  state: running"));
    let plan = desk.run("plan").stdout;
    for wanted in [
        "2 contacts\n        1 of them written to before, and not written to again\n",
        "sales-talk: 1 contact, at most",
    ] {
        assert!(plan.contains(wanted), "{wanted}{plan}");
    }
    let audience = &desk.json("plan")["changes"][0]["after"]["outgoing"]["targetAudience"];
    assert_eq!(audience["written_before"], 1, "{audience}");
}

#[test]
fn whoever_stops_a_task_without_a_manifest_is_told_what_comes_then() {
    let desk = Desk::new();
    desk.folder.remove("task.yaml");
    let stopped = desk.run("stop sales-talk");
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let told = "hint: its manifest is gone: a `nuncio watch` of the folder deletes it now and closes its dialogues";
    assert!(stopped.stderr.contains(told), "{stopped:?}");
}

#[test]
fn a_dialogue_that_began_while_its_task_was_being_deleted_is_closed_as_well() {
    let desk = Desk::new();
    desk.writes("1001", "a", "Hello");
    desk.folder.remove("task.yaml");
    assert_eq!(desk.run("apply --stop-first --auto-approve").code, 0);
    // As by a delivery that had seen the task.
    desk.database.run(
        "INSERT INTO dialogues (task_id, task, channel, peer, manager, waiting_since, due_at)
        SELECT task_id, task, channel, '1002', manager, now(), now() FROM dialogues",
    );
    let states = "SELECT string_agg(state || ' ' || state_by, ', ' ORDER BY peer) FROM dialogues";
    assert_eq!(desk.database.value(states), "closed tester, open nuncio");
    let close = || desk.runtime.block_on(desk.store.close_orphaned_dialogues()).unwrap();
    assert_eq!(close(), 1);
    assert_eq!(desk.database.value(states), "closed tester, closed nuncio");
    // Whoever takes one over keeps it, however it had ended.
    assert_eq!(desk.run("dialogue take 1").code, 0);
    desk.database.run("UPDATE dialogues SET created_at = created_at - interval '1 hour'");
    desk.database.run("DELETE FROM dialogue_events WHERE event = 'closed'");
    let kept = "with-operator tester, closed nuncio".to_owned();
    assert_eq!((close(), desk.database.value(states)), (0, kept));
}
