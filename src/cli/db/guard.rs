//! `nuncio db guard`: the backup guard; while it is on, no permit is granted.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    cli::{
        Common, ExitStatus,
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output},
    },
    config,
    service::Database,
    store::Guard,
};

/// Below the options: what the guard is for.
const ABOUT: &str = "\
A database that is restored from a backup has forgotten the openings that were
sent since, and would send them again. Stop `nuncio watch` before a restore.

`watch` notes in its data folder how far the database had come, and turns the
guard on by itself when it then finds another one, or one that knows of fewer
attempts. Turn it on by hand before a drill. Before you turn it off, put those
whom your providers show as written to since the backup on a suppression list.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// Without it the guard is shown
    #[arg(value_enum)]
    turn: Option<Turn>,
    /// Why, for the record; to turn it off it must be said
    #[arg(long, value_name = "TEXT", requires = "turn", required_if_eq("turn", "off"))]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Turn {
    /// Nothing is sent from here on; calls that run may still end
    On,
    /// Sending goes on
    Off,
}

#[derive(Serialize)]
struct Answer<'a> {
    format_version: &'static str,
    guarded: bool,
    /// Whether this command changed it.
    changed: bool,
    since: Option<DateTime<Utc>>,
    by: Option<&'a str>,
    reason: Option<&'a str>,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let by = config::actor();
    let reason = args.reason.as_deref().unwrap_or("no reason was given");
    let changed = match args.turn {
        None => false,
        Some(Turn::On) => store.raise_guard(&by, reason).await?,
        Some(Turn::Off) => store.lift_guard(&by, reason).await?,
    };
    if changed {
        store.wake_others().await?;
    }
    let guard = store.read_guard().await?;
    match args.output {
        AnswerForm::Human => output.data(&told(args.turn, changed, guard.as_ref())),
        AnswerForm::Json => output.json(&Answer {
            format_version: FORMAT_VERSION,
            guarded: guard.is_some(),
            changed,
            since: guard.as_ref().map(|guard| guard.since),
            by: guard.as_ref().map(|guard| guard.by.as_str()),
            reason: guard.as_ref().map(|guard| guard.reason.as_str()),
        }),
    }
    Ok(ExitStatus::Success)
}

fn told(turn: Option<Turn>, changed: bool, guard: Option<&Guard>) -> String {
    let already = if turn.is_some() && !changed { " already" } else { "" };
    match guard {
        None => format!("The backup guard is off{already}."),
        Some(guard) => {
            let standing = standing(guard);
            format!(
                "The backup guard is on{already}, {standing}.\nNothing is sent until: nuncio db guard off --reason TEXT"
            )
        }
    }
}

/// Since when, by whom and why.
pub(in crate::cli) fn standing(guard: &Guard) -> String {
    let Guard { since, by, reason } = guard;
    format!("since {} by {by}: {reason}", since.format("%Y-%m-%d %H:%M UTC"))
}
