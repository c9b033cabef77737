//! `nuncio rollback`: a task or a resource as it was after an earlier revision.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal as _, stdin},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;

use super::{Common, ExitStatus, apply::confirm, failure::NotFound, output::Output, values};
use crate::{
    clock, config,
    domain::{
        actual::Actual,
        contact::AudienceDigest,
        desired::{AudienceSource, Desired, DesiredAudience},
        fields::{Digest, FieldValue, Fields},
        id::TaskName,
        place::{Place, Places},
        resource::ResourceKind,
        revision::{Cause, Provenance, RevisionNumber},
        subject::Subject,
        task::{IMMUTABLE_FIELDS, Opening},
    },
    manifest::{
        self, EmittedAudience, Loaded, emit_resource, emit_task, load_stored, variables_of,
    },
    plan::{Plan, Wishes, plan, render_human},
    reconcile::{Survey, apply},
    service::Database,
    store::{Patience, Store},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The task, or a resource as `Ai/NAME`
    subject: Subject,
    /// The revision after which it was as it shall be again; `nuncio history NAME` lists them
    #[arg(long, value_name = "N")]
    to: RevisionNumber,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// Why, for the history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// How long to wait for another writer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    lock_timeout: Duration,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let Args { subject, to, .. } = args;
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    anyhow::ensure!(
        store.read_revision(*to).await?.is_some(),
        "there is no revision {to}; `nuncio history {}` lists them",
        subject.name()
    );
    let wanted = store.read_fields_at(subject, *to).await?;
    let actual = read_all(store).await?;
    if let (None, Subject::Task(name)) = (&wanted, subject)
        && !actual.tasks.contains_key(name)
    {
        return Err(NotFound::task(name, actual.tasks.keys()).into());
    }
    let wanted = wanted.with_context(|| {
        format!("{subject} was not there after revision {to}; `nuncio history` tells when it was")
    })?;
    let now = fields_of(&actual, subject).with_context(|| {
        format!("{subject} is not there any more; bring its manifest back and apply that")
    })?;
    let fixed = IMMUTABLE_FIELDS.iter().find(|path| now.get(path) != wanted.get(path));
    if let (Some(path), Subject::Task(_)) = (fixed, subject) {
        output.error(&format!("{subject} had another `{path}` then: that is another incarnation"));
        output.hint("change the manifest, and consent to a recreation");
        return Ok(ExitStatus::Rejected);
    }
    let exposed = if subject.kind() == ResourceKind::SuppressionList.as_str() {
        exposed_by(now, &wanted)
    } else {
        0
    };
    if exposed > 0 {
        output.error(&format!(
            "nothing was rolled back: {exposed} of the people on {subject} might be written to then"
        ));
        output.hint("a rollback takes nobody off a list; take them off in its manifest");
        return Ok(ExitStatus::Rejected);
    }
    let mut loaded = described(&actual, subject, &wanted);
    stand_where_they_are(&mut loaded, &actual, common);
    if loaded.has_errors() {
        output.diagnostics(&loaded.diagnostics, &loaded.sources);
        output.error(&format!("{subject} as of revision {to} does not fit what is there now"));
        return Ok(ExitStatus::Rejected);
    }
    if let Some(why) = unsayable(&loaded, &actual, subject, store).await? {
        output.error(&format!("nothing was rolled back: {why}"));
        output.hint(
            "an audience is not rolled back; apply a manifest with that opening and its audience",
        );
        return Ok(ExitStatus::Rejected);
    }
    let mut plan = plan(&loaded.desired, &actual, &BTreeMap::new(), &Wishes::default());
    keep(&mut plan, subject);
    if !plan.has_changes() && !plan.is_rejected() {
        output.note(&format!("Nothing to do: {subject} is live as it was after revision {to}."));
        if manifest_differs(&wanted, subject, common) {
            output.note(if is_held(&store.read_actual().await?, subject) {
                "Its manifest says something else, and is held until it changes."
            } else {
                "Its manifest says something else, which the next apply makes live."
            });
        }
        return Ok(ExitStatus::Success);
    }
    output.data(&render_human(&plan, &[], clock::now(), output.stdout_color));
    if plan.is_rejected() {
        output.error("nothing was rolled back: a rule forbids it");
        return Ok(ExitStatus::Rejected);
    }
    if !args.auto_approve {
        if !stdin().is_terminal() {
            output.error(
                "nothing was rolled back: nobody can be asked, because stdin is no terminal",
            );
            output.hint("give --auto-approve");
            return Ok(ExitStatus::Error);
        }
        if let Some(status) = confirm(output, "Apply this plan?").await? {
            output.note("Nothing was rolled back.");
            return Ok(status);
        }
    }
    let mut provenance = Provenance::new(Cause::Rollback, &config::actor());
    let message = args.message.as_deref().map(|message| format!(": {message}"));
    provenance.message = Some(format!("{subject} to revision {to}{}", message.unwrap_or_default()));
    let survey = Survey {
        fingerprint: Digest::of_bytes(b""),
        desired: loaded.desired,
        actual,
        audiences: BTreeMap::new(),
        diagnostics: Vec::new(),
        sources: loaded.sources,
        counts: loaded.counts,
    };
    let on_wait = |holder: &str| output.note(&format!("waiting for {holder}"));
    let patience = Patience { at_most: args.lock_timeout, on_wait: &on_wait };
    let applied = apply(&plan, &survey, store, &provenance, patience, &|_| {}).await?;
    let number = applied.revision.map(|number| format!(" as revision {number}"));
    output.note(&format!(
        "Rolled back{}. It stands until the manifest of {subject} changes.",
        number.unwrap_or_default()
    ));
    Ok(ExitStatus::Success)
}

