//! The composition root: builds everything, starts the loops, waits, and shuts down in order.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    clock, config,
    connectors::{ai_connector, connector, report_connector},
    domain::id::{ExecutorId, WatchId},
    executor::{
        BackupGuard, Callbacks, Connector, Conversations, Drafting, Executor, Identity, Receiver,
        Reports,
    },
    hosting::{WebOptions, host_channels},
    plan::Plan,
    reconcile::{
        Announcements, Announcer, Audience, Controller, Follower, ReconcileError, Reconciled,
        Source, WatchIdentity,
    },
    rehearsal::{self, Rehearsal},
    store::{
        Guard, Purpose, ServerOptions, Store, TemporaryDatabase,
        embedded::{Durability, Embedded},
    },
};

/// Longer than the grace of every loop; what is not done by then is left.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(4500);
/// A connection that is still in use after this is left.
const CLOSE_DEADLINE: Duration = Duration::from_millis(300);
/// Longer than a client waits for an answer.
const REHEARSAL_HANG: Duration = Duration::from_secs(30);

/// Which database a command uses.
#[derive(Clone, Debug)]
pub enum DatabaseChoice {
    Url(String),
    Embedded { data: PathBuf },
}

impl DatabaseChoice {
    /// The flag, then the environment, then the private server of the tasks folder.
    pub fn of(flag: Option<String>, tasks: &Path) -> Self {
        match flag.or_else(config::database_url) {
            Some(url) => Self::Url(url),
            None => Self::Embedded { data: config::data_folder(tasks) },
        }
    }
}

/// A server that answers, whose database may be of any version; an embedded one stays as long as this
/// value.
#[derive(Debug)]
pub struct Server {
    pub options: ServerOptions,
    /// Where the embedded server keeps its data.
    pub data: Option<PathBuf>,
    embedded: Option<Arc<Embedded>>,
}

impl Server {
    pub async fn open(choice: &DatabaseChoice) -> anyhow::Result<Self> {
        match choice {
            DatabaseChoice::Url(url) => {
                Ok(Self { options: Store::parse_url(url)?, data: None, embedded: None })
            }
            DatabaseChoice::Embedded { data } => {
                let program = std::env::current_exe().context("this program has no path")?;
                let embedded =
                    Embedded::open(data, &program, &config::search_path(), Durability::Durable)
                        .await?;
                let options = embedded.options();
                Ok(Self { options, data: Some(data.clone()), embedded: Some(Arc::new(embedded)) })
            }
        }
    }

    /// Connects, and brings the schema to this version's.
    pub async fn connect(self) -> anyhow::Result<Database> {
        let Self { options, data, embedded } = self;
        let store = Store::connect(options).await?;
        Ok(Database { store, data, embedded })
    }
}

/// An open database; the embedded server stays as long as this value.
#[derive(Debug)]
pub struct Database {
    pub store: Store,
    /// Where the embedded server keeps its data.
    pub data: Option<PathBuf>,
    embedded: Option<Arc<Embedded>>,
}

impl Database {
    pub async fn open(choice: &DatabaseChoice) -> anyhow::Result<Self> {
        Server::open(choice).await?.connect().await
    }
}

/// A database for one rehearsal; whatever is said of the real one, it is not touched.
#[derive(Debug)]
#[must_use]
pub struct ThrowAway {
    pub store: Store,
    database: TemporaryDatabase,
}

impl ThrowAway {
    /// On the given server, or on a private one in a temporary folder.
    pub async fn open(choice: &DatabaseChoice) -> anyhow::Result<Self> {
        let database = match choice {
            DatabaseChoice::Url(url) => TemporaryDatabase::beside(Store::parse_url(url)?).await?,
            DatabaseChoice::Embedded { .. } => {
                let program = std::env::current_exe().context("this program has no path")?;
                TemporaryDatabase::private(&program, &config::search_path()).await?
            }
        };
        let connected = match Store::connect(database.options()).await {
            // Before anything is applied to it.
            Ok(store) => store.claim_purpose(Purpose::Rehearsal).await.map(|()| store),
            Err(error) => Err(error),
        };
        match connected {
            Ok(store) => Ok(Self { store, database }),
            Err(error) => {
                database.discard().await?;
                Err(error.into())
            }
        }
    }

    pub fn shown(&self) -> String {
        self.database.shown()
    }

    pub async fn discard(self) -> anyhow::Result<()> {
        let Self { store, database } = self;
        drop(tokio::time::timeout(CLOSE_DEADLINE, store.close()).await);
        database.discard().await.context("the rehearsal's database was not taken away")
    }
}

