//! Instagram over the wire: a real server, a real Postgres, signatures made here.

use std::{fs, path::PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use nuncio::{
    clock,
    rehearsal::{Direction, Entry, Rehearsal, Verdict},
};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

use crate::support::{Behaviour, Hosted, PATIENCE, channel, wait_until};

/// The accounts of the channels `insta` and `twin`, which one application serves.
const ACCOUNT: &str = "17841400000000001";
const TWIN: &str = "17841400000000002";
const PERSON: &str = "17841400005551";

const TASK: &str = "
apiVersion: nuncio/v1
kind: Task
metadata: {name: talk}
spec:
  type: instagram
  format: incoming
  channels: [insta, twin, insta-banned]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 0.50
  state: running
";

struct Stage {
    hosted: Hosted,
    client: Client,
    _folder: TempDir,
}

impl Stage {
    /// In which these people have written to `insta`, so that they may be answered.
    fn new(people: &[&str]) -> Self {
        // One application: the secret that signs is that of `insta` on both.
        let credentials =
            "token: {env: T}, appSecret: {env: SHARED_BY_insta}, verifyToken: {env: V}";
        let account = |id: &str| format!("  accountId: {id}\n");
        let manifests = [
            ("insta.yaml", channel("insta", "instagram", credentials, &account(ACCOUNT))),
            ("twin.yaml", channel("twin", "instagram", credentials, &account(TWIN))),
            (
                "banned.yaml",
                channel("insta-banned", "instagram", credentials, &account("17841400000000003")),
            ),
            ("talk.yaml", TASK.to_owned()),
        ];
        let manifests = manifests.each_ref().map(|(name, text)| (*name, text.as_str()));
        let folder = TempDir::new().unwrap();
        let journal = Some(journal_of(&folder, people));
        let behaviour = Behaviour { faults: true, journal, ..Behaviour::default() };
        let hosted = Hosted::with(&manifests, behaviour);
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { hosted, client, _folder: folder }
    }

    #[track_caller]
    fn answers(&self, channel: &str, body: &Value, status: u16) {
        self.answers_signed_by(channel, "insta", body, status);
    }

    #[track_caller]
    fn answers_signed_by(&self, channel: &str, signer: &str, body: &Value, status: u16) {
        let body = body.to_string();
        let key = Rehearsal::secret(signer, "appSecret");
        let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()).unwrap();
        let digits = hex::encode(mac.chain_update(body.as_bytes()).finalize().into_bytes());
        let request = self
            .client
            .post(self.hosted.url(&format!("/hooks/{channel}")))
            .header("x-hub-signature-256", format!("sha256={digits}"))
            .body(body.clone());
        assert_eq!(self.hosted.fetch(request).status().as_u16(), status, "{channel}: {body}");
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

fn journal_of(folder: &TempDir, people: &[&str]) -> PathBuf {
    let path = folder.path().join("journal.jsonl");
    let now = clock::now();
    let line = |(n, person): (usize, &&str)| {
        let entry = Entry {
            direction: Direction::FromPerson,
            at: now.to_rfc3339(),
            at_ms: now.timestamp_millis(),
            provider: "instagram".to_owned(),
            channel: "insta".to_owned(),
            address: format!("instagram:{person}"),
            text: "Hello".to_owned(),
            key: None,
            attempt: None,
            verdict: Verdict::Delivered,
            fault: None,
            message_id: i64::try_from(n + 1).ok(),
            note: None,
        };
        serde_json::to_string(&entry).unwrap() + "\n"
    };
    fs::write(&path, people.iter().enumerate().map(line).collect::<String>()).unwrap();
    path
}

/// An event between a person and an account, as Meta nests it.
fn entry(account: &str, person: &str, from_us: bool, what: &Value) -> Value {
    let (sender, recipient) = if from_us { (account, person) } else { (person, account) };
    let mut event = json!({
        "sender": { "id": sender }, "recipient": { "id": recipient },
        "timestamp": clock::now().timestamp_millis(),
    });
    event.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    json!({ "id": account, "time": clock::now().timestamp_millis(), "messaging": [event] })
}

fn batch(entries: &[Value]) -> Value {
    json!({ "object": "instagram", "entry": entries })
}

fn said(account: &str, person: &str, mid: &str, text: &str) -> Value {
    let message = json!({ "message": { "mid": mid, "text": text } });
    batch(&[entry(account, person, false, &message)])
}

fn echo(person: &str, mid: &str, text: &str) -> Value {
    let message = json!({ "message": { "mid": mid, "text": text, "is_echo": true } });
    batch(&[entry(ACCOUNT, person, true, &message)])
}

const OURS: &str = "SELECT string_agg(state, ' ' ORDER BY id) FROM messages WHERE author = 'ai'";
const OWNER: &str = "SELECT string_agg(state, ' ' ORDER BY id) FROM dialogues";

#[test]
fn a_stranger_is_answered_and_our_own_words_come_back_as_ours() {
    let stage = Stage::new(&[PERSON]);
    let hello = said(ACCOUNT, PERSON, "m-1", "Hello! What does it cost?");
    stage.answers("insta", &hello, 200);
    stage.answers("insta", &hello, 200);
    let working = stage.hosted.work();
    stage.wait_for(OURS, "sent");
    drop(working);
    let [sent] = &stage.sent()[..] else { panic!("{:?}", stage.sent()) };
    assert_eq!(sent.address, format!("instagram:{PERSON}"));
    assert_eq!(stage.value("SELECT peer FROM dialogues"), sent.address);

    let mid = stage.value("SELECT provider_message_id FROM messages WHERE author = 'ai'");
    // Cut and joined on the way: the id is enough.
    stage.answers("insta", &echo(PERSON, &mid, &format!("{} ", sent.text)), 200);
    let seen = json!({ "read": { "mid": mid } });
    stage.answers("insta", &batch(&[entry(ACCOUNT, PERSON, false, &seen)]), 200);
    assert_eq!(stage.value(OURS), "read");
    assert_eq!(stage.value(OWNER), "open");
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "2");

    // What this program did not send, a person typed in the app.
    let typed = echo(PERSON, "m-7", "Anna here, give me a minute.");
    stage.answers("insta", &typed, 200);
    stage.answers("insta", &typed, 200);
    assert_eq!(stage.value(OWNER), "with-operator");
    assert_eq!(stage.value("SELECT count(*) FROM messages WHERE author = 'operator'"), "1");
}

#[test]
fn an_answer_that_never_came_is_settled_by_its_echo() {
    const WITHHELD: &str = "17841400000504";
    let stage = Stage::new(&[WITHHELD]);
    stage.answers("insta", &said(ACCOUNT, WITHHELD, "m-1", "Hello!"), 200);
    let working = stage.hosted.work();
    stage.wait_for(OURS, "in-doubt");
    let [sent] = &stage.sent()[..] else { panic!("{:?}", stage.sent()) };
    stage.answers("insta", &echo(WITHHELD, "m-2", &sent.text), 200);
    assert_eq!(stage.value(OURS), "sent");
    assert_eq!(stage.value(OWNER), "open");
    drop(working);
    assert_eq!(stage.sent().len(), 1, "it is never sent again");
}

#[test]
fn one_application_serves_two_accounts_at_one_address() {
    let stage = Stage::new(&[]);
    let both = batch(&[
        said(TWIN, PERSON, "m-1", "To the twin")["entry"][0].clone(),
        said(ACCOUNT, PERSON, "m-2", "To you")["entry"][0].clone(),
    ]);
    for _ in 0..2 {
        stage.answers("insta", &both, 200);
    }
    let heard = "SELECT string_agg(channel || ': ' || text, ', ' ORDER BY channel) FROM messages";
    assert_eq!(stage.value(heard), "insta: To you, twin: To the twin");
    // With each, what is its own is kept and nothing else.
    let kept = "SELECT string_agg(channel || ' ' || (convert_from(body, 'UTF8') ~ 'To the twin')
        || ' ' || (convert_from(body, 'UTF8') ~ 'To you'), ', ' ORDER BY channel) FROM deliveries";
    assert_eq!(stage.value(kept), "insta false true, twin true false");
    // And who may not sign for it, brings nobody anything.
    stage.answers_signed_by("insta", "another", &both, 401);
    // News of a message for an account that is nobody's channel is passed over.
    stage.answers("insta", &said("17841400000000009", PERSON, "m-3", "Hello?"), 200);
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "2");
}

