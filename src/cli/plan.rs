//! `nuncio plan`: what an apply would do, and what it would refuse.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{
    Common, ExitStatus,
    failure::NotFound,
    findings::{Form, Review},
    output::Output,
    values,
};
use crate::{
    clock,
    domain::{
        contact::AudienceChange, desired::Desired, fields::Digest, id::TaskName, phase::Phase,
        resource::Resource,
    },
    manifest::manifest_schema,
    plan::{
        BLOCKED, BaseDocument, Change, Circumstances, Plan, PlanDocument, Wishes, document,
        forecast::{Forecast, forecast, render_sentences},
        plan, render_human, render_markdown,
    },
    reconcile::{Survey, git, survey},
    service::Database,
    store::{Patience, Store},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    consent: Consent,
    /// Exit with 2 if there are changes, 0 only if there is nothing to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Save the plan, for `nuncio apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How the plan is written
    #[arg(long, value_enum, default_value_t, conflicts_with = "summary")]
    output: Form,
    /// Write the plan as JSON into a file as well
    #[arg(long, value_name = "FILE")]
    json_into: Option<PathBuf>,
    /// Print only the last line
    #[arg(long)]
    summary: bool,
    /// How long to wait for a writer that is at work
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    lock_timeout: Duration,
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
    /// Allow the audience of a task to lose more than half
    #[arg(long, value_name = "NAME")]
    allow_shrink: Vec<TaskName>,
    /// Allow so many tasks to be deleted at once [default: 3, or a fifth of them, whichever is more]
    #[arg(long, value_name = "N", value_parser = number_of_tasks)]
    max_delete: Option<usize>,
    /// Only this task and what it refers to
    #[arg(long, value_name = "NAME")]
    target: Vec<TaskName>,
}

