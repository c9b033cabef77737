//! News of a message, and answers to it, that arrive before the answer to the call that sent it.

use nuncio::{
    domain::{
        address::Address,
        attempt::{Outcome, OutcomeClass},
        dialogue::{Author, Delivery, DeliveryState, Received, TypedByHand},
        id::{ChannelName, ExecutorId},
    },
    store::{Answer, Committed, FinishedReply, Parcel, Presence, ReplyPermit, Store, Taken},
};
use uuid::Uuid;

use crate::support::{Folder, Program, TestDatabase, vk_task};

/// One thing that a provider tells of a person.
async fn tell(store: &Store, peer: &str, what: Delivery) -> Taken {
    let channel: ChannelName = "vk".parse().unwrap();
    let peer = Address::from_stored(peer.to_owned());
    let received = [Received::of(peer, None, what)];
    let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
    store.receive(&parcel).await.unwrap()
}

fn news(id: &str, state: DeliveryState) -> Delivery {
    Delivery::Status { id: id.to_owned(), reference: None, state, reason: String::new() }
}

fn words(id: &str, text: &str) -> Delivery {
    Delivery::Message { id: id.to_owned(), text: text.to_owned() }
}

const EARLY: Taken = Taken { fresh: 0, repeated: 0, unrouted: 0, early: 1 };
const FRESH: Taken = Taken { fresh: 1, early: 0, ..EARLY };
const REPEATED: Taken = Taken { repeated: 1, early: 0, ..EARLY };

/// A task with an opening to 900 and a reply, `Hi`, to 700 on their way.
struct Stage {
    _folder: Folder,
    database: TestDatabase,
    store: Store,
    reply: ReplyPermit,
    _presence: Presence,
}

impl Stage {
    async fn new() -> Self {
        let (folder, database) = (Folder::with_team(), TestDatabase::new());
        folder.write("a.yaml", &vk_task("talk", "vk", "[900]", "  state: running"));
        let root = folder.root().to_owned();
        let apply = Program::new(&root, &["apply", "--auto-approve"]).database(&database);
        assert_eq!(apply.run().code, 0);
        let store = database.store().await;
        let executor = ExecutorId(Uuid::new_v4());
        let presence = store.register_executor(executor, "here", 1).await.unwrap();
        drop(store.sweep_lanes(executor).await.unwrap());
        database.let_no_lease_end();
        assert_eq!(tell(&store, "700", words("1", "Hello")).await, FRESH);
        assert_eq!(store.grant_permits(executor).await.unwrap().len(), 1);
        sql(&database, "UPDATE dialogues SET due_at = now()").await;
        let turns = store.lease_turns(executor, 1).await.unwrap();
        let answer = Answer { texts: vec![(Author::Ai, "Hi".to_owned())], ..Answer::default() };
        assert_eq!(store.commit_answer(&turns[0], &answer).await.unwrap(), Committed::Taken);
        let reply = store.permit_replies(executor, 1).await.unwrap().remove(0);
        Self { _folder: folder, database, store, reply, _presence: presence }
    }

    async fn record_reply(&self, id: &str) {
        let outcome = Outcome {
            provider_message_id: Some(id.to_owned()),
            ..Outcome::of(OutcomeClass::Sent, "")
        };
        let finished = FinishedReply {
            message: self.reply.message,
            channel: self.reply.channel.clone(),
            fence: self.reply.fence,
            outcome,
        };
        self.store.record_replies(&[finished]).await.unwrap();
    }

    /// Of a provider that tells of every message of the account, and not who sent it.
    async fn echo(&self, id: &str, text: &str) -> Taken {
        let what = Delivery::Echo {
            id: id.to_owned(),
            reference: None,
            text: text.to_owned(),
            typed_by_hand: TypedByHand::UnlessOurs,
        };
        tell(&self.store, "700", what).await
    }
}

