//! `nuncio watch`: the daemon.

use std::path::PathBuf;

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
    let database = Database::open(&common.database()).await?;
    if let Some(data) = &database.data {
        output.note(&format!("The database is a private server in {}.", data.display()));
    }
    let data = database.data.clone().unwrap_or_else(|| config::data_folder(&common.tasks));
    let journal = args.journal.unwrap_or_else(|| data.join("rehearsal.jsonl"));
    let options = WatchOptions {
        tasks: common.tasks.clone(),
        rehearse: args.rehearse,
        journal,
        by: format!("watch of {}", config::actor()),
        on_plan: Box::new(move |plan| {
            output.data(&render_human(plan, clock::now(), output.stdout_color));
        }),
    };
    let shutdown = CancellationToken::new();
    let force = CancellationToken::new();
    let watching = service::watch(database, options, shutdown.clone(), force.clone());
    let signals = async {
        let status = tokio::select! {
            _ = interrupt.recv() => ExitStatus::Interrupted,
            _ = terminate.recv() => ExitStatus::Terminated,
        };
        shutdown.cancel();
        tokio::select! {
            _ = interrupt.recv() => force.cancel(),
            _ = terminate.recv() => force.cancel(),
            () = std::future::pending() => {}
        }
        status
    };
    tokio::pin!(watching);
    tokio::pin!(signals);
    // The signals' future ends only after a second signal; `watch` ends by itself after the first.
    let mut status = ExitStatus::Success;
    tokio::select! {
        ended = &mut watching => {
            ended?;
        }
        forced = &mut signals => status = forced,
    }
    if shutdown.is_cancelled() && status == ExitStatus::Success {
        status = ExitStatus::Interrupted;
    }
    Ok(status)
}
