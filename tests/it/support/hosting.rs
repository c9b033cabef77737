//! The server of web chats and webhooks, in this process, over a database that `apply` has filled, and the loops
//! of an executor before the rehearsal's providers and AI.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use nuncio::{
    channels::{Http, Vault},
    clock,
    domain::{
        channel::{Secret, SecretReference},
        id::{DialogueId, ExecutorId},
    },
    executor::{AiConnector, Connector, Conversations, Executor, Identity, Receiver},
    intelligence::AiHttp,
    rehearsal::{self, Options, Rehearsal},
    server::{Bounds, Hosting, listen},
    store::{Repeat, Said, Store, Sweep, Words},
    vaults::{RehearsedVault, StoredVault},
};
use reqwest::{RequestBuilder, Response};
use tokio::runtime::{Handle, Runtime};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{Folder, Program, TEAM, TestDatabase, channel};

pub(crate) const API_KEY: &str = "the-key-of-the-api";

const CHANNELS: &str = "
apiVersion: nuncio/v1
kind: Channel
metadata: {name: site}
spec: {kind: page-messenger, title: 'Example & Sons', greeting: Hello!, accent: '#0f6e5c'}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {name: empty}
spec: {kind: page-messenger}
---
apiVersion: nuncio/v1
kind: Task
metadata: {name: web}
spec:
  type: web
  format: incoming
  channels: [site, shop-api]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 0.50
  state: running
";

/// What a call waits for a provider that withholds some answers: longer than the others take on a busy machine.
const CALL_DEADLINE: Duration = Duration::from_secs(4);
const UNHURRIED: Duration = Duration::from_secs(20);
/// Longer than any call waits.
const HANG: Duration = Duration::from_secs(30);

/// How the rehearsal behind a server behaves.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    pub(crate) faults: bool,
    /// People answer, and their providers bring it here.
    pub(crate) people: bool,
    pub(crate) answer_delay: Duration,
    /// What our calls wait for them.
    pub(crate) call_deadline: Duration,
    /// What the providers remember.
    pub(crate) journal: Option<PathBuf>,
    /// What whoever connects is granted.
    pub(crate) bounds: Bounds,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            faults: false,
            people: false,
            answer_delay: Duration::ZERO,
            call_deadline: CALL_DEADLINE,
            journal: None,
            bounds: Bounds::default(),
        }
    }
}

pub(crate) struct Hosted {
    pub(crate) folder: Folder,
    pub(crate) database: TestDatabase,
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    pub(crate) rehearsal: Rehearsal,
    connector: Connector,
    pub(crate) shutdown: CancellationToken,
    pub(crate) runtime: Runtime,
}

impl Hosted {
    pub(crate) fn start() -> Self {
        Self::start_with(Behaviour::default())
    }

    pub(crate) fn start_with(behaviour: Behaviour) -> Self {
        let api = channel("shop-api", "api", "apiKey: {env: API_KEY}", "");
        Self::with(&[("web.yaml", CHANNELS), ("api.yaml", &api)], behaviour)
    }

    /// Over these manifests and the usual team.
    pub(crate) fn with(manifests: &[(&str, &str)], behaviour: Behaviour) -> Self {
        let folder = Folder::new();
        folder.write("team.yaml", &TEAM.replace("  model:", "  apiKey: {env: AI_KEY}\n  model:"));
        for (name, text) in manifests {
            folder.write(name, text);
        }
        let database = TestDatabase::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let shutdown = CancellationToken::new();
        let tracker = TaskTracker::new();
        let Behaviour { faults, people, answer_delay, call_deadline, journal, bounds } = behaviour;
        let options = Options {
            faults,
            hang_for: HANG,
            answer_delay,
            people: people.then_some(Duration::ZERO),
            journal,
            clock: clock::now,
        };
        let store = runtime.block_on(database.store());
        let rehearsal =
            runtime.block_on(rehearsal::start(options, shutdown.clone(), &tracker)).unwrap();
        // Where no answer is withheld, none is given up because the machine is busy.
        let call_deadline = if faults { call_deadline } else { UNHURRIED };
        let connector = connector(&rehearsal, &store, call_deadline);
        let reader = connector.clone();
        let hosting = Hosting {
            store: store.clone(),
            public_url: None,
            find_secret: Arc::new(|_, _, _| Ok(Secret::new(API_KEY.to_owned()))),
            connect: Arc::new(move |name, spec| reader.connect(name, spec)),
            bounds,
            clock: clock::now,
        };
        let free = "127.0.0.1:0".parse().unwrap();
        let listening =
            runtime.block_on(listen(hosting, free, shutdown.clone(), &tracker)).unwrap();
        let address = listening.address;
        rehearsal.push_webhooks_to(format!("http://{address}"));
        let hosted =
            Self { folder, database, address, store, rehearsal, connector, shutdown, runtime };
        hosted.apply();
        hosted
    }

