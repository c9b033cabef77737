//! Avito over the wire: strangers are answered, whichever way their words come.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use nuncio::{
    clock::now,
    domain::kind::ChannelKind,
    rehearsal::{Direction, Entry, Rehearsal},
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{Behaviour, Hosted, PATIENCE, channel, incoming_task, wait_until};

/// Avito waits for no answer of ours longer.
const AVITOS_PATIENCE: Duration = Duration::from_secs(2);
const USER: i64 = 94_235_311;
const CHAT: &str = "u2i-rehearsal-5678";

struct Stage {
    hosted: Hosted,
    client: Client,
}

impl Stage {
    /// Accounts by name and by the way in which they hear, all in one task.
    fn new(channels: &[(&str, &str)], behaviour: Behaviour) -> Self {
        let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
        let credentials = "clientId: {env: I}, clientSecret: {env: S}, webhookSecret: {env: W}";
        let mut documents = vec![incoming_task("talk", "avito", &names.join(", "))];
        for (name, receive) in channels {
            let settings = format!("  userId: {USER}\n  receive: {receive}\n");
            documents.push(channel(name, "avito", credentials, &settings));
        }
        let hosted = Hosted::with(&[("avito.yaml", &documents.join("---"))], behaviour);
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

    /// A webhook of Avito's at this address; the status of the answer.
    fn brings(&self, path: &str, event: &Value) -> u16 {
        let url = self.hosted.url(&format!("/hooks/{path}"));
        self.hosted.fetch(self.client.post(url).body(event.to_string())).status().as_u16()
    }

    fn person_writes(&self, name: &str, chat: &str, text: &str) {
        let address = format!("avito:{chat}");
        self.hosted.rehearsal.person_writes(ChannelKind::Avito, name, &address, text);
    }

    /// The seller writes in Avito's own app.
    fn types_by_hand(&self, name: &str, text: &str) {
        let endpoint = self.hosted.rehearsal.endpoint(ChannelKind::Avito).unwrap();
        let secret = |credential| Rehearsal::secret(name, credential).reveal().to_owned();
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", secret("clientId")),
            ("client_secret", secret("clientSecret")),
        ];
        let request = self.client.post(format!("{endpoint}/token")).form(&form);
        let token: Value = self.json(request);
        let url = format!("{endpoint}/messenger/v1/accounts/{USER}/chats/{CHAT}/messages");
        let body = json!({ "type": "text", "message": { "text": text } }).to_string();
        let request = self
            .client
            .post(url)
            .bearer_auth(token["access_token"].as_str().unwrap())
            .header("content-type", "application/json")
            .body(body);
        assert_eq!(self.json(request)["direction"], "out");
    }

    fn json(&self, request: reqwest::RequestBuilder) -> Value {
        self.hosted.runtime.block_on(async {
            let answer = request.send().await.unwrap().text().await.unwrap();
            serde_json::from_str(&answer).unwrap()
        })
    }

    fn texts(&self, wanted: impl Fn(&Entry) -> bool) -> BTreeMap<String, Vec<String>> {
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in self.hosted.rehearsal.recent().into_iter().filter(wanted) {
            texts.entry(entry.address).or_default().push(entry.text);
        }
        texts
    }

    fn stored(&self, wanted: &str) -> BTreeMap<String, Vec<String>> {
        let query = format!(
            "SELECT coalesce(json_agg(json_build_array(d.peer, m.text) ORDER BY m.id), '[]')
            FROM messages m JOIN dialogues d ON d.id = m.dialogue_id WHERE {wanted}"
        );
        let rows: Vec<(String, String)> = serde_json::from_str(&self.value(&query)).unwrap();
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (peer, text) in rows {
            texts.entry(peer).or_default().push(text);
        }
        texts
    }
}

fn said(id: &str, change: &Value) -> Value {
    let mut value = json!({
        "id": id, "chat_id": CHAT, "user_id": USER, "author_id": 70_005_678, "created": now().timestamp(),
        "type": "text", "chat_type": "u2i", "item_id": 7, "content": { "text": "Hello" },
    });
    value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "id": format!("e-{id}"), "version": "v3.0.0", "timestamp": now().timestamp(),
        "payload": { "type": "message", "value": value } })
}

