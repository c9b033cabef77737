//! A program's use of the private server, which it starts if nobody has.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use super::{super::room::DISK_FULL, account::Account, installation::Installation};

/// A cold start with recovery after a crash takes seconds; longer means that something is wrong.
const START_DEADLINE: Duration = Duration::from_secs(60);
pub(super) const POLL: Duration = Duration::from_millis(100);
/// `sun_path` has 108 bytes with its end; Postgres adds `/.s.PGSQL.5432.lock`.
const SOCKET_FOLDER_BYTES_MAX: usize = 85;
pub(super) const SERVER_VERSION_MIN: u32 = 14;

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no PostgreSQL server is installed (version {SERVER_VERSION_MIN} or newer: the programs `initdb` and `postgres`)"
    )]
    NotInstalled,
    #[error(
        "`{}` was written by PostgreSQL {version}, and its programs are not installed",
        data.display()
    )]
    OtherVersion { data: PathBuf, version: String },
    #[error("the data folder `{}` cannot be used", path.display())]
    DataFolder { path: PathBuf, source: io::Error },
    #[error(
        "PostgreSQL runs as the user `{user}` here, who may not enter `{}`",
        folder.display()
    )]
    Unreachable { folder: PathBuf, user: String },
    #[error("the path of the data folder `{}` is too long for a socket", path.display())]
    PathTooLong { path: PathBuf },
    #[error("the embedded server did not start: {last_words}")]
    NotStarted { last_words: String },
    #[error("the private server runs, and refuses connections: {message}")]
    Refuses { message: String, disk_full: bool },
    #[error("no user `postgres` or `nobody` exists to run the server as")]
    NoUser,
}

impl EmbeddedError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotInstalled => {
                "install it (Debian: `apt-get install postgresql`, Fedora: `dnf install postgresql-server`, \
                 macOS: `brew install postgresql`), or set NUNCIO_DATABASE_URL to a server that runs"
            }
            Self::OtherVersion { .. } => "install that version, or set NUNCIO_DATA to a new folder",
            Self::DataFolder { .. } | Self::Unreachable { .. } | Self::PathTooLong { .. } => {
                "set NUNCIO_DATA to a folder that can be used, such as /var/lib/nuncio"
            }
            Self::NotStarted { .. } => {
                "what it said stands in the data folder: in `supervisor.log`, and below `postgres/log` once it has begun"
            }
            Self::Refuses { disk_full: true, .. } => {
                "free space on the disk of the data folder; it goes on by itself then"
            }
            Self::Refuses { disk_full: false, .. } => {
                "what it said stands in the data folder, below `postgres/log`"
            }
            Self::NoUser => "start nuncio as an ordinary user",
        }
    }
}

/// How a server is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Durable,
    /// For tests: a crash of the machine may lose everything.
    Fast,
}

/// Whether a data folder has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    Absent,
    Present,
}

/// The folders and files below one data folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join("postgres")
    }
    pub(super) fn socket_folder(&self) -> PathBuf {
        self.root.join("socket")
    }
    pub(super) fn users_lock(&self) -> PathBuf {
        self.root.join("users.lock")
    }
    fn boot_lock(&self) -> PathBuf {
        self.root.join("boot.lock")
    }
    pub(super) fn supervisor_lock(&self) -> PathBuf {
        self.root.join("supervisor.lock")
    }
    fn log(&self) -> PathBuf {
        self.root.join("supervisor.log")
    }
}

/// A program's use of an embedded server. The server stays at least as long as this value.
#[derive(Debug)]
pub struct Embedded {
    _users_lock: File,
    options: PgConnectOptions,
    layout: Layout,
    program: PathBuf,
    search_path: Vec<PathBuf>,
    durability: Durability,
}

impl Embedded {
    /// Uses the server of a data folder, starting it if nobody has. `program` is this program, which
    /// is run again as the supervisor; `search_path` is searched for the server's programs first.
    pub async fn open(
        data: &Path,
        program: &Path,
        search_path: &[PathBuf],
        durability: Durability,
    ) -> Result<Self, EmbeddedError> {
        let unusable = |source| EmbeddedError::DataFolder { path: data.to_owned(), source };
        fs::create_dir_all(data).map_err(unusable)?;
        let layout = Layout { root: fs::canonicalize(data).map_err(unusable)? };
        if layout.socket_folder().as_os_str().len() > SOCKET_FOLDER_BYTES_MAX {
            return Err(EmbeddedError::PathTooLong { path: layout.root });
        }
        let options = PgConnectOptions::new_without_pgpass()
            .socket(layout.socket_folder())
            .username("nuncio")
            .database("postgres");

        let users_lock = lock_file(&layout.users_lock()).map_err(unusable)?;
        let deadline = Instant::now() + START_DEADLINE;
        // A supervisor that is leaving holds it exclusively until its server has stopped.
        wait_for_lock(&users_lock, FlockOperation::NonBlockingLockShared, deadline).await?;
        let embedded = Self {
            _users_lock: users_lock,
            options,
            layout,
            program: program.to_owned(),
            search_path: search_path.to_vec(),
            durability,
        };
        embedded.revive().await?;
        Ok(embedded)
    }

