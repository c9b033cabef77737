//! Takeovers at every moment of an answer: after their commit the AI says nothing.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use nuncio::{
    domain::{dialogue::Author, id::ExecutorId},
    store::{Answer, Committed, DialogueAct, DialogueActed, HeldTurn, Owed, Store, Sweep},
};

use super::{Stage, executor, write_together};

const DIALOGUES: usize = 100;
const ROUNDS: usize = 100;
const LOOK_EVERY: usize = 10;

/// A word of the AI whose permit is later than the takeover that was in force.
const SPOKEN_OVER: &str = "SELECT count(*) FROM messages m CROSS JOIN LATERAL (
        SELECT e.event FROM dialogue_events e
        WHERE e.dialogue_id = m.dialogue_id AND e.event IN ('with-operator', 'open') AND e.at <= m.sending_at
        ORDER BY e.id DESC LIMIT 1
    ) last WHERE m.author = 'ai' AND m.state = 'sent' AND last.event = 'with-operator'";

#[test]
fn ten_thousand_takeovers_let_no_word_of_the_ai_pass() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    stage.runtime.block_on(async {
        let store = &stage.store;
        let (id, _presence) = executor(store).await;
        // By connections of its own: the takeovers keep all others busy.
        let beating = stage.database.store().await;
        let heartbeat = async {
            let mut beats = tokio::time::interval(Duration::from_secs(1));
            loop {
                beats.tick().await;
                assert!(matches!(beating.sweep_lanes(id).await.unwrap(), Sweep::Holds { .. }));
            }
        };
        let rounds = rounds(&stage, id);
        tokio::select! {
            () = rounds => {}
            () = heartbeat => {}
        }
    });
    assert_eq!(stage.database.value(SPOKEN_OVER), "0");
    let count = |state: &str| -> u32 {
        let query =
            format!("SELECT count(*) FROM messages WHERE author = 'ai' AND state = '{state}'");
        stage.database.value(&query).parse().unwrap()
    };
    let taken = "SELECT count(*) FROM dialogue_events WHERE event = 'with-operator'";
    assert_eq!(stage.database.value(taken), (DIALOGUES * ROUNDS).to_string());
    // The takeovers met answers before and after their permit; else nothing was tried.
    assert!(count("sent") > 100, "{} were sent", count("sent"));
    assert!(count("discarded") > 100, "{} were discarded", count("discarded"));
    assert_eq!(count("waiting"), 0);
}

async fn rounds(stage: &Stage, id: ExecutorId) {
    let store = &stage.store;
    let visitors: Vec<String> = (0..DIALOGUES).map(|visitor| format!("v{visitor}")).collect();
    for round in 0..ROUNDS {
        write_together(store, &visitors, round, "Hello").await;
        stage.run("UPDATE dialogues SET due_at = now()").await;
        let turns = store.lease_turns(id, DIALOGUES).await.unwrap();
        assert_eq!(turns.len(), DIALOGUES, "round {round}");
        let both = turns.iter().enumerate().map(|(number, turn)| async move {
            // Each at another moment, from before the commit of the answer to after its permit.
            let moment = (number * 37 + round * 11) % 40;
            tokio::join!(answer(store, id, turn, number), take(store, turn, moment));
        });
        // Not all: who waits for a connection waits for those before them, and not for ever.
        drop(stream::iter(both).buffer_unordered(20).collect::<Vec<_>>().await);
        drop(store.permit_replies(id, DIALOGUES).await.unwrap());
        let back = turns.iter().map(|turn| {
            let back = DialogueAct::GiveBack(Owed::Answered);
            store.act_on_dialogue(turn.dialogue, back, "anna", None)
        });
        let mut back = stream::iter(back).buffer_unordered(20);
        while let Some(back) = back.next().await {
            assert!(matches!(back.unwrap(), DialogueActed::Done { .. }));
        }
    }
}

async fn answer(store: &Store, executor: ExecutorId, turn: &HeldTurn, number: usize) {
    let texts = vec![(Author::Ai, "Good day".to_owned())];
    let answer = Answer { texts, ..Answer::default() };
    // Taken, or void because the operator was first.
    let (Committed::Taken | Committed::Void) = store.commit_answer(turn, &answer).await.unwrap();
    // One look permits what all others have said by then.
    if number.is_multiple_of(LOOK_EVERY) {
        drop(store.permit_replies(executor, DIALOGUES).await.unwrap());
    }
}

async fn take(store: &Store, turn: &HeldTurn, moment: usize) {
    for _ in 0..moment {
        tokio::task::yield_now().await;
    }
    let taken =
        store.act_on_dialogue(turn.dialogue, DialogueAct::Take, "anna", None).await.unwrap();
    assert!(matches!(taken, DialogueActed::Done { .. }), "{taken:?}");
}
