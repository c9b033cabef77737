//! What operators see and do in dialogues: the program on a real Postgres.

mod acts;
mod endings;
mod lists;
mod saying;
mod standing;

use std::collections::BTreeMap;

use nuncio::{
    domain::{
        address::Address,
        attempt::{Outcome, OutcomeClass},
        dialogue::{Author, Delivery, DialogueState, Received},
        id::{ChannelName, DialogueId, ExecutorId, MessageId},
        money::MicroUsd,
    },
    store::{
        Answer, Committed, DialogueNote, FinishedReply, HeldTurn, Parcel, Presence, Reservation,
        Settlement, Store, Sweep,
    },
};
use serde_json::Value;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::support::{Ended, Folder, Program, TestDatabase, vk_task};

/// A running task `sales-talk` on the channel `vk`, people who write, and an executor that answers as told.
struct Desk {
    folder: Folder,
    database: TestDatabase,
    store: Store,
    executor: ExecutorId,
    _presence: Presence,
    runtime: Runtime,
}

impl Desk {
    fn new() -> Self {
        let (folder, database) = (Folder::with_team(), TestDatabase::new());
        let task = vk_task("sales-talk", "vk", "[900]", "  state: running");
        folder.write("task.yaml", &task);
        let applied =
            Program::new(folder.root(), &["apply", "--auto-approve"]).database(&database).run();
        assert_eq!(applied.code, 0, "{applied:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let executor = ExecutorId(Uuid::new_v4());
        let (store, presence) = runtime.block_on(async {
            let store = database.store().await;
            let presence = store.register_executor(executor, "here", 1).await.unwrap();
            let sweep = store.sweep_lanes(executor).await.unwrap();
            assert!(matches!(sweep, Sweep::Holds { .. }));
            (store, presence)
        });
        database.let_no_lease_end();
        Self { folder, database, store, executor, _presence: presence, runtime }
    }

    fn run(&self, line: &str) -> Ended {
        self.run_with(&line.split(' ').collect::<Vec<_>>())
    }

    fn run_with(&self, arguments: &[&str]) -> Ended {
        Program::new(self.folder.root(), arguments).database(&self.database).run()
    }

    /// Runs a line that has to succeed, and gives its JSON.
    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let ended = self.run(&format!("{line} --output json"));
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// A person writes; gives the dialogue.
    fn writes(&self, peer: &str, id: &str, text: &str) -> DialogueId {
        let channel: ChannelName = "vk".parse().unwrap();
        let what = Delivery::Message { id: id.to_owned(), text: text.to_owned() };
        let received = [Received::of(Address::from_stored(peer.to_owned()), None, what)];
        let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
        let taken = self.runtime.block_on(self.store.receive(&parcel)).unwrap();
        assert_eq!(taken.fresh, 1, "{taken:?}");
        let query = format!("SELECT max(id) FROM dialogues WHERE peer = '{peer}'");
        DialogueId(self.database.value(&query).parse().unwrap())
    }

    /// Leases the one dialogue that is to be answered.
    #[track_caller]
    fn lease(&self) -> HeldTurn {
        self.database.run("UPDATE dialogues SET due_at = now() WHERE due_at IS NOT NULL");
        let mut turns = self.runtime.block_on(self.store.lease_turns(self.executor, 10)).unwrap();
        assert_eq!(turns.len(), 1, "{turns:?}");
        turns.remove(0)
    }

    /// The AI answers what it has leased, for so much.
    #[track_caller]
    fn answers(&self, turn: &HeldTurn, answer: &Answer, cost: i64) {
        self.runtime.block_on(async {
            let greatest = MicroUsd::from_micros(cost);
            let reserved = match self.store.reserve(turn, "test-model", greatest).await.unwrap() {
                Reservation::Granted(reserved) => reserved,
                other => panic!("{other:?}"),
            };
            let settlement = Settlement {
                cost: greatest,
                input_tokens: 100,
                cached_input_tokens: 0,
                output_tokens: 20,
                reasoning_tokens: 0,
                estimated: false,
                model: "test-model".to_owned(),
                ending: "complete".to_owned(),
            };
            self.store.settle(reserved, &settlement).await.unwrap();
            assert_eq!(self.store.commit_answer(turn, answer).await.unwrap(), Committed::Taken);
        });
    }

    /// Lets what waits leave, each with the outcome; gives the messages.
    fn leave(&self, class: OutcomeClass, reason: &str) -> Vec<MessageId> {
        self.runtime.block_on(async {
            let permits = self.store.permit_replies(self.executor, 10).await.unwrap();
            let finished: Vec<FinishedReply> = permits
                .iter()
                .map(|permit| FinishedReply {
                    message: permit.message,
                    channel: permit.channel.clone(),
                    fence: permit.fence,
                    outcome: Outcome::of(class, reason),
                })
                .collect();
            self.store.record_replies(&finished).await.unwrap();
            permits.iter().map(|permit| permit.message).collect()
        })
    }

    fn state(&self, dialogue: DialogueId) -> String {
        self.database.value(&format!("SELECT state FROM dialogues WHERE id = {dialogue}"))
    }

    /// A dialogue in every state; the key is the state.
    fn with_every_state() -> (Self, BTreeMap<&'static str, DialogueId>) {
        let desk = Self::new();
        let mut all = BTreeMap::new();
        for (peer, state) in [
            ("1001", Some(DialogueState::Succeeded)),
            ("1002", Some(DialogueState::Closed)),
            ("1003", Some(DialogueState::Blocked)),
            ("1004", Some(DialogueState::WithOperator)),
            ("1005", None),
        ] {
            let dialogue = desk.writes(peer, peer, &format!("Hello, I am {peer}"));
            let turn = desk.lease();
            let events = state.filter(|state| *state == DialogueState::Succeeded).map(|_| {
                let detail = serde_json::json!({
                    "summary": "wants a call", "quote": "call me", "contact_kind": "phone",
                    "contact": "+79123456789",
                });
                DialogueNote { event: "contact-obtained", detail }
            });
            let answer = Answer {
                texts: vec![(Author::Ai, format!("Good day, {peer}"))],
                state: state.map(|state| (state, format!("because of {peer}"))),
                events: events.into_iter().collect(),
                ..Answer::default()
            };
            desk.answers(&turn, &answer, 100_000);
            drop(desk.leave(OutcomeClass::Sent, ""));
            all.insert(state.map_or("open", DialogueState::as_str), dialogue);
        }
        (desk, all)
    }
}