/// Sends what was applied to the built-in providers until `shutdown`, and follows no folder.
pub async fn rehearse(
    store: Store,
    journal: Option<PathBuf>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let tracker = TaskTracker::new();
    let providers_end = CancellationToken::new();
    let rehearsal = start_providers(journal, &providers_end, &tracker).await?;
    tracker.close();
    let loops = TaskTracker::new();
    let connector = connector(Some(&store), Some(&rehearsal))?;
    let web = WebOptions::default();
    let hooks =
        host_channels(&store, &web, Some(&rehearsal), &connector, &shutdown, &loops).await?;
    start_executor(&store, connector, hooks, Some(&rehearsal), &loops, &shutdown)?;
    loops.close();
    loops.wait().await;
    providers_end.cancel();
    drop(tokio::time::timeout(CLOSE_DEADLINE, tracker.wait()).await);
    Ok(())
}

/// Starts the loops that send, receive, answer and report.
fn start_executor(
    store: &Store,
    connector: Connector,
    public_url: Option<String>,
    rehearsal: Option<&Rehearsal>,
    loops: &TaskTracker,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let executor = Executor::new(store.clone(), connector, identity());
    let held = executor.held();
    let ais = ai_connector(rehearsal)?;
    let drafting = Drafting::new(store.clone(), ais.clone(), held.clone(), shutdown.clone());
    let conversations = Conversations::new(store.clone(), ais, held.clone(), shutdown.clone());
    let receiver = Receiver::new(store.clone(), held, public_url);
    let reports = Reports::new(store.clone(), report_connector(rehearsal)?);
    loops.spawn(executor.run(shutdown.clone()));
    loops.spawn(drafting.run(shutdown.clone()));
    loops.spawn(conversations.run(shutdown.clone()));
    loops.spawn(receiver.run(shutdown.clone()));
    loops.spawn(reports.run(shutdown.clone()));
    Ok(())
}

async fn start_providers(
    journal: Option<PathBuf>,
    end: &CancellationToken,
    tracker: &TaskTracker,
) -> anyhow::Result<Rehearsal> {
    let shown = journal.as_ref().map_or("nowhere".to_owned(), |file| file.display().to_string());
    let options = rehearsal::Options {
        faults: true,
        hang_for: REHEARSAL_HANG,
        answer_delay: Duration::ZERO,
        people: Some(Duration::from_secs(1)),
        journal,
        clock: clock::now,
    };
    let started = rehearsal::start(options, end.clone(), tracker).await;
    let started =
        started.with_context(|| format!("the rehearsal cannot keep its journal in `{shown}`"))?;
    info!(journal = %shown, "rehearsal: nothing leaves this machine");
    Ok(started)
}

/// What `watch` runs with.
pub struct WatchOptions {
    pub tasks: PathBuf,
    /// The folder of what is remembered outside of the database.
    pub notes: PathBuf,
    /// The checkout to keep and follow, in place of `tasks`.
    pub follower: Option<Follower>,
    /// Who is told what changes.
    pub audience: Audience,
    pub rehearse: bool,
    pub web: WebOptions,
    /// Where a rehearsal writes what its providers saw.
    pub journal: PathBuf,
    pub by: String,
    pub on_plan: Box<dyn Fn(&Plan) + Send>,
}

