//! `nuncio rehearse`: a dry run for real, in a database that is thrown away.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    Common, ExitStatus,
    output::{AnswerForm, Output},
    rehearsed::{Ending, Rehearsed},
    signals::Signals,
    values,
};
use crate::{
    clock, config,
    domain::{
        phase::{Act, Phase},
        revision::{Cause, Provenance},
    },
    plan::{Wishes, plan, render_human},
    reconcile::{apply, survey},
    service::{self, ThrowAway},
    store::{ChannelOverview, Order, Ownership, Patience, Store, TaskOverview},
};
/// Below the options: what is real about it.
const ABOUT: &str = "\
The folder is applied to an empty database, and what runs is sent by the same
program to built-in providers on this machine. Hours, limits and pauses are as
in the manifests. The real database is not touched: a private server in a
temporary folder is used, or, where a server is given, a database of its own on
it; both are gone at the end. No credentials are needed.

It exits as an apply to an empty database would: 0, 1 or 3.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct Args {
    /// At most so long [default: 1m]. It ends before, if nothing more could be sent till then
    #[arg(long = "for", value_name = "TIME", value_parser = values::duration)]
    at_most: Option<Duration>,
    /// Until everybody was written to, however long hours, limits and pauses make it
    #[arg(long)]
    until_exhausted: bool,
    /// Start every task that writes first, also where its manifest does not say `state: running`
    #[arg(long)]
    all: bool,
    /// Where to write what the providers saw, a JSON line each
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

const AT_MOST: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let mut signals = Signals::listen()?;
    // A signal during this is heard afterwards: what was begun has to be taken away again.
    let throw_away = ThrowAway::open(&common.database()).await?;
    output.note(&format!("The rehearsal's database is {}.", throw_away.shown()));
    let ended = rehearse(common, args, &throw_away.store, &mut signals, output).await;
    let discarded = throw_away.discard().await;
    let status = ended?;
    discarded?;
    Ok(status)
}

async fn rehearse(
    common: &Common,
    args: &Args,
    store: &Store,
    signals: &mut Signals,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    if let Some(status) = apply_folder(common, args, store, output).await? {
        return Ok(status);
    }
    for line in standstill(&store.read_overview().await?) {
        output.note(&line);
    }
    let shutdown = CancellationToken::new();
    let sending = service::rehearse(store.clone(), args.journal.clone(), shutdown.clone());
    tokio::pin!(sending);
    let begun = Instant::now();
    let ending = tokio::select! {
        ended = &mut sending => {
            ended?;
            anyhow::bail!("the sending ended by itself");
        }
        status = signals.next() => Ending::Signal(status),
        ending = wait(store, args, begun) => ending?,
    };
    let took = begun.elapsed();
    shutdown.cancel();
    sending.await?;
    let tasks = store.read_overview().await?;
    let outcomes = store.tally_outcomes().await?;
    let rehearsed = Rehearsed { ending, took, tasks: &tasks, outcomes: &outcomes };
    match args.output {
        AnswerForm::Human => output.data(&rehearsed.shown()),
        AnswerForm::Json => output.json(&rehearsed.answer()),
    }
    Ok(match ending {
        Ending::Signal(status) => status,
        Ending::Exhausted | Ending::Idle | Ending::Time => ExitStatus::Success,
    })
}

/// Applies the folder to the empty database, and starts what is to run. Gives the status where there is
/// nothing to go on with.
async fn apply_folder(
    common: &Common,
    args: &Args,
    store: &Store,
    output: Output,
) -> anyhow::Result<Option<ExitStatus>> {
    let survey = survey(&common.tasks, store, &BTreeSet::new()).await?;
    if output.diagnostics(&survey.diagnostics, &survey.sources) {
        output.error("the manifests are invalid; nothing was rehearsed");
        return Ok(Some(ExitStatus::Error));
    }
    let wishes = Wishes::default();
    let plan = plan(&survey.desired, &survey.actual, &survey.audience_changes(), &wishes);
    if plan.is_rejected() {
        output.note(&render_human(&plan, &[], clock::now(), output.stderr_color));
        output.error("nothing was rehearsed: the plan has parts that a rule forbids");
        return Ok(Some(ExitStatus::Rejected));
    }
    let by = config::actor();
    let provenance = Provenance::new(Cause::Apply, &by);
    let patience = Patience::silent(LOCK_PATIENCE);
    let _applied = apply(&plan, &survey, store, &provenance, patience, &|_| {}).await?;
    if args.all {
        let order = Order {
            act: Act::Start,
            by: &by,
            reason: None,
            resume_after: None,
            // Also a task whose manifest says `state: paused`.
            ownership: Ownership::Released,
        };
        for name in survey.desired.tasks.keys() {
            // One that is completed stays so, and the report says it.
            let _acted = store.act(name, order).await?;
        }
    }
    Ok(None)
}

pub(super) fn is_rehearsed(task: &TaskOverview) -> bool {
    task.outgoing && task.phase == Phase::InProgress
}

/// What sends nothing right now, told before anybody waits for it.
fn standstill(tasks: &[TaskOverview]) -> Vec<String> {
    let mut lines = Vec::new();
    for task in tasks.iter().filter(|task| is_rehearsed(task)) {
        let waits = |channel: &&ChannelOverview| channel.verdict == "outside-working-hours";
        if let Some(channel) = task.channels.iter().find(waits) {
            let opens =
                channel.until.map(|until| until.format("; they open on %Y-%m-%d at %H:%M UTC"));
            let opens = opens.map(|opens| opens.to_string()).unwrap_or_default();
            lines.push(format!(
                "`{}` can send nothing now: it is outside its working hours{opens}",
                task.name
            ));
        }
    }
    if !tasks.iter().any(is_rehearsed) {
        lines.push(
            "No task runs: `state: running` in its manifest, or --all, starts one.".to_owned(),
        );
    }
    lines
}

/// Waits for the end that was asked for.
async fn wait(store: &Store, args: &Args, begun: Instant) -> anyhow::Result<Ending> {
    let at_most = args.at_most.or((!args.until_exhausted).then_some(AT_MOST));
    loop {
        let left = at_most.map(|at_most| at_most.saturating_sub(begun.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(Ending::Time);
        }
        let tasks = store.read_overview().await?;
        let stillness = stillness(&tasks, left);
        // A call under way may bring its contact back.
        if let Some(ending) = stillness
            && store.count_in_flight().await? == 0
        {
            return Ok(ending);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why nothing more will be sent within the time that is left, if that is so.
fn stillness(tasks: &[TaskOverview], left: Option<Duration>) -> Option<Ending> {
    let mut ending = Ending::Exhausted;
    for task in tasks.iter().filter(|task| is_rehearsed(task)) {
        for channel in &task.channels {
            match (channel.verdict.as_str(), channel.until, left) {
                ("audience-exhausted", ..) => {}
                // Until a person acts; nobody will.
                ("channel-blocked", None, _) => ending = Ending::Idle,
                (_, Some(until), Some(left))
                    if (until - task.now).to_std().is_ok_and(|wait| wait > left) =>
                {
                    ending = Ending::Idle;
                }
                _ => return None,
            }
        }
    }
    Some(ending)
}
