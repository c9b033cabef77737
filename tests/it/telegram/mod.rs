//! Telegram's bots over the wire: a real server, a real Postgres, and the rehearsal's Bot API.

mod business;
mod oracles;
mod receiving;

use chrono::Utc;
use nuncio::{
    clock,
    domain::kind::ChannelKind,
    rehearsal::{Direction, Entry, Rehearsal},
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{Behaviour, Hosted, PATIENCE, channel, wait_until};

const PERSON: &str = "telegram:7000000001";

/// A bot that asks, one that is pushed to, a business, and a bot whose token has expired; each with a task.
struct Stage {
    hosted: Hosted,
    client: Client,
}

fn task(name: &str) -> String {
    format!(
        "apiVersion: nuncio/v1
kind: Task
metadata: {{name: {name}-talk}}
spec:
  type: telegram
  format: incoming
  channels: [{name}]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 0.50
  state: running
"
    )
}

impl Stage {
    fn new() -> Self {
        let token = "token: {env: T}";
        let pushed = "token: {env: T}, webhookSecret: {env: S}";
        let business = "token: {env: T}, webhookSecret: {env: S}, connectionId: {env: C}";
        let webhook = "  receive: webhook\n";
        let channels = [
            ("bot", channel("bot", "telegram-bot", token, "")),
            ("pushed", channel("pushed", "telegram-bot", pushed, webhook)),
            ("shop", channel("shop", "telegram-business", business, "")),
            ("expired", channel("expired", "telegram-bot", token, "")),
        ];
        let manifests: Vec<(String, String)> = channels
            .into_iter()
            .flat_map(|(name, channel)| {
                [(format!("{name}.yaml"), channel), (format!("{name}-talk.yaml"), task(name))]
            })
            .collect();
        let manifests: Vec<(&str, &str)> =
            manifests.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let hosted = Hosted::with(&manifests, Behaviour { faults: true, ..Behaviour::default() });
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { hosted, client }
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

    fn writes(&self, kind: ChannelKind, channel: &str, address: &str, text: &str) {
        self.hosted.rehearsal.person_writes(kind, channel, address, text);
    }

    /// What a person was sent, by the provider's journal.
    fn heard(&self, channel: &str, address: &str) -> Vec<String> {
        let theirs = |entry: &Entry| {
            entry.is_delivery() && entry.channel == channel && entry.address == address
        };
        let entries = self.hosted.rehearsal.recent();
        entries.into_iter().filter(theirs).map(|entry| entry.text).collect()
    }

    /// A call of the rehearsal's Bot API.
    fn asks(&self, kind: ChannelKind, channel: &str, method: &str) -> Value {
        let base = self.hosted.rehearsal.endpoint(kind).unwrap();
        let token = Rehearsal::secret(channel, "token");
        let request = self.client.post(format!("{base}/bot{}/{method}", token.reveal()));
        self.hosted.runtime.block_on(async {
            let answer = request.send().await.unwrap().text().await.unwrap();
            serde_json::from_str::<Value>(&answer).unwrap()["result"].clone()
        })
    }

    /// Brings an update to `/hooks/{channel}` with this secret; gives the status.
    fn brings(&self, channel: &str, secret: &str, update: &Value) -> u16 {
        let url = self.hosted.url(&format!("/hooks/{channel}"));
        let request = self
            .client
            .post(url)
            .header("x-telegram-bot-api-secret-token", secret)
            .header("content-type", "application/json")
            .body(update.to_string());
        self.hosted.runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
    }

    /// Brings what is to be taken.
    #[track_caller]
    fn takes(&self, channel: &str, update: &Value) {
        let secret = Rehearsal::secret(channel, "webhookSecret").reveal().to_owned();
        assert_eq!(self.brings(channel, &secret, update), 200, "{update}");
    }
}

/// A message of the person's, with these changes.
fn message(changes: &Value) -> Value {
    let person = json!({ "id": 7_000_000_001_i64, "is_bot": false, "first_name": "Anna" });
    let mut message = json!({
        "message_id": 7, "date": now(), "text": "Hello! What does it cost?", "from": person,
        "chat": { "id": 7_000_000_001_i64, "type": "private", "first_name": "Anna" },
    });
    message.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    message
}

fn now() -> i64 {
    clock::now().with_timezone(&Utc).timestamp()
}

fn signs(stage: &Stage, channel: &str) -> Vec<String> {
    let entries = stage.hosted.rehearsal.recent().into_iter();
    let shown =
        entries.filter(|entry| entry.channel == channel && entry.direction == Direction::Sign);
    shown.filter_map(|entry| entry.note).collect()
}
