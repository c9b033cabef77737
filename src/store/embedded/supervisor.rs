//! The supervisor: the process that owns the server of a data folder.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process, set_parent_process_death_signal},
};

use super::{
    account::Account,
    server::{Durability, EmbeddedError, Layout, POLL, lock_file},
};

/// Long enough that a script of several commands keeps one server, short enough to be gone soon.
const IDLE_BEFORE_STOP: Duration = Duration::from_millis(600);
/// Past this a fast shutdown hangs, and the server is ended at once: it recovers on the next start.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// A server that ran for less does not start again; it would only fail again.
const RESTART_AFTER: Duration = Duration::from_secs(2);

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
