//! A stage whose replies leave by calls: a gateway of WhatsApp, where a repeat would arrive twice.

use std::{path::Path, time::Duration};

use nuncio::{
    domain::{
        address::Address,
        dialogue::{Delivery, Received},
        id::{ChannelName, DialogueId},
        kind::ChannelKind,
    },
    rehearsal::{Direction, Entry},
    store::{Parcel, Store},
};
use tokio::runtime::Runtime;

use super::PATIENCE;
use crate::support::{
    Folder, Program, Providers, Running, TEAM, TestDatabase, channel, vk_task, wait_until,
};

pub(super) struct Messenger {
    folder: Folder,
    pub(super) database: TestDatabase,
    pub(super) providers: Providers,
    pub(super) runtime: Runtime,
    pub(super) store: Store,
}

impl Messenger {
    /// Providers that answer after `delay`; nobody of the audience is there.
    pub(super) fn new(delay: Duration) -> Self {
        let (folder, database) = (Folder::new(), TestDatabase::new());
        let providers = Providers::start(delay, true);
        let ai = format!(
            "  endpoint: {}\n  apiKey: {{env: AI_KEY}}\n  model: gpt-5-mini",
            providers.ai_endpoint()
        );
        folder.write("team.yaml", &TEAM.replace("  model: test-model", &ai));
        let endpoint = |kind| format!("  endpoint: {}\n", providers.endpoint(kind));
        let whats = endpoint(ChannelKind::WhatsappWeb);
        folder.write("whats.yaml", &channel("whats", "whatsapp-web", "apiKey: {env: K}", &whats));
        let vk = endpoint(ChannelKind::VkUser);
        folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: V}", &vk));
        let task = |name: &str, channel: &str, nobody: &str| {
            vk_task(name, channel, nobody, "  state: running")
        };
        let talk = task("whats-talk", "whats", "[\"+79165000404\"]");
        folder.write("whats-talk.yaml", &talk.replace("type: vkontakte", "type: whatsapp"));
        folder.write("vk-talk.yaml", &task("vk-talk", "vk", "[70404]"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let store = runtime.block_on(database.store());
        let stage = Self { folder, database, providers, runtime, store };
        let applied = stage.program(&["apply", "--auto-approve"]).run();
        assert_eq!(applied.code, 0, "{applied:?}");
        stage
    }

    pub(super) fn program(&self, arguments: &[&str]) -> Program {
        Program::new(self.folder.root(), arguments)
            .database(&self.database)
            .env("AI_KEY", Providers::secret("sales", "apiKey"))
            .env("K", Providers::secret("whats", "apiKey"))
            .env("V", Providers::secret("vk", "token"))
    }

    /// A watch that holds its lanes.
    pub(super) fn watch(&self) -> Running {
        self.watching(Program::start)
    }

    /// As [`Self::watch`], and what it logs is in a file.
    pub(super) fn watch_logging(&self, log: &Path) -> Running {
        self.watching(|program| program.start_logging(log))
    }

    fn watching(&self, start: impl FnOnce(Program) -> Running) -> Running {
        let before = self.database.value("SELECT count(*) FROM living_executors");
        let watch = start(self.program(&["watch"]));
        self.wait_for(&format!("SELECT count(*) > {before} FROM living_executors"), "true");
        self.wait_for(
            "SELECT bool_and(owner IN (SELECT id FROM living_executors)) FROM lanes",
            "true",
        );
        watch
    }

    #[track_caller]
    pub(super) fn wait_for(&self, query: &str, wanted: &str) {
        wait_until(query, PATIENCE, || {
            let value = self.database.value(query);
            (value == wanted, value)
        });
    }

    /// A person's message, which nobody is to answer.
    pub(super) fn writes(&self, to: &str, peer: &str) -> DialogueId {
        let what = Delivery::Message { id: format!("id-{peer}"), text: "Hello".to_owned() };
        let received = [Received::of(Address::from_stored(peer.to_owned()), None, what)];
        let channel: ChannelName = to.parse().unwrap();
        let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
        let taken = self.runtime.block_on(self.store.receive(&parcel)).unwrap();
        assert_eq!(taken.fresh, 1);
        let of = format!("WHERE channel = '{to}' AND peer = '{peer}'");
        self.database.run(&format!("UPDATE dialogues SET due_at = NULL {of}"));
        DialogueId(self.database.value(&format!("SELECT id FROM dialogues {of}")).parse().unwrap())
    }

    /// A message of the AI, as it waits after the commit of an answer.
    pub(super) fn ai_says(&self, dialogue: DialogueId, text: &str) {
        self.database.run(&format!(
            "INSERT INTO messages (dialogue_id, channel, author, text, turn, state, ready_at)
            SELECT id, channel, 'ai', '{text}', turn, 'waiting', now() FROM dialogues WHERE id = {dialogue};
            NOTIFY nuncio_dialogues"
        ));
    }

    /// Every lease is over.
    pub(super) async fn expire(&self) {
        let mut connection = self.database.connection().await;
        let expire = "UPDATE executors SET alive_until = now()";
        sqlx::raw_sql(expire).execute(&mut connection).await.unwrap();
    }

    /// So much time has passed that no call that was permitted before can still run.
    pub(super) async fn let_calls_end(&self) {
        let mut connection = self.database.connection().await;
        let age = "UPDATE messages SET sending_at = sending_at - interval '1 minute' WHERE state = 'sending'";
        sqlx::raw_sql(age).execute(&mut connection).await.unwrap();
    }

    /// The calls for a person, by the providers' journal.
    pub(super) fn calls_to(&self, peer: &str) -> Vec<Entry> {
        let to_them = |one: &Entry| one.address == peer && one.direction == Direction::ToPerson;
        self.providers.journal().into_iter().filter(to_them).collect()
    }
}
