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
    reconcile::{ReconcileError, Reconciled},
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
    /// Reconcile a single time, print the plan and leave; nothing is sent
    #[arg(long, conflicts_with = "rehearse")]
    once: bool,
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
    let by = format!("watch of {}", config::actor());
    if args.once {
        let tasks = common.tasks.clone();
        let options =
            WatchOptions { tasks, rehearse: false, journal, by, on_plan: Box::new(|_| {}) };
        return once(&database, options, output).await;
    }
    let last_plan = Mutex::new(String::new());
    let options = WatchOptions {
        tasks: common.tasks.clone(),
        rehearse: args.rehearse,
        journal,
        by,
        on_plan: Box::new(move |plan| {
            let shown = render_human(plan, clock::now(), output.stdout_color);
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

/// The same as a pass of `watch`, with the answer of `apply`.
async fn once(
    database: &Database,
    options: WatchOptions,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let Reconciled { survey, plan, applied } =
        service::watch_once(database, options).await.map_err(|error| match error {
            // The printer knows these, and their ways out.
            ReconcileError::Survey(error) => anyhow::Error::from(error),
            ReconcileError::Apply(error) => error.into(),
            ReconcileError::Store(error) => error.into(),
            other => other.into(),
        })?;
    let is_invalid = output.diagnostics(&survey.diagnostics, &survey.sources);
    output.data(&render_human(&plan, clock::now(), output.stdout_color));
    if applied.is_some() {
        output.note("Applied.");
    }
    Ok(if is_invalid {
        output.error("some manifests are invalid, and were not applied");
        ExitStatus::Error
    } else if plan.is_rejected() {
        output.error("a rule forbids parts of the plan, and they were not applied");
        ExitStatus::Rejected
    } else {
        ExitStatus::Success
    })
}
