//! What the database said and nobody heard: leases that were granted unseen, and connections that went silent.

use std::time::Duration;

use nuncio::{domain::id::ChannelName, store::Store};

use super::{PATIENCE, Stage};
use crate::support::{LEAVING, Proxy, TestDatabase, wait_until};

const ANSWERED: &str =
    "SELECT count(DISTINCT dialogue_id) FROM messages WHERE author = 'ai' AND state = 'sent'";

#[test]
fn a_dialogue_whose_lease_was_granted_unseen_is_answered_all_the_same() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let _watch = stage.watch();
    wait_for(&stage, "SELECT count(*) FROM lanes WHERE owner IS NOT NULL", "1");
    stage.write("one", 1, "What does it cost?");
    // As by a statement whose answer was lost: nobody in the process knows of it.
    stage.database.run(
        "UPDATE dialogues d SET held_fence = l.fence, held_turn = d.turn, due_at = now()
        FROM lanes l WHERE l.channel = d.channel",
    );
    wait_for(&stage, ANSWERED, "1");
}

#[test]
fn answers_outlive_connections_that_went_silent() {
    let stage = Stage::new(Duration::ZERO, "1", "");
    let Some(proxy) = Proxy::start() else { return };
    let watch =
        stage.program(&["watch"]).env("NUNCIO_DATABASE_URL", proxy.url(&stage.database)).start();
    wait_for(&stage, "SELECT count(*) FROM lanes WHERE owner IS NOT NULL", "1");
    // Whoever is about to ask the AI is in the middle of a statement.
    let lock = stage.runtime.block_on(async {
        let mut lock = stage.database.connection().await;
        let statement = "BEGIN; LOCK TABLE ai_calls IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(statement).execute(&mut lock).await.unwrap();
        lock
    });
    for visitor in 0..24 {
        stage.write(&format!("v{visitor}"), 1, "What does it cost?");
    }
    wait_for(
        &stage,
        "SELECT count(*) >= 3 FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND query LIKE '%ai_calls%'",
        "true",
    );
    proxy.silence();
    drop(lock);
    wait_for(&stage, ANSWERED, "24");
    assert_eq!(watch.interrupt(LEAVING), 130);
    let booked: i64 = stage.database.value("SELECT sum(spent) FROM dialogues").parse().unwrap();
    assert!(booked >= stage.billed(), "{booked} is booked, {} was billed", stage.billed());
}

#[test]
fn a_statement_outlives_all_the_connections_that_went_silent_before_it() {
    let database = TestDatabase::new();
    let Some(proxy) = Proxy::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Store::parse_url(&proxy.url(&database)).unwrap();
    let store = runtime.block_on(Store::connect(options)).unwrap();
    let channel: ChannelName = "site".parse().unwrap();
    let others = |state: &str| {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {state}"
        );
        wait_until(state, PATIENCE, || {
            let n = database.value(&query);
            (n == "6", n)
        });
    };
    // As many connections as there may be.
    let gate = runtime.block_on(async {
        let mut gate = database.connection().await;
        let lock = "BEGIN; LOCK TABLE lanes IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut gate).await.unwrap();
        gate
    });
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let (store, channel) = (store.clone(), channel.clone());
            runtime.spawn(async move { store.has_lane(&channel).await })
        })
        .collect();
    others("wait_event_type = 'Lock'");
    runtime.block_on(async {
        drop(gate);
        for answer in asked {
            assert!(!answer.await.unwrap().unwrap());
        }
    });
    // One that answered a moment ago is not asked whether it still does.
    others("state = 'idle' AND state_change < clock_timestamp() - interval '1100 ms'");
    proxy.silence();
    assert!(!runtime.block_on(store.has_lane(&channel)).unwrap());
}

fn wait_for(stage: &Stage, query: &str, wanted: &str) {
    wait_until(query, PATIENCE * 2, || {
        let value = stage.database.value(query);
        (value == wanted, value)
    });
}