async fn read_all(store: &Store) -> anyhow::Result<Actual> {
    let mut actual = store.read_actual().await?;
    let tasks: BTreeSet<TaskName> = actual.tasks.keys().cloned().collect();
    store.read_details(&mut actual, &tasks).await?;
    let keys = actual.resources.keys().cloned().collect();
    store.read_resource_fields(&mut actual, &keys).await?;
    // A rollback is made against the applied state alone: it ends a hold, and is no manifest's wish.
    actual.tasks.values_mut().for_each(|task| task.hold = None);
    actual.resources.values_mut().for_each(|resource| resource.hold = None);
    Ok(actual)
}

/// Whether an earlier rollback stands against its manifest.
fn is_held(actual: &Actual, subject: &Subject) -> bool {
    match subject {
        Subject::Task(name) => actual.tasks.get(name).is_some_and(|task| task.hold.is_some()),
        Subject::Resource(key) => {
            actual.resources.get(key).is_some_and(|resource| resource.hold.is_some())
        }
    }
}

/// Whether git asks for something else than what is there.
fn manifest_differs(live: &Fields, subject: &Subject, common: &Common) -> bool {
    let Ok(Loaded { desired, .. }) = manifest::load(&common.tasks) else { return false };
    let wanted = match subject {
        Subject::Task(name) => desired.tasks.get(name).map(|task| &task.fields),
        Subject::Resource(key) => desired.resources.get(key).map(|resource| &resource.fields),
    };
    wanted.is_some_and(|wanted| wanted != live)
}

fn fields_of<'a>(actual: &'a Actual, subject: &Subject) -> Option<&'a Fields> {
    match subject {
        Subject::Task(name) => Some(&actual.tasks.get(name)?.details.as_ref()?.fields),
        Subject::Resource(key) => Some(&actual.resources.get(key)?.details.as_ref()?.fields),
    }
}

/// Why the opening of then cannot be said to the audience of now: each try would use a contact up.
async fn unsayable(
    loaded: &Loaded,
    actual: &Actual,
    subject: &Subject,
    store: &Store,
) -> anyhow::Result<Option<String>> {
    let Subject::Task(name) = subject else { return Ok(None) };
    let (Some(wanted), Some(there)) = (loaded.desired.tasks.get(name), actual.tasks.get(name))
    else {
        return Ok(None);
    };
    let texts = match wanted.spec.outgoing.as_ref().map(|outgoing| &outgoing.opening) {
        Some(Opening::Text(text)) => std::slice::from_ref(text),
        Some(Opening::Template { variables, .. }) => variables.as_slice(),
        Some(Opening::WrittenByAi) | None => &[],
    };
    let needed: BTreeSet<String> = texts.iter().flat_map(|text| variables_of(text)).collect();
    if needed.is_empty() {
        return Ok(None);
    }
    let needed: Vec<String> = needed.into_iter().collect();
    let lacking = store.count_contacts_without(there.id, &needed).await?;
    Ok((lacking > 0).then(|| {
        let needed = needed.join("`, `");
        format!("its opening needs `{needed}`, and {lacking} contacts of today do not have that")
    }))
}