/// Runs the controller and the executor until `shutdown`; `force` skips the grace period.
pub async fn watch(
    database: Database,
    options: WatchOptions,
    shutdown: CancellationToken,
    force: CancellationToken,
) -> anyhow::Result<()> {
    let WatchOptions { tasks, notes, follower, audience, rehearse, web, journal, by, on_plan } =
        options;
    let store = database.store.clone();
    store.claim_purpose(if rehearse { Purpose::Rehearsal } else { Purpose::Live }).await?;

    if let Some(Guard { by, reason, .. }) = store.read_guard().await? {
        warn!(by, reason, "the backup guard is on, and nothing is sent");
    }
    // Before anything can be sent.
    let mut backup_guard = BackupGuard::new(store.clone(), notes, by.clone());
    backup_guard.look().await?;

    let left = store.count_left_behind().await?;
    if !left.is_nothing() {
        info!("taken up again: {left}");
    }

    let tracker = TaskTracker::new();
    // The providers of a rehearsal outlast the loops that call them.
    let providers_end = CancellationToken::new();
    let rehearsal = if rehearse {
        Some(start_providers(Some(journal), &providers_end, &tracker).await?)
    } else {
        None
    };

    let loops = TaskTracker::new();
    if let Some(embedded) = &database.embedded {
        loops.spawn(keep_server(Arc::clone(embedded), shutdown.clone()));
    }
    let connector = connector(Some(&store), rehearsal.as_ref())?;
    let hooks =
        host_channels(&store, &web, rehearsal.as_ref(), &connector, &shutdown, &loops).await?;
    if !rehearse {
        // A rehearsal tells nobody.
        let callbacks = Callbacks::new(store.beside(2), connector.clone(), clock::now);
        loops.spawn(callbacks.run(shutdown.clone()));
    }
    let (source, tasks) = source(tasks, follower.as_ref());
    let (announcements, announcer) = announcer(audience, &source, &tasks);
    let controller = Controller::new(store.clone(), source, tasks, by, watch_identity(), on_plan)
        .announcing(announcements);
    if let Some(announcer) = announcer {
        loops.spawn(announcer.run(shutdown.clone()));
    }
    if let Some(follower) = follower {
        loops.spawn(follower.run(shutdown.clone()));
    }
    loops.spawn(backup_guard.run(shutdown.clone()));
    loops.spawn(controller.beacon().run(shutdown.clone()));
    loops.spawn(controller.run(shutdown.clone()));
    start_executor(&store, connector, hooks, rehearsal.as_ref(), &loops, &shutdown)?;
    loops.close();
    tracker.close();

    shutdown.cancelled().await;
    info!("leaving: running calls may finish");
    tokio::select! {
        () = loops.wait() => {}
        () = force.cancelled() => {}
        () = tokio::time::sleep(SHUTDOWN_DEADLINE) => {}
    }
    providers_end.cancel();
    // Connections in use by a loop that was left behind would hold the close up.
    drop(tokio::time::timeout(CLOSE_DEADLINE, store.close()).await);
    Ok(())
}

/// Between two looks at the private server: without it nothing is sent.
const SERVER_LOOK: Duration = Duration::from_secs(3);

/// Starts the private server again when it is gone.
async fn keep_server(embedded: Arc<Embedded>, shutdown: CancellationToken) {
    let mut failed = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(SERVER_LOOK) => {}
        }
        match embedded.revive().await {
            Ok(()) => failed = false,
            Err(problem) => {
                if !failed {
                    error!("the private server cannot be used: {:#}", anyhow::Error::from(problem));
                }
                failed = true;
            }
        }
    }
}

/// Reconciles a single time, and sends nothing.
pub async fn watch_once(database: &Database, options: WatchOptions) -> anyhow::Result<Reconciled> {
    let WatchOptions { tasks, mut follower, audience, by, on_plan, .. } = options;
    if let Some(follower) = &mut follower {
        follower.fetch().await?;
    }
    let (source, tasks) = source(tasks, follower.as_ref());
    let store = database.store.clone();
    let (announcements, announcer) = announcer(audience, &source, &tasks);
    let controller = Controller::new(store, source, tasks, by, watch_identity(), on_plan)
        .announcing(announcements);
    let reconciled = controller.once().await;
    if let Some(announcer) = announcer {
        // It ends with the controller; each telling has its limits.
        announcer.run(CancellationToken::new()).await;
    }
    reconciled.map_err(|error| match error {
        // The printer knows these, and their ways out.
        ReconcileError::Survey(error) => error.into(),
        ReconcileError::Apply(error) => error.into(),
        ReconcileError::Store(error) => error.into(),
        other => other.into(),
    })
}

fn announcer(
    audience: Audience,
    source: &Source,
    folder: &Path,
) -> (Option<Announcements>, Option<Announcer>) {
    let Audience { command, notifier } = &audience;
    if command.is_none() && notifier.is_none() {
        return (None, None);
    }
    let shown = match source {
        Source::Folder => folder.display().to_string(),
        Source::Checkout(checkout) => checkout.shown(),
    };
    let (announcements, announcer) = Announcer::new(audience, host(), shown, clock::now);
    (Some(announcements), Some(announcer))
}

fn source(tasks: PathBuf, follower: Option<&Follower>) -> (Source, PathBuf) {
    match follower {
        None => (Source::Folder, tasks),
        Some(follower) => {
            let checkout = follower.checkout();
            let folder = checkout.folder();
            (Source::Checkout(checkout), folder)
        }
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn identity() -> Identity {
    Identity { host: host(), pid: std::process::id(), new_id: || ExecutorId(Uuid::now_v7()) }
}

fn watch_identity() -> WatchIdentity {
    WatchIdentity { id: WatchId(Uuid::now_v7()), host: host(), pid: std::process::id() }
}
