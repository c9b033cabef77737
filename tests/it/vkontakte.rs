//! Communities of VKontakte over the wire: strangers are answered, whichever way their words come.

use std::collections::BTreeMap;

use nuncio::{
    clock::now,
    domain::kind::ChannelKind,
    rehearsal::{Direction, Entry, Rehearsal},
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{Behaviour, Hosted, PATIENCE, channel, incoming_task, wait_until};

const GROUP: i64 = 200_500_100;
const PEER: i64 = 12_345_678;

struct Stage {
    hosted: Hosted,
    client: Client,
}

impl Stage {
    /// Communities by name and by the way in which they hear, all in one task.
    fn new(channels: &[(&str, &str)], behaviour: Behaviour) -> Self {
        let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
        let credentials = "token: {env: T}, secret: {env: S}, confirmation: {env: C}";
        let mut documents = vec![incoming_task("talk", "vkontakte", &names.join(", "))];
        for (name, receive) in channels {
            let settings = format!("  groupId: {GROUP}\n  receive: {receive}\n");
            documents.push(channel(name, "vk-public", credentials, &settings));
        }
        let hosted = Hosted::with(&[("vk.yaml", &documents.join("---"))], behaviour);
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

    /// A callback of VK's; the status and the text of the answer.
    fn brings(&self, name: &str, secret: &str, event: &Value) -> (u16, String) {
        let mut event = event.clone();
        event["secret"] = json!(secret);
        let url = self.hosted.url(&format!("/hooks/{name}"));
        let request = self.client.post(url).body(event.to_string());
        self.hosted.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    /// Someone who administrates the community writes in VK's own pages.
    fn types_by_hand(&self, name: &str, text: &str) {
        let endpoint = self.hosted.rehearsal.endpoint(ChannelKind::VkPublic).unwrap();
        let token = Rehearsal::secret(name, "token");
        let peer = PEER.to_string();
        let form = [
            ("access_token", token.reveal()),
            ("v", "5.199"),
            ("peer_id", &peer),
            ("random_id", "0"),
            ("message", text),
        ];
        let request = self.client.post(format!("{endpoint}/method/messages.send")).form(&form);
        assert_eq!(self.hosted.fetch(request).status(), 200);
    }

    fn person_writes(&self, name: &str, text: &str) {
        let (kind, peer) = (ChannelKind::VkPublic, PEER.to_string());
        self.hosted.rehearsal.person_writes(kind, name, &peer, text);
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

fn said(id: i64, text: &str) -> Value {
    json!({
        "type": "message_new", "group_id": GROUP, "event_id": format!("e{id}"), "v": "5.199",
        "object": { "message": {
            "id": id, "peer_id": PEER, "from_id": PEER, "date": now().timestamp(), "out": 0, "text": text,
        } },
    })
}

fn secret(name: &str) -> String {
    Rehearsal::secret(name, "secret").reveal().to_owned()
}

const STATES: &str =
    "SELECT string_agg(right(peer, 4) || ' ' || state, ', ' ORDER BY peer) FROM dialogues";

/// All that the strangers of the rehearsal say: three times, six, and twice each.
const N_SAID: usize = 15;

#[test]
fn strangers_are_answered_whichever_way_their_words_come() {
    for receive in ["polling", "webhook"] {
        let stage =
            Stage::new(&[("club", receive)], Behaviour { people: true, ..Behaviour::default() });
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
        // The providers' secrets are kept nowhere.
        let kept =
            "SELECT count(*) FROM deliveries WHERE encode(body, 'escape') LIKE '%rehearsal\\_%'";
        assert_eq!(stage.value(kept), "0", "{receive}");
    }
}

#[test]
fn what_an_administrator_types_takes_the_dialogue_over_and_an_echo_of_ours_does_not() {
    let stage = Stage::new(&[("club", "polling")], Behaviour::default());
    let working = stage.hosted.work();
    wait_until("it listens", PATIENCE, || {
        let cursors = stage.value("SELECT count(*) FROM receive_cursors");
        (cursors == "1", cursors)
    });
    stage.person_writes("club", "Hello! What does it cost?");
    let states =
        "SELECT string_agg(author || ' ' || coalesce(state, '-'), ', ' ORDER BY id) FROM messages";
    stage.wait_for(states, "person -, ai sent");
    stage.person_writes("club", "And for two?");
    stage.wait_for(states, "person -, ai sent, person -, ai sent");
    assert_eq!(stage.value(STATES), "5678 open", "the echo of the first was heard by then");
    stage.types_by_hand("club", "Boris here, let me help.");
    stage.wait_for(STATES, "5678 with-operator");
    stage.person_writes("club", "Thank you, Boris");
    stage.wait_for(states, "person -, ai sent, person -, ai sent, operator sent, person -");
    assert_eq!(stage.value("SELECT state_by FROM dialogues"), "the app");
    drop(working);
    let sent = stage.texts(Entry::is_delivery);
    assert_eq!(sent[&PEER.to_string()].len(), 3);
}

#[test]
fn callbacks_are_taken_once_and_from_vkontakte_alone() {
    let stage = Stage::new(&[("club", "webhook")], Behaviour::default());
    let right = secret("club");
    for _ in 0..3 {
        assert_eq!(stage.brings("club", &right, &said(7, "Hello")), (200, "ok".to_owned()));
    }
    let everything =
        "SELECT (SELECT count(*) FROM messages) || ' ' || (SELECT count(*) FROM deliveries)";
    assert_eq!(stage.value(everything), "1 1");
    let confirmation = json!({ "type": "confirmation", "group_id": GROUP });
    for (secret, event) in [
        ("wrong", said(8, "Hello")),
        ("", said(8, "Hello")),
        (&secret("other"), said(8, "Hello")),
        ("wrong", confirmation.clone()),
    ] {
        assert_eq!(stage.brings("club", secret, &event).0, 401, "{event}");
    }
    let code = Rehearsal::secret("club", "confirmation").reveal().to_owned();
    assert_eq!(stage.brings("club", &right, &confirmation), (200, code));
    assert_eq!(
        stage.brings("club", &right, &json!({ "type": "wall_post_new", "group_id": GROUP })).1,
        "ok"
    );
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "1");
    let body = "SELECT string_agg(encode(body, 'escape'), ' ') FROM deliveries";
    assert!(!stage.value(body).contains("secret"), "{}", stage.value(body));
}

#[test]
fn a_blocked_community_stops_its_own_lane_only() {
    let behaviour = Behaviour { faults: true, ..Behaviour::default() };
    let stage = Stage::new(&[("club", "webhook"), ("club-banned", "webhook")], behaviour);
    let working = stage.hosted.work();
    for (n, name) in [(1, "club"), (2, "club-banned")] {
        // Which the provider has to know of, to let it be answered.
        stage.person_writes(name, "Hello");
        assert_eq!(stage.brings(name, &secret(name), &said(n, "Hello")).0, 200);
    }
    let blocked = "SELECT string_agg(channel || ' ' || coalesce(blocked_class, '-'), ', ' ORDER BY channel) FROM lanes";
    stage.wait_for(blocked, "club -, club-banned channel-blocked");
    let sent = "SELECT string_agg(channel || ' ' || state, ', ') FROM messages
        WHERE author = 'ai' AND state = 'sent'";
    stage.wait_for(sent, "club sent");
    drop(working);
    let calls = stage.hosted.rehearsal.recent().into_iter();
    let calls = calls.filter(|entry| entry.direction == Direction::ToPerson);
    assert!(calls.into_iter().all(|entry| entry.channel == "club"));
}