fn hook(name: &str) -> String {
    format!("{name}/{}", Rehearsal::secret(name, "webhookSecret").reveal())
}

const STATES: &str =
    "SELECT string_agg(right(peer, 4) || ' ' || state, ', ' ORDER BY peer) FROM dialogues";
const MESSAGES: &str =
    "SELECT string_agg(author || ' ' || coalesce(state, '-'), ', ' ORDER BY id) FROM messages";

/// All that the strangers of the rehearsal say: three times, six, and twice each.
const N_SAID: usize = 15;

#[test]
fn strangers_are_answered_whichever_way_their_words_come() {
    for receive in ["polling", "webhook"] {
        // Tokens end in the middle of it.
        let behaviour = Behaviour { people: true, faults: true, ..Behaviour::default() };
        let stage = Stage::new(&[("shop", receive)], behaviour);
        let working = stage.hosted.work();
        // A success, a human that is asked for, two lines of a burst, three times the same, and a STOP.
        let ends = "0903 with-operator, 0905 succeeded, 0907 open, 0909 closed, 5551 succeeded";
        stage.wait_for(STATES, ends);
        let left =
            "SELECT count(*) FROM messages WHERE state IN ('waiting', 'sending', 'in-doubt')";
        stage.wait_for(left, "0");
        let said = |entry: &Entry| entry.direction == Direction::FromPerson;
        let heard = "m.author = 'person'";
        wait_until("everybody is heard", PATIENCE, || {
            let seen = (
                stage.texts(said).values().flatten().count(),
                stage.stored(heard).values().flatten().count(),
            );
            (seen == (N_SAID, N_SAID), seen)
        });
        drop(working);
        let sorted = |mut texts: BTreeMap<String, Vec<String>>| {
            for one in texts.values_mut() {
                one.sort();
            }
            texts
        };
        assert_eq!(sorted(stage.texts(said)), sorted(stage.stored(heard)), "{receive}");
        let sent = "m.author <> 'person' AND m.state = 'sent'";
        assert_eq!(stage.texts(Entry::is_delivery), stage.stored(sent), "{receive}");
        assert_eq!(stage.value("SELECT count(*) FROM messages WHERE author = 'operator'"), "0");
        let pushed = stage.hosted.rehearsal.recent().into_iter();
        let pushed = pushed.filter(|entry| entry.direction == Direction::Push);
        assert_eq!(pushed.count() > 0, receive == "webhook", "{receive}");
        // The secrets are kept nowhere.
        let kept =
            "SELECT count(*) FROM deliveries WHERE encode(body, 'escape') LIKE '%rehearsal\\_%'";
        assert_eq!(stage.value(kept), "0", "{receive}");
    }
}

#[test]
fn a_reply_whose_answer_never_came_is_settled_when_it_is_seen() {
    let stage =
        Stage::new(&[("shop", "polling")], Behaviour { faults: true, ..Behaviour::default() });
    let working = stage.hosted.work();
    wait_until("it listens", PATIENCE, || {
        let cursors = stage.value("SELECT count(*) FROM receive_cursors");
        (cursors == "1", cursors)
    });
    stage.person_writes("shop", "u2i-rehearsal-0504", "Hello! What does it cost?");
    stage.wait_for(MESSAGES, "person -, ai sent");
    let told = "SELECT provider_message_id ~ '^[0-9a-f]{32}$' FROM messages WHERE author = 'ai'";
    assert_eq!(stage.value(told), "true");
    drop(working);
    let sent = stage.texts(Entry::is_delivery);
    assert_eq!(sent["avito:u2i-rehearsal-0504"].len(), 1, "it was not sent again");
    assert_eq!(stage.value(STATES), "0504 open");
}

