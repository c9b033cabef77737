//! A client of WhatsApp's that is not ours judges the webhooks of the rehearsal: `pywa`.
//!
//! It is installed at the first run, in a fixed version, below the target folder. Where its registry
//! cannot be reached, or Python is absent, the test says so and passes.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use nuncio::{
    channels::{Driver, Http, OpeningCall, Webhook, WebhookHeaders},
    clock,
    domain::{
        address::Address,
        attempt::{Message, OutcomeClass},
        channel::ChannelSpec,
        dialogue::{Delivery, DeliveryState, Received},
        fields::FieldValue,
        id::AttemptId,
        kind::ChannelKind,
    },
    rehearsal::{Options, Rehearsal, start},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{PATIENCE, Wanted, installed};

const PACKAGE: &str = "pywa==4.5.0";
const NUMBER: &str = "106540352242922";

const JUDGE: &str = r#"
import json, sys
from pywa import WhatsApp

job = json.load(sys.stdin)
wa = WhatsApp(phone_id=job["phone_id"], token="t", server=None, app_secret=job["secret"],
              verify_token=job["verify_token"], validate_updates=True, skip_duplicate_updates=False)
seen, refused = [], []
def names(user):
    return [name for name in (user.wa_id, user.bsuid) if name]
wa.on_message()(lambda _, m: seen.append(
    {"what": "message", "id": m.id, "from": names(m.from_user), "text": m.text or f"[{m.type.value}]"}))
wa.on_message_status()(lambda _, s: seen.append(
    {"what": s.status.value, "id": s.id, "from": names(s.from_user), "attached": s.tracker,
     "error": s.error and s.error.code}))
for webhook in job["webhooks"]:
    body = bytes.fromhex(webhook["body"])
    refusal = wa.webhook_update_validator(body, webhook["signature"])
    if refusal:
        refused.append(refusal[1])
    elif wa.webhook_update_handler(body) != ("ok", 200):
        refused.append(400)
challenge = wa.webhook_challenge_handler(job["verify_token"], "1158201444")[0]
json.dump({"seen": seen, "refused": refused, "challenge": challenge}, sys.stdout)
"#;

#[derive(Deserialize)]
struct Judged {
    seen: Vec<Value>,
    refused: Vec<u16>,
    challenge: String,
}

/// The Python that has it.
fn python() -> Option<PathBuf> {
    let wanted = Wanted { folder: "pywa", python_packages: &[PACKAGE], ..Wanted::default() };
    Some(installed(&wanted)?.join("venv/bin/python"))
}