#[tokio::test]
async fn news_of_a_message_whose_id_is_not_known_yet_is_to_be_brought_again() {
    use DeliveryState::{Delivered, Read, Sent};
    let stage = Stage::new().await;
    for (peer, taken) in [("900", EARLY), ("700", EARLY), ("555", REPEATED)] {
        assert_eq!(tell(&stage.store, peer, news("2", Read)).await, taken, "{peer}");
    }
    // An opening's number is attached to it: the news is kept, and counts with the record of the call.
    let attempt = database_value(&stage.database, "SELECT id::text FROM attempts").await;
    let named = Delivery::Status {
        id: "1".to_owned(),
        reference: Some(attempt),
        state: Read,
        reason: String::new(),
    };
    assert_eq!(tell(&stage.store, "900", named).await, FRESH);

    stage.record_reply("2").await;
    for (id, state, taken) in [
        ("2", Read, FRESH),
        ("2", Delivered, REPEATED),
        ("2", Sent, REPEATED),
        ("3", Read, REPEATED),
    ] {
        assert_eq!(tell(&stage.store, "700", news(id, state)).await, taken, "{id} {state}");
    }
    let state = "SELECT state FROM messages WHERE author = 'ai'";
    assert_eq!(database_value(&stage.database, state).await, "read");
}

#[tokio::test]
async fn what_is_not_ours_was_typed_by_hand_once_no_call_is_under_way() {
    let stage = Stage::new().await;
    // It may be the one on its way, in other words than were sent.
    assert_eq!(stage.echo("2", "Hi there").await, EARLY);
    stage.record_reply("2").await;
    assert_eq!(stage.echo("2", "Hi there").await, REPEATED);
    let owner = "SELECT state FROM dialogues WHERE peer = '700'";
    assert_eq!(database_value(&stage.database, owner).await, "open");
    assert_eq!(stage.echo("3", "Hi, this is Anna").await, FRESH);
    assert_eq!(stage.echo("3", "Hi, this is Anna").await, REPEATED);
    assert_eq!(database_value(&stage.database, owner).await, "with-operator");
}

#[tokio::test]
async fn the_echo_of_our_words_ends_their_doubt() {
    let stage = Stage::new().await;
    assert_eq!(stage.echo("2", "Hi").await, REPEATED);
    let state = "SELECT state || ' ' || provider_message_id FROM messages WHERE author = 'ai'";
    assert_eq!(database_value(&stage.database, state).await, "sent 2");
}

/// An account may answer by itself, before the call that wrote to it has ended.
#[tokio::test]
async fn an_answer_under_an_address_that_only_the_call_tells_waits_for_the_call() {
    let stage = Stage::new().await;
    let store = &stage.store;
    // Whoever is known is not held up, nor is a wish to stop.
    assert_eq!(tell(store, "900", words("2", "Hello")).await, FRESH);
    assert_eq!(tell(store, "700", words("3", "Hello again")).await, FRESH);
    assert_eq!(tell(store, "555", words("4", "STOP")).await, FRESH);
    let said = "SELECT count(*)::text FROM messages WHERE author = 'person'";
    assert_eq!(database_value(&stage.database, said).await, "4");
    for _ in 0..2 {
        assert_eq!(tell(store, "901", words("5", "We are closed today")).await, EARLY);
    }
    assert_eq!(database_value(&stage.database, said).await, "4");
    sql(&stage.database, "UPDATE lanes SET in_flight = NULL, in_flight_granted_at = NULL").await;
    assert_eq!(tell(store, "901", words("5", "We are closed today")).await, FRESH);

    // A call of which nobody will tell is not waited for.
    let abandoned =
        "UPDATE lanes SET in_flight = 1, in_flight_granted_at = now() - interval '1 min'";
    sql(&stage.database, abandoned).await;
    assert_eq!(tell(store, "902", words("6", "Who are you?")).await, FRESH);
}

/// What is to be repeated has arrived after all, and so has what was sent under an id that nobody told.
#[tokio::test]
async fn an_echo_ends_the_doubt_of_what_waits_for_its_repeat() {
    for standing in [
        "UPDATE messages SET state = 'waiting', ready_at = now() + interval '1 min', doubtful = true \
         WHERE author = 'ai'",
        "UPDATE messages SET state = 'sent' WHERE author = 'ai'",
    ] {
        let stage = Stage::new().await;
        sql(&stage.database, standing).await;
        assert_eq!(stage.echo("2", "Hi").await, REPEATED);
        let state = "SELECT state || ' ' || provider_message_id FROM messages WHERE author = 'ai'";
        assert_eq!(database_value(&stage.database, state).await, "sent 2", "{standing}");
        let owner = "SELECT state FROM dialogues WHERE peer = '700'";
        assert_eq!(database_value(&stage.database, owner).await, "open", "{standing}");
    }
}

async fn database_value(database: &TestDatabase, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(&mut database.connection().await).await.unwrap()
}

async fn sql(database: &TestDatabase, statement: &'static str) {
    sqlx::query(statement).execute(&mut database.connection().await).await.unwrap();
}