#[test]
fn what_the_seller_types_takes_the_dialogue_over_and_an_echo_of_ours_does_not() {
    let stage = Stage::new(&[("shop", "polling")], Behaviour::default());
    let working = stage.hosted.work();
    wait_until("it listens", PATIENCE, || {
        let cursors = stage.value("SELECT count(*) FROM receive_cursors");
        (cursors == "1", cursors)
    });
    stage.person_writes("shop", CHAT, "Hello! What does it cost?");
    stage.wait_for(MESSAGES, "person -, ai sent");
    stage.person_writes("shop", CHAT, "And for two?");
    stage.wait_for(MESSAGES, "person -, ai sent, person -, ai sent");
    assert_eq!(stage.value(STATES), "5678 open", "the echo of the first was heard by then");
    stage.types_by_hand("shop", "Boris here, let me help.");
    stage.wait_for(STATES, "5678 with-operator");
    stage.person_writes("shop", CHAT, "Thank you, Boris");
    stage.wait_for(MESSAGES, "person -, ai sent, person -, ai sent, operator sent, person -");
    assert_eq!(stage.value("SELECT state_by FROM dialogues"), "the app");
    drop(working);
    let sent = stage.texts(Entry::is_delivery);
    assert_eq!(sent[&format!("avito:{CHAT}")].len(), 3);
}

#[test]
fn webhooks_are_taken_once_at_once_and_only_at_the_secret_address() {
    let stage = Stage::new(&[("shop", "webhook")], Behaviour::default());
    let hello = said("m1", &json!({}));
    let took = (0..3).map(|_| {
        let began = Instant::now();
        assert_eq!(stage.brings(&hook("shop"), &hello), 200);
        began.elapsed()
    });
    // The quickest: the machine may be busy for a moment.
    assert!(took.min().unwrap() < AVITOS_PATIENCE, "Avito would have given up");
    let everything =
        "SELECT (SELECT count(*) FROM messages) || ' ' || (SELECT count(*) FROM deliveries)";
    assert_eq!(stage.value(everything), "1 1");
    let other = said("m2", &json!({}));
    for path in ["shop", "shop/wrong", &hook("other").replacen("other", "shop", 1)] {
        assert_eq!(stage.brings(path, &other), 401, "{path}");
    }
    // The probe of an address, a picture, a notice of Avito's, and an event of another account.
    assert_eq!(stage.brings(&hook("shop"), &json!({})), 200);
    let image = json!({ "type": "image", "content": { "image": { "sizes": {} } } });
    assert_eq!(stage.brings(&hook("shop"), &said("m3", &image)), 200);
    for passed_over in
        [json!({ "type": "system" }), json!({ "user_id": 5 }), json!({ "chat_type": "a2u" })]
    {
        assert_eq!(stage.brings(&hook("shop"), &said("m4", &passed_over)), 200);
    }
    let texts = "SELECT string_agg(text, ', ' ORDER BY id) FROM messages";
    assert_eq!(stage.value(texts), "Hello, [image]");
}

#[test]
fn an_unpaid_account_stops_its_own_lane_only() {
    let behaviour = Behaviour { faults: true, ..Behaviour::default() };
    let stage = Stage::new(&[("shop", "webhook"), ("shop-banned", "webhook")], behaviour);
    let working = stage.hosted.work();
    for (id, name) in [("m1", "shop"), ("m2", "shop-banned")] {
        // Which the provider has to know of, to let it be answered.
        stage.person_writes(name, CHAT, "Hello");
        assert_eq!(stage.brings(&hook(name), &said(id, &json!({}))), 200);
    }
    let blocked = "SELECT string_agg(channel || ' ' || coalesce(blocked_class, '-'), ', ' ORDER BY channel) FROM lanes";
    stage.wait_for(blocked, "shop -, shop-banned channel-blocked");
    let sent = "SELECT string_agg(channel || ' ' || state, ', ') FROM messages
        WHERE author = 'ai' AND state = 'sent'";
    stage.wait_for(sent, "shop sent");
    drop(working);
    let sent = stage.hosted.rehearsal.recent().into_iter();
    assert!(sent.filter(Entry::is_delivery).all(|entry| entry.channel == "shop"));
}
