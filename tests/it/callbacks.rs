//! Callbacks of `api` channels: signed, in order, repeated, and ended by a 410.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use nuncio::{
    channels::{Http, NoVault},
    clock,
    domain::{
        address::Address,
        channel::Secret,
        dialogue::{Delivery, Received},
    },
    executor::{Callbacks, Connector},
    store::Parcel,
};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio_util::sync::CancellationToken;

use crate::support::{Ended, Hosted, PATIENCE, Program, channel, wait_until};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The system behind the channel: it notes what was posted, and answers as it is told to.
#[derive(Clone, Default)]
struct Behind {
    seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

async fn take(State(behind): State<Behind>, headers: HeaderMap, body: Bytes) -> StatusCode {
    behind.seen.lock().unwrap().push((headers, body));
    let answer = behind.answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(answer).unwrap()
}

impl Behind {
    fn start(hosted: &Hosted) -> (Self, String) {
        let behind = Self::default();
        let router = Router::new().fallback(take).with_state(behind.clone());
        let listener =
            hosted.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        hosted.runtime.spawn(async move { axum::serve(listener, router).await });
        (behind, format!("http://{address}/hook"))
    }

    fn answers(&self, answers: &[u16]) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn texts(&self) -> Vec<String> {
        let text = |(_, body): &(HeaderMap, Bytes)| {
            let body: Value = serde_json::from_slice(body).unwrap();
            body["data"]["text"].as_str().unwrap().to_owned()
        };
        self.seen.lock().unwrap().iter().map(text).collect()
    }
}

/// A server whose `api` channel posts to a receiver, and the loop that posts.
fn start() -> (Hosted, Behind, CancellationToken) {
    let hosted = Hosted::start();
    let (behind, url) = Behind::start(&hosted);
    name_receiver(&hosted, &url);
    let connector = Connector {
        http: Http::new().unwrap(),
        find_secret: Arc::new(|_, credential, _| {
            assert_eq!(credential, "callbackSecret");
            Ok(Secret::new(SECRET.to_owned()))
        }),
        find_endpoint: Arc::new(|_| None),
        find_vault: Arc::new(|_| Arc::new(NoVault)),
    };
    let end = CancellationToken::new();
    let callbacks = Callbacks::new(hosted.store.clone(), connector, clock::now);
    hosted.runtime.spawn(callbacks.run(end.clone()));
    (hosted, behind, end)
}

fn run(hosted: &Hosted, arguments: &[&str]) -> Ended {
    Program::new(hosted.folder.root(), arguments).database(&hosted.database).run()
}

fn name_receiver(hosted: &Hosted, url: &str) {
    let credentials = "apiKey: {env: API_KEY}, callbackSecret: {env: CALLBACK_SECRET}";
    let more = format!("  callbackUrl: {url}");
    hosted.folder.write("api.yaml", &channel("shop-api", "api", credentials, &more));
    hosted.apply();
}

/// What was refused is not posted again before the test says so.
fn refused_wait(hosted: &Hosted) {
    let later = "UPDATE callbacks SET due_at = now() + interval '1 hour' WHERE reason IS NOT NULL";
    hosted.database.run(later);
}

fn person_writes(hosted: &Hosted, peer: &str) {
    let what = Delivery::Message { id: peer.to_owned(), text: "Hello".to_owned() };
    let received = [Received::of(Address::from_stored(peer.to_owned()), None, what)];
    let channel = "shop-api".parse().unwrap();
    let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
    let taken = hosted.runtime.block_on(hosted.store.receive(&parcel)).unwrap();
    assert_eq!(taken.fresh, 1);
}

#[test]
fn our_messages_are_posted_signed_and_in_order_and_repeated_until_they_are_taken() {
    let (hosted, behind, _end) = start();
    let _replies = hosted.send_replies();
    behind.answers(&[503]);
    person_writes(&hosted, "anna");
    hosted.say("shop-api", "one");
    hosted.say("shop-api", "two");
    // The second waits for the first, and another person's dialogue for neither.
    wait_until("the first was refused", PATIENCE, || {
        let waits = hosted.database.value("SELECT reason FROM callbacks WHERE reason IS NOT NULL");
        (waits == "the receiver answers 503", waits)
    });
    refused_wait(&hosted);
    person_writes(&hosted, "boris");
    hosted.say("shop-api", "three");
    wait_until("three is posted", PATIENCE, || (behind.texts().len() == 2, behind.texts()));
    assert_eq!(behind.texts(), ["one", "three"]);
    hosted
        .database
        .run("UPDATE callbacks SET due_at = now() WHERE state = 'due'; NOTIFY nuncio_dialogues");
    wait_until("all are posted", PATIENCE, || (behind.texts().len() == 4, behind.texts()));
    assert_eq!(behind.texts(), ["one", "three", "one", "two"]);

    let seen = behind.seen.lock().unwrap().clone();
    let judge = Webhook::new(SECRET).unwrap();
    for (headers, body) in &seen {
        judge.verify(body, headers).unwrap();
        let wrong = [&body[..], b" "].concat();
        assert!(judge.verify(&wrong, headers).is_err());
    }
    // A repeat has the id of the first try.
    assert_eq!(seen[0].0["webhook-id"], seen[2].0["webhook-id"]);
    assert_ne!(seen[0].0["webhook-id"], seen[3].0["webhook-id"]);
    let body: Value = serde_json::from_slice(&seen[0].1).unwrap();
    assert_eq!(body["type"], "message.created");
    assert_eq!(
        (&body["data"]["peer"], &body["data"]["channel"]),
        (&"anna".into(), &"shop-api".into())
    );
    wait_until("all are done", PATIENCE, || {
        let left = hosted.database.value("SELECT count(*) FROM callbacks");
        (left == "0", left)
    });
}

#[test]
fn after_a_day_a_message_is_given_up_and_the_next_one_has_its_turn() {
    let (hosted, behind, _end) = start();
    behind.answers(&[500]);
    person_writes(&hosted, "anna");
    let _replies = hosted.send_replies();
    hosted.say("shop-api", "old");
    wait_until("it was refused", PATIENCE, || {
        let reason = hosted.database.value("SELECT max(reason) FROM callbacks");
        (reason != "NULL", reason)
    });
    refused_wait(&hosted);
    behind.answers(&[500]);
    hosted.say("shop-api", "new");
    hosted.database.run(
        "UPDATE callbacks SET due_at = now(), created_at = now() - interval '25 hours' \
        WHERE reason IS NOT NULL; NOTIFY nuncio_dialogues",
    );
    wait_until("the new one is delivered", PATIENCE, || {
        let left = hosted.database.value("SELECT string_agg(state, ' ') FROM callbacks");
        // Before the new one is shown, there is nothing of it to be delivered.
        (left == "dead" && behind.texts().len() > 2, left)
    });
    assert_eq!(behind.texts(), ["old", "old", "new"]);

    // What was given up is seen, and tried again by an operator's word.
    let listed = run(&hosted, &["reports"]).stdout.replace("\n    ", " ");
    assert!(listed.contains("of dialogue 1, posted by channel shop-api since "), "{listed}");
    assert!(listed.contains("given up after 2 tries: the receiver answers 500"), "{listed}");
    assert!(!listed.contains("old"), "{listed}");
    let id = listed.split(' ').next().unwrap().to_owned();
    assert_eq!(run(&hosted, &["reports", "replay", "c4711"]).code, 3);
    let replayed = run(&hosted, &["reports", "replay", &id]);
    assert!(replayed.stderr.contains("1 callback is tried again"), "{replayed:?}");
    wait_until("it is delivered", PATIENCE, || {
        let left = hosted.database.value("SELECT count(*) FROM callbacks");
        (left == "0", left)
    });
    assert_eq!(behind.texts(), ["old", "old", "new", "old"]);
    assert!(run(&hosted, &["reports"]).stdout.is_empty());
}

#[test]
fn a_receiver_that_is_gone_is_asked_no_more_until_it_has_another_address() {
    let (hosted, behind, _end) = start();
    let _replies = hosted.send_replies();
    behind.answers(&[410]);
    person_writes(&hosted, "anna");
    hosted.say("shop-api", "one");
    wait_until("it is over", PATIENCE, || {
        let state = hosted.database.value("SELECT max(state) FROM callbacks");
        (state == "dead", state)
    });
    hosted.say("shop-api", "two");
    wait_until("two is sent", PATIENCE, || {
        let n = hosted.database.value("SELECT count(*) FROM messages WHERE state = 'sent'");
        (n == "2", n)
    });
    assert_eq!(hosted.database.value("SELECT count(*) FROM callbacks"), "1");
    let listed = run(&hosted, &["reports", "--dead", "--output", "json"]).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["silent_channels"][0]["name"], "shop-api");
    assert_eq!(listed["callbacks"][0]["state"], "dead");
    // Asked again, it may want it.
    behind.answers(&[410]);
    let replayed = run(&hosted, &["reports", "replay", "--all"]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    wait_until("it is over again", PATIENCE, || {
        let state = hosted.database.value("SELECT string_agg(state, ' ') FROM callbacks");
        (state == "dead" && behind.texts().len() == 2, state)
    });
    let (other, url) = Behind::start(&hosted);
    name_receiver(&hosted, &url);
    hosted.say("shop-api", "three");
    wait_until("three is posted", PATIENCE, || (!other.texts().is_empty(), other.texts()));
    assert_eq!(other.texts(), ["three"]);
    assert_eq!(behind.texts(), ["one", "one"]);
}
