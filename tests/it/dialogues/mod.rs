//! Dialogues under failure: what is spent, who speaks, and that nothing hangs.

mod answers;
mod crashes;
mod floods;
mod lanes;
mod lost_words;
mod messenger;
mod owed;
mod takeovers;
mod threads;

use std::time::Duration;

use nuncio::{
    domain::{
        address::Address,
        dialogue::{Delivery, Received},
        id::{ChannelName, DialogueId, ExecutorId},
        resource::Prices,
    },
    store::{Parcel, Presence, Repeat, Said, Store, Sweep, Words},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::support::{Folder, PATIENCE, Program, Providers, Running, TestDatabase};

/// A chat page with a task, an AI that is rehearsed, and a database.
struct Stage {
    folder: Folder,
    database: TestDatabase,
    providers: Providers,
    runtime: Runtime,
    store: Store,
}

impl Stage {
    /// With an AI that thinks for so long, and a limit for each dialogue.
    fn new(delay: Duration, limit: &str, ai: &str) -> Self {
        let (folder, database) = (Folder::new(), TestDatabase::new());
        let providers = Providers::start(delay, true);
        folder.write("all.yaml", &manifests(&providers.ai_endpoint(), limit, ai));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .unwrap();
        let store = runtime.block_on(database.store());
        let stage = Self { folder, database, providers, runtime, store };
        let applied = stage.program(&["apply", "--auto-approve"]).run();
        assert_eq!(applied.code, 0, "{applied:?}");
        stage
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::new(self.folder.root(), arguments)
            .database(&self.database)
            .env("AI_KEY", Providers::secret("sales", "apiKey"))
    }

    fn watch(&self) -> Running {
        self.program(&["watch"]).start()
    }

    /// A statement as nuncio's own, from within the runtime.
    async fn run(&self, statement: &'static str) {
        let url = self.database.url();
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    /// What the AI's server has billed, by its own journal.
    fn billed(&self) -> i64 {
        let price = |text: &str| text.parse().unwrap();
        let prices = Prices { input: price("1"), cached_input: price("1"), output: price("2") };
        self.providers.ai_journal().iter().map(|entry| entry.billed(&prices).micros()).sum()
    }

    /// The visitor writes; each message has its own number.
    fn write(&self, visitor: &str, number: usize, text: &str) {
        self.runtime.block_on(write(&self.store, visitor, number, text));
    }

    /// The visitor writes as often at the same moment.
    fn write_burst(&self, visitor: &str, times: usize, text: &str) {
        let received: Vec<Received> =
            (1..=times).map(|number| said(visitor, number, text)).collect();
        self.runtime.block_on(receive(&self.store, &received));
    }
}

async fn write(store: &Store, visitor: &str, number: usize, text: &str) {
    write_together(store, &[visitor.to_owned()], number, text).await;
}

/// The same words of several visitors, as one delivery.
async fn write_together(store: &Store, visitors: &[String], number: usize, text: &str) {
    let received: Vec<Received> =
        visitors.iter().map(|visitor| said(visitor, number, text)).collect();
    receive(store, &received).await;
}

fn said(visitor: &str, number: usize, text: &str) -> Received {
    let what = Delivery::Message { id: format!("{visitor}-{number}"), text: text.to_owned() };
    Received::of(Address::from_stored(visitor.to_owned()), None, what)
}

/// One delivery, of which everything is new.
async fn receive(store: &Store, received: &[Received]) {
    let channel: ChannelName = "site".parse().unwrap();
    let parcel = Parcel { channel: &channel, received, raw: None, cursor: None };
    assert_eq!(store.receive(&parcel).await.unwrap().fresh, received.len());
}

/// An executor without loops: the test itself leases, answers and permits.
async fn executor(store: &Store) -> (ExecutorId, Presence) {
    let id = ExecutorId(Uuid::new_v4());
    let presence = store.register_executor(id, "here", 1).await.unwrap();
    assert!(matches!(store.sweep_lanes(id).await.unwrap(), Sweep::Holds { .. }));
    (id, presence)
}

fn manifests(ai_endpoint: &str, limit: &str, ai: &str) -> String {
    format!(
        "apiVersion: nuncio/v1
kind: Manager
metadata: {{name: anna}}
spec: {{fullName: Anna Petrova, persona: Friendly.}}
---
apiVersion: nuncio/v1
kind: Ai
metadata: {{name: sales}}
spec:
  endpoint: {ai_endpoint}
  model: gpt-5-mini
  apiKey: {{env: AI_KEY}}
  instructions: Sell.
  maxOutputTokens: 100
  disclosure: I am a virtual assistant.
  handover: A colleague will go on.
  prices: {{inputPerMillionTokens: 1, outputPerMillionTokens: 2}}
{ai}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {{name: site}}
spec: {{kind: page-messenger}}
---
apiVersion: nuncio/v1
kind: Task
metadata: {{name: web}}
spec:
  type: web
  format: incoming
  channels: [site]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: {limit}
  state: running
"
    )
}

/// An operator's words, which are taken.
async fn anna_says(store: &Store, dialogue: DialogueId, text: &str) {
    let parts = [text.to_owned()];
    let words = Words { parts: &parts, by: "anna", repeat: Repeat::Accident };
    let said = store.say(dialogue, &words).await.unwrap();
    assert!(matches!(said, Said::Accepted(_)), "{said:?}");
}
