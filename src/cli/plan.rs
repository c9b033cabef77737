//! `nuncio plan`: what an apply would do, and what it would refuse.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;

use super::{Common, ExitStatus, output::Output};
use crate::{
    clock,
    domain::{desired::Desired, fields::Digest, id::TaskName},
    manifest::manifest_schema,
    plan::{
        BaseDocument, Circumstances, Plan, PlanDocument, Wishes, document, plan, render_human,
        render_markdown,
    },
    reconcile::{Survey, survey},
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
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    lock_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people
    #[default]
    Human,
    /// The plan as data; its schema is in `schemas/plan.schema.json`
    Json,
    /// A comment for a pull request
    Markdown,
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
    /// Allow so many tasks to be deleted at once [default: 3, or a fifth of them]
    #[arg(long, value_name = "N")]
    max_delete: Option<usize>,
    /// Only this task and what it refers to
    #[arg(long, value_name = "NAME")]
    target: Vec<TaskName>,
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

/// A plan with what it was made from.
pub(super) struct Made {
    pub(super) survey: Survey,
    pub(super) wishes: Wishes,
    pub(super) plan: Plan,
    pub(super) base: Option<BaseDocument>,
    /// A manifest is invalid in a way that the plan does not tell itself.
    pub(super) is_invalid: bool,
}

impl Made {
    pub(super) fn document(&self) -> PlanDocument {
        let schema = format!("{:#}", manifest_schema());
        document(
            &self.plan,
            &Circumstances {
                desired: &self.survey.desired,
                actual: &self.survey.actual,
                wishes: &self.wishes,
                base: self.base.as_ref(),
                is_invalid: self.is_invalid,
                schema_digest: Digest::of_bytes(schema.as_bytes()),
                manifests_digest: self.survey.fingerprint,
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
    if survey.is_emptied() && wishes.max_delete.is_none() {
        anyhow::bail!(
            "the folder `{}` has no manifest any more, and nothing is deleted for that; if all of it \
             is meant to go, say so with --max-delete {}",
            common.tasks.display(),
            survey.actual.tasks.len()
        );
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
            anyhow::bail!("{flag} names the task `{name}`, and there is none");
        }
    }
    let gone = wishes.recreate.iter().find(|name| {
        !tasks.contains_key(*name) && !unreadable.tasks.contains_key(*name) && !has_errors
    });
    if let Some(name) = gone {
        anyhow::bail!("--recreate names the task `{name}`, and no manifest defines it");
    }
    let plan = plan(&survey.desired, &survey.actual, &survey.audience_changes(), &wishes);
    let wishes_invalid = wishes.recreate.iter().any(|name| unreadable.tasks.contains_key(name));
    let is_invalid = has_errors && (wishes_invalid || !survey.is_explained_by(&plan));
    Ok(Made { survey, wishes, plan, base: None, is_invalid })
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
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
        Form::Human if made.is_invalid => String::new(),
        Form::Human if args.summary => made.plan.summary().to_string(),
        Form::Human => render_human(&made.plan, clock::now(), output.stdout_color),
        Form::Json => document.to_json(),
        Form::Markdown => render_markdown(&document),
    };
    if !shown.is_empty() {
        output.data(&shown);
    }
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
