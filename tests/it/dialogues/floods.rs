//! Absurd amounts: messages without an end, and thousands of them.

use std::time::Duration;

use nuncio::store::{DialogueContext, Store};

use super::{PATIENCE, Stage, executor, write};
use crate::support::wait_until;

/// More than any model is asked with.
const READ_BYTES_MAX: usize = 1024 * 1024;

#[test]
fn a_message_without_an_end_is_answered_within_the_limit() {
    let stage = Stage::new(Duration::ZERO, "0.05", "");
    let watch = stage.watch();
    stage.write("one", 1, &"Что это стоит? ".repeat(70_000));
    let end = "SELECT d.state || ' ' || coalesce(m.state, '') FROM dialogues d
        LEFT JOIN messages m ON m.dialogue_id = d.id AND m.author = 'ai'";
    wait_until("it is answered", PATIENCE, || {
        let state = stage.database.value(end);
        (state == "open sent", state)
    });
    watch.kill();
    assert!(stage.billed() <= 50_000, "{}", stage.billed());
}

#[test]
fn a_dialogue_of_endless_messages_is_not_read_as_a_whole() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let context = stage.runtime.block_on(async {
        let store = &stage.store;
        for number in 1..=40 {
            write(store, "one", number, &format!("{number} {}", "ы".repeat(70_000))).await;
        }
        write(store, "one", 900, "What does it cost?").await;
        stage.run("UPDATE dialogues SET due_at = now()").await;
        context(store).await
    });
    let bytes: usize = context.history.iter().map(|one| one.text.len()).sum();
    assert!((1..READ_BYTES_MAX).contains(&bytes), "{bytes}");
    assert_eq!(context.history.last().unwrap().text, "What does it cost?");
}

async fn context(store: &Store) -> DialogueContext {
    let (id, _presence) = executor(store).await;
    let turns = store.lease_turns(id, 1).await.unwrap();
    store.read_context(&turns[0]).await.unwrap().unwrap()
}
