//! `nuncio reports`: what integrations, and the systems behind `api` channels, were told, what waits, and what was
//! given up.

mod list;

use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

use super::{
    Common, ExitStatus,
    failure::FORMAT_VERSION,
    output::{AnswerForm, Output},
};
use crate::{
    config,
    domain::id::{MessagePosition, ReportId},
    service::Database,
    store::Store,
};

/// Below the options: what else is listed.
const ABOUT: &str = "\
A line that begins with c and a number is a message that was to be posted to the
`callbackUrl` of an `api` channel, and was not taken. Whoever polls the channel
has it all the same.";

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, after_long_help = ABOUT)]
pub(super) struct Args {
    /// Only those that were given up
    #[arg(long, conflicts_with = "sent")]
    dead: bool,
    /// Only those that arrived
    #[arg(long)]
    sent: bool,
    /// How they are written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(clap::Subcommand, Debug)]
enum Act {
    /// Try what did not arrive again, now and as often as a new report
    Replay(Replay),
}

#[derive(clap::Args, Debug)]
struct Replay {
    #[command(flatten)]
    which: Which,
    /// How it is told what was done
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    /// The report by its id, or the callback as `c123`
    id: Option<Undelivered>,
    /// Everything that did not arrive
    #[arg(long)]
    all: bool,
}

/// What did not arrive, as it is named in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undelivered {
    Report(ReportId),
    Callback(MessagePosition),
}

impl FromStr for Undelivered {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let callback = text.strip_prefix('c').and_then(|number| number.parse().ok());
        let report = || Uuid::parse_str(text).ok().map(ReportId);
        callback
            .map(Self::Callback)
            .or_else(|| report().map(Self::Report))
            .ok_or("write the id of a report, or `c` and the number of a callback")
    }
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    match &args.act {
        Some(Act::Replay(replay)) => act(&database.store, replay, output).await,
        None => {
            list::run(&database.store, args, output).await?;
            Ok(ExitStatus::Success)
        }
    }
}

/// A replay for programs.
#[derive(Serialize)]
struct ReplayedJson {
    format_version: &'static str,
    reports: u64,
    callbacks: u64,
}

async fn act(store: &Store, replay: &Replay, output: Output) -> anyhow::Result<ExitStatus> {
    let by = config::actor();
    let (reports, callbacks) = match replay.which.id {
        Some(Undelivered::Report(id)) => (store.replay_reports(Some(id), &by).await?, 0),
        Some(Undelivered::Callback(id)) => (0, store.replay_callbacks(Some(id)).await?),
        None => (store.replay_reports(None, &by).await?, store.replay_callbacks(None).await?),
    };
    if reports + callbacks == 0 && replay.which.id.is_some() {
        output.error("what you named is not known, has arrived, or is being delivered");
        output.hint("`nuncio reports` lists what did not arrive");
        return Ok(ExitStatus::Rejected);
    }
    if reports + callbacks > 0 {
        store.wake_others().await?;
    }
    if replay.output == AnswerForm::Json {
        output.json(&ReplayedJson { format_version: FORMAT_VERSION, reports, callbacks });
        return Ok(ExitStatus::Success);
    }
    let told: Vec<String> = [(reports, "report"), (callbacks, "callback")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, noun)| if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") })
        .collect();
    output.note(&match (reports + callbacks, told.join(" and ")) {
        (0, _) => "Everything has arrived, or is being delivered.".to_owned(),
        (1, told) => format!("{told} is tried again"),
        (_, told) => format!("{told} are tried again"),
    });
    Ok(ExitStatus::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_and_a_callback_are_told_apart() {
        let id = "01a227e7-5510-7558-b884-7543efc4ddbd";
        assert_eq!(id.parse(), Ok(Undelivered::Report(ReportId(Uuid::parse_str(id).unwrap()))));
        assert_eq!("c12".parse(), Ok(Undelivered::Callback(MessagePosition(12))));
        for bad in ["", "c", "12", "cc1", "c1x"] {
            bad.parse::<Undelivered>().unwrap_err();
        }
    }
}
