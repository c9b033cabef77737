//! wuzapi over the wire: a real server, a real Postgres, forms made here.

use nuncio::rehearsal::{Entry, Rehearsal};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{Behaviour, Hosted, PATIENCE, channel, vk_task, wait_until};

const PERSON: &str = "+79161000001";
/// The first call to them is delivered, and never answered.
const WITHHELD: &str = "+79161230504";

struct Stage {
    hosted: Hosted,
    client: Client,
}

impl Stage {
    fn new(audience: &str) -> Self {
        let gateway = "  gateway: wuzapi\n  endpoint: http://127.0.0.1:9\n";
        let credentials = "apiKey: {env: K}, webhookKey: {env: W}";
        let task = vk_task("talk", "gate", audience, "  state: running");
        let manifests = [
            ("gate.yaml", channel("gate", "whatsapp-web", credentials, gateway)),
            ("talk.yaml", task.replace("vkontakte", "whatsapp")),
        ];
        let manifests = manifests.each_ref().map(|(name, text)| (*name, text.as_str()));
        let hosted = Hosted::with(&manifests, Behaviour { faults: true, ..Behaviour::default() });
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { hosted, client }
    }

    #[track_caller]
    fn answers(&self, key: &str, token: &str, told: &Value, status: u16) {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("jsonData", &told.to_string())
            .append_pair("token", token)
            .finish();
        let request = self
            .client
            .post(self.hosted.url(&format!("/hooks/gate{key}")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        assert_eq!(self.hosted.fetch(request).status().as_u16(), status, "{told}");
    }

    #[track_caller]
    fn takes(&self, told: &Value) {
        let secret = |name| Rehearsal::secret("gate", name).reveal().to_owned();
        self.answers(&format!("/{}", secret("webhookKey")), &secret("apiKey"), told, 200);
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

    fn sent(&self) -> Vec<Entry> {
        self.hosted.rehearsal.recent().into_iter().filter(Entry::is_delivery).collect()
    }
}

fn source(peer: &str, from_us: bool) -> Value {
    let chat = format!("{}@s.whatsapp.net", peer.trim_start_matches('+'));
    json!({
        "Chat": chat, "Sender": chat, "IsFromMe": from_us, "IsGroup": false,
        "Timestamp": "2026-09-21T14:13:20Z",
    })
}

fn message(peer: &str, from_us: bool, id: &str, text: &str) -> Value {
    let mut info = source(peer, from_us);
    info["ID"] = json!(id);
    json!({ "type": "Message", "event": { "Info": info, "Message": { "conversation": text } } })
}

fn receipt(peer: &str, id: &str, state: &str) -> Value {
    let mut event = source(peer, false);
    event["MessageIDs"] = json!([id]);
    json!({ "type": "ReadReceipt", "state": state, "event": event })
}

const OURS: &str = "SELECT string_agg(state, ' ' ORDER BY id) FROM messages WHERE author = 'ai'";
const OWNER: &str = "SELECT state FROM dialogues";
const ATTEMPT: &str =
    "SELECT coalesce(outcome, '-') || ' ' || coalesce(delivery, '-') FROM attempts";

#[test]
fn a_person_is_opened_answered_and_taken_over_and_a_repeat_changes_nothing() {
    let stage = Stage::new(&format!("[\"{PERSON}\"]"));
    let working = stage.hosted.work();
    stage.wait_for(ATTEMPT, "sent -");
    let opening = stage.value("SELECT provider_message_id FROM attempts");
    let hello = message(PERSON, false, "3A01", "Hello! What does it cost?");
    for told in [receipt(PERSON, &opening, "Delivered"), hello.clone(), hello] {
        stage.takes(&told);
    }
    stage.wait_for(ATTEMPT, "sent delivered");
    stage.wait_for(OURS, "sent");
    let answer = stage.value("SELECT provider_message_id FROM messages WHERE author = 'ai'");
    stage.takes(&receipt(PERSON, &answer, "Read"));
    assert_eq!(stage.value(OURS), "read");
    assert_eq!(stage.value(OWNER), "open");
    let typed = message(PERSON, true, "3A02", "Anna here");
    stage.takes(&typed);
    stage.takes(&typed);
    assert_eq!(stage.value(OWNER), "with-operator");
    drop(working);
    assert_eq!(stage.sent().len(), 2);
    // What is kept has no secret in it.
    let leaks = "SELECT count(*) FROM deliveries WHERE convert_from(body, 'UTF8') ~ 'rehearsal'";
    assert_eq!(stage.value(leaks), "0");
}

#[test]
fn a_doubt_is_settled_by_a_receipt_and_never_by_sending_again() {
    let stage = Stage::new(&format!("[\"{WITHHELD}\"]"));
    let working = stage.hosted.work();
    stage.wait_for(ATTEMPT, "in-doubt -");
    let [sent] = &stage.sent()[..] else { panic!("{:?}", stage.sent()) };
    let id = sent.attempt.clone().unwrap();
    stage.takes(&receipt(WITHHELD, "3EB0FFFFFFFFFFFFFFFF", "Delivered"));
    assert_eq!(stage.value(ATTEMPT), "in-doubt -", "of another message");
    stage.takes(&receipt(WITHHELD, &id, "Delivered"));
    stage.wait_for(ATTEMPT, "sent delivered");
    drop(working);
    assert_eq!(stage.sent().len(), 1);
}

#[test]
fn who_does_not_know_both_secrets_brings_nothing() {
    let stage = Stage::new(&format!("[\"{PERSON}\"]"));
    let secret = |name| Rehearsal::secret("gate", name).reveal().to_owned();
    let (key, token) = (format!("/{}", secret("webhookKey")), secret("apiKey"));
    let hello = message(PERSON, false, "3A01", "Hello!");
    for (key, token) in [("", &*token), ("/x", &token), (&key, "x"), (&key, "")] {
        stage.answers(key, token, &hello, 401);
    }
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "0");
    stage.takes(&hello);
    assert_eq!(stage.value("SELECT count(*) FROM messages WHERE author = 'person'"), "1");
}
