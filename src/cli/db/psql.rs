//! `nuncio db psql`: the program psql on the database that nuncio uses.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context as _;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use crate::{
    cli::{Common, ExitStatus},
    config,
    service::Server,
    store::{embedded::programs, libpq_environment},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// For psql: `nuncio db psql -- -c 'SELECT …'`
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// Words of the environment that would lead psql to another database than ours.
const ELSEWHERE: &[&str] = &["PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGPASSWORD", "PGOPTIONS"];

pub(super) async fn run(common: &Common, args: &Args) -> anyhow::Result<ExitStatus> {
    // Kept until psql is gone: a private server leaves with its last user.
    let server = Server::open(&common.database()).await?;
    let psql = find(server.data.as_deref()).context(
        "the program `psql` is not installed (Debian: `apt-get install postgresql-client`, Fedora: \
         `dnf install postgresql`, macOS: `brew install libpq`)",
    )?;
    // Ctrl-C in psql ends a query, and not psql.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut command = Command::new(&psql);
    for name in ELSEWHERE {
        command.env_remove(name);
    }
    command.envs(libpq_environment(&server.options)).args(&args.arguments).kill_on_drop(true);
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let mut child = command.spawn().with_context(|| format!("cannot run `{}`", psql.display()))?;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => return Ok(ExitStatus::Terminated),
        }
    };
    // What psql means by 2 and 3 is not what ours mean.
    Ok(if ended.success() { ExitStatus::Success } else { ExitStatus::Error })
}

fn find(data: Option<&Path>) -> Option<PathBuf> {
    let path = config::search_path();
    let beside_server = data.and_then(|data| programs(data, &path));
    path.into_iter().chain(beside_server).map(|folder| folder.join("psql")).find(|it| it.is_file())
}