fn number_of_tasks(text: &str) -> Result<usize, String> {
    values::count(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

impl Consent {
    pub(super) fn wishes(&self) -> Wishes {
        let Self { recreate, stop_first, allow_shrink, max_delete, target } = self;
        Wishes {
            recreate: recreate.iter().cloned().collect(),
            stop_first: *stop_first,
            shrink: allow_shrink.iter().cloned().collect(),
            max_delete: *max_delete,
            target: target.iter().cloned().collect(),
        }
    }

    pub(super) fn is_given(&self) -> bool {
        let Self { recreate, stop_first, allow_shrink, max_delete, target } = self;
        let names = [recreate, allow_shrink, target];
        *stop_first || max_delete.is_some() || names.iter().any(|names| !names.is_empty())
    }
}

/// Forecasts that a reader of a plan takes in; `nuncio forecast` has them all.
const SENTENCES_MAX: usize = 10;

/// A plan with what it was made from.
pub(super) struct Made {
    pub(super) survey: Survey,
    pub(super) wishes: Wishes,
    pub(super) plan: Plan,
    pub(super) base: Option<git::Base>,
    /// Of the tasks that the plan changes.
    pub(super) forecast: Forecast,
    /// A manifest is invalid in a way that the plan does not tell itself.
    pub(super) is_invalid: bool,
}

impl Made {
    /// The plan for people, and what will happen after it.
    pub(super) fn shown(&self, output: Output) -> String {
        let foreseen = render_sentences(&self.forecast, SENTENCES_MAX);
        render_human(&self.plan, &foreseen, clock::now(), output.stdout_color)
    }

    /// Only what a reviewed plan holds, with what will happen after that.
    pub(super) async fn only(self, reviewed: &PlanDocument, store: &Store) -> anyhow::Result<Self> {
        let plan = self.plan.only(reviewed);
        let forecast = foresee(&plan, &self.survey, store).await?;
        Ok(Self { plan, forecast, ..self })
    }

    /// What is wrong with the manifests, and what the plan refuses.
    fn review(&self) -> Review {
        let Survey { diagnostics, sources, counts, .. } = &self.survey;
        let mut review = Review::of_diagnostics("plan", diagnostics, sources, *counts);
        review.add_plan(&self.plan);
        review
    }

    pub(super) fn document(&self) -> PlanDocument {
        let schema = format!("{:#}", manifest_schema());
        let base = self
            .base
            .as_ref()
            .map(|base| BaseDocument { commit: base.commit.clone(), dirty: base.dirty });
        document(
            &self.plan,
            &Circumstances {
                desired: &self.survey.desired,
                actual: &self.survey.actual,
                wishes: &self.wishes,
                base: base.as_ref(),
                is_invalid: self.is_invalid,
                schema_digest: Digest::of_bytes(schema.as_bytes()),
                manifests_digest: self.survey.fingerprint,
                forecast: Some(&self.forecast),
            },
        )
    }
}

/// Makes a plan, and prints what is wrong with the manifests.
pub(super) async fn make(
    common: &Common,
    wishes: Wishes,
    store: &Store,
    output: Output,
) -> anyhow::Result<Made> {
    let survey = survey(&common.tasks, store, &wishes.recreate).await?;
    let folder = common.tasks.display();
    if survey.is_emptied() && wishes.max_delete.is_none() {
        let tasks = &survey.actual.tasks;
        let mut all = wishes.clone();
        all.max_delete = Some(tasks.len());
        all.stop_first |= tasks.values().any(|task| task.phase != Phase::Completed);
        anyhow::bail!(
            "the folder `{folder}` has no manifest any more, and nothing is deleted for that; if all \
             of it is meant to go: {}",
            all.command()
        );
    }
    if survey.counts.documents == 0 && survey.diagnostics.is_empty() {
        output.note(&format!("no manifests in `{folder}`"));
    }
    let has_errors = output.diagnostics(&survey.diagnostics, &survey.sources);
    let Desired { tasks, unreadable, .. } = &survey.desired;
    let is_known = |name: &&TaskName| {
        tasks.contains_key(*name)
            || unreadable.tasks.contains_key(*name)
            || survey.actual.tasks.contains_key(*name)
    };
    let named = [
        ("--recreate", &wishes.recreate),
        ("--allow-shrink", &wishes.shrink),
        ("--target", &wishes.target),
    ];
    for (flag, names) in named {
        if let Some(name) = names.iter().find(|name| !is_known(name))
            && !has_errors
        {
            let there = tasks.keys().chain(survey.actual.tasks.keys());
            return Err(anyhow::Error::new(NotFound::task(name, there)).context(flag));
        }
    }
    let gone = wishes.recreate.iter().find(|name| {
        !tasks.contains_key(*name) && !unreadable.tasks.contains_key(*name) && !has_errors
    });
    if let Some(name) = gone {
        let what = format!("manifest of task `{name}`, which --recreate names");
        return Err(NotFound::new(what, "`nuncio delete NAME` ends a task for good").into());
    }
    let plan = plan(&survey.desired, &survey.actual, &survey.audience_changes(), &wishes);
    let wishes_invalid = wishes.recreate.iter().any(|name| unreadable.tasks.contains_key(name));
    let is_invalid = has_errors && (wishes_invalid || !survey.is_explained_by(&plan));
    let forecast = foresee(&plan, &survey, store).await?;
    let base = git::base(&common.tasks).await;
    Ok(Made { survey, wishes, plan, base, forecast, is_invalid })
}

/// Names the codes of what a plan refuses.
pub(super) fn explain_refusals(plan: &Plan, output: Output) {
    for rejection in &plan.rejections {
        output.explain_later(rejection.code.as_str());
    }
    if !plan.blocked.is_empty() {
        output.explain_later(BLOCKED);
    }
}

/// What a plan refuses, in numbers: `1 rejected and 2 blocked parts`.
pub(super) fn refused_parts(plan: &Plan) -> String {
    let parts = |n: usize| if n == 1 { "part" } else { "parts" };
    match (plan.rejections.len(), plan.blocked.len()) {
        (n, 0) => format!("{n} rejected {}", parts(n)),
        (0, n) => format!("{n} blocked {}", parts(n)),
        (rejected, blocked) => {
            format!("{rejected} rejected and {blocked} blocked {}", parts(blocked))
        }
    }
}

/// Whether a file, there or not yet, is below a folder, wherever links lead.
fn stands_in(file: &Path, folder: &Path) -> bool {
    let above = file.parent().filter(|above| !above.as_os_str().is_empty());
    let resolved = fs::canonicalize(file)
        .or_else(|_| fs::canonicalize(above.unwrap_or_else(|| Path::new("."))));
    match (resolved, fs::canonicalize(folder)) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

/// What will happen to the tasks that the plan creates, updates or recreates.
async fn foresee(plan: &Plan, survey: &Survey, store: &Store) -> anyhow::Result<Forecast> {
    let mut facts = store.read_forecast_facts().await?;
    // What the plan leaves as it is counts as it is live, whatever the folder says by now.
    for change in &plan.changes {
        if let Change::CreateResource { key, .. } | Change::UpdateResource { key, .. } = change
            && let Some(resource) = survey.desired.resources.get(key)
            && let Resource::Channel(spec) = &resource.resource
            && let Some(limit) = spec.daily_limit
            && let Ok(name) = key.name.parse()
        {
            let shared = spec.portfolio().map_or(limit, |(_, shared)| shared);
            facts = facts.with_channel(&name, limit.min(shared));
        }
    }
    let mut changed = BTreeSet::new();
    for change in &plan.changes {
        let (name, remaining) = match change {
            Change::CreateTask { name, audience, .. }
            | Change::RecreateTask { name, audience, .. } => {
                let unwritten =
                    |audience: &AudienceChange| audience.total - audience.written_before;
                (name, audience.as_ref().map_or(0, unwritten))
            }
            Change::UpdateTask { name, audience, .. } => {
                let there = survey.actual.tasks.get(name).and_then(|task| task.details.as_ref());
                let counted = there.map_or(0, |details| details.people.remaining);
                let before = facts.tasks.get(name).map_or(counted, |task| task.remaining);
                let added = audience.as_ref().map_or(0, |audience| audience.added);
                let removed = audience.as_ref().map_or(0, |audience| audience.removed);
                (name, (before + added).saturating_sub(removed))
            }
            _ => continue,
        };
        let Some(task) = survey.desired.tasks.get(name) else { continue };
        facts = facts.with_task(name, &task.spec, remaining);
        changed.insert(name);
    }
    let from = facts.counted_at;
    Ok(forecast(&facts, from).only(|name| changed.contains(name)))
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    for path in args.out.iter().chain(&args.json_into) {
        anyhow::ensure!(
            !stands_in(path, &common.tasks),
            "`{}` stands among the manifests, and a plan is none; name a file outside `{}`",
            path.display(),
            common.tasks.display()
        );
    }
    let database = Database::open(&common.database()).await?;
    let on_wait = |holder: &str| output.note(&format!("waiting for {holder}"));
    let patience = Patience { at_most: args.lock_timeout, on_wait: &on_wait };
    database.store.wait_for_writers(patience).await?;
    let made = make(common, args.consent.wishes(), &database.store, output).await?;
    let document = made.document();
    if let Some(path) = &args.json_into {
        fs::write(path, document.to_json())
            .with_context(|| format!("the plan cannot be written to `{}`", path.display()))?;
    }
    let shown = match args.output {
        Form::Human if made.is_invalid => None,
        Form::Human if args.summary => Some(made.plan.summary().to_string()),
        Form::Human => Some(made.shown(output)),
        Form::Json => Some(document.to_json()),
        Form::Markdown if !made.is_invalid => Some(render_markdown(&document)),
        form => form.render(&made.review()),
    };
    match shown {
        // A form of one line a finding has none.
        Some(shown) if shown.is_empty() => {}
        Some(shown) => output.data(&shown),
        None => {}
    }
    explain_refusals(&made.plan, output);
    if made.is_invalid {
        output.error("the manifests are invalid; nothing was planned");
        return Ok(ExitStatus::Error);
    }
    if let Some(path) = &args.out {
        fs::write(path, document.sealed())
            .with_context(|| format!("the plan cannot be saved to `{}`", path.display()))?;
        output.note(&format!("Saved. To do exactly this: nuncio apply {}", path.display()));
    }
    Ok(if made.plan.is_rejected() {
        ExitStatus::Rejected
    } else if args.detailed_exitcode && made.plan.has_changes() {
        ExitStatus::Changes
    } else {
        ExitStatus::Success
    })
}
