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
    desk.folder.remove("task.yaml");
    let deleted = desk.run("delete sales-talk");
    assert_eq!(deleted.code, 0, "{deleted:?}");
    let told = "task `sales-talk` is deleted, and 2 dialogues of it are closed; who it has written to stays";
    assert!(deleted.stderr.contains(told), "{deleted:?}");
}