#[test]
fn an_account_that_is_blocked_stops_no_other() {
    let stage = Stage::new(&[PERSON]);
    stage.answers("insta-banned", &said("17841400000000003", PERSON, "m-1", "Hello!"), 200);
    stage.answers("insta", &said(ACCOUNT, PERSON, "m-2", "Hello!"), 200);
    let working = stage.hosted.work();
    let ours = "SELECT string_agg(channel || ' ' || state, ', ' ORDER BY channel) FROM messages
        WHERE author = 'ai' AND state = 'sent'";
    stage.wait_for(ours, "insta sent");
    stage.wait_for("SELECT count(*) FROM lanes WHERE blocked_class IS NOT NULL", "1");
    drop(working);
    let blocked = "SELECT string_agg(channel || ' ' || blocked_class, ', ') FROM lanes
        WHERE blocked_class IS NOT NULL";
    assert_eq!(stage.value(blocked), "insta-banned channel-blocked");
}

#[test]
fn nothing_is_called_after_the_window() {
    let stage = Stage::new(&[PERSON]);
    stage.answers("insta", &said(ACCOUNT, PERSON, "m-1", "Hello!"), 200);
    stage.hosted.database.run(
        "UPDATE messages SET at = now() - interval '24 hours', provider_at = NULL;
        INSERT INTO messages (dialogue_id, channel, author, text, turn, state, ready_at)
        SELECT id, channel, 'ai', 'Good day!', turn, 'waiting', now() FROM dialogues;
        UPDATE dialogues SET due_at = NULL",
    );
    let working = stage.hosted.work();
    stage.wait_for(OURS, "failed");
    drop(working);
    assert_eq!(stage.sent(), []);
    assert_eq!(stage.value(OWNER), "with-operator");
}
