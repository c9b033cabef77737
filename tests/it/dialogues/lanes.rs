//! Replies on lanes that move: processes that freeze, share and leave, and others that take over from them.

use std::time::Duration;

use nuncio::{
    domain::{
        attempt::{CALL_MAX, Outcome},
        id::ExecutorId,
    },
    store::{DialogueAct, DialogueActed, FinishedReply, ReplyPermit, Store, Sweep},
};

use super::{PATIENCE, executor, messenger::Messenger};
use crate::support::LEAVING;

const STATES: &str = "SELECT string_agg(state, ' ' ORDER BY id) FROM messages WHERE author = 'ai'";

#[test]
fn a_reply_that_was_permitted_to_a_process_which_froze_does_not_leave_when_it_wakes() {
    let stage = Messenger::new(Duration::ZERO);
    let peer = "+79161000001";
    let dialogue = stage.writes("whats", peer);
    let watch = stage.watch();
    // Whoever permits looks there: the permit is being granted while the process freezes.
    let gate = stage.runtime.block_on(async {
        let mut gate = stage.database.connection().await;
        let lock = "BEGIN; LOCK TABLE forgotten IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut gate).await.unwrap();
        gate
    });
    stage.ai_says(dialogue, "Good day!");
    stage.wait_for(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%waiting_channels w%'
        AND datname = current_database()",
        "1",
    );
    watch.pause();
    drop(gate);
    stage.wait_for(STATES, "sending");
    stage.wait_for("SELECT count(*) FROM executors WHERE alive_until > now()", "0");
    // Another takes the lane, and an operator the dialogue.
    stage.runtime.block_on(async {
        let store = &stage.store;
        let (id, _presence) = executor(store).await;
        // What the frozen process was writing otherwise may keep the lane from others a little longer.
        let taken = async {
            while !sweep(store, id).await.iter().any(|lane| lane == "whats") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.unwrap();
        stage.let_calls_end().await;
        assert_eq!(store.settle_abandoned_replies(id, &[]).await.unwrap(), 1);
        let taken = store.act_on_dialogue(dialogue, DialogueAct::Take, "anna", None).await.unwrap();
        assert!(matches!(taken, DialogueActed::Done { in_flight: None, .. }), "{taken:?}");
    });
    assert_eq!(stage.database.value(STATES), "in-doubt");
    watch.go_on();
    // Calls that run are waited for.
    assert_eq!(watch.interrupt(LEAVING), 130);
    assert_eq!(stage.calls_to(peer), []);
}

/// A heartbeat; gives the channels that are held after it.
async fn sweep(store: &Store, id: ExecutorId) -> Vec<String> {
    match store.sweep_lanes(id).await.unwrap() {
        Sweep::Holds { lanes, .. } => {
            lanes.into_iter().map(|lane| lane.channel.to_string()).collect()
        }
        Sweep::Expired => panic!("the lease was lost"),
    }
}

async fn permit(store: &Store, id: ExecutorId) -> ReplyPermit {
    let mut permits = store.permit_replies(id, 10).await.unwrap();
    assert_eq!(permits.len(), 1);
    permits.remove(0)
}

fn sent(permit: &ReplyPermit) -> FinishedReply {
    FinishedReply {
        message: permit.message,
        channel: permit.channel.clone(),
        fence: permit.fence,
        outcome: Outcome::sent(Some("an-id".to_owned())),
    }
}

#[test]
fn it_is_known_how_long_somebody_may_believe_to_have_a_lane_still() {
    let stage = Messenger::new(Duration::ZERO);
    stage.runtime.block_on(async {
        let store = &stage.store;
        let waits = async |id: ExecutorId| {
            let Sweep::Holds { lease, lanes, .. } = store.sweep_lanes(id).await.unwrap() else {
                panic!("the lease was lost")
            };
            let waits = lanes.iter().filter(|lane| !lane.let_go_in.is_zero()).count();
            let outlasting = lanes.iter().filter(|lane| lane.let_go_in > lease).count();
            ((lanes.len(), waits), outlasting)
        };
        let register = async || {
            let id = ExecutorId(uuid::Uuid::new_v4());
            (id, store.register_executor(id, "test", 1).await.unwrap())
        };
        let (_, _gone) = {
            let (first, presence) = register().await;
            assert_eq!(waits(first).await.0, (2, 0), "they were free");
            (first, presence)
        };
        // Its session falls, as that of a process whose connection broke.
        let mut connection = stage.database.connection().await;
        let fall =
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND classid = 28277
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query(fall).execute(&mut connection).await.unwrap();
        let (second, _presence) = register().await;
        assert_eq!(waits(second).await, ((2, 2), 2), "longer than a lease");
        // What it leaves in order it has let go of, but not so whoever was before it.
        store.release_lanes(second).await.unwrap();
        let (third, _presence) = register().await;
        assert_eq!(waits(third).await.0, (2, 2));
        let later = "UPDATE lanes SET let_go_at = now()";
        sqlx::query(later).execute(&mut connection).await.unwrap();
        assert_eq!(waits(third).await.0, (2, 0));
        // A share is given away by whoever learns of it afterwards.
        let (fourth, _presence) = register().await;
        assert_eq!(waits(third).await.0, (1, 0));
        assert_eq!(waits(fourth).await.0, (1, 1));
    });
}

#[test]
fn a_lane_whose_openings_alone_are_blocked_answers() {
    let stage = Messenger::new(Duration::ZERO);
    let said = stage.writes("whats", "+79161000001");
    stage.ai_says(said, "Good day!");
    let asked = stage.writes("whats", "+79161000002");
    stage.database.run(&format!("UPDATE dialogues SET due_at = now() WHERE id = {asked}"));
    let block = |class: &str| {
        let reason = "blocked_reason = 'too many strangers'";
        stage.database.run(&format!("UPDATE lanes SET blocked_class = '{class}', {reason}"));
    };
    let (id, _presence) = stage.runtime.block_on(executor(&stage.store));
    for (class, answers) in [("channel-blocked", false), ("openings-blocked", true)] {
        block(class);
        stage.runtime.block_on(async {
            let store = &stage.store;
            let ahead = store.look_at_dialogues(id, &[]).await.unwrap();
            assert_eq!(ahead.answer_in.is_some(), answers, "{class}");
            let turns = store.lease_turns(id, 10).await.unwrap();
            assert_eq!(turns.len(), usize::from(answers), "{class}");
            let permits = store.permit_replies(id, 10).await.unwrap();
            assert_eq!(permits.len(), usize::from(answers), "{class}");
        });
    }
}

#[test]
fn a_lane_with_a_reply_on_its_way_is_given_to_nobody() {
    let stage = Messenger::new(Duration::ZERO);
    let dialogue = stage.writes("whats", "+79161000001");
    stage.ai_says(dialogue, "Good day!");
    stage.runtime.block_on(async {
        let store = &stage.store;
        let (first, _presence) = executor(store).await;
        let reply = permit(store, first).await;
        // Each is to have one of the two lanes, and the last one would be given back.
        let (_second, _presence) = executor(store).await;
        assert_eq!(sweep(store, first).await, ["whats"]);
        store.record_replies(&[sent(&reply)]).await.unwrap();
    });
    assert_eq!(stage.database.value(STATES), "sent");
}

#[test]
fn an_outcome_counts_until_somebody_has_settled_its_reply() {
    let stage = Messenger::new(Duration::ZERO);
    for (peer, settled_first, state) in
        [("+79161000001", false, "sent"), ("+79161000002", true, "sent in-doubt")]
    {
        let dialogue = stage.writes("whats", peer);
        stage.ai_says(dialogue, "Good day!");
        stage.runtime.block_on(async {
            let store = &stage.store;
            let (first, _presence) = executor(store).await;
            let reply = permit(store, first).await;
            // The database was away for longer than the lease.
            stage.expire().await;
            let (second, _presence) = executor(store).await;
            if settled_first {
                stage.let_calls_end().await;
                assert_eq!(store.settle_abandoned_replies(second, &[]).await.unwrap(), 1);
            }
            store.record_replies(&[sent(&reply)]).await.unwrap();
            let settled = store.settle_abandoned_replies(second, &[]).await.unwrap();
            assert_eq!(settled, 0, "{peer}");
            stage.expire().await;
        });
        assert_eq!(stage.database.value(STATES), state, "{peer}");
    }
}

#[test]
fn the_next_part_waits_until_nobody_can_still_be_saying_the_one_before() {
    let stage = Messenger::new(Duration::ZERO);
    for (channel, peer, is_recorded, state) in [
        ("whats", "+79161000001", false, "in-doubt sent"),
        ("whats", "+79161000002", true, "sent sent"),
        // The provider would drop the repeat of the first part, and not an operator's word before it.
        ("vk", "7001", true, "sent sent"),
    ] {
        let dialogue = stage.writes(channel, peer);
        stage.ai_says(dialogue, "First.");
        stage.ai_says(dialogue, "Second.");
        stage.runtime.block_on(async {
            let store = &stage.store;
            let (first, _presence) = executor(store).await;
            let reply = permit(store, first).await;
            assert_eq!(reply.text, "First.");
            // Whoever called did so in the last moment of the lease, and the call still runs.
            stage.expire().await;
            let (second, _presence) = executor(store).await;
            let ahead = store.look_at_dialogues(second, &[]).await.unwrap();
            let wait = ahead.abandoned_in.unwrap();
            assert!(wait > CALL_MAX && wait < 2 * CALL_MAX, "{wait:?}");
            assert_eq!(store.settle_abandoned_replies(second, &[]).await.unwrap(), 0, "{peer}");
            assert_eq!(store.permit_replies(second, 10).await.unwrap(), [], "{peer}");
            if is_recorded {
                store.record_replies(&[sent(&reply)]).await.unwrap();
            } else {
                stage.let_calls_end().await;
                let ahead = store.look_at_dialogues(second, &[]).await.unwrap();
                assert_eq!(ahead.abandoned_in, Some(Duration::ZERO));
                assert_eq!(store.settle_abandoned_replies(second, &[]).await.unwrap(), 1);
            }
            let next = permit(store, second).await;
            assert_eq!(next.text, "Second.", "{peer}");
            store.record_replies(&[sent(&next)]).await.unwrap();
            stage.expire().await;
        });
        let states = "SELECT string_agg(state, ' ' ORDER BY id) FROM messages WHERE author = 'ai'";
        let of = format!("{states} AND dialogue_id = {dialogue}");
        assert_eq!(stage.database.value(&of), state, "{peer}");
    }
}

#[test]
fn what_a_killed_process_left_is_told_by_the_next_one() {
    let stage = Messenger::new(Duration::from_secs(60));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let logged = || std::fs::read_to_string(&log).unwrap();
    let dialogue = stage.writes("whats", "+79161000001");
    // No opening is on its way.
    stage.database.run("UPDATE lanes SET not_before = now() + interval '1 hour'");
    let watch = stage.watch_logging(&log);
    assert!(!logged().contains("taken up again"), "nothing was left: {}", logged());
    stage.ai_says(dialogue, "First.");
    stage.ai_says(dialogue, "Second.");
    stage.wait_for(STATES, "sending waiting");
    watch.kill();
    stage.wait_for("SELECT count(*) FROM living_executors", "0");
    let _next = stage.watch_logging(&log);
    let left = "taken up again: 1 call whose outcome nobody recorded, 1 reply to be sent\n";
    assert!(logged().contains(left), "{}", logged());
}

#[test]
fn a_reply_on_its_way_outlives_a_process_that_leaves() {
    let stage = Messenger::new(Duration::from_secs(1));
    let peer = "+79161000001";
    let dialogue = stage.writes("whats", peer);
    let first = stage.watch();
    let second = stage.program(&["watch"]).start();
    stage.wait_for("SELECT count(*) FROM living_executors", "2");
    stage.wait_for("SELECT count(DISTINCT owner) FROM lanes", "2");
    // Whoever has the lane is asked to leave, and the other one waits for it.
    let pid =
        "SELECT pid FROM executors e JOIN lanes l ON l.owner = e.id WHERE l.channel = 'whats'";
    let is_firsts = stage.database.value(pid) == first.id().to_string();
    let (leaver, _stays) = if is_firsts { (first, second) } else { (second, first) };
    stage.ai_says(dialogue, "Good day!");
    // On a busy machine it may have arrived before anybody looked.
    stage.wait_for(&format!("SELECT ({STATES}) IN ('sending', 'sent')"), "true");
    assert_eq!(leaver.interrupt(LEAVING), 130);
    stage
        .wait_for("SELECT bool_and(owner IN (SELECT id FROM living_executors)) FROM lanes", "true");
    assert_eq!(stage.database.value(STATES), "sent");
    assert_eq!(stage.calls_to(peer).len(), 1);
}
