//! `nuncio start`, `pause`, `stop`, `delete` and `unblock`: one act on one task or channel.

use std::time::Duration;

use super::{Common, ExitStatus, failure::NotFound, output::Output, values};
use crate::{
    config,
    domain::{
        id::{ChannelName, TaskName},
        phase::{Act, Phase},
        revision::{Cause, Provenance},
    },
    manifest,
    service::Database,
    store::{Acted, Order, Ownership, Patience, Unblocked, Wake},
};

const LOCK_PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The task
    name: TaskName,
}

#[derive(clap::Args, Debug)]
pub(super) struct UnblockArgs {
    /// The channel
    channel: ChannelName,
}

#[derive(clap::Args, Debug)]
pub(super) struct PauseArgs {
    /// The task
    name: TaskName,
    /// Start again by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_pause)]
    resume_after: Option<Duration>,
    /// Why, for `status` and the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A pause is at most a year: a longer one is a task that should be completed.
const PAUSE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

fn parse_pause(text: &str) -> Result<Duration, String> {
    let pause = values::duration(text)?;
    if pause.is_zero() || pause > PAUSE_MAX {
        return Err("a pause is longer than nothing, and at most a year".to_owned());
    }
    Ok(pause)
}

pub(super) async fn pause(
    common: &Common,
    args: &PauseArgs,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let PauseArgs { name, resume_after, reason } = args;
    let order = Order {
        act: Act::Pause,
        by: &config::actor(),
        reason: reason.as_deref(),
        resume_after: *resume_after,
        ownership: Ownership::OfManifest,
    };
    carry_out(common, name, order, output).await
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    act: Act,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let by = config::actor();
    let ownership = Ownership::OfManifest;
    let order = Order { act, by: &by, reason: None, resume_after: None, ownership };
    carry_out(common, &args.name, order, output).await
}

async fn carry_out(
    common: &Common,
    name: &TaskName,
    order: Order<'_>,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let mut acted = database.store.act(name, order).await?;
    if matches!(acted, Acted::OwnedByGit { .. }) && manifest_is_gone(common, name) {
        let released = Order { ownership: Ownership::Released, ..order };
        acted = database.store.act(name, released).await?;
    }
    match acted {
        Acted::Done { from, to, resume_at } => {
            let until = resume_at.map(|at| at.format(" until %Y-%m-%d %H:%M UTC").to_string());
            let (from, to, until) = (from.shown(), to.shown(), until.unwrap_or_default());
            output.note(&format!("task `{name}`: {from} → {to}{until}"));
            if order.act == Act::Stop && manifest_is_gone(common, name) {
                output.hint(
                    "its manifest is gone: a `nuncio watch` of the folder deletes it now and closes its dialogues, \
                     as the next `nuncio apply` does",
                );
            }
            Ok(ExitStatus::Success)
        }
        Acted::Already(phase) => {
            output.note(&format!("task `{name}` is {} already", phase.shown()));
            Ok(ExitStatus::Success)
        }
        Acted::Refused { phase, why } => {
            output.error(&format!("task `{name}` is {}: {why}", phase.shown()));
            Ok(ExitStatus::Rejected)
        }
        Acted::OwnedByGit { place } => {
            let place = common.tasks.join(place);
            output.error(&format!(
                "the run state of task `{name}` belongs to its manifest: {}",
                place.display()
            ));
            output.hint("change `state` there, or remove it to let operators decide");
            Ok(ExitStatus::Rejected)
        }
        Acted::NoSuchTask => {
            let there = database.store.read_actual().await?.tasks;
            Err(NotFound::task(name, there.keys()).into())
        }
    }
}

/// Whether the folder surely has no manifest of the task.
fn manifest_is_gone(common: &Common, name: &TaskName) -> bool {
    manifest::load(&common.tasks).is_ok_and(|loaded| {
        !loaded.desired.tasks.contains_key(name) && loaded.desired.unreadable.is_empty()
    })
}

pub(super) async fn delete(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let name = &args.name;
    // A manifest that is still there would bring the task back at the next apply.
    let loaded = manifest::load(&common.tasks)?;
    let place = loaded.desired.tasks.get(name).map(|task| task.places.document.to_string());
    if let Some(place) = place {
        output
            .error(&format!("task `{name}` has a manifest, which would create it again: {place}"));
        output.hint("remove the manifest and run `nuncio apply`");
        return Ok(ExitStatus::Rejected);
    }
    if !loaded.desired.unreadable.is_empty() {
        output
            .error("a manifest cannot be read, and may be this task's; `nuncio validate` names it");
        return Ok(ExitStatus::Error);
    }
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let actual = store.read_actual().await?;
    let Some(task) = actual.tasks.get(name) else {
        return Err(NotFound::task(name, actual.tasks.keys()).into());
    };
    if task.phase != Phase::Completed {
        output.error(&format!(
            "only a completed task can be deleted; task `{name}` is {}",
            task.phase.shown()
        ));
        output.hint(&format!("`nuncio stop {name}` completes it"));
        return Ok(ExitStatus::Rejected);
    }
    let provenance = Provenance::new(Cause::Delete, &config::actor());
    let mut writing = store.begin_writing(&provenance, Patience::silent(LOCK_PATIENCE)).await?;
    writing.delete_task(name, task.id, task.generation).await?;
    let closed = writing.close_dialogues().await?;
    writing.commit(Wake::Others).await?;
    let closed = match closed {
        0 => String::new(),
        1 => ", and 1 dialogue of it is closed".to_owned(),
        n => format!(", and {n} dialogues of it are closed"),
    };
    output
        .note(&format!("task `{name}` is deleted{closed}; who it has written to stays on record"));
    Ok(ExitStatus::Success)
}

pub(super) async fn unblock(
    common: &Common,
    args: &UnblockArgs,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let channel = &args.channel;
    if !database.store.has_lane(channel).await? {
        let there = database.store.list_channel_names().await?;
        return Err(NotFound::channel(channel, &there).into());
    }
    match database.store.unblock_lane(channel).await? {
        Unblocked::Lifted { reason } => {
            database.store.wake_others().await?;
            output.note(&format!("channel `{channel}` may send again; it was blocked: {reason}"));
            Ok(ExitStatus::Success)
        }
        Unblocked::Stays { reason } => {
            output.error(&format!(
                "channel `{channel}` stays blocked as long as this is so: {reason}"
            ));
            output.hint("it goes on by itself once that is mended where `nuncio watch` runs");
            Ok(ExitStatus::Rejected)
        }
        Unblocked::WasOpen => {
            output.note(&format!("channel `{channel}` is not blocked"));
            Ok(ExitStatus::Success)
        }
    }
}