    pub(crate) fn apply(&self) {
        let arguments = ["apply", "--auto-approve"];
        let ended = Program::new(self.folder.root(), &arguments).database(&self.database).run();
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request within the runtime that its deadline needs.
    pub(crate) fn fetch(&self, request: RequestBuilder) -> Response {
        self.runtime.block_on(async { request.send().await.unwrap() })
    }

    /// Lets messages of ours out, as the executor does, for as long as the value lives.
    pub(crate) fn send_replies(&self) -> Replies {
        let store = self.store.clone();
        let end = CancellationToken::new();
        let until = end.clone();
        self.runtime.spawn(async move {
            // As often as its lease ends, because the machine was busy for that long.
            while !until.is_cancelled() {
                let executor = ExecutorId(Uuid::now_v7());
                let _presence = store.register_executor(executor, "test", 1).await.unwrap();
                while !until.is_cancelled()
                    && matches!(store.sweep_lanes(executor).await.unwrap(), Sweep::Holds { .. })
                {
                    store.permit_replies(executor, 10).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            }
        });
        Replies { end }
    }

    /// Opens, answers and sends, as `watch` does, for as long as the value lives.
    pub(crate) fn work(&self) -> Working {
        let (working, receiver) = self.begin();
        let Working { end, loops, runtime } = &working;
        loops.spawn_on(receiver.run(end.clone()), runtime);
        loops.close();
        working
    }

    /// As [`Hosted::work`], but nothing is polled: of what was sent nobody hears again.
    pub(crate) fn work_deaf(&self) -> Working {
        let (working, _) = self.begin();
        working.loops.close();
        working
    }

    fn begin(&self) -> (Working, Receiver) {
        let (end, loops) = (CancellationToken::new(), TaskTracker::new());
        let identity =
            Identity { host: "test".to_owned(), pid: 1, new_id: || ExecutorId(Uuid::now_v7()) };
        let executor = Executor::new(self.store.clone(), self.connector.clone(), identity);
        let held = executor.held();
        let rehearsal = self.rehearsal.clone();
        let ais = AiConnector {
            http: AiHttp::new().unwrap(),
            find_key: Arc::new(|ai, _| Ok(Rehearsal::secret(ai, "apiKey"))),
            find_endpoint: Arc::new(move || Some(rehearsal.ai_endpoint())),
        };
        let store = self.store.clone();
        let conversations = Conversations::new(store.clone(), ais, held.clone(), end.clone());
        let runtime = self.runtime.handle();
        loops.spawn_on(executor.run(end.clone()), runtime);
        loops.spawn_on(conversations.run(end.clone()), runtime);
        let receiver = Receiver::new(store, held, Some(self.url("")));
        (Working { end, loops, runtime: runtime.clone() }, receiver)
    }

    /// An operator speaks in the latest dialogue of a channel.
    pub(crate) fn say(&self, channel: &str, text: &str) {
        let query = format!("SELECT max(id) FROM dialogues WHERE channel = '{channel}'");
        let dialogue = DialogueId(self.database.value(&query).parse().unwrap());
        let parts = [text.to_owned()];
        let words = Words { parts: &parts, by: "tester", repeat: Repeat::Meant };
        let said = self.runtime.block_on(self.store.say(dialogue, &words)).unwrap();
        assert!(matches!(said, Said::Accepted(_)), "{said:?}");
    }
}

pub(crate) struct Replies {
    end: CancellationToken,
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// The loops of an executor; they leave in order with the value.
pub(crate) struct Working {
    end: CancellationToken,
    loops: TaskTracker,
    runtime: Handle,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.end.cancel();
        self.runtime.block_on(self.loops.wait());
    }
}

/// To the rehearsal's providers, with the credentials that they know.
fn connector(rehearsal: &Rehearsal, store: &Store, call_deadline: Duration) -> Connector {
    let (rehearsal, store) = (rehearsal.clone(), store.clone());
    Connector {
        http: Http::with_deadline(call_deadline).unwrap(),
        find_secret: Arc::new(|channel, credential, reference| {
            // `{env: SHARED_BY_NAME}` is the secret of that channel.
            let shared = match reference {
                SecretReference::Environment(name) => name.strip_prefix("SHARED_BY_"),
                SecretReference::File(_) => None,
            };
            Ok(Rehearsal::secret(shared.unwrap_or(channel.as_str()), credential))
        }),
        find_endpoint: Arc::new(move |spec| rehearsal.endpoint_of(spec)),
        find_vault: Arc::new(move |channel| -> Arc<dyn Vault> {
            let (store, channel) = (store.clone(), channel.clone());
            Arc::new(RehearsedVault(StoredVault { store, channel }))
        }),
    }
}
