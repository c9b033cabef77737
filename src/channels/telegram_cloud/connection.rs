//! One connection of an account: calls with a deadline, and the news that wakes whoever waits.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use grammers_mtsender::{
    ConnectionParams, InvocationError, NoRetries, SenderPool, SenderPoolHandle,
};
use grammers_session::{
    Session as _, storages::MemorySession, types::DcOption, updates::UpdatesLike,
};
use grammers_tl_types::{RemoteCall, enums, types};
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// News that waits to be looked at. What is dropped is asked for at the next round.
const NEWS_MAX: NonZeroUsize = NonZeroUsize::new(100).expect("it is not zero");

/// The keys of the latest messages of ours, by the numbers that they got: an echo comes within minutes.
const KEYS_MAX: usize = 1_000;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    Late,
    Failed(InvocationError),
}

pub(super) struct Connection {
    session: Arc<MemorySession>,
    handle: SenderPoolHandle,
    news: Arc<News>,
    runner: AbortHandle,
    closed: AtomicBool,
    /// They end with the connection.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct News {
    arrived: Notify,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    known: HashMap<i32, i64>,
    order: VecDeque<i32>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Nothing is called before the first call is. `end` ends it with all that is under way.
    pub(super) fn new(
        session: MemorySession,
        api_id: i32,
        endpoint: Option<SocketAddr>,
        end: CancellationToken,
    ) -> Self {
        let session = Arc::new(session);
        let params = ConnectionParams {
            device_model: "nuncio".to_owned(),
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            use_ipv6: endpoint.is_some_and(|endpoint| endpoint.is_ipv6()),
            // The executor decides on repeats.
            retry_policy: Box::new(NoRetries),
            updates_channel_capacity: NEWS_MAX,
            ..ConnectionParams::default()
        };
        let SenderPool { runner, handle, updates } =
            SenderPool::with_configuration(Arc::clone(&session), api_id, params);
        let news = Arc::new(News::default());
        let mut tasks = JoinSet::new();
        let runner = tasks.spawn(async move {
            // Without its runner the pool has no connection and takes no call.
            let _: Option<()> = end.run_until_cancelled(runner.run()).await;
        });
        tasks.spawn(listen(updates, Arc::clone(&news)));
        Self {
            session,
            handle: handle.thin,
            news,
            runner,
            closed: AtomicBool::new(false),
            _tasks: tasks,
        }
    }

    pub(super) async fn call<R: RemoteCall>(
        &self,
        request: &R,
        until: Instant,
    ) -> Result<R::Return, Unanswered> {
        let answer = self.call_aside(request, until).await;
        match &answer {
            Ok(_) | Err(Unanswered::Failed(InvocationError::Rpc(_) | InvocationError::Io(_))) => {}
            // What was not answered in time must not leave later, and nothing else comes over it.
            Err(_) => self.close(),
        }
        answer
    }

    /// As [`Self::call`], for what nobody waits for: the connection stays whatever becomes of it.
    pub(super) async fn call_aside<R: RemoteCall>(
        &self,
        request: &R,
        until: Instant,
    ) -> Result<R::Return, Unanswered> {
        // What is handed over once may leave, however late it is by then.
        if Instant::now() >= until {
            return Err(Unanswered::Late);
        }
        let failed = |error| Unanswered::Failed(InvocationError::Session(Box::new(error)));
        let home = self.session.home_dc_id().map_err(failed)?;
        match timeout_at(until, self.handle.invoke_in_dc(home, request)).await {
            Ok(answer) => answer.map_err(Unanswered::Failed),
            Err(_) => Err(Unanswered::Late),
        }
    }

    /// Ends it with all that is under way.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.runner.abort();
        self.news.arrived.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) || self.runner.is_finished()
    }

    /// The account is at home elsewhere: the calls go there from now on.
    pub(super) async fn move_to(&self, data_centre: i32) {
        if let Ok(old) = self.session.home_dc_id() {
            self.handle.disconnect_from_dc(old);
        }
        // It keeps nothing outside of memory, and cannot fail but by a panic elsewhere.
        drop(self.session.set_home_dc_id(data_centre).await);
    }

    /// The data centre to which calls go, with the key that was agreed on.
    pub(super) fn home(&self) -> Option<DcOption> {
        self.session.dc_option(self.session.home_dc_id().ok()?).ok()?
    }

    /// Waits until something has arrived; at once, where it has since the last time.
    pub(super) async fn news(&self) {
        self.news.arrived.notified().await;
    }

    pub(super) fn note_key(&self, message_id: i32, key: i64) {
        self.news.note_key(message_id, key);
    }

    /// The key that a message of ours was sent with, where this connection has sent it or was told.
    pub(super) fn key_of(&self, message_id: i32) -> Option<i64> {
        locked(&self.news.keys).known.get(&message_id).copied()
    }
}

async fn listen(mut updates: mpsc::Receiver<UpdatesLike>, news: Arc<News>) {
    while let Some(told) = updates.recv().await {
        let wakes = match &told {
            UpdatesLike::Updates(told) => {
                news.note_keys(told);
                is_about_messages(told)
            }
            UpdatesLike::ShortSentMessage { .. }
            | UpdatesLike::MalformedUpdates
            | UpdatesLike::ConnectionClosed => true,
            _ => false,
        };
        // What it says is not taken from here: it has us look.
        if wakes {
            news.arrived.notify_one();
        }
    }
    // The connection has ended: nothing arrives any more.
    news.arrived.notify_one();
}

/// Telegram tells of much more, such as who of all contacts is online, and none of it is asked for.
fn is_about_messages(told: &enums::Updates) -> bool {
    let updates = match told {
        enums::Updates::UpdateShortMessage(_)
        | enums::Updates::UpdateShortSentMessage(_)
        | enums::Updates::TooLong => return true,
        enums::Updates::UpdateShortChatMessage(_) => return false,
        enums::Updates::Updates(all) => all.updates.as_slice(),
        enums::Updates::Combined(all) => all.updates.as_slice(),
        enums::Updates::UpdateShort(one) => std::slice::from_ref(&one.update),
    };
    updates.iter().any(|update| {
        matches!(update, enums::Update::NewMessage(_) | enums::Update::ReadHistoryOutbox(_))
    })
}

impl News {
    fn note_key(&self, message_id: i32, key: i64) {
        let mut keys = locked(&self.keys);
        if keys.known.insert(message_id, key).is_none() {
            keys.order.push_back(message_id);
        }
        if keys.order.len() > KEYS_MAX
            && let Some(oldest) = keys.order.pop_front()
        {
            keys.known.remove(&oldest);
        }
    }

    fn note_keys(&self, told: &enums::Updates) {
        for types::UpdateMessageId { id, random_id } in message_ids(told) {
            self.note_key(id, random_id);
        }
    }
}

/// Which numbers messages of ours got.
pub(super) fn message_ids(told: &enums::Updates) -> Vec<types::UpdateMessageId> {
    let updates = match told {
        enums::Updates::Updates(all) => all.updates.as_slice(),
        enums::Updates::Combined(all) => all.updates.as_slice(),
        enums::Updates::UpdateShort(one) => std::slice::from_ref(&one.update),
        _ => &[],
    };
    ids_among(updates)
}

pub(super) fn ids_among(updates: &[enums::Update]) -> Vec<types::UpdateMessageId> {
    let ids = updates.iter().filter_map(|update| match update {
        enums::Update::MessageId(told) => Some(told.clone()),
        _ => None,
    });
    ids.collect()
}

/// Whoever panicked left at worst a key that is not known.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
