//! News of a message that arrives before the answer to the call that sent it.

use nuncio::{
    domain::{
        address::Address,
        attempt::{Outcome, OutcomeClass},
        dialogue::{Author, Delivery, DeliveryState, Received},
        id::{ChannelName, ExecutorId},
    },
    store::{Answer, Committed, FinishedReply, Parcel, Store, Taken},
};
use uuid::Uuid;

use crate::support::{Folder, Program, TestDatabase, vk_task};

/// One thing that a provider tells of a person.
async fn tell(store: &Store, peer: &str, what: Delivery) -> Taken {
    let channel: ChannelName = "vk".parse().unwrap();
    let peer = Address::from_stored(peer.to_owned());
    let received = [Received { peer, at: None, what }];
    let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
    store.receive(&parcel).await.unwrap()
}

fn news(id: &str, state: DeliveryState) -> Delivery {
    Delivery::Status { id: id.to_owned(), reference: None, state, reason: String::new() }
}

const EARLY: Taken = Taken { fresh: 0, repeated: 0, unrouted: 0, early: 1 };
const FRESH: Taken = Taken { fresh: 1, early: 0, ..EARLY };
const REPEATED: Taken = Taken { repeated: 1, early: 0, ..EARLY };

#[tokio::test]
async fn news_of_a_message_whose_id_is_not_known_yet_is_to_be_brought_again() {
    use DeliveryState::{Delivered, Read, Sent};
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("talk", "vk", "[900]", "  state: running"));
    let root = folder.root().to_owned();
    let apply = Program::new(&root, &["apply", "--auto-approve"]).database(&database);
    assert_eq!(apply.run().code, 0);
    let store = database.store().await;
    let executor = ExecutorId(Uuid::new_v4());
    let _presence = store.register_executor(executor, "here", 1).await.unwrap();
    drop(store.sweep_lanes(executor).await.unwrap());

    // An opening and a reply are on their way.
    assert_eq!(store.grant_permits(executor).await.unwrap().len(), 1);
    let hello = Delivery::Message { id: "1".to_owned(), text: "Hello".to_owned() };
    assert_eq!(tell(&store, "700", hello).await, FRESH);
    sql(&database, "UPDATE dialogues SET due_at = now()").await;
    let turns = store.lease_turns(executor, 1).await.unwrap();
    let answer = Answer { texts: vec![(Author::Ai, "Hi".to_owned())], ..Answer::default() };
    assert_eq!(store.commit_answer(&turns[0], &answer).await.unwrap(), Committed::Taken);
    let permits = store.permit_replies(executor, 1).await.unwrap();
    for (peer, taken) in [("900", EARLY), ("700", EARLY), ("555", REPEATED)] {
        assert_eq!(tell(&store, peer, news("2", Read)).await, taken, "{peer}");
    }
    // An opening's number is attached to it: the news is kept, and counts with the record of the call.
    let attempt = database_value(&database, "SELECT id::text FROM attempts").await;
    let named = Delivery::Status {
        id: "1".to_owned(),
        reference: Some(attempt),
        state: Read,
        reason: String::new(),
    };
    assert_eq!(tell(&store, "900", named).await, FRESH);

    let outcome = Outcome {
        provider_message_id: Some("2".to_owned()),
        ..Outcome::of(OutcomeClass::Sent, "")
    };
    let permit = &permits[0];
    let finished = FinishedReply {
        message: permit.message,
        channel: permit.channel.clone(),
        fence: permit.fence,
        outcome,
    };
    store.record_replies(&[finished]).await.unwrap();
    for (id, state, taken) in [
        ("2", Read, FRESH),
        ("2", Delivered, REPEATED),
        ("2", Sent, REPEATED),
        ("3", Read, REPEATED),
    ] {
        assert_eq!(tell(&store, "700", news(id, state)).await, taken, "{id} {state}");
    }
    let state = database_value(&database, "SELECT state FROM messages WHERE author = 'ai'").await;
    assert_eq!(state, "read");
}

async fn database_value(database: &TestDatabase, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(&mut database.connection().await).await.unwrap()
}

async fn sql(database: &TestDatabase, statement: &'static str) {
    sqlx::query(statement).execute(&mut database.connection().await).await.unwrap();
}
