//! A rehearsal with the drivers of all subjects before it, and a receiver of its webhooks.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use chrono::{DateTime, Utc};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    super::{Driver, Http, Receives, Webhook, WebhookHeaders},
    SHORT,
    subject::{SUBJECTS, Subject},
};
use crate::{
    domain::{
        address::Address,
        dialogue::{Delivery, Received},
    },
    rehearsal::{self, Options, Rehearsal},
};

/// For what comes over a loopback under load.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_790_000_000_000).unwrap()
}

pub(super) struct Stage {
    pub(super) rehearsal: Rehearsal,
    pub(super) drivers: BTreeMap<&'static str, Arc<Driver>>,
    received: BTreeMap<&'static str, mpsc::UnboundedReceiver<Received>>,
    cursors: BTreeMap<&'static str, String>,
    shutdown: CancellationToken,
    tracker: TaskTracker,
    /// A test that fails leaves nothing running.
    _end: DropGuard,
}

#[derive(Clone)]
struct Receiver {
    drivers: Arc<HashMap<&'static str, Arc<Driver>>>,
    /// Webhooks that are refused before one is taken.
    refusals: Arc<Mutex<u32>>,
    received: Arc<HashMap<&'static str, mpsc::UnboundedSender<Received>>>,
}

async fn take(
    State(receiver): State<Receiver>,
    Path(path): Path<Vec<String>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let (channel, token) = (path[0].as_str(), path.get(1).map(String::as_str));
    let headers: WebhookHeaders =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let webhook = Webhook { headers: &headers, token, body: &body, at: clock() };
    // A test may have accounts beside those of the stage.
    let Some(driver) = receiver.drivers.get(channel) else {
        return (StatusCode::NOT_FOUND, String::new());
    };
    let Ok(brought) = driver.read_webhook(&webhook) else {
        return (StatusCode::FORBIDDEN, String::new());
    };
    let mut refusals = receiver.refusals.lock().await;
    if *refusals > 0 && !brought.received.is_empty() {
        *refusals -= 1;
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    for received in brought.received {
        drop(receiver.received[channel].send(received));
    }
    (StatusCode::OK, brought.answer.unwrap_or_else(|| "ok".to_owned()))
}

/// Whether it tells of this person, who may be known by more than one address.
pub(super) fn is_of(received: &Received, person: &Address) -> bool {
    received.peer == *person || received.also_known_as.contains(person)
}

impl Stage {
    /// Nobody answers, and no webhook is brought.
    pub(super) async fn quiet(journal: Option<PathBuf>) -> Self {
        Self::set(None, journal, 0).await
    }

    /// People answer at once. So many webhooks are refused before one is taken.
    pub(super) async fn lively(refusals: u32) -> Self {
        Self::set(Some(Duration::ZERO), None, refusals).await
    }

    async fn set(people: Option<Duration>, journal: Option<PathBuf>, refusals: u32) -> Self {
        let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
        let options = Options {
            faults: true,
            hang_for: Duration::from_mins(1),
            answer_delay: Duration::ZERO,
            people,
            journal,
            clock,
        };
        let rehearsal = rehearsal::start(options, shutdown.clone(), &tracker).await.unwrap();
        let http = Http::with_deadline(SHORT).unwrap();
        let made = |subject: &'static Subject| {
            let endpoint = rehearsal.endpoint_of(&subject.spec("")).unwrap();
            (subject.name, Arc::new(subject.driver(&endpoint, subject.name, &http)))
        };
        let drivers: BTreeMap<_, _> = SUBJECTS.iter().map(made).collect();
        let (mut senders, mut received) = (HashMap::new(), BTreeMap::new());
        for name in drivers.keys() {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.insert(*name, sender);
            received.insert(*name, receiver);
        }
        let receiver = Receiver {
            drivers: Arc::new(drivers.clone().into_iter().collect()),
            refusals: Arc::new(Mutex::new(refusals)),
            received: Arc::new(senders),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        rehearsal.push_webhooks_to(base.clone());
        let router = Router::new()
            .route("/hooks/{channel}", post(take))
            .route("/hooks/{channel}/{token}", post(take))
            .with_state(receiver);
        let served = shutdown.clone();
        tracker.spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(served.cancelled_owned())
                .await
                .unwrap();
        });
        let mut cursors = BTreeMap::new();
        for (name, driver) in &drivers {
            driver.arrange(Some(&format!("{base}/hooks/{name}"))).await.unwrap();
            if driver.receives() == Receives::Polling {
                cursors.insert(*name, driver.poll(None).await.unwrap().cursor);
            }
        }
        let end = shutdown.clone().drop_guard();
        Self { rehearsal, drivers, received, cursors, shutdown, tracker, _end: end }
    }

    pub(super) fn endpoint(&self, subject: &Subject) -> String {
        self.rehearsal.endpoint_of(&subject.spec("")).unwrap()
    }

    pub(super) fn driver(&self, subject: &Subject) -> &Driver {
        &self.drivers[subject.name]
    }

    /// Where the kind only answers, the person writes before they can be written to.
    pub(super) fn meet(&self, subject: &Subject, channel: &str, ending: &str) {
        if !subject.opens() {
            let address = subject.address(ending);
            self.rehearsal.person_writes(subject.kind, channel, address.as_str(), "Hello!");
        }
    }

    /// What an account's people got.
    pub(super) fn deliveries(&self) -> usize {
        self.rehearsal.recent().iter().filter(|entry| entry.is_delivery()).count()
    }

    /// The next that the channel delivers and that `wanted` finds.
    pub(super) async fn until<T>(
        &mut self,
        subject: &Subject,
        mut wanted: impl FnMut(&Received) -> Option<T>,
    ) -> T {
        let name = subject.name;
        let driver = Arc::clone(&self.drivers[name]);
        let next = async {
            loop {
                if driver.receives() == Receives::Polling {
                    let polled = driver.poll(self.cursors.get(name).map(String::as_str)).await;
                    let polled = polled.unwrap();
                    self.cursors.insert(name, polled.cursor);
                    if let Some(found) = polled.received.iter().find_map(&mut wanted) {
                        return found;
                    }
                    continue;
                }
                let received = self.received.get_mut(name).expect("every subject has one");
                if let Some(found) = wanted(&received.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .unwrap_or_else(|_| panic!("{name}: nothing came"))
    }

    /// The next message of who has this ending: its id and text.
    pub(super) async fn said(&mut self, subject: &Subject, ending: &str) -> (String, String) {
        let peer = subject.address(ending);
        self.until(subject, |received| match &received.what {
            Delivery::Message { id, text } if is_of(received, &peer) => {
                Some((id.clone(), text.clone()))
            }
            _ => None,
        })
        .await
    }

    pub(super) async fn close(self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
