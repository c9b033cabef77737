//! `nuncio apply`: writes a plan, after a look at it.

use std::{
    io::{IsTerminal as _, stdin},
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Common, ExitStatus,
    failure::{BadArgument, FORMAT_VERSION},
    output::{AnswerForm, Output},
    plan::{Consent, Made, explain_refusals, make, refused_parts},
    progress::Progress,
    reviewed::{self, read_reviewed},
    signals::Signals,
    values,
};
use crate::{
    config,
    domain::{
        phase::Phase,
        revision::{Cause, Provenance},
        subject::Subject,
    },
    plan::{Change, Plan, PlanDocument},
    reconcile::{Applied, apply},
    service::Database,
    store::{Patience, Store},
};

#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Args {
    /// A plan that `nuncio plan --out` saved: exactly that is done, or nothing
    #[arg(value_name = "PLANFILE", conflicts_with_all = ["constrain", "keep_going"])]
    saved: Option<PathBuf>,
    #[command(flatten)]
    consent: Consent,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// Do nothing that this saved plan does not hold
    #[arg(long, value_name = "FILE")]
    constrain: Option<PathBuf>,
    /// Apply what is allowed, although something else is rejected, blocked or invalid
    #[arg(long)]
    keep_going: bool,
    /// With PLANFILE: refuse also if anything else in the folder changed
    #[arg(long, requires = "saved")]
    require_unchanged: bool,
    /// Why, for the history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Wait until a running `nuncio watch` has taken the changed tasks up
    #[arg(long)]
    wait: bool,
    /// How long to wait for that
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = values::duration, requires = "wait")]
    timeout: Duration,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
    /// How long to wait for another writer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    lock_timeout: Duration,
}

/// What an apply did. New fields may come; none of these changes or goes within the format's major.
#[derive(Serialize)]
struct AppliedJson {
    format_version: &'static str,
    /// Nothing was rejected, blocked or invalid.
    complete: bool,
    /// The number in the history; null if there was nothing to write.
    revision: Option<i64>,
    /// Contacts that were loaded.
    contacts: u64,
    /// What was written (`nuncio schema plan`).
    plan: PlanDocument,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    if args.saved.is_some() && args.consent.is_given() {
        let what =
            "a saved plan holds what was allowed; give --recreate and the like to `nuncio plan`";
        return Err(BadArgument(what.to_owned()).into());
    }
    let reviewed = args.saved.as_deref().map(read_reviewed).transpose()?;
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let wishes = match &reviewed {
        Some(reviewed) => reviewed.wishes()?,
        None => args.consent.wishes(),
    };
    let mut made = make(common, wishes, store, output).await?;
    if let Some(reviewed) = &reviewed {
        if !reviewed.applyable {
            output.error("nothing was applied: the saved plan has rejected or blocked parts");
            output.hint("mend what `nuncio show` tells of it, and plan again");
            return Ok(ExitStatus::Rejected);
        }
        let is_current =
            reviewed::is_current(reviewed, &made, args.require_unchanged, store, output).await?;
        if !is_current {
            return Ok(ExitStatus::Stale);
        }
        made = made.only(reviewed, store).await?;
        made.is_invalid = false;
    }
    if let Some(path) = &args.constrain
        && !reviewed::is_within(&read_reviewed(path)?, &made, output)
    {
        return Ok(ExitStatus::Stale);
    }
    let Made { survey, plan, is_invalid, .. } = &made;
    if *is_invalid && !args.keep_going {
        output.error("the manifests are invalid; nothing was planned");
        return Ok(ExitStatus::Error);
    }
    let is_json = args.output == AnswerForm::Json;
    if !is_json {
        output.data(&made.shown(output));
    }
    explain_refusals(plan, output);
    let is_partial = *is_invalid || plan.is_rejected();
    if is_partial && !args.keep_going {
        output.error(&format!("nothing was applied: the plan has {}", refused_parts(plan)));
        output.hint("each names its way out above; --keep-going applies the rest");
        return Ok(ExitStatus::Rejected);
    }
    if plan.has_changes() && !args.auto_approve && reviewed.is_none() {
        if !stdin().is_terminal() {
            output.error("nothing was applied: nobody can be asked, because stdin is no terminal");
            output.hint("give --auto-approve");
            return Ok(ExitStatus::Error);
        }
        if let Some(status) = confirm(output, "Apply this plan?").await? {
            output.note("Nothing was applied.");
            return Ok(status);
        }
    }
    let mut provenance = Provenance::new(Cause::Apply, &config::actor());
    provenance.message.clone_from(&args.message);
    if let Some(base) = &made.base {
        base.tell(&mut provenance);
    }
    let progress = Progress::start(output);
    let on_progress = |contacts: u64| progress.show(contacts);
    let on_wait = |holder: &str| output.note(&format!("waiting for {holder}"));
    let patience = Patience { at_most: args.lock_timeout, on_wait: &on_wait };
    let applied = apply(plan, survey, store, &provenance, patience, &on_progress).await;
    progress.finish();
    let applied = applied?;
    if plan.has_changes() {
        output.note(&told(&applied));
    }
    if args.wait {
        wait(plan, store, args.timeout).await?;
    }
    if is_json {
        output.json(&AppliedJson {
            format_version: FORMAT_VERSION,
            complete: !is_partial,
            revision: applied.revision.map(|number| number.0),
            contacts: applied.contacts,
            plan: made.document(),
        });
    }
    if is_partial {
        output.error("applied in part: what is rejected, blocked or invalid was left as it was");
        return Ok(ExitStatus::Partial);
    }
    Ok(ExitStatus::Success)
}

pub(super) fn told(applied: &Applied) -> String {
    let contacts = match applied.contacts {
        0 => String::new(),
        1 => ", 1 contact loaded".to_owned(),
        n => format!(", {n} contacts loaded"),
    };
    let revision = applied.revision.map(|number| format!(" as revision {number}"));
    format!("Applied{}{contacts}.", revision.unwrap_or_default())
}

/// Asks, and gives what the program ends with if the answer is not yes.
pub(super) async fn confirm(output: Output, question: &str) -> anyhow::Result<Option<ExitStatus>> {
    let mut signals = Signals::listen()?;
    output.note(&format!("{question} Only `yes` is accepted:"));
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = tokio::select! {
        answer = answer => answer??,
        status = signals.next() => {
            // The terminal has only echoed the key.
            output.note("");
            return Ok(Some(status));
        }
    };
    Ok((answer.trim() != "yes").then_some(ExitStatus::Error))
}

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Waits until every changed task that runs and writes first is led by an executor.
async fn wait(plan: &Plan, store: &Store, timeout: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + timeout;
    let changed: Vec<Subject> = plan.changes.iter().map(Change::subject).collect();
    loop {
        let tasks = store.read_overview().await?;
        let waiting = tasks.iter().find(|task| {
            let is_changed = changed.contains(&Subject::Task(task.name.clone()));
            let is_led = |led: bool, verdict: &str| led && verdict != "channel-blocked";
            is_changed
                && task.outgoing
                && task.phase == Phase::InProgress
                && !task.channels.iter().any(|channel| is_led(channel.led, &channel.verdict))
        });
        let Some(waiting) = waiting else { return Ok(()) };
        anyhow::ensure!(
            Instant::now() < deadline,
            "it was applied, but task `{}` was not taken up within {}; is `nuncio watch` running?",
            waiting.name,
            humantime::format_duration(timeout)
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
