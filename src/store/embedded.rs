//! The private Postgres server for a machine without one: found, initialised, run and stopped here.
//!
//! One *supervisor* process a data folder owns the server. Every program that uses the database holds
//! a shared lock on `users.lock`; the kernel drops it with the process, however that ends. When nobody
//! holds it the supervisor stops the server and leaves. So commands beside a running `watch` share its
//! server, and a killed `watch` leaves nothing behind.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, getuid, kill_process, set_parent_process_death_signal},
};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

/// A cold start with recovery after a crash takes seconds; longer means that something is wrong.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Long enough that a script of several commands keeps one server, short enough to be gone soon.
const IDLE_BEFORE_STOP: Duration = Duration::from_millis(600);
/// Past this a fast shutdown hangs, and the server is ended at once: it recovers on the next start.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// A server that ran for less does not start again; it would only fail again.
const RESTART_AFTER: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);
/// `sun_path` has 108 bytes with its end; Postgres adds `/.s.PGSQL.5432.lock`.
const SOCKET_FOLDER_BYTES_MAX: usize = 85;
const SERVER_VERSION_MIN: u32 = 14;

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
            Self::NotStarted { .. } => "its log stands in the data folder, below `postgres/log`",
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

/// The folders and files below one data folder.
#[derive(Clone, Debug)]
struct Layout {
    root: PathBuf,
}

