//! `nuncio show`: one revision, one saved plan, or one task or resource as it is live.

use std::path::Path;

use serde::Serialize;

use super::{
    Common, ExitStatus,
    failure::{BadArgument, FORMAT_VERSION, NotFound},
    output::{AnswerForm, Output},
    reviewed::read_reviewed,
    revision::{RevisionJson, render},
};
use crate::{
    clock,
    domain::{
        actual::Actual, contact::AudienceDigest, desired::AudienceSource, id::TaskName,
        resource::ResourceKey, revision::RevisionNumber, subject::Subject,
    },
    manifest::{self, EmittedAudience, emit_resource, emit_task},
    plan::{render_human, render_markdown},
    service::Database,
    store::Store,
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The number of a revision; a task, or a resource as `Channel/NAME`; or the file of a saved plan
    #[arg(value_name = "REVISION|NAME|PLANFILE")]
    what: String,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

#[derive(Serialize)]
struct ShownJson<'a> {
    format_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<RevisionJson<'a>>,
    /// The manifest that would say what is live, as YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let what = args.what.as_str();
    let is_json = args.output == AnswerForm::Json;
    if !what.bytes().all(|byte| byte.is_ascii_digit()) && Path::new(what).is_file() {
        let plan = read_reviewed(Path::new(what))?;
        output.data(&match plan.restored() {
            _ if is_json => plan.to_json(),
            Some(read) => render_human(&read, &plan.foreseen(), clock::now(), output.stdout_color),
            None => render_markdown(&plan),
        });
        return Ok(ExitStatus::Success);
    }
    if what.parse::<RevisionNumber>().is_err()
        && let Err(error) = what.parse::<Subject>()
    {
        if what.contains(['.', '/']) {
            let hint = "a saved plan is a file; a task is its name, a resource `Channel/NAME`";
            return Err(NotFound::new(format!("file `{what}`"), hint).into());
        }
        return Err(BadArgument(error.to_string()).into());
    }
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    if let Ok(number) = what.parse::<RevisionNumber>() {
        let revision = store.read_revision(number).await?;
        let revision = revision.ok_or_else(|| {
            NotFound::new(format!("revision {number}"), "`nuncio history` lists them")
        })?;
        if is_json {
            let revision = Some(RevisionJson::of(&revision));
            output.json(&ShownJson { format_version: FORMAT_VERSION, revision, manifest: None });
        } else {
            output.data(&render(&revision, output.stdout_color));
        }
        return Ok(ExitStatus::Success);
    }
    let subject: Subject = what.parse()?;
    let manifest = live_manifest(&subject, store, &common.tasks).await?;
    if is_json {
        let manifest = Some(manifest);
        output.json(&ShownJson { format_version: FORMAT_VERSION, revision: None, manifest });
    } else {
        output.data(&manifest);
    }
    Ok(ExitStatus::Success)
}

/// What the manifest says of the audience, if it is the one that is live.
fn audience_of(name: &TaskName, live: AudienceDigest, folder: &Path) -> Option<EmittedAudience> {
    let loaded = manifest::load(folder).ok()?;
    let task = loaded.desired.tasks.get(name)?;
    let audience = task.audience.as_ref().filter(|audience| audience.digest == live)?;
    Some(match &audience.source {
        AudienceSource::Inline(lines) => {
            EmittedAudience::Lines(lines.iter().map(|line| line.text.clone()).collect())
        }
        AudienceSource::File { shown, .. } => {
            // Manifests name it from where they are.
            let manifest = Path::new(&*task.places.document.file).parent();
            let below =
                manifest.and_then(|manifest| Path::new(&**shown).strip_prefix(manifest).ok());
            EmittedAudience::File(
                below.map_or_else(|| shown.to_string(), |below| below.display().to_string()),
            )
        }
    })
}

fn address(key: &ResourceKey) -> String {
    format!("{}/{}", key.kind, key.name)
}

/// A name alone is a task's, or that of the only resource that has it.
fn resolved(subject: &Subject, actual: &Actual) -> anyhow::Result<Subject> {
    let Subject::Task(name) = subject else { return Ok(subject.clone()) };
    if actual.tasks.contains_key(name) {
        return Ok(subject.clone());
    }
    let named: Vec<&ResourceKey> =
        actual.resources.keys().filter(|key| key.name == name.as_str()).collect();
    match named[..] {
        [] => Ok(subject.clone()),
        [key] => Ok(Subject::Resource(key.clone())),
        _ => {
            let all: Vec<String> = named.iter().map(|key| format!("`{}`", address(key))).collect();
            let hint = format!("did you mean one of {}?", all.join(", "));
            Err(NotFound::new(format!("task `{name}`"), hint).into())
        }
    }
}

/// The manifest that would say what is live.
async fn live_manifest(subject: &Subject, store: &Store, folder: &Path) -> anyhow::Result<String> {
    let mut actual = store.read_actual().await?;
    let names: Vec<TaskName> = actual.tasks.keys().cloned().collect();
    let subject = &resolved(subject, &actual)?;
    match subject {
        Subject::Task(name) => {
            store.read_details(&mut actual, &[name.clone()].into()).await?;
            let task = actual.tasks.get(name);
            let details = task.and_then(|task| task.details.as_ref());
            let details = details.ok_or_else(|| NotFound::task(name, names.iter()))?;
            let live = task.and_then(|task| task.audience);
            let audience = live.and_then(|live| audience_of(name, live, folder));
            let text = emit_task(name, details.live(), audience.as_ref());
            Ok(match (live, audience) {
                (Some(_), None) => format!(
                    "# Its audience is not the one of its manifest: nuncio audience {name}\n{text}"
                ),
                _ => text,
            })
        }
        Subject::Resource(key) => {
            store.read_resource_fields(&mut actual, &[key.clone()].into()).await?;
            let there = actual.resources.get(key).and_then(|there| there.details.as_ref());
            let details = there.ok_or_else(|| {
                NotFound::new(
                    key.to_string(),
                    format!("`nuncio history {}` may know it", address(key)),
                )
            })?;
            Ok(emit_resource(key, details.live()))
        }
    }
}
