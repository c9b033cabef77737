//! `nuncio reports`: what integrations were told, what waits, and what was given up.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Common, ExitStatus, output::Output};
use crate::{
    config,
    domain::{id::ReportId, report::ReportState},
    service::Database,
    store::{ListedReport, SilentIntegration, Store},
};

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    /// Only those that were given up
    #[arg(long, conflicts_with = "sent")]
    dead: bool,
    /// Only those that arrived
    #[arg(long)]
    sent: bool,
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(clap::Subcommand, Debug)]
enum Act {
    /// Try what did not arrive again, now and as often as a new report
    Replay(Replay),
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Replay {
    /// The report, by its id
    id: Option<Uuid>,
    /// Every report that did not arrive
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    match &args.act {
        Some(Act::Replay(replay)) => act(&database.store, replay, output).await,
        None => list(&database.store, args, output).await,
    }
}

async fn list(store: &Store, args: &Args, output: Output) -> anyhow::Result<ExitStatus> {
    let states: &[ReportState] = match (args.dead, args.sent) {
        (true, _) => &[ReportState::Dead],
        (_, true) => &[ReportState::Sent],
        _ => &[ReportState::Waiting, ReportState::Dead],
    };
    let reports = store.list_reports(states).await?;
    if reports.is_empty() {
        output.note(match (args.dead, args.sent) {
            (true, _) => "No report was given up.",
            (_, true) => "No report has arrived yet.",
            _ => "Every report has arrived.",
        });
    }
    for report in &reports {
        output.data(&line(report));
    }
    for silent in store.list_silent_integrations().await? {
        output.error(&about(&silent));
        output.hint(match silent.gone_at {
            Some(_) => "change its manifest, or let `nuncio reports replay --all` ask it again",
            None => "its reports wait until a manifest brings it back",
        });
    }
    Ok(ExitStatus::Success)
}

async fn act(store: &Store, replay: &Replay, output: Output) -> anyhow::Result<ExitStatus> {
    let replayed = store.replay_reports(replay.id.map(ReportId), &config::actor()).await?;
    if replayed > 0 {
        store.wake_others().await?;
        output.note(&match replayed {
            1 => "1 report is tried again".to_owned(),
            many => format!("{many} reports are tried again"),
        });
        return Ok(ExitStatus::Success);
    }
    match replay.id {
        None => {
            output.note("Every report has arrived, or is being delivered.");
            Ok(ExitStatus::Success)
        }
        Some(id) => {
            output.error(&format!("report {id} is not known, has arrived, or is being delivered"));
            output.hint("`nuncio reports` lists those that did not arrive");
            Ok(ExitStatus::Rejected)
        }
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn line(report: &ListedReport) -> String {
    let ListedReport {
        id,
        task,
        dialogue,
        integration,
        event,
        at,
        state,
        tries,
        ready_at,
        settled_at,
        reason,
        remote_id,
    } = report;
    let how = match state {
        ReportState::Waiting => format!("waits until {} after {tries} tries", time(*ready_at)),
        ReportState::Sent => match remote_id {
            Some(remote) => format!("arrived {} as {remote}", time(settled_at.unwrap_or(*at))),
            None => format!("arrived {}", time(settled_at.unwrap_or(*at))),
        },
        ReportState::Dead => format!("given up {}", time(settled_at.unwrap_or(*at))),
    };
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "{id}  {}  task {task}  dialogue {dialogue}  {event} for {integration}  {how}{reason}",
        time(*at)
    )
}

fn about(silent: &SilentIntegration) -> String {
    let SilentIntegration { name, gone_at, reason, n_waiting } = silent;
    match gone_at {
        Some(at) => format!(
            "integration `{name}` is told nothing since {}: {} ({n_waiting} waiting)",
            time(*at),
            reason.as_deref().unwrap_or("it is gone")
        ),
        None => format!("integration `{name}` has no manifest ({n_waiting} reports waiting)"),
    }
}