fn judge(python: &Path, job: &Value) -> Judged {
    let mut child = Command::new(python)
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // A handler that fails is only told of here.
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("Traceback"), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn driver(endpoint: String) -> Driver {
    let text = |text: &str| FieldValue::Text(text.to_owned());
    let settings = [("phoneNumberId", NUMBER), ("apiVersion", "v23.0")];
    let spec = ChannelSpec {
        kind: ChannelKind::Waba,
        daily_limit: Some(10),
        endpoint: Some(endpoint),
        credentials: BTreeMap::new(),
        settings: settings.map(|(name, value)| (name.to_owned(), text(value))).into(),
    };
    let secrets = ["token", "appSecret", "verifyToken"];
    let secrets = secrets.map(|name| (name.to_owned(), Rehearsal::secret("one", name))).into();
    Driver::connect(&spec, &secrets, &Http::new().unwrap()).unwrap()
}

type Posted = (String, Bytes);

async fn take(
    State(sender): State<mpsc::UnboundedSender<Posted>>,
    headers: HeaderMap,
    body: Bytes,
) {
    let signature = headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    sender.send((signature, body)).unwrap();
}

/// The webhooks of a rehearsal in which these people were written to.
async fn webhooks(endings: &[&str], expected: usize) -> (Driver, Vec<Posted>) {
    let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
    let options = Options {
        faults: false,
        hang_for: Duration::ZERO,
        answer_delay: Duration::ZERO,
        people: Some(Duration::ZERO),
        journal: None,
        clock: clock::now,
    };
    let rehearsal = start(options, shutdown.clone(), &tracker).await.unwrap();
    let driver = driver(rehearsal.endpoint(ChannelKind::Waba).unwrap());
    let (sender, mut taken) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rehearsal.push_webhooks_to(format!("http://{}/", listener.local_addr().unwrap()));
    let router = Router::new().route("/hooks/one", post(take)).with_state(sender);
    tracker.spawn(async move { axum::serve(listener, router).await.unwrap() });
    for ending in endings {
        let address = Address::from_stored(format!("+7912345{ending}"));
        let message = Message::Template {
            name: "spring_offer".to_owned(),
            language: "ru".to_owned(),
            variables: Vec::new(),
        };
        let call =
            OpeningCall { address: &address, message: &message, key: 1, attempt: AttemptId(77) };
        assert_eq!(driver.open(&call).await.class, OutcomeClass::Sent);
    }
    let mut all = Vec::new();
    while all.len() < expected {
        let next = tokio::time::timeout(PATIENCE, taken.recv()).await;
        all.push(next.unwrap_or_else(|_| panic!("{} webhooks came", all.len())).unwrap());
    }
    shutdown.cancel();
    (driver, all)
}

/// What we read, in the words of the judge.
fn ours(received: Received) -> Value {
    let names = [&received.peer].into_iter().chain(&received.also_known_as);
    let from: Vec<_> = names.map(|name| name.as_str().trim_start_matches('+')).collect();
    match received.what {
        Delivery::Message { id, text } => {
            json!({ "what": "message", "id": id, "from": from, "text": text })
        }
        Delivery::Status { id, reference, state, reason } => {
            let error = (state == DeliveryState::Failed)
                .then(|| reason.contains("131026").then_some(131_026))
                .flatten();
            json!({
                "what": state.as_str(), "id": id, "from": from, "attached": reference,
                "error": error,
            })
        }
        Delivery::Echo { .. } | Delivery::Barred | Delivery::Moved => {
            panic!("the rehearsal tells of no such thing")
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pywa_verifies_and_reads_the_rehearsals_webhooks_as_we_do() {
    let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else { return };
    // Who asks, who sends a picture, who says STOP in Russian, who hides their phone, and who is never reached.
    let people = ["0001", "0006", "0902", "0910", "0908"];
    let (driver, webhooks) = webhooks(&people, 4 * 4 + 2).await;

    let told = webhooks
        .iter()
        .map(|(signature, body)| json!({ "signature": signature, "body": hex::encode(body) }));
    let mut told: Vec<_> = told.collect();
    let right = told.len();
    let (signature, body) = &webhooks[0];
    let rewritten: Value = serde_json::from_slice(body).unwrap();
    let rewritten = format!("{rewritten} ");
    told.push(json!({ "signature": signature, "body": hex::encode(&rewritten) }));
    told.push(json!({ "signature": "sha256=00", "body": hex::encode(body) }));
    let secret = |name| Rehearsal::secret("one", name).reveal().to_owned();
    let judged = judge(
        &python,
        &json!({
            "phone_id": NUMBER, "secret": secret("appSecret"), "verify_token": secret("verifyToken"),
            "webhooks": told,
        }),
    );
    assert_eq!(judged.refused, [403, 403]);
    assert_eq!(judged.seen.len(), right);

    let read = webhooks.iter().flat_map(|(signature, body)| {
        let headers: WebhookHeaders = [("X-Hub-Signature-256", signature)].into_iter().collect();
        let webhook = Webhook { headers: &headers, token: None, body, at: clock::now() };
        driver.read_webhook(&webhook).unwrap().received
    });
    assert_eq!(read.map(ours).collect::<Vec<_>>(), judged.seen);

    let query = [
        ("hub.mode", "subscribe".to_owned()),
        ("hub.verify_token", secret("verifyToken")),
        ("hub.challenge", "1158201444".to_owned()),
    ];
    let query = query.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(driver.answer_challenge(&query), Some(judged.challenge));
}