    /// Whether a server could be run, without running one or making its folder.
    pub fn look(data: &Path, search_path: &[PathBuf]) -> Result<Cluster, EmbeddedError> {
        let layout = Layout { root: data.to_owned() };
        Installation::find(&layout.cluster(), search_path)?;
        Account::of_server()?.check_reach(data)?;
        let is_present = layout.cluster().join("PG_VERSION").exists();
        Ok(if is_present { Cluster::Present } else { Cluster::Absent })
    }

    /// Starts the server if it does not answer: whoever supervised it may have been killed.
    pub async fn revive(&self) -> Result<(), EmbeddedError> {
        if answers(&self.options).await? {
            return Ok(());
        }
        let deadline = Instant::now() + START_DEADLINE;
        let boot_lock = lock_file(&self.layout.boot_lock()).map_err(|source| {
            EmbeddedError::DataFolder { path: self.layout.root.clone(), source }
        })?;
        wait_for_lock(&boot_lock, FlockOperation::NonBlockingLockExclusive, deadline).await?;
        if answers(&self.options).await? {
            return Ok(());
        }
        let Self { layout, program, search_path, durability, options, .. } = self;
        boot(layout, program, search_path, *durability, options, deadline).await
    }

    /// Leaves the server, and waits until it has stopped: nobody else uses it.
    pub async fn leave(self) -> Result<(), EmbeddedError> {
        let Layout { root } = self.layout.clone();
        let supervisor = lock_file(&self.layout.supervisor_lock())
            .map_err(|source| EmbeddedError::DataFolder { path: root, source })?;
        drop(self);
        let deadline = Instant::now() + START_DEADLINE;
        wait_for_lock(&supervisor, FlockOperation::NonBlockingLockExclusive, deadline).await
    }

    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

async fn wait_for_lock(
    file: &File,
    operation: FlockOperation,
    deadline: Instant,
) -> Result<(), EmbeddedError> {
    while flock(file, operation).is_err() {
        if Instant::now() > deadline {
            let last_words = "another program has been starting or stopping it for too long".into();
            return Err(EmbeddedError::NotStarted { last_words });
        }
        tokio::time::sleep(POLL / 5).await;
    }
    Ok(())
}

/// Starting up, or leaving.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// Whether the server answers; one that refuses to is no less there, and starting another would not help.
async fn answers(options: &PgConnectOptions) -> Result<bool, EmbeddedError> {
    let attempt = async {
        let mut connection = PgConnection::connect_with(options).await?;
        connection.ping().await?;
        connection.close().await
    };
    match tokio::time::timeout(Duration::from_secs(5), attempt).await {
        Ok(Ok(())) => Ok(true),
        Ok(Err(sqlx::Error::Database(answer)))
            if answer.code().is_some_and(|code| code != CANNOT_CONNECT_NOW) =>
        {
            let disk_full = answer.code().as_deref() == Some(DISK_FULL);
            Err(EmbeddedError::Refuses { message: answer.message().to_owned(), disk_full })
        }
        Ok(Err(_)) | Err(_) => Ok(false),
    }
}

async fn boot(
    layout: &Layout,
    program: &Path,
    search_path: &[PathBuf],
    durability: Durability,
    options: &PgConnectOptions,
    deadline: Instant,
) -> Result<(), EmbeddedError> {
    let unusable = |source| EmbeddedError::DataFolder { path: layout.root.clone(), source };
    // Asked for here and not in the supervisor, so that the answer is an error of this program.
    let installation = Installation::find(&layout.cluster(), search_path)?;
    let account = Account::of_server()?;
    account.check_reach(&layout.root)?;
    let log = OpenOptions::new().create(true).append(true).open(layout.log()).map_err(unusable)?;
    log.set_len(0).map_err(unusable)?;

    let mut command = Command::new(program);
    command.args(["db", "supervise", "--data"]).arg(&layout.root);
    command.arg("--programs").arg(&installation.programs);
    if durability == Durability::Fast {
        command.arg("--fast");
    }
    // Its own process group: Ctrl-C in the terminal must reach `watch` alone, which needs the
    // database to leave cleanly.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut supervisor = command.spawn().map_err(unusable)?;
    loop {
        if answers(options).await? {
            // The supervisor may outlive this program; until then somebody has to hear of its end.
            thread::spawn(move || supervisor.wait());
            return Ok(());
        }
        let ended = supervisor.try_wait().map_err(unusable)?;
        if ended.is_some_and(|status| !status.success()) || Instant::now() > deadline {
            return Err(EmbeddedError::NotStarted { last_words: last_words(&layout.log()) });
        }
        if ended.is_some() {
            // Another supervisor is there: one that starts, or one that leaves.
            tokio::time::sleep(POLL).await;
            supervisor = command.spawn().map_err(unusable)?;
        }
        tokio::time::sleep(POLL / 10).await;
    }
}

/// The end of a log, on one line.
fn last_words(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(600)))?;
        file.read_to_string(&mut text)
    });
    match read {
        Ok(_) if !text.trim().is_empty() => text.split_whitespace().collect::<Vec<_>>().join(" "),
        _ => "it left no word".to_owned(),
    }
}
