//! `nuncio plan`: what an apply would do, and what it would refuse.

use super::{Common, ExitStatus, output::Output};
use crate::{
    clock,
    domain::{desired::Desired, id::TaskName},
    plan::{Plan, Wishes, plan, render_human},
    reconcile::{Survey, survey},
    service::Database,
    store::Store,
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    consent: Consent,
    /// Exit with 2 if there are changes, 0 only if there is nothing to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Print only the last line
    #[arg(long)]
    summary: bool,
}

/// What is allowed beyond an ordinary apply.
#[derive(clap::Args, Debug)]
pub(super) struct Consent {
    /// Allow a task to be stopped, deleted and created again, so that its type, format or channels
    /// can change. People it has written to are not written to again
    #[arg(long, value_name = "NAME")]
    recreate: Vec<TaskName>,
    /// Stop tasks whose manifest is gone, so that they can be deleted
    #[arg(long)]
    stop_first: bool,
}

impl Consent {
    fn wishes(&self) -> Wishes {
        Wishes { recreate: self.recreate.iter().cloned().collect(), stop_first: self.stop_first }
    }
}

/// A plan with what it was made from; absent if a manifest is invalid, which was then said.
pub(super) async fn make(
    common: &Common,
    consent: &Consent,
    store: &Store,
    output: Output,
) -> anyhow::Result<Option<(Survey, Plan)>> {
    let wishes = consent.wishes();
    let survey = survey(&common.tasks, store, &wishes.recreate).await?;
    let is_invalid = output.diagnostics(&survey.diagnostics, &survey.sources);
    let unknown = wishes.recreate.iter().find(|name| {
        let Desired { tasks, unreadable, .. } = &survey.desired;
        !tasks.contains_key(*name) && !unreadable.tasks.contains_key(*name)
    });
    if let Some(name) = unknown
        && !is_invalid
    {
        anyhow::bail!("--recreate names the task `{name}`, and no manifest defines it");
    }
    let plan = plan(&survey.desired, &survey.actual, &survey.audience_changes(), &wishes);
    let wishes_invalid =
        wishes.recreate.iter().any(|name| survey.desired.unreadable.tasks.contains_key(name));
    if is_invalid && (wishes_invalid || !survey.is_explained_by(&plan)) {
        output.error("the manifests are invalid; nothing was planned");
        return Ok(None);
    }
    Ok(Some((survey, plan)))
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let Some((_, plan)) = make(common, &args.consent, &database.store, output).await? else {
        return Ok(ExitStatus::Error);
    };
    if args.summary {
        output.data(&plan.summary().to_string());
    } else {
        output.data(&render_human(&plan, clock::now(), output.stdout_color));
    }
    Ok(if plan.is_rejected() {
        ExitStatus::Rejected
    } else if args.detailed_exitcode && plan.has_changes() {
        ExitStatus::Changes
    } else {
        ExitStatus::Success
    })
}
