//! The server of web chats, in this process, over a database that `apply` has filled.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nuncio::{
    clock,
    domain::{
        channel::Secret,
        id::{DialogueId, ExecutorId},
    },
    server::{Hosting, listen},
    store::{Said, Store},
};
use reqwest::{RequestBuilder, Response};
use tokio::runtime::Runtime;
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

pub(crate) struct Hosted {
    pub(crate) folder: Folder,
    pub(crate) database: TestDatabase,
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    pub(crate) shutdown: CancellationToken,
    pub(crate) runtime: Runtime,
}

impl Hosted {
    pub(crate) fn start() -> Self {
        let folder = Folder::new();
        folder.write("team.yaml", TEAM);
        folder.write("web.yaml", CHANNELS);
        folder.write("api.yaml", &channel("shop-api", "api", "apiKey: {env: API_KEY}", ""));
        let database = TestDatabase::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let shutdown = CancellationToken::new();
        let store = runtime.block_on(database.store());
        let hosting = Hosting {
            store: store.clone(),
            public_url: None,
            find_secret: Arc::new(|_, _, _| Ok(Secret::new(API_KEY.to_owned()))),
            connect: Arc::new(|_, _| Err("no provider pushes here".to_owned())),
            clock: clock::now,
        };
        let tracker = TaskTracker::new();
        let free = "127.0.0.1:0".parse().unwrap();
        let listening =
            runtime.block_on(listen(hosting, free, shutdown.clone(), &tracker)).unwrap();
        let hosted =
            Self { folder, database, address: listening.address, store, shutdown, runtime };
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
            let executor = ExecutorId(Uuid::now_v7());
            let _presence = store.register_executor(executor, "test", 1).await.unwrap();
            while !until.is_cancelled() {
                drop(store.sweep_lanes(executor).await.unwrap());
                store.permit_replies(executor, 10).await.unwrap();
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        Replies { end }
    }

    /// An operator speaks in the latest dialogue of a channel.
    pub(crate) fn say(&self, channel: &str, text: &str) {
        let query = format!("SELECT max(id) FROM dialogues WHERE channel = '{channel}'");
        let dialogue = DialogueId(self.database.value(&query).parse().unwrap());
        let said = self.runtime.block_on(self.store.say(dialogue, text, "tester")).unwrap();
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
