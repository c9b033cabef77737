//! The reporters against receivers that answer as a table says.

mod answers;
mod calls;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use chrono::DateTime;
use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{Http, Reporter};
use crate::domain::{
    address::Address,
    channel::Secret,
    id::{DialogueId, ReportId},
    report::{NewReport, Report, ReportCall, ReportContact, ReportOutcome},
    resource::{DialogueEvent, IntegrationKind, IntegrationSpec},
};

/// For the receiver that never answers.
const DEADLINE: Duration = Duration::from_secs(1);
/// For one that answers, be it with megabytes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "s3cr3t-of-the-receiver";

/// What a receiver was asked.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Answer = (StatusCode, Vec<(&'static str, String)>, String);

fn answer(status: u16, body: &str) -> Answer {
    (StatusCode::from_u16(status).unwrap(), Vec::new(), body.to_owned())
}

/// A receiver that answers by its own rule and remembers what it was asked.
struct Receiver {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Receiver {
    async fn start(rule: impl Fn(&Asked) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let remembered = Arc::clone(&asked);
        let handler = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let one = Asked { path: uri.to_string(), headers, body: body.to_vec() };
            let (status, headers, body) = rule(&one);
            remembered.lock().unwrap().push(one);
            async move {
                let mut response: Response = (status, body).into_response();
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                response
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handler);
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    async fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone()).await
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn reporter(&self, kind: IntegrationKind) -> Reporter {
        reporter(kind, &self.url)
    }
}

fn reporter(kind: IntegrationKind, url: &str) -> Reporter {
    reporter_within(PATIENCE, kind, url)
}

fn reporter_within(deadline: Duration, kind: IntegrationKind, url: &str) -> Reporter {
    let path = match kind {
        IntegrationKind::Bitrix24 => format!("/rest/1/{SECRET}/"),
        IntegrationKind::Webhook => format!("/hook?key={SECRET}"),
        _ => String::new(),
    };
    let spec = IntegrationSpec {
        kind,
        url: None,
        credentials: Vec::new(),
        chat_id: Some("-100500".to_owned()),
        events: DialogueEvent::ALL.iter().copied().collect(),
    };
    let secret = |text: &str| Secret::new(text.to_owned());
    let secrets = BTreeMap::from([
        ("secret".to_owned(), secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
        ("token".to_owned(), secret(SECRET)),
    ]);
    let endpoint = Some(secret(&format!("{url}{path}")));
    let http = Http::with_deadline(deadline).unwrap();
    Reporter::connect(&spec, &secrets, endpoint, &http).unwrap()
}

fn report() -> Report {
    let id = |text: &str| ReportId(Uuid::parse_str(text).unwrap());
    Report {
        id: id("0190aaaa-0000-7000-8000-00000000abcd"),
        origin: id("0190aaaa-0000-7000-8000-0123456789ab"),
        integration: "crm".parse().unwrap(),
        new: NewReport {
            dialogue: DialogueId(7),
            task: "spring".parse().unwrap(),
            channel: "wa".parse().unwrap(),
            event: DialogueEvent::ContactObtained,
            at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            evidence: "write me".to_owned(),
            contact: ReportContact {
                address: Address::from_stored("+79123456789".to_owned()),
                name: Some("Ivan".to_owned()),
                phone: None,
                email: Some("ivan@example.test".to_owned()),
            },
            summary: "wants it".to_owned(),
            transcript: "Anna: Hello!".to_owned(),
            manager: "Anna".to_owned(),
        },
    }
}

async fn tell(reporter: &Reporter, tries: u32, remote_id: Option<&str>) -> ReportOutcome {
    let report = report();
    let now = DateTime::from_timestamp(1_700_000_100, 0).unwrap();
    reporter.report(&ReportCall { report: &report, tries, remote_id, now }).await
}
