//! Webhooks of WhatsApp over the wire: a real server, a real Postgres, signatures made here.

mod aliases;
mod deliveries;
mod news;
mod outgoing;
mod refusals;
mod stops;
mod wire;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use nuncio::{
    clock,
    domain::id::{DialogueId, ExecutorId},
    rehearsal::{Direction, Entry},
    store::{HeldTurn, Sweep},
};
use reqwest::{Client, StatusCode};
use uuid::Uuid;
use wire::Hook;

use crate::support::{Behaviour, Hosted, PATIENCE, channel, vk_task, wait_until};

/// The phone number of the channel `cloud`, as Meta names it.
const NUMBER: &str = "106540352242922";

/// A `waba` channel `cloud`, a `whatsapp-web` channel `gate`, both with tasks, and a channel that no task uses.
struct Stage {
    hosted: Hosted,
    client: Client,
}

impl Stage {
    fn new() -> Self {
        Self::with(Behaviour::default(), "[\"+79160000000\"]")
    }

    /// Both tasks write to this audience, once an executor works.
    fn with(behaviour: Behaviour, audience: &str) -> Self {
        let cloud = "token: {env: T}, appSecret: {env: S}, verifyToken: {env: V}";
        let number = format!("  phoneNumberId: {NUMBER}\n");
        let gate = "apiKey: {env: K}, webhookKey: {env: W}";
        let task = |name: &str, channel: &str| {
            vk_task(name, channel, audience, "  state: running").replace("vkontakte", "whatsapp")
        };
        let template = "{template: {name: hello, language: en, variables: []}}";
        let manifests = [
            ("cloud.yaml", channel("cloud", "waba", cloud, &number)),
            ("gate.yaml", channel("gate", "whatsapp-web", gate, "")),
            ("idle.yaml", channel("idle", "waba", cloud, &number)),
            ("cloud-talk.yaml", task("cloud-talk", "cloud").replace("{text: Hello!}", template)),
            ("gate-talk.yaml", task("gate-talk", "gate")),
        ];
        let manifests = manifests.each_ref().map(|(name, text)| (*name, text.as_str()));
        let hosted = Hosted::with(&manifests, behaviour);
        hosted.database.run("UPDATE tasks SET pause_ms = 20");
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { hosted, client }
    }

    async fn brings(&self, hook: &Hook) -> StatusCode {
        let url = self.hosted.url(&format!("/hooks/{}", hook.channel));
        let mut request = self.client.post(url).body(hook.body.clone());
        for (name, value) in &hook.headers {
            request = request.header(*name, value);
        }
        request.send().await.unwrap().status()
    }

    /// Brings a webhook that is to be taken.
    #[track_caller]
    fn takes(&self, hook: &Hook) {
        self.answers(hook, 200);
    }

    #[track_caller]
    fn answers(&self, hook: &Hook, status: u16) {
        let got = self.hosted.runtime.block_on(self.brings(hook));
        assert_eq!(got.as_u16(), status, "{}", String::from_utf8_lossy(&hook.body));
    }

    fn value(&self, query: &str) -> String {
        self.hosted.database.value(query)
    }

    #[track_caller]
    fn wait_for(&self, query: &str, wanted: &str) {
        wait_until(query, PATIENCE, || {
            let value = self.value(query);
            (value == wanted, value)
        });
    }

    /// Everything that a delivery may change, as one text.
    fn everything(&self) -> String {
        let tables = ["dialogues", "messages", "deliveries", "opt_outs", "suppressions"];
        let more = ["dialogue_events", "attempts", "retries", "task_channels", "ai_calls"];
        let of = |table: &&str| {
            let rows =
                format!("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM {table} t");
            format!("{table}\n{}\n", self.value(&rows))
        };
        tables.iter().chain(&more).map(of).collect()
    }

    /// Leases every dialogue that is to be answered, as an executor does that makes no answer.
    fn lease_all(&self) -> Vec<HeldTurn> {
        self.hosted.database.run("UPDATE dialogues SET due_at = now() WHERE due_at IS NOT NULL");
        let store = &self.hosted.store;
        let executor = ExecutorId(Uuid::now_v7());
        self.hosted.runtime.block_on(async {
            let presence = store.register_executor(executor, "here", 1).await.unwrap();
            let sweep = store.sweep_lanes(executor).await.unwrap();
            assert!(matches!(sweep, Sweep::Holds { .. }), "{sweep:?}");
            let turns = store.lease_turns(executor, 1000).await.unwrap();
            // For as long as the test: what it holds is looked at.
            std::mem::forget(presence);
            turns
        })
    }

    fn dialogue_with(&self, channel: &str, peer: &str) -> DialogueId {
        let query = format!(
            "SELECT max(id) FROM dialogues WHERE channel = '{channel}' AND peer = '{peer}'"
        );
        DialogueId(self.value(&query).parse().unwrap())
    }

    /// What each person got from us, by the providers' journal.
    fn heard(&self) -> BTreeMap<String, Vec<String>> {
        let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in self.sent() {
            heard.entry(entry.address).or_default().push(entry.text);
        }
        heard
    }

    fn sent(&self) -> Vec<Entry> {
        self.hosted.rehearsal.recent().into_iter().filter(Entry::is_delivery).collect()
    }

    /// Waits until so many messages for somebody have left, whatever was answered.
    fn wait_for_calls(&self, address: &str, wanted: usize) {
        wait_until("the messages have left", PATIENCE, || {
            let calls = self.calls_to(address);
            (calls == wanted, calls)
        });
    }

    fn calls_to(&self, address: &str) -> usize {
        let is_call = |one: &Entry| one.address == address && one.direction == Direction::ToPerson;
        self.hosted.rehearsal.recent().iter().filter(|one| is_call(one)).count()
    }

    /// A message of the AI, as the executor would find it.
    fn ai_says(&self, dialogue: DialogueId, text: &str, columns: &str) {
        let (names, values) = columns.split_once(" = ").unwrap();
        self.hosted.database.run(&format!(
            "INSERT INTO messages (dialogue_id, channel, author, text, turn, {names}) \
             SELECT id, channel, 'ai', '{text}', turn, {values} FROM dialogues WHERE id = {dialogue}"
        ));
    }
}

fn now() -> DateTime<Utc> {
    clock::now()
}