impl Layout {
    fn cluster(&self) -> PathBuf {
        self.root.join("postgres")
    }
    fn socket_folder(&self) -> PathBuf {
        self.root.join("socket")
    }
    fn users_lock(&self) -> PathBuf {
        self.root.join("users.lock")
    }
    fn boot_lock(&self) -> PathBuf {
        self.root.join("boot.lock")
    }
    fn supervisor_lock(&self) -> PathBuf {
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

    /// Starts the server if it does not answer: whoever supervised it may have been killed.
    pub async fn revive(&self) -> Result<(), EmbeddedError> {
        if answers(&self.options).await {
            return Ok(());
        }
        let deadline = Instant::now() + START_DEADLINE;
        let boot_lock = lock_file(&self.layout.boot_lock()).map_err(|source| {
            EmbeddedError::DataFolder { path: self.layout.root.clone(), source }
        })?;
        wait_for_lock(&boot_lock, FlockOperation::NonBlockingLockExclusive, deadline).await?;
        if answers(&self.options).await {
            return Ok(());
        }
        let Self { layout, program, search_path, durability, options, .. } = self;
        boot(layout, program, search_path, *durability, options, deadline).await
    }

    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
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

async fn answers(options: &PgConnectOptions) -> bool {
    let attempt = async {
        let mut connection = PgConnection::connect_with(options).await?;
        connection.ping().await?;
        connection.close().await
    };
    matches!(tokio::time::timeout(Duration::from_secs(5), attempt).await, Ok(Ok(())))
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
        if answers(options).await {
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

/// Where the server's programs are.
struct Installation {
    programs: PathBuf,
}

impl Installation {
    /// The programs that fit the cluster, or the newest for a new one.
    fn find(cluster: &Path, search_path: &[PathBuf]) -> Result<Self, EmbeddedError> {
        let wanted = fs::read_to_string(cluster.join("PG_VERSION")).ok();
        let wanted = wanted.as_deref().map(str::trim);
        let mut found: Vec<(u32, PathBuf)> = candidate_folders(search_path)
            .into_iter()
            .filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
            .filter_map(|folder| Some((major_version(&folder)?, folder)))
            .filter(|(version, _)| *version >= SERVER_VERSION_MIN)
            .collect();
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        if found.is_empty() {
            return Err(EmbeddedError::NotInstalled);
        }
        let fits = |version: u32| wanted.is_none_or(|wanted| wanted == version.to_string());
        match found.into_iter().find(|(version, _)| fits(*version)) {
            Some((_, programs)) => Ok(Self { programs }),
            None => Err(EmbeddedError::OtherVersion {
                data: cluster.to_owned(),
                version: wanted.unwrap_or_default().to_owned(),
            }),
        }
    }
}

fn candidate_folders(search_path: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = search_path.to_vec();
    let versioned = [
        ("/usr/lib/postgresql", "bin"),
        ("/usr", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/Library/PostgreSQL", "bin"),
    ];
    for (parent, below) in versioned {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_postgres = parent.to_ascii_lowercase().contains("postgresql")
                || name.starts_with("pgsql-")
                || name.starts_with("postgresql");
            if of_postgres {
                folders.push(entry.path().join(below));
            }
        }
    }
    folders
}

fn major_version(programs: &Path) -> Option<u32> {
    let answer = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The account under which the server runs: Postgres refuses root.
enum Account {
    Ours,
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    fn of_server() -> Result<Self, EmbeddedError> {
        if !getuid().is_root() {
            return Ok(Self::Ours);
        }
        let accounts = fs::read_to_string("/etc/passwd").map_err(|_| EmbeddedError::NoUser)?;
        let find = |wanted: &str| {
            accounts.lines().find_map(|line| {
                let mut parts = line.split(':');
                let name = parts.next().filter(|name| *name == wanted)?;
                let uid = parts.nth(1)?.parse().ok()?;
                let gid = parts.next()?.parse().ok()?;
                Some(Self::Other { name: name.to_owned(), uid, gid })
            })
        };
        find("postgres").or_else(|| find("nobody")).ok_or(EmbeddedError::NoUser)
    }

    /// Whether the account may pass every folder down to the data, such as a home that is closed.
    fn check_reach(&self, root: &Path) -> Result<(), EmbeddedError> {
        let Self::Other { name, uid, gid } = self else { return Ok(()) };
        for folder in root.ancestors() {
            let Ok(facts) = fs::metadata(folder) else { continue };
            let mode = facts.permissions().mode();
            let may_enter = (facts.uid() == *uid && mode & 0o100 != 0)
                || (facts.gid() == *gid && mode & 0o010 != 0)
                || mode & 0o001 != 0;
            if !may_enter {
                return Err(EmbeddedError::Unreachable {
                    folder: folder.to_owned(),
                    user: name.clone(),
                });
            }
        }
        Ok(())
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        // What the caller's environment says of Postgres (PGPORT, PGDATA) is not about this server.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
        command
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        if let Self::Other { uid, gid, .. } = self {
            chown(path, Some(*uid), Some(*gid))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }
}

/// Runs the server of a data folder until nobody uses it: the whole life of the supervisor process.
///
/// Stays on the thread that started the server: where the kernel can, it ends the server when that
/// thread dies.
pub fn supervise(
    data: &Path,
    programs: &Path,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    let layout = Layout { root: data.to_owned() };
    let unusable = |source| EmbeddedError::DataFolder { path: layout.root.clone(), source };
    // One supervisor at a time, from before the first file is written.
    let only = lock_file(&layout.supervisor_lock()).map_err(unusable)?;
    if flock(&only, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let account = Account::of_server()?;
    initialise(&layout, programs, &account)?;
    account.make_folder(&layout.socket_folder()).map_err(unusable)?;

    let mut command = account.command(&programs.join("postgres"));
    command.arg("-D").arg(layout.cluster()).arg("-k").arg(layout.socket_folder());
    for setting in server_settings(durability) {
        command.arg("-c").arg(setting);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    die_with_us(&mut command);
    let mut server = command.spawn().map_err(unusable)?;
    let mut started_at = Instant::now();

    let users = lock_file(&layout.users_lock()).map_err(unusable)?;
    let mut idle_since: Option<Instant> = None;
    loop {
        if let Some(status) = server.try_wait().map_err(unusable)? {
            // One that ran for a while was killed, or met a full disk: it recovers when it starts. One
            // that does not start is an error for whoever waits for it.
            if started_at.elapsed() < RESTART_AFTER {
                let last_words = format!("it left with {status}");
                return Err(EmbeddedError::NotStarted { last_words });
            }
            server = command.spawn().map_err(unusable)?;
            started_at = Instant::now();
        }
        if flock(&users, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let since = *idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= IDLE_BEFORE_STOP {
                // The lock is kept until this process ends: who comes now waits, then starts anew.
                return stop(&mut server).map_err(unusable);
            }
            let unlocked = flock(&users, FlockOperation::Unlock);
            unlocked.map_err(|error| unusable(error.into()))?;
        } else {
            idle_since = None;
        }
        thread::sleep(POLL);
    }
}

fn server_settings(durability: Durability) -> Vec<OsString> {
    let mut settings = vec![
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "max_connections=100",
        "shared_buffers=128MB",
        "max_wal_size=1GB",
        // A queue's rows turn over quickly; the defaults wait for a fifth of a table.
        "autovacuum_naptime=10s",
        // A week of logs, each day's overwritten a week later.
        "logging_collector=on",
        "log_directory=log",
        "log_filename=postgres-%a.log",
        "log_truncate_on_rotation=on",
        "log_rotation_age=1d",
    ];
    if durability == Durability::Fast {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"]);
    }
    settings.into_iter().map(OsString::from).collect()
}

fn initialise(layout: &Layout, programs: &Path, account: &Account) -> Result<(), EmbeddedError> {
    let cluster = layout.cluster();
    if cluster.join("PG_VERSION").exists() {
        return Ok(());
    }
    let unusable = |source| EmbeddedError::DataFolder { path: layout.root.clone(), source };
    // Under another name until it is whole, so that a crash leaves no half of a cluster behind.
    let growing = layout.root.join("postgres.new");
    if growing.exists() {
        fs::remove_dir_all(&growing).map_err(unusable)?;
    }
    account.make_folder(&growing).map_err(unusable)?;
    let answer = account
        .command(&programs.join("initdb"))
        .arg("-D")
        .arg(&growing)
        .args(["-U", "nuncio", "-A", "trust", "-E", "UTF8", "--no-locale"])
        .output()
        .map_err(unusable)?;
    if !answer.status.success() {
        let words = String::from_utf8_lossy(&answer.stderr);
        let last_words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        return Err(EmbeddedError::NotStarted { last_words });
    }
    fs::rename(&growing, &cluster).map_err(unusable)
}

#[expect(unsafe_code, reason = "only between fork and exec can a child ask to die with its parent")]
fn die_with_us(command: &mut Command) {
    let ask = || {
        #[cfg(target_os = "linux")]
        set_parent_process_death_signal(Some(Signal::INT))?;
        Ok(())
    };
    // SAFETY: the closure makes one system call, allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

fn stop(server: &mut Child) -> io::Result<()> {
    let deadline = Instant::now() + STOP_DEADLINE;
    let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // SIGINT is Postgres' fast shutdown: sessions are ended, a checkpoint is written.
        kill_process(pid, Signal::INT)?;
    }
    while server.try_wait()?.is_none() {
        if Instant::now() > deadline {
            server.kill()?;
        }
        thread::sleep(POLL / 10);
    }
    Ok(())
}