/// How many people a suppression list would protect less than now.
fn exposed_by(now: &Fields, wanted: &Fields) -> usize {
    let list = |fields: &Fields, path: &str| -> Option<BTreeSet<String>> {
        match fields.get(path)? {
            FieldValue::List(items) => Some(items.iter().cloned().collect()),
            _ => None,
        }
    };
    let there = list(now, "entries").unwrap_or_default();
    let covers_less = match (list(now, "tasks"), list(wanted, "tasks")) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(now), Some(wanted)) => !now.is_subset(&wanted),
    };
    if covers_less {
        there.len()
    } else {
        there.difference(&list(wanted, "entries").unwrap_or_default()).count()
    }
}

/// The whole database as manifests, with one subject as it was: what refers to what is judged again.
/// Audiences stay as they are, because contacts are not kept by revision.
fn described(actual: &Actual, subject: &Subject, wanted: &Fields) -> Loaded {
    let fields = |of: &Subject| {
        if of == subject { Some(wanted) } else { fields_of(actual, of) }
    };
    let mut documents = Vec::new();
    for key in actual.resources.keys() {
        let of = Subject::Resource(key.clone());
        documents.extend(fields(&of).map(|fields| emit_resource(key, fields)));
    }
    for (name, task) in &actual.tasks {
        let of = Subject::Task(name.clone());
        let audience = task.audience.map(|_| EmittedAudience::File("audience".to_owned()));
        documents.extend(fields(&of).map(|fields| emit_task(name, fields, audience.as_ref())));
    }
    let mut loaded = load_stored("revision", &documents.join("---\n"));
    for (name, task) in &mut loaded.desired.tasks {
        let Some(there) = actual.tasks.get(name) else { continue };
        task.audience = there.audience.map(unchanged);
    }
    loaded
}

/// Gives everything the place of its manifest, and of one that is gone the file that it was in.
fn stand_where_they_are(loaded: &mut Loaded, actual: &Actual, common: &Common) {
    let folder = common.tasks.to_string_lossy();
    let there = match manifest::load(&common.tasks) {
        Ok(there) => there.desired,
        Err(_) => Desired { folder: folder.trim_end_matches('/').into(), ..Desired::default() },
    };
    let was_in =
        |file: &str| Places::at(Place { file: there.shown(file).into(), line: 1, column: 1 });
    for (name, task) in &mut loaded.desired.tasks {
        let manifest = there.tasks.get(name).map(|task| task.places.clone());
        let file = actual.tasks.get(name).map(|task| was_in(&task.file));
        task.places = manifest.or(file).unwrap_or_else(|| task.places.clone());
    }
    for (key, resource) in &mut loaded.desired.resources {
        let manifest = there.resources.get(key).map(|resource| resource.places.clone());
        let file = actual.resources.get(key).map(|resource| was_in(&resource.file));
        resource.places = manifest.or(file).unwrap_or_else(|| resource.places.clone());
    }
    // What is written down of a place is below the folder.
    loaded.desired.folder = Arc::clone(&there.folder);
}

fn unchanged(digest: AudienceDigest) -> DesiredAudience {
    DesiredAudience { source: AudienceSource::Inline(Arc::new(Vec::new())), digest }
}

fn keep(plan: &mut Plan, subject: &Subject) {
    plan.changes.retain(|change| change.subject() == *subject);
    plan.rejections.retain(|rejection| rejection.subject == *subject);
    plan.blocked.clear();
    plan.held.clear();
    plan.refreshes.clear();
}
