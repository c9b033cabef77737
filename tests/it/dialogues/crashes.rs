//! Answers whose maker is gone: the reservation stays spent, the dialogue is free.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use nuncio::{
    domain::money::MicroUsd,
    store::{Answer, Committed, HeldTurn, Reservation, Store, Sweep},
};

use super::{Stage, executor, write};

const DIALOGUES: usize = 100;
const ROUNDS: usize = 100;
const RESERVED: i64 = 10;

#[test]
fn ten_thousand_crashed_answers_leave_no_dialogue_held() {
    let stage = Stage::new(Duration::ZERO, "0.002", "");
    stage.runtime.block_on(async {
        let store = &stage.store;
        for visitor in 0..DIALOGUES {
            write(store, &format!("v{visitor}"), 1, "Hello").await;
        }
        stage.run("UPDATE dialogues SET due_at = now()").await;
        let (id, _presence) = executor(store).await;
        for round in 0..ROUNDS {
            // A heartbeat.
            assert!(matches!(store.sweep_lanes(id).await.unwrap(), Sweep::Holds { .. }));
            let turns = store.lease_turns(id, DIALOGUES).await.unwrap();
            assert_eq!(turns.len(), DIALOGUES, "round {round}");
            assert!(store.lease_turns(id, DIALOGUES).await.unwrap().is_empty(), "one at a time");
            let reserving = turns.iter().map(|turn| reserve(store, turn));
            drop(stream::iter(reserving).buffer_unordered(20).collect::<Vec<_>>().await);
            // Whoever made these answers is gone: the lane has another fence.
            stage.run("UPDATE lanes SET fence = fence + 1").await;
        }
        // Every reservation is spent, and every dialogue is answered by the next who comes.
        let turns = store.lease_turns(id, DIALOGUES).await.unwrap();
        assert_eq!(turns.len(), DIALOGUES);
        for turn in &turns {
            assert_eq!(
                store.commit_answer(turn, &Answer::default()).await.unwrap(),
                Committed::Taken
            );
        }
    });
    let spent = i64::try_from(ROUNDS).unwrap() * RESERVED;
    let books = "SELECT string_agg(DISTINCT spent::text, ' ') FROM dialogues";
    assert_eq!(stage.database.value(books), spent.to_string());
    let held = "SELECT count(*) FROM dialogues WHERE held_fence IS NOT NULL OR due_at IS NOT NULL";
    assert_eq!(stage.database.value(held), "0");
}

async fn reserve(store: &Store, turn: &HeldTurn) {
    let amount = MicroUsd::from_micros(RESERVED);
    let reserved = store.reserve(turn, "a-model", amount).await.unwrap();
    assert!(matches!(reserved, Reservation::Granted(_)), "{reserved:?}");
}

#[test]
fn reservations_at_once_never_pass_the_limit() {
    let stage = Stage::new(Duration::ZERO, "0.0005", "");
    let granted = stage.runtime.block_on(async {
        let store = &stage.store;
        write(store, "one", 1, "Hello").await;
        stage.run("UPDATE dialogues SET due_at = now()").await;
        let (id, _presence) = executor(store).await;
        let turns = store.lease_turns(id, 1).await.unwrap();
        let asking =
            (0..200).map(|_| store.reserve(&turns[0], "a-model", MicroUsd::from_micros(7)));
        let answers = futures_util::future::join_all(asking).await;
        answers.into_iter().filter(|r| matches!(r, Ok(Reservation::Granted(_)))).count()
    });
    assert_eq!(granted, 500 / 7);
}
