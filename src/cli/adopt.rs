//! `nuncio adopt`: writes what is live into the manifest, touching only what differs.

use std::{fs, path::Path};

use anyhow::Context as _;
use similar::TextDiff;

use super::{Common, ExitStatus, output::Output, replace::replace_file};
use crate::{
    domain::{
        actual::Actual,
        fields::{FieldValue, Fields},
        phase::{Phase, RunState},
        place::Place,
        subject::Subject,
    },
    manifest::{self, DocumentKind, Loaded, set_fields},
    plan::compare,
    service::Database,
    store::Store,
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The task, or a resource as `Channel/NAME`
    subject: Subject,
    /// Show what would be written, and write nothing
    #[arg(long)]
    diff: bool,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let subject = &args.subject;
    let loaded = manifest::load(&common.tasks)?;
    let (place, desired) = manifest_of(&loaded, subject).with_context(|| {
        format!("no valid manifest of {subject} is in `{}`", common.tasks.display())
    })?;
    let database = Database::open(&common.database()).await?;
    let actual = read(subject, &database.store).await?;
    let changes = to_adopt(&actual, subject, desired)?;
    if changes.is_empty() {
        output.note(&format!("{subject} is live as its manifest says."));
        return Ok(ExitStatus::Success);
    }
    let path = Path::new(&*place.file);
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", place.file))?;
    let kind: DocumentKind = subject.kind().parse()?;
    let edited = set_fields(&text, kind, subject.name(), &changes)
        .with_context(|| format!("`{}` is left as it is", place.file))?;
    let diff = TextDiff::from_lines(&text, &edited);
    output.data(&diff.unified_diff().header(&place.file, &place.file).to_string());
    if !args.diff {
        replace_file(path, &edited).with_context(|| format!("cannot write `{}`", place.file))?;
        output.note(&format!("Written to {}. Review it, and commit it.", place.file));
    }
    Ok(ExitStatus::Success)
}

fn manifest_of<'a>(loaded: &'a Loaded, subject: &Subject) -> Option<(&'a Place, &'a Fields)> {
    match subject {
        Subject::Task(name) => {
            let task = loaded.desired.tasks.get(name)?;
            Some((&task.places.document, &task.fields))
        }
        Subject::Resource(key) => {
            let resource = loaded.desired.resources.get(key)?;
            Some((&resource.places.document, &resource.fields))
        }
    }
}

async fn read(subject: &Subject, store: &Store) -> anyhow::Result<Actual> {
    let mut actual = store.read_actual().await?;
    match subject {
        Subject::Task(name) => store.read_details(&mut actual, &[name.clone()].into()).await?,
        Subject::Resource(key) => {
            store.read_resource_fields(&mut actual, &[key.clone()].into()).await?;
        }
    }
    Ok(actual)
}

/// What drifted, or was rolled back; an edit of the manifest that waits for its apply is left alone.
fn to_adopt(
    actual: &Actual,
    subject: &Subject,
    desired: &Fields,
) -> anyhow::Result<Vec<(String, Option<FieldValue>)>> {
    let not_applied = || format!("{subject} was never applied");
    let mut changes = Vec::new();
    let (applied, live, is_held) = match subject {
        Subject::Task(name) => {
            let task = actual.tasks.get(name).with_context(not_applied)?;
            let details = task.details.as_ref().with_context(not_applied)?;
            let applied = details.fields.get("state").map(ToString::to_string);
            let applied = applied.and_then(|state| state.parse::<RunState>().ok());
            let live = state_of(task.phase);
            if let Some(applied) = applied.filter(|applied| task.drifted && *applied != live)
                && !(applied == RunState::Paused && task.phase == Phase::Awaiting)
            {
                let live = FieldValue::Text(live.to_string());
                changes.push(("state".to_owned(), Some(live)));
            }
            (&details.fields, details.live(), task.hold.is_some())
        }
        Subject::Resource(key) => {
            let resource = actual.resources.get(key).with_context(not_applied)?;
            let details = resource.details.as_ref().with_context(not_applied)?;
            (&details.fields, details.live(), resource.hold.is_some())
        }
    };
    let drifted = compare(if is_held { desired } else { applied }, live);
    let new = drifted.into_iter().filter(|change| {
        desired.get(&change.path) != change.after.as_ref() && change.path != "state"
    });
    changes.extend(new.map(|change| (change.path, change.after)));
    Ok(changes)
}

fn state_of(phase: Phase) -> RunState {
    match phase {
        Phase::InProgress => RunState::Running,
        Phase::Awaiting | Phase::Stopped => RunState::Paused,
        Phase::Completed => RunState::Completed,
    }
}
