//! `nuncio watch`: the daemon.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Common, ExitStatus, output::Output};
use crate::{
    clock, config,
    plan::render_human,
    service::{self, Database, WatchOptions},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Send to built-in providers on this machine instead of the real ones; needs no credentials
    #[arg(long)]
    rehearse: bool,
    /// Where a rehearsal writes what its providers saw, a JSON line each
    #[arg(long, value_name = "FILE", requires = "rehearse")]
    journal: Option<PathBuf>,
}

pub(super) async fn run(common: &Common, args: Args, output: Output) -> anyhow::Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let choice = common.database();
    let database = tokio::select! {
        database = Database::open(&choice) => database?,
        _ = interrupt.recv() => return Ok(ExitStatus::Interrupted),
        _ = terminate.recv() => return Ok(ExitStatus::Terminated),
    };
    if let Some(data) = &database.data {
        output.note(&format!("The database is a private server in {}.", data.display()));
    }
    let data = database.data.clone().unwrap_or_else(|| config::data_folder(&common.tasks));
    let journal = args.journal.unwrap_or_else(|| data.join("rehearsal.jsonl"));
    let last_plan = Mutex::new(String::new());
    let options = WatchOptions {
        tasks: common.tasks.clone(),
        rehearse: args.rehearse,
        journal,
        by: format!("watch of {}", config::actor()),
        on_plan: Box::new(move |plan| {
            let shown = render_human(plan, &[], clock::now(), output.stdout_color);
            // A plan that could not be applied is made again and again, and told once.
            let mut last = last_plan.lock().unwrap_or_else(PoisonError::into_inner);
            if *last != shown {
                output.data(&shown);
                *last = shown;
            }
        }),
    };
    let (shutdown, force) = (CancellationToken::new(), CancellationToken::new());
    let watching = service::watch(database, options, shutdown.clone(), force.clone());
    tokio::pin!(watching);
    let status = tokio::select! {
        ended = &mut watching => return ended.map(|()| ExitStatus::Success),
        _ = interrupt.recv() => ExitStatus::Interrupted,
        _ = terminate.recv() => ExitStatus::Terminated,
    };
    shutdown.cancel();
    tokio::select! {
        ended = &mut watching => ended?,
        // A second signal skips the grace period.
        _ = interrupt.recv() => force.cancel(),
        _ = terminate.recv() => force.cancel(),
    }
    Ok(status)
}
